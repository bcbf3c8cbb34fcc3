"""What an experiment has to say: tables, claims that hold or do not, plots. As data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Claim:
    """A claim of the method, and whether these measurements bear it out."""

    words: str
    holds: bool


@dataclass(frozen=True)
class Plot:
    name: str  # of its file, without the suffix
    caption: str
    svg: str


@dataclass(frozen=True)
class Section:
    title: str
    text: str
    tables: tuple[Table, ...]
    claims: tuple[Claim, ...] = ()
    plots: tuple[Plot, ...] = ()
