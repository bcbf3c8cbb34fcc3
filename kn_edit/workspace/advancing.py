"""Record a planned move of a branch, with the digests of the weights that it comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kn_edit.checkpoints.digests import digests
from kn_edit.edits.kept import LoadedDeltas
from kn_edit.engine.engine import Engine
from kn_edit.errors import UnknownId
from kn_edit.ledger import Advance, Ledger, NewEdit, VersionRecord
from kn_edit.workspace.solving_again import new_edit as new_edit
from kn_edit.workspace.solving_again import solved_over as solved_over


def advance(
    ledger: Ledger,
    engine: Engine,
    plan: Advance,
    edit: NewEdit | None = None,
    *,
    recording: Callable[[], None] | None = None,
) -> VersionRecord:
    """Rebuild the planned version for its digests, then record it, with its new edit if any.

    recording: as of `Ledger.advance`
    """
    deltas = LoadedDeltas(
        [
            edit.delta if edit is not None and id_ == edit.delta.id else ledger.delta(id_)
            for id_ in plan.recipe
        ]
    )
    recorded_digests = known_digests(ledger, plan.version)
    new_digests = digests(engine.shards, deltas, recorded_digests)
    return ledger.advance(plan, new_digests, edit=edit, recording=recording)


def known_digests(ledger: Ledger, version: str) -> Mapping[str, str]:
    """The digests that a ledger holds of a version, by its id; none where it is new."""
    try:
        return ledger.version(version).digests
    except UnknownId:
        return {}
