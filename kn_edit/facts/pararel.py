"""ParaRel (Elazar et al. 2021): two files of each relation, its patterns and its triples.

A pattern line holds {"pattern": "[X] is located in [Y]."}, a triple line {"sub_label": "France",
"obj_label": "Europe"}; other keys are passed over. The files stand in `patterns/P36.jsonl` and
`triples/P36.jsonl`, or where the published repository has them, in `pattern_data/graphs_json` and
`trex_lms_vocab` of its folder `data`. Space around a pattern and doubled space within it are
dropped. A homonym keeps all its answers: ask with `Relation.fact(subject, answer)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kn_edit.errors import BadFacts, UnreadableFacts
from kn_edit.facts.document import Place
from kn_edit.facts.fact import Fact, Template
from kn_edit.facts.relation import Relation
from kn_edit.facts.rows import read_rows
from kn_edit.facts.source import read_source

MOST_PATTERNS = 1_000


@dataclass(frozen=True)
class _Layout:
    """Where below a folder the two kinds of files stand."""

    patterns: Path
    triples: Path


_LAYOUTS = tuple(
    _Layout(Path(patterns), Path(triples))
    for patterns, triples in (
        ("patterns", "triples"),
        ("pattern_data/graphs_json", "trex_lms_vocab"),
        ("data/pattern_data/graphs_json", "data/trex_lms_vocab"),
    )
)


def is_pararel_file(path: Path) -> bool:
    return path.suffix == ".jsonl" and _home(path) is not None


def read_pararel_file(path: Path) -> Relation:
    """The relation that a file of patterns or of triples belongs to. Raises as read_pararel."""
    home = _home(path)
    if home is None:
        raise UnreadableFacts(path, "it is no file of ParaRel")
    return _relation(*home, path.stem)


def read_pararel(folder: str | Path, relation: str | None = None) -> tuple[Relation, ...]:
    """All relations that have both patterns and triples, or the one named.

    folder: the one that holds both kinds of files, one of these, or the published repository.
    Raises UnreadableFacts, BadFacts.
    """
    folder = Path(folder)
    root, layout = _root_and_layout(folder)
    names = [relation] if relation else _names(root, layout)
    return tuple(_relation(root, layout, name) for name in names)


def _root_and_layout(folder: Path) -> tuple[Path, _Layout]:
    """The layout of a folder, and the folder that it counts from."""
    inside = _home(folder / "any.jsonl")
    if inside is not None:
        return inside
    for layout in _LAYOUTS:
        if (folder / layout.patterns).is_dir() and (folder / layout.triples).is_dir():
            return folder, layout
    reason = "it holds no patterns/NAME.jsonl with a triples/NAME.jsonl, nor ParaRel's folder data"
    raise UnreadableFacts(folder, reason)


def _home(path: Path) -> tuple[Path, _Layout] | None:
    """The layout that a file stands in by the names of its folders, and its root."""
    for layout in _LAYOUTS:
        for kind in (layout.patterns, layout.triples):
            if path.parent.parts[-len(kind.parts) :] == kind.parts:
                return path.parents[len(kind.parts)], layout
    return None


def _names(root: Path, layout: _Layout) -> list[str]:
    patterns, triples = (
        {path.stem for path in (root / kind).glob("*.jsonl")}
        for kind in (layout.patterns, layout.triples)
    )
    if not patterns & triples:
        reason = f"it holds no {layout.patterns}/NAME.jsonl with a {layout.triples}/NAME.jsonl"
        raise UnreadableFacts(root, reason)
    return sorted(patterns & triples)


def _relation(root: Path, layout: _Layout, name: str) -> Relation:
    return Relation(
        name=name,
        templates=_templates(root / layout.patterns / f"{name}.jsonl"),
        facts=_facts(name, root / layout.triples / f"{name}.jsonl"),
        source="ParaRel (Elazar et al. 2021)",
        license="MIT",
    )


def _templates(path: Path) -> tuple[Template, ...]:
    templates: dict[str, Template] = {}
    for row in _rows(path):
        text = " ".join(row.member("pattern").field("template").split())
        if len(templates) == MOST_PATTERNS:
            raise row.wrong(f"there are more than {MOST_PATTERNS:,} patterns", "leave some out")
        with row.located():
            templates.setdefault(text, Template(text))
    return tuple(templates.values())


def _facts(relation: str, path: Path) -> tuple[Fact, ...]:
    return tuple(
        dict.fromkeys(
            Fact(
                relation=relation,
                subject=row.member("sub_label").field("subject"),
                answer=row.member("obj_label").field("answer"),
                place=row,
            )
            for row in _rows(path)
        )
    )


def _rows(path: Path) -> Iterator[Place]:
    """The rows of one file; complaints say that it was read as ParaRel."""
    try:
        yield from read_rows(path, read_source(path))
    except BadFacts as error:
        error.form = error.form or "read as ParaRel"
        raise
