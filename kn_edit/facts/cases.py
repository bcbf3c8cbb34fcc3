"""Edit requests from any file that holds some."""

from __future__ import annotations

import json
from pathlib import Path

from kn_edit.facts.counterfact import read_counterfact
from kn_edit.facts.document import read_text
from kn_edit.facts.jsonl import read_jsonl
from kn_edit.facts.packs import load_relation
from kn_edit.facts.pararel import is_pararel_file, read_pararel
from kn_edit.facts.relation import Case, Relation


def read_cases(path: str | Path) -> tuple[Case, ...]:
    """The cases of a JSONL, CounterFact, relation pack or ParaRel file, or a ParaRel folder.

    What a file is, its content says: a JSON list is CounterFact, one JSON object with templates a
    relation pack, all else JSONL. Raises UnreadableFacts, BadFacts.
    """
    path = Path(path)
    if path.is_dir():
        return tuple(case for relation in read_pararel(path) for case in _all_facts(relation))
    text = read_text(path)
    if is_pararel_file(path) or _is_pack(path, text):
        return _all_facts(load_relation(path))
    return read_counterfact(path) if text.lstrip().startswith("[") else read_jsonl(path)


def _all_facts(relation: Relation) -> tuple[Case, ...]:
    return tuple(Case(relation, fact) for fact in relation.facts)


def _is_pack(path: Path, text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return path.suffix == ".json" and text.lstrip().startswith("{")  # a pack with a slip in it
    return isinstance(value, dict) and "templates" in value
