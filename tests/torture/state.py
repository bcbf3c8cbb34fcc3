"""What a trial leaves: the ledger by what a user can ask of it, and the files around it."""

from __future__ import annotations

import hashlib
import re
import tarfile
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kn_edit.errors import NoLedger
from kn_edit.ledger import Ledger
from kn_edit.ledger.in_folder import open_in_folder
from kn_edit.ledger.restoring import ASIDE
from kn_edit.workspace import Workspace

ANY_AGE = timedelta(minutes=-1)  # so that gc takes all that is nobody's
OF_NO_EDIT = "it is no delta of any edit"  # a killed command leaves such files to gc
FLEETING = ("-wal", "-shm", "base.json")  # SQLite's own, and what the next command makes again
PUT_ASIDE = re.compile(rf"({re.escape(ASIDE)})\d{{8}}T\d{{6}}(-\d+)?")
State = dict[str, Any]


def ledger_state(folder: Path) -> State | None:
    """All that a ledger says, without its dates; None where there is no ledger.

    Raises what opening or reading it raises.
    """
    try:
        ledger = open_in_folder(folder, clock=lambda: datetime.now(UTC))
    except NoLedger:
        return None
    with ledger:
        return {
            "head": ledger.head().id,
            "refs": sorted((ref.name, ref.kind, ref.version, ref.current) for ref in ledger.refs()),
            "edits": [_undated(edit) for edit in ledger.edits()],
            "log": [_undated(step) for step in ledger.log()],
            "graph": [_undated(step) for step in ledger.graph()],
            "versions": sorted(_version(ledger, ref.version) for ref in ledger.refs()),
            "deltas": [ledger.delta(edit.id).id for edit in ledger.edits()],
            "publications": [_undated(one) for one in ledger.publications()],
            "problems": [
                str(problem) for problem in ledger.check() if problem.message != OF_NO_EDIT
            ],
        }


def collect(folder: Path) -> None:
    """What gc does in a workspace when every file that it may take is old enough."""
    with Workspace.open(folder) as workspace:
        workspace.gc(older_than=ANY_AGE)


def target_state(path: Path) -> State | None:
    """What stands where a command should write: files by digest, a backup by its ledger."""
    if path.is_dir():
        return {
            str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }
    if path.suffix == ".tar" and path.is_file():
        with tempfile.TemporaryDirectory() as place, tarfile.open(path) as archive:
            archive.extractall(place, filter="data")
            return ledger_state(Path(place))
    return {"file": hashlib.sha256(path.read_bytes()).hexdigest()} if path.exists() else None


def names(folder: Path) -> list[str]:
    """Relative names of all files and folders below a folder that are there to stay.

    A ledger that was put aside is named without the time of that.
    """
    return sorted(
        {
            PUT_ASIDE.sub(r"\1", str(path.relative_to(folder)))
            for path in folder.rglob("*")
            if not path.name.endswith(FLEETING)
        }
    )


def _undated(record: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(record).items() if name != "created"}


def _version(ledger: Ledger, id_: str) -> tuple[Any, ...]:
    version = ledger.version(id_)
    return (version.id, version.edits, sorted(version.digests.items()))
