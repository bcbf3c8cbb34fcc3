"""Deltas whose numbers stay in files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.edits.kept import KeptDelta, LoadedDeltas
from kn_edit.errors import DeltaDigestDiffers, DeltaMissing

BASE = BaseRef(None, None, "f" * 64)
WIDTH = 4


def delta(number: int) -> Delta:
    slots = SlotChanges(
        "column",
        torch.tensor([number, number + 3]),
        torch.tensor([Mode.ADD, Mode.SET], dtype=torch.uint8),
        torch.full((2, WIDTH), float(number)),
    )
    return Delta(BASE, {"layers.0.down.weight": slots})


@pytest.fixture
def kept(tmp_path: Path) -> list[KeptDelta]:
    deltas = [delta(number) for number in range(4)]
    return [KeptDelta.keep(one, one.to_bytes(), tmp_path / one.id) for one in deltas]


def test_a_kept_delta_tells_what_the_delta_does(kept):
    for number, one in enumerate(kept):
        whole = delta(number)
        assert (one.id, one.base) == (whole.id, whole.base)
        assert (one.modes(), one.neurons()) == (whole.modes(), whole.neurons())
        assert one.to_bytes() == whole.to_bytes() and one.load().id == whole.id


def test_a_file_that_changed_or_went_is_told_apart(kept):
    kept[0].path.write_bytes(kept[1].to_bytes())
    with pytest.raises(DeltaDigestDiffers):
        kept[0].load()
    kept[0].path.unlink()
    with pytest.raises(DeltaMissing):
        kept[0].to_bytes()
    kept[0].path.mkdir()
    with pytest.raises(DeltaMissing):
        kept[0].to_bytes()


def test_deltas_are_loaded_when_they_are_looked_at(kept):
    loaded = LoadedDeltas([delta(9), *kept])
    assert [one.id for one in loaded] == [delta(9).id, *(one.id for one in kept)]
    assert len(loaded) == 5 and [one.id for one in loaded[1:3]] == [kept[0].id, kept[1].id]
    assert loaded[1] is loaded[1]


def test_no_more_stay_in_memory_than_there_is_room_for(kept):
    room = 2 * 2 * WIDTH * 4  # bytes of the numbers of two
    loaded = LoadedDeltas(kept, room=room)
    assert [one.id for one in loaded] == [one.id for one in kept]
    assert [loaded[at] is loaded[at] for at in range(4)] == [True, True, False, False]
