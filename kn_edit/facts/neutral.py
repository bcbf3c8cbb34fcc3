"""Sentences about nothing in particular: what a model predicts in them must outlive every edit."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def neutral_sentences() -> tuple[str, ...]:
    text = (files("kn_edit.facts") / "packs" / "neutral.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)
