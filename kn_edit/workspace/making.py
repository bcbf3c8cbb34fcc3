"""How an edit is made, as a verb's caller says it. Importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from kn_edit.editing.method import EditMethod, Kind
from kn_edit.editing.methods import How, method_of


@dataclass(frozen=True)
class Making:
    """How an edit is made. how: its limits and its search; method: the one that `how` names

    accept: record what the gate refuses, too; dry_run: record nothing
    """

    how: How
    method: EditMethod
    accept: bool
    dry_run: bool

    @classmethod
    def of(
        cls, kind: Kind, how: How | EditMethod | str | None, *, accept: bool, dry_run: bool
    ) -> Self:
        """How people say it. Raises BadSetting."""
        way = How.of(how)
        return cls(way, method_of(kind, way.method), accept=accept, dry_run=dry_run)
