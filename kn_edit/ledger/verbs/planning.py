"""What a move of a branch would lead to; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kn_edit.canonical import short
from kn_edit.errors import (
    AlreadyThere,
    DifferentBase,
    EditAlreadyApplied,
    EditNotApplied,
    EmptyEdit,
    SlotOverlap,
)
from kn_edit.ledger import history, journal, lists, names, reading, written
from kn_edit.ledger.conflicts import Settled
from kn_edit.ledger.connection import Connection
from kn_edit.ledger.differences import first_meetings
from kn_edit.ledger.opened import OpenLedger
from kn_edit.ledger.recipes import Recipe
from kn_edit.ledger.records import Advance, Overlap, Ref, Sides
from kn_edit.ledger.writes import Writes

if TYPE_CHECKING:
    from kn_edit.edits.delta import Delta


class PlanningVerbs(OpenLedger):
    """Plans of moves, for `advance` to record."""

    # branch: that a plan moves, by default the current one of that moment. Raises UnknownBranch.

    def plan_edit(
        self,
        delta: Delta,
        kind: str,
        message: str = "",
        *,
        branch: str = "head",
        replacing: str | None = None,
    ) -> Advance:
        """Put a new edit after those of the head. Overlap is legal here, and reported.

        replacing: the full id of an edit of the head, in whose place the new one comes
        Raises DifferentBase, EmptyEdit, EditAlreadyApplied, EditNotApplied.
        """
        if delta.base.fingerprint != self.base.fingerprint:
            raise DifferentBase(self.base.fingerprint, delta.base.fingerprint)
        if not delta.tensors:
            raise EmptyEdit()
        with self._database.reading() as connection:
            on, recipe = self._tip(connection, branch)
            new = Writes.of(delta)
            writers = written.sharing(connection, new) | {delta.id: new}
            sharing = self._members(connection, on.version, writers)
            if delta.id in sharing:
                raise EditAlreadyApplied(delta.id)
            if replacing is not None and replacing not in recipe:
                raise EditNotApplied(replacing, on.version)
        beside = [edit for edit in sharing if edit != replacing]
        overlaps = history.overlaps_before(beside, delta.id, writers.__getitem__)
        recipe = history.with_edit(recipe, delta.id, replacing)
        return self._plan(on, recipe, kind=kind, message=message, edit=delta.id, overlaps=overlaps)

    def plan_revert(
        self, edit: str, *, allow_overlap: bool = False, branch: str = "head"
    ) -> Advance:
        """The head without an edit, wherever it stands, by the first digits of its id.

        Raises EditNotApplied, and SlotOverlap where later edits of the head share its slots in a
        way that their order counts.
        """
        with self._database.reading() as connection:
            on, recipe = self._tip(connection, branch)
            id_ = names.find_edit(connection, edit)
            writes = written.of_edit(connection, id_)
            writers = written.sharing(connection, writes) | {id_: writes}
            sharing = self._members(connection, on.version, writers)
            if id_ not in sharing:
                raise EditNotApplied(id_, on.version)
            overlaps = history.overlaps_after(sharing, id_, writers.__getitem__)
            (record,) = reading.edit_records(connection, [id_], overlaps=False)
        _refuse(overlaps, allow_overlap)
        recipe = history.without(recipe, id_)
        message = f"revert {short(id_)} ({record.message})"
        return self._plan(on, recipe, kind="revert", message=message, edit=id_, overlaps=overlaps)

    def plan_rewind(self, name: str, *, branch: str = "head") -> Advance:
        """The branch back (or forth) at a version that exists. Raises AlreadyThere."""
        with self._database.reading() as connection:
            on, _ = self._tip(connection, branch)
            target = names.find_version(connection, name)
            recipe = self._recipe(connection, target)
        return self._plan(on, recipe, kind="rewind", message=f"rewind to {short(target)}")

    def plan_compose(
        self, versions: Sequence[str], *, allow_overlap: bool = False, branch: str = "head"
    ) -> Advance:
        """The edits of several versions, the first one's first. One name alone joins the head.

        No fact is looked at. Raises as `plan_join`.
        """
        sides = self.sides(versions, onto_head=len(versions) == 1, branch=branch)
        message = f"compose {' '.join(short(version) for version in sides.versions)}"
        recipe = history.composed(sides.recipes)
        return self.plan_join(sides, recipe, "compose", message, allow_overlap=allow_overlap)

    def sides(self, versions: Sequence[str], *, onto_head: bool, branch: str = "head") -> Sides:
        """What a merge joins. onto_head: the branch's own version comes first"""
        with self._database.reading() as connection:
            on, _ = self._tip(connection, branch)
            version_ids = [
                on.version if name == names.HEAD else names.find_version(connection, name)
                for name in versions
            ]
            ids = tuple(dict.fromkeys([on.version, *version_ids] if onto_head else version_ids))
            recipes = {id_: self._recipe(connection, id_) for id_ in ids}
            refs = (ref for ref in reading.all_refs(connection) if ref.kind == "branch")
            merged = {ref.name: recipes[ref.version] for ref in refs if ref.name in versions}
            return Sides(on, ids, tuple(recipes.values()), merged)

    def plan_join(
        self,
        sides: Sides,
        recipe: Recipe,
        kind: str,
        message: str,
        *,
        allow_overlap: bool = False,
        settled: tuple[Settled, ...] = (),
        edit: str | None = None,
    ) -> Advance:
        """The edits of several versions, without those that a settled conflict leaves out.

        edit: the id of an edit of the recipe that is recorded with the move
        Raises AlreadyThere, and SlotOverlap where edits meet for the first time in a slot, or lose
        one that they came after, in a way that their order counts.
        """
        with self._database.reading() as connection:
            overlaps = first_meetings(connection, self.base.fingerprint, sides, recipe)
            _refuse(overlaps, allow_overlap)
            here = self._recipe(connection, sides.branch.version)
            new = history.beyond(recipe, here)
            returned = journal.reverted(connection, sides.branch.name, new)
            stayed = _stayed(connection, sides, recipe)
        # Where what was chosen leaves nothing to take in, the choice alone is recorded.
        plan = self._plan(
            sides.branch,
            recipe,
            kind=kind,
            message=message,
            edit=edit,
            overlaps=overlaps,
            may_stay=bool(settled),
        )
        return replace(
            plan, parents=sides.versions, settled=settled, returned=returned, stayed=stayed
        )

    def _plan(
        self,
        on: Ref,
        recipe: Recipe,
        *,
        kind: str,
        message: str,
        edit: str | None = None,
        overlaps: tuple[Overlap, ...] = (),
        may_stay: bool = False,
    ) -> Advance:
        """A move of the branch `on`. Raises AlreadyThere unless it may stay where it is."""
        version = history.version_id(self.base.fingerprint, recipe)
        lists.remember(self.base.fingerprint, version, recipe)
        if version == on.version and not may_stay:
            raise AlreadyThere(on.version)
        return Advance(
            kind=kind,
            version=version,
            recipe=recipe,
            parents=(on.version,),
            from_head=on.version,
            message=message,
            edit=edit,
            overlaps=overlaps,
            branch=on.name,
        )


def _stayed(connection: Connection, sides: Sides, recipe: Recipe) -> tuple[str, ...]:
    """Edits that a merged branch reverted, and that the result has all the same."""
    stayed = {
        edit: None
        for name, theirs in sides.merged.items()
        if name != sides.branch.name
        for edit in journal.reverted(connection, name, history.beyond(recipe, theirs))
    }
    return tuple(stayed)


def _refuse(overlaps: tuple[Overlap, ...], allow_overlap: bool) -> None:
    """Raise SlotOverlap for edits whose order counts; the others are sums, and only reported."""
    refused = [overlap for overlap in overlaps if overlap.order_counts]
    if refused and not allow_overlap:
        slots = sorted({slot for overlap in refused for slot in overlap.slots})
        raise SlotOverlap(tuple((overlap.edit, overlap.other) for overlap in refused), tuple(slots))
