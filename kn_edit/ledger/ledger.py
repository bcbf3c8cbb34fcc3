"""The ledger: every edit and version of one base model, and the branches that point at some.

A move of a branch has two parts. `plan_…` says what the new recipe is, so that the caller can
build its weights and take their digests; `advance` records it, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from sqlalchemy import URL

from kn_edit.canonical import short
from kn_edit.errors import (
    AlreadyThere,
    DifferentBase,
    EditAlreadyApplied,
    EditNotApplied,
    EmptyEdit,
    LedgerDamaged,
    SlotOverlap,
    UnknownId,
)
from kn_edit.ledger import (
    archive,
    branches,
    changed,
    events,
    history,
    journal,
    lists,
    names,
    reading,
    verification,
    writing,
    written,
)
from kn_edit.ledger.blob_store import BlobStore, keep
from kn_edit.ledger.conflicts import Settled
from kn_edit.ledger.connection import Connection
from kn_edit.ledger.creation import add_workspace, create_database
from kn_edit.ledger.database import Database
from kn_edit.ledger.dialects import dialect_of
from kn_edit.ledger.differences import apart, differing, first_meetings
from kn_edit.ledger.membership import members
from kn_edit.ledger.overruling import with_verdicts
from kn_edit.ledger.recipes import Recipe
from kn_edit.ledger.records import (
    Adoption,
    Advance,
    BaseRecord,
    Blame,
    BranchRecord,
    Difference,
    EditRecord,
    NewEdit,
    Overlap,
    Problem,
    Publication,
    Ref,
    Report,
    Sides,
    Step,
    VersionRecord,
)
from kn_edit.ledger.shelf import Shelf
from kn_edit.ledger.stored import DamagedRow
from kn_edit.ledger.tidying import GRACE, collect
from kn_edit.ledger.writes import Writes
from kn_edit.neuron import NeuronId

if TYPE_CHECKING:
    from kn_edit.edits.delta import Delta

Clock = Callable[[], datetime]
DEFAULT = "default"  # the workspace of a database that holds one, where nobody names it


class Ledger:
    """A ledger that is open. Use `create` or `open`, and it as a context manager."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock) -> None:
        self.blobs = blobs
        self._shelf = Shelf(blobs)
        self._database = database
        self._clock = clock

    @cached_property
    def base(self) -> BaseRecord:
        """The model that this ledger is about. Raises LedgerDamaged."""
        with self._database.reading() as connection:
            return reading.base(connection)

    @classmethod
    def create(
        cls,
        url: str | URL,
        blobs: BlobStore,
        base: BaseRecord,
        *,
        workspace: str = DEFAULT,
        clock: Clock,
    ) -> Ledger:
        """Make a ledger in a new database. It exists whole, or not at all.

        url: a SQLAlchemy URL of the database, such as sqlite:////folder/ledger.db
        blobs: where the deltas of its edits go; workspace: its name, of use where others follow
        Raises UnsupportedDatabase, BadWorkspaceName, LedgerExists, LinkInLedger, LedgerUnusable,
        WriteUnknown.
        """
        names.check_workspace(workspace)
        database = create_database(dialect_of(url), base, _moment(clock), workspace)
        ledger = cls(database, blobs, clock)
        ledger.base = base  # nothing is read here: it is made, so nothing may fail any more
        return ledger

    @classmethod
    def add(
        cls, url: str | URL, blobs: BlobStore, base: BaseRecord, *, workspace: str, clock: Clock
    ) -> Ledger:
        """Make a ledger in a database that holds others, as a workspace of its own.

        workspace: its name, for `open`; blobs: where the deltas of all workspaces lie
        Raises BadWorkspaceName, WorkspaceExists, NoLedger, and what `open` raises.
        """
        names.check_workspace(workspace)
        database = _opened(url, workspace, clock)
        add_workspace(database, base, _moment(clock), workspace)
        return cls(database, blobs, clock)

    @classmethod
    def open(
        cls, url: str | URL, blobs: BlobStore, *, workspace: str | None = None, clock: Clock
    ) -> Ledger:
        """Open a ledger, after bringing an older one to the present schema.

        url: a SQLAlchemy URL of its database; blobs: where the deltas of its edits lie
        workspace: its name, where the database holds several; by default the only one
        Raises UnsupportedDatabase, NoLedger, UnknownWorkspace, NewerSchema, LedgerDamaged,
        LinkInLedger, LedgerUnusable.
        """
        database = _opened(url, workspace, clock)
        if workspace is not None:
            with database.reading():  # which looks whether it is there
                pass
        return cls(database, blobs, clock)

    def close(self) -> None:
        """Give the database's resources back."""
        self._database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- reading ---------------------------------------------------------------------------------

    def head(self) -> VersionRecord:
        """The version that the current branch points at."""
        return self.version("head")

    def version(self, name: str) -> VersionRecord:
        """A version by branch, tag, `head`, `base`, `root` or the first digits of its id."""
        with self._database.reading() as connection:
            return reading.version(connection, names.find_version(connection, name))

    def edit(self, prefix: str) -> EditRecord:
        """An edit by the first digits of its id."""
        with self._database.reading() as connection:
            (record,) = reading.edit_records(connection, [names.find_edit(connection, prefix)])
            return record

    def edits(self) -> list[EditRecord]:
        """Every edit ever recorded, also those that the head lacks, oldest first."""
        with self._database.reading() as connection:
            return reading.edit_records(connection)

    def records(self, ids: Sequence[str], *, overlaps: bool = True) -> list[EditRecord]:
        """The edits with these full ids, in this order, read in one pass. Raises UnknownId.

        overlaps: also which edits shared slots with each, for which lists are read
        """
        with self._database.reading() as connection:
            stored = reading.edit_records(connection, ids, overlaps=overlaps)
            edits = {edit.id: edit for edit in stored}
        for id_ in ids:
            if id_ not in edits:
                raise UnknownId("edit", id_)
        return [edits[id_] for id_ in ids]

    def edits_about(self, facts: Collection[tuple[str, str | None]]) -> set[str]:
        """Edits that update one of these facts, or erase its relation.

        facts: relations with subjects; without one: every fact of the relation
        """
        with self._database.reading() as connection:
            return changed.about(connection, facts)

    def members(self, edits: Collection[str], version: str = "head") -> tuple[str, ...]:
        """Those of these edits, by full ids, that a version has, in its order. Reads no list."""
        with self._database.reading() as connection:
            return self._members(connection, names.find_version(connection, version), edits)

    def refs(self) -> list[Ref]:
        """The branches, then what was pulled, then the tags, each by name."""
        with self._database.reading() as connection:
            return reading.all_refs(connection)

    def current_branch(self) -> Ref:
        """The branch that edits go to."""
        with self._database.reading() as connection:
            return events.current_branch(connection)

    def branches(self) -> list[BranchRecord]:
        """Every branch by name, with its last edit and its last move."""
        with self._database.reading() as connection:
            return branches.described(connection)

    def publications(self) -> list[Publication]:
        """What was published from this ledger, oldest first."""
        with self._database.reading() as connection:
            return reading.all_publications(connection)

    def known_edits(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that this ledger has an edit for."""
        with self._database.reading() as connection:
            return reading.known_edits(connection, ids)

    def log(self, most: int | None = None, branch: str = "head") -> list[Step]:
        """The moves that led to a branch, newest first, down to the root version, or so many.

        branch: by default the current one. Raises UnknownBranch.
        """
        with self._database.reading() as connection:
            name = branches.find(connection, branch).name
            steps = journal.steps(connection, self._lists_of, name, most)
            return with_verdicts(connection, steps)

    def graph(self, most: int | None = None) -> list[Step]:
        """The moves of all branches, newest first, each with those that it came after."""
        with self._database.reading() as connection:
            return with_verdicts(connection, journal.graph(connection, self._lists_of, most))

    def moves_to(self, version: VersionRecord) -> list[Step]:
        """The moves of any branch that led to a version, newest first."""
        with self._database.reading() as connection:
            return journal.moves_to(connection, version.id, version.edits)

    def versions_moved_to(self) -> list[str]:
        """Every version that any branch ever was at, oldest first."""
        with self._database.reading() as connection:
            return journal.versions_moved_to(connection)

    def blame(self, neuron: NeuronId) -> list[Blame]:
        """The edits that write the slot of a neuron, oldest first."""
        with self._database.reading() as connection:
            return reading.blame(connection, neuron, events.head_id(connection))

    def diff(self, a: str, b: str) -> Difference:
        """What sets two versions apart, by name."""
        with self._database.reading() as connection:
            ids = [names.find_version(connection, name) for name in (a, b)]
            edits = apart(connection, self.base.fingerprint, *ids)
            slots, layers = differing(connection, self.base.fingerprint, ids, edits.edits)
        return Difference(edits.only_a, edits.only_b, slots, layers)

    def delta(self, edit: str) -> Delta:
        """The numbers of an edit, by its full id. Raises DeltaMissing, DeltaDigestDiffers."""
        from kn_edit.edits.delta import Delta

        return self._shelf.delta(edit, Delta.from_bytes)

    def deltas(self, edits: Iterable[str]) -> list[Delta]:
        """The numbers of these edits, in order: of a version's, or of a plan's recipe."""
        return [self.delta(edit) for edit in edits]

    def keeping_deltas(self) -> AbstractContextManager[None]:
        """Read each delta once inside of a block, as far as 256 MB hold them."""
        return self._shelf.keeping()

    # --- planning --------------------------------------------------------------------------------

    # branch: that a plan moves, by default the current one of that moment. Raises UnknownBranch.

    def plan_edit(
        self, delta: Delta, kind: str, message: str = "", *, branch: str = "head"
    ) -> Advance:
        """Put a new edit after those of the head. Overlap is legal here, and reported.

        Raises DifferentBase, EmptyEdit, EditAlreadyApplied.
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
        overlaps = history.overlaps_before(sharing, delta.id, writers.__getitem__)
        recipe = recipe.appended((delta.id,))
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
    ) -> Advance:
        """The edits of several versions, without those that a settled conflict leaves out.

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
            overlaps=overlaps,
            may_stay=bool(settled),
        )
        return replace(
            plan, parents=sides.versions, settled=settled, returned=returned, stayed=stayed
        )

    # --- writing ---------------------------------------------------------------------------------

    def advance(
        self, plan: Advance, digests: Mapping[str, str], *, edit: NewEdit | None = None
    ) -> VersionRecord:
        """Record a planned move: the delta's file first, then one transaction.

        digests: sha256 of every tensor that the recipe touches, by name
        edit: with a plan of `plan_edit`, what to record about it
        Raises HeadMoved, UnknownBranch, DigestsDiffer, LedgerBusy, LedgerUnusable; then nothing
        was recorded.
        """
        assert edit is None or edit.delta.id == plan.edit
        if edit is not None:
            self.blobs.put(edit.delta.to_bytes())
        now = _moment(self._clock)
        with self._database.writing() as connection:
            writing.check_head(connection, plan)
            if edit is not None:
                connection.lock_blobs()
                keep(self.blobs, edit.delta.id, edit.delta.to_bytes)
                writing.add_edit(connection, edit, now)
            writing.add_version(connection, plan, digests, self.base.fingerprint, now)
            if edit is not None:
                writing.add_evaluation(connection, plan.version, edit, now)
            writing.move_branch(connection, plan, now)
            stored = reading.digests(connection, plan.version)
        return VersionRecord(
            plan.version,
            plan.recipe,
            stored,
            overlaps=plan.overlaps,
            settled=plan.settled,
            returned=plan.returned,
            stayed=plan.stayed,
        )

    def tag(self, name: str, version: str = "head", *, move: bool = False) -> Ref:
        """Name a version. Raises BadTagName, NameTaken, and TagExists unless the tag may move."""
        names.check_tag(name)
        with self._database.writing() as connection:
            target = names.find_version(connection, version)
            writing.place_tag(connection, name, target, move, _moment(self._clock))
        return Ref(name, "tag", target)

    def make_branch(self, name: str, version: str = "head", *, switch: bool = False) -> Ref:
        """Make a branch at a version; switch: and make it the current one.

        Raises BadBranchName, BranchExists, NameTaken, UnknownId.
        """
        now = _moment(self._clock)
        with self._database.writing() as connection:
            new_branch = branches.make(connection, name, version, now)
            return branches.switch(connection, name, now) if switch else new_branch

    def switch(self, name: str) -> Ref:
        """Make a branch the current one. Raises UnknownBranch."""
        with self._database.writing() as connection:
            return branches.switch(connection, name, _moment(self._clock))

    def delete_branch(self, name: str, *, force: bool = False) -> Ref:
        """Remove the name of a branch, and nothing else; where it was.

        force: also where no other branch or tag has its edits
        Raises UnknownBranch, BranchIsCurrent, OnlyThere.
        """
        with self._database.writing() as connection:
            return branches.remove(connection, name, force, _moment(self._clock))

    def rename_branch(self, name: str, to: str) -> Ref:
        """Give a branch another name.

        Raises UnknownBranch, BadBranchName, BranchExists, NameTaken.
        """
        with self._database.writing() as connection:
            return branches.rename(connection, name, to, _moment(self._clock))

    def adopt(self, plan: Adoption, digests: Mapping[str, str]) -> tuple[VersionRecord, bool]:
        """Record a version from elsewhere; whether the branch moved on to it.

        The branch moves only where nothing is lost: where the version begins with its edits. Files
        first, then one transaction. Raises DifferentBase, DigestsDiffer, LedgerUnusable.
        """
        for edit in plan.edits:
            if edit.delta.base.fingerprint != self.base.fingerprint:
                raise DifferentBase(self.base.fingerprint, edit.delta.base.fingerprint)
            self.blobs.put(edit.delta.to_bytes())
        now = _moment(self._clock)
        with self._database.writing() as connection:
            connection.lock_blobs()
            for edit in plan.edits:
                keep(self.blobs, edit.delta.id, edit.delta.to_bytes)
            on, recipe = self._tip(connection, plan.branch or "head")
            adopted = Recipe(plan.recipe)
            writing.adopt(connection, plan, digests, self.base.fingerprint, now)
            moves = on.version != plan.version and adopted[: len(recipe)] == recipe
            if moves:
                move = Advance(
                    kind="pull",
                    version=plan.version,
                    recipe=adopted,
                    parents=(on.version,),
                    from_head=on.version,
                    message=plan.message,
                    branch=on.name,
                )
                writing.move_branch(connection, move, now)
            return reading.version(connection, plan.version), moves

    def note_publication(self, publication: Publication) -> None:
        """Remember that a version stands on the Hub."""
        with self._database.writing() as connection:
            writing.add_publication(connection, publication, _moment(self._clock))

    def set_base(self, source: str, files: Mapping[str, str] | None) -> None:
        """Note the folder that the base lies in from now on, in one transaction with its event.

        The caller has checked that its fingerprint is the one of this ledger.
        files: sha256 of config, tokenizer and the like, by file name
        """
        with self._database.writing() as connection:
            writing.place_base(connection, source, files, _moment(self._clock))
        self.base = replace(self.base, source=source, files=files)

    # --- upkeep ----------------------------------------------------------------------------------

    def check(self, since: str | None = None) -> list[Problem]:
        """Everything that is wrong with the ledger; the bits of weights are the caller's part.

        since: a digest that `chain` once gave. Raises BadDigest for what is none.
        """
        return list(self.examine(since).problems)

    def examine(self, since: str | None = None) -> Report:
        """What is wrong, what cannot be proven, and the digest of the chain. See `check`."""
        return verification.report(self._database, self.blobs, since, self.delta)

    def chain(self) -> str:
        """The digest of the journal's last event, which stands for all that was ever recorded."""
        with self._database.reading() as connection:
            last = events.last(connection)
        if last is None:
            raise LedgerDamaged(self._database.place, "it has no events")
        return last[1]

    def backup(self, file: Path, notes: Path | None = None) -> None:
        """Write the ledger to one new tar file, while others may use it. `restore` takes it back.

        notes: a folder to note in where work under way is, for `gc` after a kill
        Raises BackupExists, LedgerUnusable, and what reading a damaged delta raises.
        """
        archive.backup(self._database, self.blobs, file, notes)

    def gc(self, *, older_than: timedelta = GRACE) -> list[str]:
        """Remove deltas of no edit, and what killed commands left; where each was.

        Others may write meanwhile. Younger deltas stay: a command that was cut off finds its own
        when it is run again. Raises LedgerBusy, LedgerUnusable.
        """
        return collect(self._database, self.blobs, older_than)

    # --- inside ----------------------------------------------------------------------------------

    def _tip(self, connection: Connection, branch: str) -> tuple[Ref, Recipe]:
        """A branch and its list. Raises UnknownBranch."""
        on = branches.find(connection, branch)
        return on, self._recipe(connection, on.version)

    def _recipe(self, connection: Connection, version: str) -> Recipe:
        """The list of a version. Rows are read unless this process compared it with its id lately;
        an id never gets another list.
        """
        recipe = lists.proven_before(self.base.fingerprint, version)
        return reading.recipe(connection, version) if recipe is None else recipe

    def _lists_of(self, versions: Collection[str]) -> Mapping[str, Recipe]:
        """The edits of versions, read in a transaction of its own. Raises LedgerDamaged."""
        with self._database.reading() as connection:
            recipes = reading.recipes_of(connection, versions)
            if len(recipes) < len(versions):
                raise DamagedRow("a version that was listed is not there any more")
            return recipes

    def _members(
        self, connection: Connection, version: str, edits: Collection[str]
    ) -> tuple[str, ...]:
        """Those of these edits that stand in the list of a version, in its order."""
        return members(connection, self.base.fingerprint, version, edits)

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


def _opened(url: str | URL, workspace: str | None, clock: Clock) -> Database:
    """A database that is there, at the present schema."""
    database = Database.at(url, workspace)
    database.dialect.require()
    database.upgrade(lambda: _moment(clock))
    return database


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


def _moment(clock: Clock) -> str:
    return clock().astimezone(UTC).isoformat(timespec="seconds")
