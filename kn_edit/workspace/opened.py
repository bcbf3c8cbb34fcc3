"""What every verb of a workspace works with: its folder, its ledger, its live model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict, Unpack

from kn_edit.engine.cluster import Cluster
from kn_edit.engine.undisturbed import undisturbed, verb
from kn_edit.errors import HeadMoved
from kn_edit.evaluation.gate import Gate
from kn_edit.later import later
from kn_edit.ledger import (
    Advance,
    BaseRecord,
    EditRecord,
    FactRecord,
    Ledger,
    NewEdit,
    VersionRecord,
)
from kn_edit.ledger.names import HEAD
from kn_edit.progress import Progress, silent
from kn_edit.untrusted import path_of
from kn_edit.workspace.calls import Call, Calls, PlannedMove
from kn_edit.workspace.folder import (
    LEDGER,
    chosen_folder,
    current_folder,
    named_workspace,
    nearest_folder,
    nearest_or_here,
    new_workspace_folder,
)
from kn_edit.workspace.settings import (
    gate_of,
    keep_settings,
    placement_named,
    placement_of,
    require_settings,
    storage_of,
)
from kn_edit.workspace.storage import Storage, completed, storage_named, tried
from kn_edit.workspace.turns import TRIES

if TYPE_CHECKING:
    from kn_edit.engine import engine as live
    from kn_edit.workspace import advancing, starting
else:
    live = later("kn_edit.engine.engine")
    advancing = later("kn_edit.workspace.advancing")
    starting = later("kn_edit.workspace.starting")

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Restored:
    """Where a backup was restored."""

    folder: Path  # of the workspace
    version: str  # its head
    edits: tuple[str, ...]  # of that version, in order
    aside: Path | str | None  # where the former ledger is, if there was one


class InitOptions(TypedDict, total=False):
    """What `init` takes by keyword and keeps for later calls."""

    device: str | None  # where the model runs
    dtype: str | None  # in which number format
    memory: str | None  # what locating may take over it
    blobs: str | None  # where deltas go: s3://bucket/prefix; KN_EDIT_BLOBS_URL says it, too
    database: str | None  # where all else goes: postgresql://user@host/name; KN_EDIT_DATABASE_URL
    name: str | None  # of the workspace in that database; by default that of its folder


def now() -> datetime:
    return datetime.now(UTC)


class OpenWorkspace:
    """A workspace from `init` or `open` to `close`, without its verbs."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        progress: Progress = silent,
        *,
        device: str | None = None,
        dtype: str | None = None,
        memory: str | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self._cluster = cluster
        self._ending = ExitStack()
        self._placed = placement_named(device, dtype, memory)
        self.folder = folder
        self.ledger = ledger
        self.closed = False
        self._progress = progress
        self._calls = Calls()

    @classmethod
    def init(
        cls,
        model: str | os.PathLike[str],
        folder: str | os.PathLike[str] | None = None,
        *,
        clock: Clock = now,
        progress: Progress = silent,
        **options: Unpack[InitOptions],
    ) -> Self:
        """Make a workspace for `demo`, `demo-bert`, a checkpoint folder, or a Hub id (pinned).

        One of this model in which nothing was recorded yet is taken as it is, so that an `init`
        that was cut off can be run again.
        options: device, dtype, memory of the live model, as of `open`; blobs, where its deltas go
            (s3://bucket/prefix); database, where its ledger goes (postgresql://user@host/database),
            and name, that of the workspace there. They are kept in kn-edit.toml for later calls;
            see InitOptions.
        Raises LedgerExists, TargetInsideLedger, UnknownFamily, SharedLayers, BadSetting,
        BadSettingsFile, what finding the model raises, and what a bucket or a database raises that
        is named.
        """
        folder = new_workspace_folder(chosen_folder(folder) or current_folder())
        placement = placement_named(
            options.get("device"), options.get("dtype"), options.get("memory")
        )
        storage = storage_named(options.get("blobs"), options.get("database"), options.get("name"))
        require_settings(folder, "model", placement)
        with undisturbed(), _storage(folder, storage) as (place, settings):
            ledger = starting.start(model, folder / LEDGER, place, clock, progress)
            keep_settings(folder, "ledger", settings)
        keep_settings(folder, "model", placement)
        device, dtype, memory = map(placement.get, ("device", "dtype", "memory"))
        return cls(folder, ledger, progress, device=device, dtype=dtype, memory=memory)

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str] | None = None,
        *,
        clock: Clock = now,
        progress: Progress = silent,
        device: str | None = None,
        dtype: str | None = None,
        memory: str | None = None,
        cluster: Cluster | None = None,
    ) -> Self:
        """Open a workspace: the one given, that of KN_EDIT_WORKSPACE, or the nearest upwards.

        device: where its model runs: auto (a CUDA GPU where there is one), cpu, cuda, cuda:1, mps
        dtype: in which number format: auto (the checkpoint's), float32, bfloat16, float16. Where
        one is None, kn-edit.toml says, else it is auto.
        memory: what locating may take over the loaded model: auto (600MB, half of what is free on
        a GPU), 2GB, 512MiB
        cluster: workers of Ray that compute beside each other; None for this process
        Raises NoWorkspace, NewerSchema, LedgerDamaged, BadSetting.
        """
        chosen = chosen_folder(folder)
        workspace_folder = named_workspace(chosen) if chosen else nearest_folder(current_folder())
        storage = storage_of(workspace_folder)
        ledger = storage.open(workspace_folder / LEDGER, clock)
        return cls(
            workspace_folder,
            ledger,
            progress,
            device=device,
            dtype=dtype,
            memory=memory,
            cluster=cluster,
        )

    @classmethod
    def restore(
        cls,
        file: str | os.PathLike[str],
        folder: str | os.PathLike[str] | None = None,
        *,
        replace: bool = False,
        clock: Clock = now,
    ) -> Restored:
        """Make a workspace of a file that `backup` made, whole or not at all.

        replace: also where a ledger is, damaged or not; that one is kept aside
        Where kn-edit.toml, KN_EDIT_BLOBS_URL or KN_EDIT_DATABASE_URL names a bucket or a database,
        it goes there.
        Raises RestoreTargetTaken, TargetInsideLedger, BackupDamaged, NewerSchema, LinkInLedger,
        LedgerBusy, LedgerUnusable.
        """
        place = chosen_folder(folder) or (nearest_or_here() if replace else current_folder())
        new_workspace_folder(place)
        with _storage(place, storage_named()) as (storage, settings):
            placed = storage.restore(path_of(file), place / LEDGER, clock, replace=replace)
            keep_settings(place, "ledger", settings)
        return Restored(folder=place, version=placed.head, edits=placed.edits, aside=placed.aside)

    def close(self) -> None:
        """Give back what it holds. Its verbs raise WorkspaceClosed from now on."""
        self.closed = True
        self._ending.close()
        self.ledger.close()

    def progress(self, task: str, done: int, total: int) -> None:
        """Tell how far a verb has come: to this call's listener, or to the workspace's."""
        self._calls.progress(self._progress, task, done, total)

    def call(
        self,
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
        branch: str | None = None,
        expected_head: str | None = None,
        recording: Callable[[PlannedMove], None] | None = None,
    ) -> AbstractContextManager[None]:
        """Progress, cancellation and branch of the verbs inside the block, in this thread.

        progress: told of them in place of the workspace's; cancelled: asked whenever a verb tells
        of its progress. Where it says yes, the verb raises Cancelled: nothing is recorded of it.
        branch: that the verbs act on, and whose version they call `head`; the current branch stays
        what it is. expected_head: the id of the version that the branch has to be at. A verb that
        moves the branch raises HeadMoved where it is not, when the verb begins and when it records.
        recording: told of each move of a branch right before it is recorded, inside the ledger's
        transaction, so that somebody who outlives this process can look for it in the ledger; what
        it raises passes through, and nothing is recorded
        """
        return self._calls.during(Call(progress, cancelled, branch, expected_head, recording))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def ledger_folder(self) -> Path:
        """The folder `.kn-edit`, which holds the ledger and notes about the base."""
        return self.folder / LEDGER

    @property
    def base(self) -> BaseRecord:
        return self.ledger.base

    @property
    @verb
    def gate(self) -> Gate:
        """The limits that edits are held to: of `kn-edit.toml`, or the usual ones.

        Raises BadSettingsFile.
        """
        return gate_of(self.folder)

    @cached_property
    def engine(self) -> live.Engine:
        """The live model; loaded by the first verb that needs it. Raises BadSettingsFile."""
        placement = replace(placement_of(self.folder), **self._placed)
        if self._cluster is None:
            return live.Engine(self.base, self.ledger_folder, self.progress, placement)
        workers = live.cluster_workers(self._cluster, self.base, self.ledger_folder, placement)
        self._ending.callback(workers.close)
        return live.Engine(
            self.base,
            self.ledger_folder,
            self.progress,
            placement,
            scoring=workers.scorer,
            workers=workers,
        )

    @property
    def acting_branch(self) -> str:
        """The name of the branch that verbs act on: that of this call, or the current one."""
        return self._calls.branch or self.ledger.current_branch().name

    @property
    def _moved_branch(self) -> str:
        """The name of the branch that a verb is to move. Raises HeadMoved, UnknownBranch."""
        branch = self.ledger.branch_named(self.acting_branch)
        self._calls.require_head(branch.version)
        return branch.name

    def _named(self, version: str) -> str:
        """A version's name, where `head` is the version of the branch that verbs act on."""
        is_head = isinstance(version, str) and version.lower() == HEAD
        return self._calls.branch or HEAD if is_head else version

    def _during_a_verb(self) -> AbstractContextManager[None]:
        """Each delta is read and hashed once in a verb."""
        return self.ledger.keeping_deltas()

    def _solved(self, pattern: EditRecord, facts: Sequence[FactRecord]) -> NewEdit:
        """A joint edit over recorded facts, by the settings and the seed of another one.

        Raises CannotSolveAgain, SolvedOtherwise.
        """
        solved = advancing.solved_over(self.ledger, self.engine, pattern, facts)
        return advancing.new_edit(pattern, solved)

    def _advance(self, plan: Advance, edit: NewEdit | None = None) -> VersionRecord:
        """Rebuild the planned version for its digests, then record it. Raises HeadMoved."""
        self._calls.require_head(plan.from_head)
        move = PlannedMove(plan.branch, plan.version, edit.delta.id if edit else None)
        version = advancing.advance(
            self.ledger, self.engine, plan, edit, recording=lambda: self._calls.recording(move)
        )
        self._calls.moved(version.id)
        return version

    def _replanned(self, plan: Callable[[], tuple[Advance, NewEdit | None]]) -> VersionRecord:
        """Make a move that means the same on every head. plan: the move, with its new edit if any

        Raises HeadMoved after many tries, or where the call expects another head.
        """
        for _ in range(TRIES):
            advance, edit = plan()
            self._calls.require_head(advance.from_head)
            with suppress(HeadMoved):
                return self._advance(advance, edit)
        return self._advance(*plan())


@contextmanager
def _storage(folder: Path, named: Mapping[str, str]) -> Iterator[tuple[Storage, Mapping[str, str]]]:
    """Where the ledger of a workspace is made in this block, tried and claimed.

    named: settings that the call names, which must not differ from those of its kn-edit.toml
    Gives the storage, and the settings that are to be kept. Raises BadSettingsFile, BlobsTaken, and
    what a bucket raises.
    """
    kept = storage_of(folder)
    settings = completed(named, kept, folder)
    require_settings(folder, "ledger", settings)
    storage = replace(kept, **settings)
    with tried(storage, new=storage.blobs != kept.blobs):
        yield storage, settings
