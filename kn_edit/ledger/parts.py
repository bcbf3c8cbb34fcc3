"""Queries for the rows with many ids, as several statements with few variables each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Column, Select

AT_ONCE = 500  # variables of one statement; older SQLite takes 999

T = TypeVar("T")


def parts(
    query: Select[Any], column: Column[Any], ids: Iterable[object] | None
) -> Iterator[Select[Any]]:
    """The query for the rows with these ids (or other values), in as many parts as their number
    needs; or for all."""
    if ids is None:
        yield query
        return
    for part in chunks(list(ids), AT_ONCE):
        yield query.where(column.in_(part))


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Values, so many at a time."""
    return (values[first : first + size] for first in range(0, len(values), size))
