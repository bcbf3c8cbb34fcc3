"""What is recorded about an edit, as it travels: kn_edit/<edit>.json.

One rule for both sides: what `push` publishes, `pull` takes, and nothing is taken in that some
later command would stumble over. Everything that is shown is escaped where it is shown; so text may
hold line breaks, tabs and marks of writing direction, as scraped names do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kn_edit.canonical import canonical_json, finite
from kn_edit.errors import BadTemplate, InvalidRecipe, NotPublishable
from kn_edit.facts import ALIAS_FIELDS, MOST_ALIASES, Template
from kn_edit.ledger.records import EditRecord, FactChange
from kn_edit.untrusted import JsonProblem, nested_deeper, parse_json

FORMAT = "kn-record/1"
FORMAT_OF_MANY = "kn-record/2"  # of an edit of several facts, and of no other
KINDS = ("update", "erase")
# Of updates: as any method may be named; an erasure says what it sets slots to.
METHOD = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
ERASURE = "set to "

MOST_RECORD = 1 << 20  # bytes
MOST_LETTERS = 4000  # of a subject, an answer, a relation; `facts.fields` takes in fewer
MOST_TEMPLATE = 10_000
MOST_MESSAGE = 20_000  # letters of the message, and of any text about how an edit was found
MOST_NAME = 200  # letters of a method, of the name of a figure
MOST_TEMPLATES = 200  # of each kind
MOST_NEURONS = 100_000
MOST_FACTS = 10_000
MOST_METRICS = 200
MOST_VALUES = 200_000
MOST_DEPTH = 20

_MOST_FIGURE = 1e300
_MOST_INDEX = 1 << 31
_TEXTS = ("kind", "relation", "method", "message")
_MAYBE = ("subject", "answer", "target")
_OF_FACT = ("relation", *_MAYBE)
_SPACES = "\t\n\r"  # controls that scraped text holds, and that do no harm
_PAIRS = (
    ("p_old_before", "p_old_after"),
    ("p_new_before", "p_new_after"),
    ("neutral_before", "neutral_after"),
)


class RecordProblem(ValueError):
    """What is wrong with a record: a sentence that begins with the field."""


def record_json(edit: EditRecord) -> bytes:
    """What is recorded about an edit, as canonical JSON. Moments stay in the ledger."""
    fields: dict[str, Any] = {name: getattr(edit, name) for name in (*_TEXTS, *_MAYBE)}
    fields |= {"format": FORMAT, "found": finite(dict(edit.found))}
    fields |= {"metrics": finite(dict(edit.metrics))}
    if edit.further:
        for name in _OF_FACT:
            del fields[name]
        fields |= {"format": FORMAT_OF_MANY, "facts": [*map(asdict, edit.facts)]}
    return canonical_json(fields)


def read_record(data: bytes, path: Path) -> dict[str, Any]:
    """The fields of a NewEdit without its delta, from the bytes of a record.

    Raises InvalidRecipe, which names the file of the edit and the field.
    """
    try:
        return _read(data)
    except RecordProblem as problem:
        raise InvalidRecipe(path, str(problem)) from None


def check_publishable(edit: EditRecord) -> None:
    """Raise NotPublishable where nobody could pull the record of an edit."""
    try:
        for name in ("found", "metrics"):  # older versions took in what this one refuses
            value = getattr(edit, name)
            if not isinstance(value, dict):
                raise RecordProblem(f"its {name} is not an object")
            if nested_deeper(value, MOST_DEPTH):
                raise RecordProblem(f"its {name} is nested more than {MOST_DEPTH} deep")
        _read(record_json(edit))
    except RecordProblem as problem:
        raise NotPublishable(edit.id, str(problem)) from None


def _read(data: bytes) -> dict[str, Any]:
    if len(data) > MOST_RECORD:
        raise RecordProblem(f"it has more than the {MOST_RECORD:,} bytes that it may have")
    try:
        fields = parse_json(data, max_values=MOST_VALUES, max_depth=MOST_DEPTH)
    except JsonProblem as problem:
        raise RecordProblem(str(problem)) from None
    names = {"format", "found", "metrics", *_TEXTS, *_MAYBE}
    of_several = isinstance(fields, dict) and fields.get("format") == FORMAT_OF_MANY
    if of_several:
        names = names - {*_OF_FACT} | {"facts"}
    form = FORMAT_OF_MANY if of_several else FORMAT
    if not isinstance(fields, dict) or fields.keys() != names or fields.pop("format") != form:
        raise RecordProblem(f"it is not of the form {form}")
    facts = fields | (_first_and_further(fields.pop("facts")) if of_several else {})
    for name in (*_TEXTS, *_MAYBE):
        if name in _TEXTS or facts[name] is not None:
            _check_text(name, facts[name], _most(name), blank=name == "message")
    _check_kind(facts)
    if of_several and facts["kind"] != "update":
        raise RecordProblem("its kind is not update, and no other edit has several facts")
    _check_metrics(facts["metrics"])
    _check_found(facts["found"])
    if of_several:
        _check_by_fact(facts["found"].get("by_fact"), 1 + len(facts["further"]))
    return facts


def _first_and_further(facts: object) -> dict[str, Any]:
    """The facts of an edit of several as the fields of a NewEdit."""
    if not isinstance(facts, list) or not 2 <= len(facts) <= MOST_FACTS:
        raise RecordProblem(f"its facts are not a list of 2 to {MOST_FACTS:,}")
    for index, fact in enumerate(facts):
        if not isinstance(fact, dict) or fact.keys() != {*_OF_FACT}:
            raise RecordProblem(f"its facts[{index}] does not have {', '.join(_OF_FACT)}")
        for name in _OF_FACT:
            _check_text(f"facts[{index}].{name}", fact[name], MOST_LETTERS)
    first, *rest = facts
    return {**first, "further": tuple(FactChange(**fact) for fact in rest)}


def _most(name: str) -> int:
    return {"message": MOST_MESSAGE, "method": MOST_NAME}.get(name, MOST_LETTERS)


def _check_text(name: str, value: object, most: int, *, blank: bool = False) -> None:
    if not isinstance(value, str):
        raise RecordProblem(f"its {name} is not text")
    if len(value) > most:
        raise RecordProblem(f"its {name} has more than {most:,} letters")
    if not blank and not value.strip():
        raise RecordProblem(f"its {name} is blank")
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in value if _odd(letter)):
        raise RecordProblem(f"its {name} holds a control character")


def _odd(letter: str) -> bool:
    return letter not in _SPACES and not letter.isprintable()


def _check_kind(facts: Mapping[str, Any]) -> None:
    """An update says who gets which answer in the place of which; an erasure none of that."""
    kind, method = facts["kind"], facts["method"]
    if kind not in KINDS:
        raise RecordProblem("its kind is neither update nor erase")
    for name in _MAYBE:
        if kind == "update" and facts[name] is None:
            raise RecordProblem(f"its {name} is missing, and an update has one")
        if kind == "erase" and facts[name] is not None:
            raise RecordProblem(f"its {name} is there, and an erasure has none")
    if not (METHOD.fullmatch(method) if kind == "update" else method.startswith(ERASURE)):
        raise RecordProblem("its method has no name that a method can have")


def _check_metrics(metrics: object) -> None:
    if not isinstance(metrics, dict) or len(metrics) > MOST_METRICS:
        raise RecordProblem(f"its metrics are not an object of at most {MOST_METRICS} figures")
    for name, value in metrics.items():
        _check_text("name of a figure in metrics", name, MOST_NAME)
        if value is not None and not _is_figure(value):
            raise RecordProblem("one of its metrics is not a number")
    for before, after in _PAIRS:
        if (before in metrics) != (after in metrics):
            raise RecordProblem(f"its metrics hold one of {before} and {after} without the other")


def _is_figure(value: object) -> bool:
    # Not math.isfinite, which fails for whole numbers beyond the floats.
    return type(value) in (int, float) and abs(value) < _MOST_FIGURE  # type: ignore[arg-type]


def _check_found(attribution: object) -> None:
    """How an edit was found: any plain JSON, but what later commands read is as they need it."""
    if not isinstance(attribution, dict):
        raise RecordProblem("its found is not an object")
    _check_asked("found", attribution)
    _check_list("found.neurons", attribution.get("neurons", []), MOST_NEURONS, _check_neuron)
    for value in _values(attribution):
        if isinstance(value, str):
            _check_text("found", value, MOST_MESSAGE, blank=True)
        elif value is not None and not isinstance(value, bool) and not _is_figure(value):
            raise RecordProblem("its found holds a number out of range")


def _check_asked(where: str, attribution: Mapping[str, Any]) -> None:
    """How a fact was asked."""
    for name in ("templates", "held_out"):
        _check_list(f"{where}.{name}", attribution.get(name, []), MOST_TEMPLATES, _check_template)
    for name in ALIAS_FIELDS:
        _check_list(f"{where}.{name}", attribution.get(name, []), MOST_ALIASES, _check_alias)
    paraphrases = attribution.get("paraphrases", [])
    _check_list(f"{where}.paraphrases", paraphrases, MOST_TEMPLATES, _check_paraphrase)


def _check_by_fact(by_fact: object, count: int) -> None:
    """What was recorded for each of several facts, where anything was."""
    if by_fact is None:
        return
    if not isinstance(by_fact, list) or len(by_fact) != count:
        raise RecordProblem("its found.by_fact is not a list with an entry for each fact")
    for index, entry in enumerate(by_fact):
        if not isinstance(entry, dict):
            raise RecordProblem(f"its found.by_fact[{index}] is not an object")
        _check_asked(f"found.by_fact[{index}]", entry)
        _check_metrics(entry.get("metrics", {}))


def _check_list(name: str, values: object, most: int, check: Callable[[str, object], None]) -> None:
    if not isinstance(values, list) or len(values) > most:
        raise RecordProblem(f"its {name} is not a list of at most {most:,}")
    for index, value in enumerate(values):
        check(f"{name}[{index}]", value)


def _check_template(name: str, text: object) -> None:
    _check_text(name, text, MOST_TEMPLATE)
    try:
        Template(str(text))
    except BadTemplate:
        raise RecordProblem(f"its {name} does not hold [X] and [Y] once each") from None


def _check_alias(name: str, text: object) -> None:
    _check_text(name, text, MOST_LETTERS)


def _check_paraphrase(name: str, text: object) -> None:
    _check_text(name, text, MOST_TEMPLATE)
    try:
        Template(str(text), held_out=True, about="the subject")
    except BadTemplate:
        raise RecordProblem(f"its {name} does not hold [Y] once, and no [X]") from None


def _check_neuron(name: str, neuron: object) -> None:
    sound = isinstance(neuron, dict) and all(
        type(neuron[key]) is int and 0 <= neuron[key] < _MOST_INDEX
        for key in {"layer", "index"} & neuron.keys()
    )
    if not sound:
        raise RecordProblem(f"its {name} is no neuron by layer and index")


def _values(value: object) -> Iterator[object]:
    """Every value and every key inside that is neither a list nor an object."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from _values(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner)
    else:
        yield value
