"""How often a verb reads the files of deltas: each once, as far as there is room for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from workspaces import CAPITAL, about, new_workspace, quick

from kn_edit.errors import DeltaDigestDiffers
from kn_edit.ledger import shelf
from kn_edit.ledger.folder_blobs import FolderBlobs
from kn_edit.workspace import Workspace

SLOTS = ((0, 3), (1, 5), (0, 9))
VERBS: dict[str, Callable[[Workspace], object]] = {
    "update": lambda w: w.update(about("Japan"), "Cairo", how=quick((1, 7)), accept=True),
    "erase": lambda w: w.erase(CAPITAL, how=quick(top=2, zero=True), accept=True),
    "revert": lambda w: w.revert(w.head.edits[0]),
    "locate": lambda w: w.locate(about("France")),
    "evaluate": lambda w: w.evaluate(),
    "verify": lambda w: w.verify(),
}


@pytest.fixture
def workspace(tmp_path):
    with new_workspace(tmp_path) as opened:
        for subject, slot in zip(("France", "Spain", "Egypt"), SLOTS, strict=True):
            opened.update(about(subject), "Rome", how=quick(slot), accept=True)
        yield opened


@pytest.fixture
def reads(workspace, monkeypatch) -> Counter[str]:
    counted: Counter[str] = Counter()
    get = FolderBlobs.get

    def count(blobs: FolderBlobs, digest: str) -> bytes:
        counted[digest] += 1
        return get(blobs, digest)

    monkeypatch.setattr(FolderBlobs, "get", count)
    return counted


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_reads_each_delta_once(verb, workspace, reads):
    edits = workspace.head.edits
    VERBS[verb](workspace)
    read = {edit: reads[edit] for edit in edits}
    assert read == {edit: 0 if verb == "revert" and edit == edits[0] else 1 for edit in edits}


def test_what_has_no_room_is_read_again_and_nothing_is_kept_between_verbs(
    workspace, reads, monkeypatch
):
    monkeypatch.setattr(shelf, "ROOM", 0)
    workspace.verify()
    assert min(reads.values()) > 1
    monkeypatch.undo()
    (edit, *_) = workspace.head.edits
    path = workspace.ledger.blobs.path(edit)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert [problem.subject for problem in workspace.verify()] == [edit]
    with pytest.raises(DeltaDigestDiffers):
        workspace.load()
