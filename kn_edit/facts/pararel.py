"""ParaRel (Elazar et al. 2021): `patterns/P36.jsonl` and `triples/P36.jsonl` side by side.

A pattern line holds {"pattern": "[X] is located in [Y]."}, a triple line {"sub_label": "France",
"obj_label": "Europe"}; other keys are passed over. Space around a pattern and doubled space within
it are dropped. A homonym keeps all its answers: ask with `Relation.fact(subject, answer)`.
"""

from __future__ import annotations

from pathlib import Path

from kn_edit.errors import UnreadableFacts
from kn_edit.facts.document import read_lines
from kn_edit.facts.fact import Fact, Template
from kn_edit.facts.relation import Relation

_PATTERNS = "patterns"
_TRIPLES = "triples"


def is_pararel_file(path: Path) -> bool:
    return path.suffix == ".jsonl" and path.parent.name in (_PATTERNS, _TRIPLES)


def read_pararel(folder: str | Path, relation: str | None = None) -> tuple[Relation, ...]:
    """All relations that have both patterns and triples, or the one named.

    Raises UnreadableFacts, BadFacts.
    """
    folder = Path(folder)
    names = [relation] if relation else _names(folder)
    return tuple(
        Relation(
            name=name,
            templates=_templates(folder / _PATTERNS / f"{name}.jsonl"),
            facts=_facts(name, folder / _TRIPLES / f"{name}.jsonl"),
            source="ParaRel (Elazar et al. 2021)",
            licence="MIT",
        )
        for name in names
    )


def _names(folder: Path) -> list[str]:
    patterns, triples = (
        {path.stem for path in (folder / kind).glob("*.jsonl")} for kind in (_PATTERNS, _TRIPLES)
    )
    if not patterns & triples:
        reason = f"it holds no {_PATTERNS}/NAME.jsonl with a {_TRIPLES}/NAME.jsonl"
        raise UnreadableFacts(folder, reason)
    return sorted(patterns & triples)


def _templates(path: Path) -> tuple[Template, ...]:
    found: dict[str, Template] = {}
    for row in read_lines(path):
        text = " ".join(row.member("pattern").string().split())
        with row.located():
            found.setdefault(text, Template(text))
    return tuple(found.values())


def _facts(relation: str, path: Path) -> tuple[Fact, ...]:
    return tuple(
        dict.fromkeys(
            Fact(relation, row.member("sub_label").string(), row.member("obj_label").string(), row)
            for row in read_lines(path)
        )
    )
