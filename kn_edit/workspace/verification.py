"""Whether a workspace is as recorded: its ledger, its base, the bits of its versions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from kn_edit.checkpoints.digests import digests
from kn_edit.engine.engine import Engine
from kn_edit.errors import BaseChanged, ExitCode, KnEditError, LedgerDamaged
from kn_edit.ledger import BaseRecord, Ledger, Problem, Report, VersionRecord
from kn_edit.models.companions import companion_files, differing
from kn_edit.models.shards import Shards
from kn_edit.progress import Progress, bytes_of


def examine(
    ledger: Ledger,
    engine: Callable[[], Engine],
    version: str | None,
    progress: Progress,
    since: str | None = None,
) -> Report:
    """What is wrong. Rebuilds the versions whose deltas and base are sound, to compare digests.

    engine: opens the base; it is asked once
    version: the one to rebuild, by its name; else all that the branch ever was at
    since: a digest that the journal once ended with. Raises BadDigest, UnknownId, and
    CheckpointFolderMissing where the ledger is sound and its base is not there.
    """
    chosen = _resolved(ledger, version)
    report = ledger.examine(since)
    problems = list(report.problems)
    unsound = {problem.subject for problem in problems if problem.part == "delta"}
    try:
        shards = engine().shards
        problems += _other_files(ledger.base, shards)
        actual = _fingerprint(shards, progress)
        if actual != ledger.base.fingerprint:
            raise BaseChanged(shards.folder, ledger.base.fingerprint, actual)
    except BaseChanged as error:
        problems.append(Problem("base", str(error.folder), "its weights changed since init"))
    except KnEditError as error:
        if not problems and error.exit_code != ExitCode.INTEGRITY:
            raise
        problems.append(Problem("base", "its files", error.phrase()))
    else:  # the weights are those of init, so every version can be folded from them
        names = [chosen] if chosen else _versions(ledger, problems)
        for done, name in enumerate(names):
            progress("rebuilding versions", done, len(names))
            problems += _differing(ledger, shards, name, unsound)
    return replace(report, problems=tuple(problems))


def _resolved(ledger: Ledger, version: str | None) -> str | None:
    """The id of a version that was named, as far as the ledger can still tell. Raises UnknownId."""
    try:
        return ledger.version_id(version) if version else None
    except LedgerDamaged:
        return version


def _fingerprint(shards: Shards, progress: Progress) -> str:
    """The fingerprint of the weights, taken anew: the engine's stamps are not enough here."""
    return shards.fingerprint(bytes_of(progress, "checking the base"))


def _other_files(base: BaseRecord, shards: Shards) -> Iterator[Problem]:
    """Companion files that are not those of init."""
    if base.files is not None:
        for name in differing(base.files, companion_files(shards.folder)):
            yield Problem("base", str(shards.folder / name), "it changed since init, went or came")


def _versions(ledger: Ledger, problems: list[Problem]) -> Sequence[str]:
    """Every version that any branch ever was at; none where the journal cannot be read."""
    try:
        return ledger.versions_moved_to()
    except KnEditError as error:
        problems.append(Problem("events", "the log", error.phrase()))
        return []


def _differing(ledger: Ledger, shards: Shards, name: str, unsound: set[str]) -> Iterator[Problem]:
    """The tensors of a version that do not come out as recorded."""
    try:
        version = ledger.version(name)
        if not unsound.isdisjoint(version.edits):
            return
        rebuilt = digests(shards, ledger.deltas(version.edits), version.digests)
    except KnEditError as error:
        yield Problem("version", name, error.phrase())
        return
    yield from _other_digests(version, rebuilt)


def _other_digests(version: VersionRecord, rebuilt: dict[str, str]) -> Iterator[Problem]:
    for tensor in sorted({*rebuilt, *version.digests}):
        if rebuilt.get(tensor) != version.digests.get(tensor):
            message = f"tensor {tensor} does not come out as recorded"
            yield Problem("version", version.id, message)
