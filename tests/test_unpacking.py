"""Answers that a proxy packs on their way: taken, and bounded by what they unfold to."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_desk import Desk, desk_of
from workspaces import about, new_workspace, quick

from kn_edit.models.unpacking import PACKINGS, PIECE, PackingProblem, Unpacker
from kn_edit.workspace import Workspace

TEXT = b"[" + b'"words", ' * 100_000 + b"0]"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


FORMS = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
]


def unpacked(packing: str, data: bytes, step: int) -> bytes:
    unpacker = Unpacker(packing)
    pieces = [
        piece
        for start in range(0, len(data), step)
        for piece in unpacker.pieces(data[start : start + step])
    ]
    unpacker.check_end()
    assert max(map(len, pieces), default=0) <= PIECE
    return b"".join(pieces)


@pytest.mark.parametrize(("packing", "pack"), FORMS)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("text", [b"", b"x", TEXT])
def test_what_is_packed_comes_back_whatever_the_chunks(packing, pack, step, text):
    assert packing in PACKINGS
    assert unpacked(packing, pack(text), step) == text


@pytest.mark.parametrize(("packing", "pack"), FORMS)
def test_what_is_cut_off_damaged_or_goes_on_is_refused(packing, pack):
    whole = pack(TEXT)
    for wrong in (whole[:1], whole[:-1], whole + b"x", b"\xff" * 100):
        with pytest.raises(PackingProblem):
            unpacked(packing, wrong, 1 << 20)


def test_an_answer_without_a_body_is_whole():
    Unpacker("gzip").check_end()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("packing")
    with new_workspace(folder) as ann:
        ann.update(about("France"), "Rome", how=quick((0, 3)), accept=True)
    return folder


@pytest.fixture(scope="module")
def desk(folder) -> Iterator[Desk]:
    with desk_of(folder / "work") as desk:
        yield desk


@pytest.mark.parametrize("packing", ["gzip", "deflate", "Deflate"])
def test_every_command_works_behind_a_proxy_that_packs(packing, folder, desk, tmp_path):
    hub, model, base = desk.hub, f"ann/model-{packing}", f"ann/base-{packing}"
    hub.packing = packing
    hub.create(model)
    hub.create(base)
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    files = {name: (folder / "model" / name).read_bytes() for name in names}
    hub.commit(base, files)
    assert desk("push", model, "--as", "delta").code == 0
    assert desk("log", model).code == 0
    ran = desk("init", base, workspace=tmp_path / "bob")
    assert ran.code == 0, ran.err
    ran = desk("pull", model, workspace=tmp_path / "bob")
    assert ran.code == 0, ran.err
    with Workspace.open(tmp_path / "bob") as bob, Workspace.open(folder / "work") as ann:
        assert [edit.id for edit in bob.ledger.edits()] == [edit.id for edit in ann.ledger.edits()]
        fetched = Path(bob.engine.shards.folder)
        assert all((fetched / name).read_bytes() == data for name, data in files.items())
