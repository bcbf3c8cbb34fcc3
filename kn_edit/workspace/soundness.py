"""Whether a workspace is as recorded: its ledger, its base, the bits of its versions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kn_edit.checkpoints.materialise import digests
from kn_edit.errors import BaseChanged
from kn_edit.ledger import Ledger, Problem, VersionRecord
from kn_edit.models.shards import Shards
from kn_edit.workspace.engine import Engine
from kn_edit.workspace.progress import Progress, bytes_of


def problems(
    ledger: Ledger, engine: Engine, versions: Sequence[VersionRecord], progress: Progress
) -> list[Problem]:
    """What is wrong. Rebuilds the versions whose deltas and base are sound, to compare digests."""
    found = ledger.check()
    unsound = {problem.subject for problem in found if problem.part == "delta"}
    try:
        shards = engine.shards
        # The stamps that the engine trusts are not enough here.
        actual = shards.fingerprint(bytes_of(progress, "checking the base"))
        if actual != ledger.base.fingerprint:
            raise BaseChanged(shards.folder, ledger.base.fingerprint, actual)
    except BaseChanged as error:
        return [*found, Problem("base", str(error.folder), "its weights changed since init")]
    for done, version in enumerate(versions):
        progress("rebuilding versions", done, len(versions))
        if unsound.isdisjoint(version.edits):
            found += _differing(ledger, shards, version)
    return found


def _differing(ledger: Ledger, shards: Shards, version: VersionRecord) -> Iterator[Problem]:
    rebuilt = digests(shards, ledger.deltas(version.edits))
    for tensor in sorted({*rebuilt, *version.digests}):
        if rebuilt.get(tensor) != version.digests.get(tensor):
            message = f"tensor {tensor} does not come out as recorded"
            yield Problem("version", version.id, message)
