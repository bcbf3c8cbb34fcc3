"""A version of very many edits goes round, and others go on writing meanwhile."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub import Hub
from hub_desk import Desk
from ledgers import about
from tiny_models import D_FF, D_MODEL
from workspaces import new_workspace

from kn_edit.checkpoints.digests import digests
from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.ledger import Adoption, NewEdit
from kn_edit.ledger.history import version_id
from kn_edit.workspace import Workspace

FULL = os.environ.get("KN_EDIT_TORTURE") == "1"
EDITS = 1500 if FULL else 60
WAIT = 25.0  # seconds that another writer may have to wait; after 30 it would give up
WEIGHTS = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1)]


def edits(workspace: Workspace) -> Iterator[NewEdit]:
    """Edits that overlap in every way, with the records of small ledgers."""
    base = BaseRef(workspace.base.repo, workspace.base.revision, workspace.base.fingerprint)
    source = torch.Generator().manual_seed(0)
    for number in range(EDITS):
        index = torch.randperm(D_FF, generator=source)[:3].sort().values
        value = 0.01 * torch.randn(3, D_MODEL, generator=source)
        mode = torch.full((3,), Mode.SET if number % 7 == 0 else Mode.ADD, dtype=torch.uint8)
        delta = Delta(base, {WEIGHTS[number % 2]: SlotChanges("column", index, mode, value)})
        yield replace(about(delta, f"subject {number}"), message=f"edit {number}")


@pytest.mark.timeout(1800 if FULL else 300)
def test_a_version_of_many_edits_is_pulled_beside_others_who_write(tmp_path):
    with new_workspace(tmp_path) as ann:
        new = tuple(edits(ann))
        recipe = tuple(edit.delta.id for edit in new)
        assert len({*recipe}) == EDITS
        version = version_id(ann.base.fingerprint, recipe)
        plan = Adoption("many", version, recipe, new, "many edits")
        folded = digests(ann.engine.shards, [edit.delta for edit in new])
        ann.ledger.adopt(plan, folded)
        assert ann.head.id == version
    Workspace.init(str(tmp_path / "model"), tmp_path / "bob").close()
    with Hub() as hub:
        hub.token("ann")
        desk = Desk(hub)
        try:
            assert desk("push", "ann/many", "--as", "delta", workspace=ann.folder).code == 0
            waits = pulled_beside_a_writer(desk, tmp_path / "bob")
        finally:
            desk.close()
    assert max(waits) < WAIT
    with Workspace.open(tmp_path / "bob") as bob:
        assert bob.head.edits == recipe
        assert bob.head.digests == folded
        assert bob.verify() == []
        assert bob.revert(recipe[0], allow_overlap=True).edits == recipe[1:]
    shutil.rmtree(tmp_path / "bob")


def pulled_beside_a_writer(desk: Desk, folder: Path) -> list[float]:
    """Pull while this process tags the base again and again; the seconds that each tag took."""
    ended = threading.Event()
    waits = []

    def pull() -> None:
        try:
            ran = desk("pull", "ann/many", workspace=folder)
            assert ran.code == 0, ran.err
        finally:
            ended.set()

    thread = threading.Thread(target=pull)
    thread.start()
    with Workspace.open(folder) as workspace:
        while not ended.wait(0.05):
            began = time.monotonic()
            workspace.tag(f"t{len(waits)}", "base")
            waits.append(time.monotonic() - began)
    thread.join()
    return waits
