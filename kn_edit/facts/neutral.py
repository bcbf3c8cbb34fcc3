"""Sentences about nothing in particular: what a model predicts in them must outlive every edit."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def neutral_sentences() -> tuple[str, ...]:
    """Those whose predictions judge an edit, some of which a solver holds in place."""
    return _lines("neutral.txt")


@cache
def ordinary_sentences() -> tuple[str, ...]:
    """Those that only show what a model's neurons do in ordinary text; none of them judges."""
    return _lines("ordinary.txt")


def _lines(name: str) -> tuple[str, ...]:
    text = (files("kn_edit.facts") / "packs" / name).read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)
