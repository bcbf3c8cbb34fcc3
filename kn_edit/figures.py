"""Counts and moments as they stand in sentences and tables."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """A number of things, whose plural ends in s: `1 edit`, `2 edits`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def share(value: object, *, unknown: str = "", digits: int = 2) -> str:
    """A figure with so many digits; `unknown` for what is none, as other people's records hold."""
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else unknown


def moment(text: str) -> str:
    """A recorded moment, UTC, to the minute: `2026-11-26 05:53`."""
    return text[:16].replace("T", " ")
