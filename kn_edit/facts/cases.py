"""Edit requests from any file that holds some."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from kn_edit.errors import BadFacts
from kn_edit.facts.benchmarks import flat_case, zsre_case
from kn_edit.facts.counterfact import counterfact_cases
from kn_edit.facts.document import Place
from kn_edit.facts.fact import ANSWER, SUBJECT
from kn_edit.facts.jsonl import KEYS, one_answer_each, own_case
from kn_edit.facts.lines import is_statements, statement_cases
from kn_edit.facts.packs import load_relation, pack_of
from kn_edit.facts.pararel import is_pararel_file, read_pararel
from kn_edit.facts.relation import Case, Relation
from kn_edit.facts.rows import read_document, read_rows
from kn_edit.facts.source import is_pipe, read_source
from kn_edit.safetext import shortened
from kn_edit.untrusted import path_of

PACK, COUNTERFACT, ZSRE, FLAT, OWN = (
    "a relation pack",
    "CounterFact",
    "zsRE",
    "EasyEdit's flat rows",
    "JSONL rows of kn-edit",
)
STATEMENTS = "statements, one a line"
FORMS = "JSONL, statements, CounterFact, zsRE, EasyEdit's flat rows, ParaRel and relation packs"
MOST_BESIDE = 64  # subjects of other rows that ask the same
UNKNOWN = ""
_PARAREL = ({"pattern"}, {"sub_label", "obj_label"})


def read_cases(path: str | os.PathLike[str]) -> tuple[Case, ...]:
    """The cases of a file of facts, of a ParaRel folder, or of a pipe (`-` is standard input).

    What a file is, its content says: the keys of its first row, or the marks of a statement. JSON
    lists, one object a line and objects over several lines are all read.
    Raises UnreadableFacts, BadFacts.
    """
    path = path_of(path)
    if not is_pipe(path):
        if path.is_dir():
            return tuple(case for relation in read_pararel(path) for case in _all_facts(relation))
        if is_pararel_file(path):
            return _all_facts(load_relation(path))
    raw = read_source(path)
    if b'"templates"' in raw and raw.lstrip()[:1] == b"{":
        with _naming_form(PACK):
            return _all_facts(pack_of(read_document(path, raw)))
    return _cases(path, raw)


def cases_of_rows(rows: Iterable[Mapping[str, object]], name: str = "facts") -> tuple[Case, ...]:
    """The cases of rows as a file of facts has them, one object a line; name: of that file.

    Raises BadFacts.
    """
    lines = [json.dumps(row) for row in rows]
    return _cases(Path(name), "\n".join(lines).encode())


def _cases(path: Path, raw: bytes) -> tuple[Case, ...]:
    if is_statements(raw):
        with _naming_form(STATEMENTS):
            return _with_subjects_beside(statement_cases(path, raw))
    with _naming_form(UNKNOWN):
        rows = _guarded(path, raw, read_rows(path, raw))
        first = next(rows, None)
        if first is None:
            raise BadFacts(path, 1, "there are no cases", "add at least one")
        form = _form(first)
    if form == PACK:
        with _naming_form(PACK):
            return _all_facts(pack_of(read_document(path, raw)))
    with _naming_form(form):
        cases = [case for row in chain([first], rows) for case in _READERS[form](row)]
        return _with_subjects_beside(one_answer_each(cases) if form == OWN else cases)


def _with_subjects_beside(cases: Sequence[Case]) -> tuple[Case, ...]:
    """The cases, each with the subjects of other rows that have a prompt in common with it."""
    subjects_by_prompt: dict[str, dict[str, None]] = {}
    for case in cases:
        for text in _own_prompts(case):
            subjects_by_prompt.setdefault(text, {})[case.fact.subject] = None
    return tuple(_beside(case, subjects_by_prompt) for case in cases)


def _beside(case: Case, subjects_by_prompt: Mapping[str, Mapping[str, None]]) -> Case:
    subjects = dict.fromkeys(
        subject
        for text in _own_prompts(case)
        for subject in islice(subjects_by_prompt[text], MOST_BESIDE + 1)
        if subject != case.fact.subject
    )
    return replace(case, beside=tuple(subjects)[:MOST_BESIDE]) if subjects else case


def _own_prompts(case: Case) -> list[str]:
    """The trained templates of a case whose relation has no other facts."""
    if len(case.relation.facts) > 1:
        return []
    texts = [template.text for template in case.relation.templates if not template.held_out]
    # Where the whole prompt stands for the subject, nothing is left that others could share.
    return [text for text in texts if text.replace(SUBJECT, "").replace(ANSWER, "").strip()]


def _form(row: Place) -> str:
    """What the keys of a first row say of its file. Raises BadFacts."""
    keys = set(row.value) if isinstance(row.value, dict) else set()
    _refuse_columns(row)
    if "requested_rewrite" in keys:
        return COUNTERFACT
    if keys & {"src", "alt"}:
        return ZSRE
    if "prompt" in keys:
        return FLAT
    if "facts" in keys and "subject" not in keys:
        return PACK
    if any(pararel <= keys for pararel in _PARAREL):
        remedy = "name the folder, or the file in it, so that patterns and triples are both found"
        raise row.wrong("this is one half of a relation of ParaRel", remedy)
    _refuse_wrapped(row)
    if not isinstance(row.value, dict) or (keys and not keys & {*KEYS}):
        remedy = 'write rows such as {"relation": "capital", "subject": "France", "to": "Rome"}'
        row.find("")  # tells what is no object
        raise row.wrong("the keys of the first row are those of no form of facts", remedy)
    return OWN


def _refuse_columns(row: Place) -> None:
    """Refuse a table as pandas writes it by itself: a list, or an object by number, a column."""
    columns = list(row.value.values()) if isinstance(row.value, dict) else []
    if len(columns) > 1 and all(map(_is_column, columns)) and len({*map(len, columns)}) == 1:
        remedy = 'write one object a row (pandas: to_json(orient="records", lines=True))'
        raise row.wrong("this is a table by columns", remedy)


def _is_column(value: object) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(key.isdigit() for key in value)
    return isinstance(value, list) and bool(value)


def _refuse_wrapped(row: Place) -> None:
    """Refuse rows inside an object, as web services give them, by the name of their key."""
    members = row.value.items() if isinstance(row.value, dict) else ()
    for key, value in members:
        if key not in KEYS and isinstance(value, list) and value and isinstance(value[0], dict):
            problem = f'the rows stand under the key "{shortened(key, 60)}"'
            raise row.wrong(problem, "write that list alone")


def _guarded(path: Path, raw: bytes, rows: Iterator[Place]) -> Iterator[Place]:
    """The rows, but a table of comma- or tab-separated values is called by its name."""
    try:
        yield from rows
    except BadFacts:
        kind = _table(raw)
        if kind is None:
            raise
        problem = f"this is a table of {kind}-separated values"
        raise BadFacts(path, 1, problem, "write one JSON object a line") from None


def _table(raw: bytes) -> str | None:
    """By what the columns of a text are separated, if it is a table."""
    head = raw.lstrip()[:4096].split(b"\n")
    if head[0][:1] in b"{[" or len(head) < 2:
        return None
    for separator, kind in ((b"\t", "tab"), (b",", "comma"), (b";", "semicolon")):
        if head[0].count(separator) >= 1:
            return kind
    return None


_READERS: dict[str, Callable[[Place], Iterable[Case]]] = {
    COUNTERFACT: counterfact_cases,
    ZSRE: lambda row: [zsre_case(row)],
    FLAT: lambda row: [flat_case(row)],
    OWN: lambda row: [own_case(row)],
}


@contextmanager
def _naming_form(form: str) -> Iterator[None]:
    """Say in every complaint what the file was taken for, and what kn-edit reads."""
    try:
        yield
    except BadFacts as error:
        form_note = "" if form == UNKNOWN else f"read as {form}; "
        explanation = error.form or f"{form_note}kn-edit reads {FORMS}"
        raise replace(error, form=explanation) from error.__cause__


def _all_facts(relation: Relation) -> tuple[Case, ...]:
    return tuple(Case(relation, fact) for fact in relation.facts)
