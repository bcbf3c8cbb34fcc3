"""Relation packs: a relation's templates and facts in one JSON file. Some ship with the package.

    {"name": "capital", "description": "...", "source": "...", "licence": "...",
     "templates": [{"text": "The capital of [X] is the city of [Y].", "held_out": false}, ...],
     "facts": [["France", "Paris"], ...]}

`description`, `source`, `licence` and `held_out` may be missing. A subject stands there once.
"""

from __future__ import annotations

import os
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

from kn_edit.errors import UnknownRelation
from kn_edit.facts.document import Place
from kn_edit.facts.fact import Fact, Template
from kn_edit.facts.pararel import is_pararel_file, read_pararel_file
from kn_edit.facts.relation import Relation
from kn_edit.facts.rows import read_document
from kn_edit.untrusted import path_of

MOST_TEMPLATES = 1_000
MOST_FACTS = 100_000
_FOLDER = files("kn_edit.facts") / "packs"


@cache
def bundled() -> tuple[str, ...]:
    """The names of the relation packs that ship."""
    names = (Path(entry.name) for entry in _FOLDER.iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".json"))


@cache
def bundled_relation(name: str) -> Relation:
    """A pack that ships. Raises UnknownRelation."""
    if name not in bundled():
        raise UnknownRelation(name, bundled())
    with as_file(_FOLDER / f"{name}.json") as path:
        return read_pack(path)


def shipped_lines(name: str) -> tuple[str, ...]:
    """The lines of a list that ships beside the packs, without empty ones."""
    text = (_FOLDER / name).read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


def load_relation(name_or_path: str | os.PathLike[str]) -> Relation:
    """A bundled relation by name, or a relation pack or a relation of ParaRel by path.

    Raises UnknownRelation, UnreadableFacts, BadFacts.
    """
    if str(name_or_path) in bundled():
        return bundled_relation(str(name_or_path))
    path = path_of(name_or_path)
    if not _is_file(path):
        raise UnknownRelation(str(name_or_path), bundled())
    if is_pararel_file(path):
        return read_pararel_file(path)
    return read_pack(path)


def read_pack(path: str | os.PathLike[str]) -> Relation:
    """A relation pack. Raises UnreadableFacts, BadFacts."""
    return pack_of(read_document(Path(path)))


def pack_of(pack: Place) -> Relation:
    """The relation of a pack that was read. Raises BadFacts."""
    name = pack.member("name").field("relation")
    templates, facts = pack.member("templates"), pack.member("facts")
    return Relation(
        name=name,
        templates=_templates(templates),
        facts=_facts(name, facts),
        source=_optional(pack, "source"),
        license=_optional(pack, "licence"),
    )


def _templates(place: Place) -> tuple[Template, ...]:
    templates: dict[str, Template] = {}
    for entry in place.items(MOST_TEMPLATES):
        text = entry.member("text").field("template")
        held_out = entry.find("held_out")
        if held_out is not None and not isinstance(held_out.value, bool):
            raise held_out.wrong('"held_out" is not true or false', "write true or false")
        if text in templates:
            raise entry.wrong(f"template {text!r} stands there twice", "leave one of them out")
        with entry.located():
            templates[text] = Template(text, held_out is not None and held_out.value is True)
    if not templates:
        raise place.wrong("there are no templates", "add at least one")
    return tuple(templates.values())


def _facts(relation: str, place: Place) -> tuple[Fact, ...]:
    facts: dict[str, Fact] = {}
    for entry in place.items(MOST_FACTS):
        pair = entry.items()
        if len(pair) != 2:
            raise entry.wrong("a fact is not a pair", "write it as [subject, answer]")
        subject, answer = pair[0].field("subject"), pair[1].field("answer")
        if subject in facts:
            problem = f"{subject!r} already has the answer {facts[subject].answer!r}"
            raise entry.wrong(problem, "leave one of the two out")
        facts[subject] = Fact(relation=relation, subject=subject, answer=answer, place=entry)
    if not facts:
        raise place.wrong("there are no facts", "add at least one")
    return tuple(facts.values())


def _optional(pack: Place, key: str) -> str:
    place = pack.find(key)
    return place.string() if place else ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that the file system cannot hold
        return False
