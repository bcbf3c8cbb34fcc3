"""A run over many rows: which of them are left to do, looked at as a whole before the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kn_edit.errors import KnEditError, TwoNewAnswers
from kn_edit.facts import ByFact, Case, fact_key, same_answer

Row = tuple[Case, str]  # what is to change, and its new answer


@dataclass(frozen=True)
class Plan:
    """Rows to update, and those that nothing is left to do for.

    done: their facts have the new answer already; repeated: they say what an earlier row says;
    refused: rows of a benchmark that give a fact another new answer than an earlier row
    """

    wanted: tuple[Row, ...]
    done: tuple[Row, ...]
    repeated: tuple[Row, ...]
    refused: tuple[tuple[Row, KnEditError], ...] = ()


def plan_rows(rows: Sequence[Row], answers: ByFact[str]) -> Plan:
    """Sort rows by what is left to do. answers: what earlier updates made of facts.

    Raises TwoNewAnswers, or BadFacts where the rows are from a file. Rows of a benchmark are
    refused alone: nobody who runs it can mend them.
    """
    wanted: list[Row] = []
    done: list[Row] = []
    repeated: list[Row] = []
    refused: list[tuple[Row, KnEditError]] = []
    first: ByFact[Row] = ByFact()
    for case, target in rows:
        key = fact_key(case.relation, case.fact)
        earlier = first.get(key)
        if earlier is None:
            first.put(key, (case, target))
            today = answers.get(key) or case.fact.answer
            (done if same_answer(today, target) else wanted).append((case, target))
        elif same_answer(earlier[1], target):
            repeated.append((case, target))
        else:
            error = TwoNewAnswers(case.fact.subject, _where(earlier[0]), earlier[1], target)
            if not case.published:
                with case.fact.located():
                    raise error
            refused.append(((case, target), error))
    return Plan(tuple(wanted), tuple(done), tuple(repeated), tuple(refused))


def _where(case: Case) -> str:
    place = case.fact.place
    return f"line {place.line}" if place else "an earlier one"
