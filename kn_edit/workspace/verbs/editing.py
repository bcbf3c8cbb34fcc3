"""Verbs that change what the model says, and record it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from kn_edit.editing.method import EditMethod, Kind
from kn_edit.editing.methods import How, method_of, require_many
from kn_edit.editing.requests import answers_of, case_pairs, check_case, named_case
from kn_edit.editing.updates import Joint, UpdateMethod
from kn_edit.engine.undisturbed import verb
from kn_edit.errors import BadSetting, NoTarget, SameAnswer, UnknownId, require_whole
from kn_edit.facts import ByFact, Case, Relation
from kn_edit.later import later
from kn_edit.ledger import Advance, VersionRecord
from kn_edit.workspace.batch import Batch, batch_rows, one_by_one
from kn_edit.workspace.edited import Edited
from kn_edit.workspace.joint_facts import named_member
from kn_edit.workspace.making import Making
from kn_edit.workspace.planning import Plan, Row, plan_rows
from kn_edit.workspace.verbs.asking import AskingVerbs

if TYPE_CHECKING:
    from kn_edit.editing.pace import Forecast
    from kn_edit.workspace import editing
    from kn_edit.workspace.measured import MeasuredEdit
else:
    editing = later("kn_edit.workspace.editing")


class EditingVerbs(AskingVerbs):
    """Updates and erasures, one by one or many, what of them is left to do, and the way back."""

    @verb
    def plan(self, rows: Sequence[tuple[Case, str]]) -> Plan:
        """Which rows of a run are left to do at the head, looked at as a whole.

        rows: cases with their new answers. Raises TwoNewAnswers, BadFacts.
        """
        return plan_rows(rows, self._answers())

    @verb
    def batch(
        self,
        rows: Sequence[tuple[Case, str]],
        *,
        how: How | EditMethod | str | None = None,
        accept: bool = False,
        dry_run: bool = False,
        at_once: int = 1,
    ) -> Batch:
        """Updates of many rows, looked at as a whole; iterating over it makes them, one by one.

        rows: cases with their new answers. Rows whose fact has its new answer already are passed
        over, so the same rows can be given again after a stop.
        at_once: so many rows are computed on the same version, by the workers of a cluster beside
        each other, and then recorded in order; by default each on top of the one before it
        Raises TwoNewAnswers, BadFacts, BadSetting, and what `check` raises of a row that is of no
        benchmark.
        """
        require_whole("the rows at once", at_once, 1)
        plan = self.plan(rows)
        update = partial(self.update, how=how, accept=accept, dry_run=dry_run)
        make = one_by_one(update)
        making = Making.of(Kind.UPDATE, how, accept=accept, dry_run=dry_run)
        beside = at_once > 1 or (dry_run and self.engine.workers.several)
        if beside and not isinstance(making.method, Joint):  # each of whose rows joins those before
            make = editing.beside_each_other(self, making, at_once, update)
        return Batch(plan, batch_rows(plan, self.check), make)

    @verb
    def forecast(
        self, case: Case, to: str, *, how: How | EditMethod | str | None = None
    ) -> Forecast | None:
        """How long an update will take on this machine, by its parts; runs the model a few times.

        None for a method that does not say what it costs. Raises what `check` raises, and
        NotFinite.
        """
        method = method_of(Kind.UPDATE, How.of(how).method)
        if not isinstance(method, UpdateMethod):
            return None
        return editing.forecast(self, case, to, method)

    @verb
    def update(
        self,
        case: Case | None = None,
        to: str | None = None,
        *,
        statement: str | Iterable[str] = (),
        how: How | EditMethod | str | None = None,
        accept: bool = False,
        dry_run: bool = False,
    ) -> Edited:
        """Change a fact's answer, and record the edit.

        to: the new answer; by default that of the case. statement: a sentence as it should be true,
        `The CEO of [X: Starbucks] is [Y: Brian Niccol].`, or several wordings of it, in place of
        a case; see `case_of`. how: a How; or a method, or its name.
        The gate's verdict comes as GateFailed, which carries what was measured; accept records
        all the same, dry_run records nothing.
        """
        making = Making.of(Kind.UPDATE, how, accept=accept, dry_run=dry_run)
        row = _row(named_case(case, statement, to), to)
        return editing.update(self, [row], making)

    @verb
    def update_many(
        self,
        updates: Iterable[Case | tuple[Case, str]],
        *,
        how: How | EditMethod | str | None = None,
        accept: bool = False,
        dry_run: bool = False,
    ) -> Edited:
        """Change the answers of several facts by one edit, and record it.

        updates: cases that name their new answers, or pairs of a case and its new answer. The
        method must take many, see `takes_many`; `how` and the gate, which looks at the means, are
        as for `update`.
        Raises OneFactMethod, TwoNewAnswers, NoTarget, SameAnswer for a fact that has its new answer
        already, and what `update` raises.
        """
        making = Making.of(Kind.UPDATE, how, accept=accept, dry_run=dry_run)
        plan = plan_rows([_row(*pair) for pair in case_pairs(updates)], self._answers())
        for case, to in plan.done[:1]:
            raise SameAnswer(case.fact.subject, to)
        for _, error in plan.refused[:1]:
            raise error
        if not plan.wanted:
            raise BadSetting("the facts to update", "none", "at least one")
        require_many(making.method, len(plan.wanted))
        return editing.update(self, plan.wanted, making)

    @verb
    def erase(
        self,
        relation: Relation,
        *,
        how: How | EditMethod | str | None = None,
        accept: bool = False,
        dry_run: bool = False,
    ) -> Edited:
        """Erase a relation, and record the edit. `how` and the gate as for `update`."""
        making = Making.of(Kind.ERASE, how, accept=accept, dry_run=dry_run)
        return editing.erase(self, relation, making)

    @verb
    def record(self, edited: Edited | MeasuredEdit, *, accept: bool = False) -> VersionRecord:
        """Record an edit that a dry run measured, with the same bytes; nothing is computed again.

        It is recorded on the version on top of which it was measured: where the branch is at
        another one by now, HeadMoved is raised, and nothing is recorded.
        Raises GateFailed unless the gate lets it pass, or accept; EditAlreadyApplied.
        """
        return editing.record(self, edited, accept=accept)

    @verb
    def revert(self, edit: str, *, allow_overlap: bool = False) -> VersionRecord:
        """A new version without an edit, wherever it stands; or without a fact of a joint edit.

        edit: the first digits of its id; of a fact, those of its member, or `relation: subject` as
        `show` names it. The facts that stay are solved for again.
        Raises EditNotApplied, SlotOverlap, UnknownId, AmbiguousId, CannotSolveAgain,
        SolvedOtherwise.
        """
        on = self._moved_branch

        def plan() -> tuple[Advance, None]:
            return self.ledger.plan_revert(edit, allow_overlap=allow_overlap, branch=on), None

        try:
            return self._replanned(plan)
        except UnknownId:
            named = named_member(self.ledger, on, edit) if isinstance(edit, str) else None
            if named is None:
                raise
        if named.only:
            return self.revert(named.edit.id, allow_overlap=allow_overlap)
        return editing.without_fact(self, named, on)

    def _answers(self) -> ByFact[str]:
        """The answers that updates of the head gave to facts."""
        return answers_of(self.ledger.records(self.ledger.version(self._named("head")).edits))


def _row(case: Case, to: str | None) -> Row:
    """A case with its new answer. Raises NoTarget, EmptyField, BadField."""
    to = case.target if to is None else to
    if to is None:
        raise NoTarget(case.fact.subject)
    check_case(case, to)
    return case, to
