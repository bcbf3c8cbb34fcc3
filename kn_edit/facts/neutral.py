"""Sentences about nothing in particular: what a model predicts in them must outlive every edit."""

from __future__ import annotations

from functools import cache

from kn_edit.facts.packs import shipped_lines


@cache
def neutral_sentences() -> tuple[str, ...]:
    """The neutral sentences whose predictions judge an edit; a solver holds some in place."""
    return shipped_lines("neutral.txt")


@cache
def ordinary_sentences() -> tuple[str, ...]:
    """Sentences that only show what a model's neurons do in ordinary text; none of them judges."""
    return shipped_lines("ordinary.txt")
