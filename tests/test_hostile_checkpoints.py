"""Checkpoints of strangers: refused in a sentence or used, in bounded time and memory.

Every fifth vector runs in the ordinary suite; all of them with KN_EDIT_TORTURE=1.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from math import isfinite
from pathlib import Path

import pytest
from hostile_checkpoints import Vector, vectors
from tiny_models import tiny_folder
from workspaces import about

from kn_edit.errors import ExitCode, KnEditError
from kn_edit.workspace import Workspace

TORTURE = os.environ.get("KN_EDIT_TORTURE") == "1"
VECTORS = vectors() if TORTURE else vectors()[::5]
CODES = {ExitCode.ERROR, ExitCode.USAGE, ExitCode.INTEGRITY, ExitCode.DISK}
SECONDS, MEGABYTES = 10, 300


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Callable[[str], Path]:
    """A sound checkpoint of a shape, to be copied."""
    folder = tmp_path_factory.mktemp("sound")

    def made(shape: str) -> Path:
        if not (folder / shape).exists():
            tiny_folder(shape, folder / shape)
        return folder / shape

    return made


def peak_megabytes(who: int = resource.RUSAGE_SELF) -> int:
    return resource.getrusage(who).ru_maxrss >> 10


def test_there_are_enough_of_them():
    assert len(vectors()) > 750
    assert len(VECTORS) >= 150
    assert len({str(vector) for vector in vectors()}) > 740


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_a_hostile_checkpoint_is_refused_in_a_sentence_or_used(
    vector: Vector, sound, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "model"
    shutil.copytree(sound(vector.shape), folder)
    vector.change(folder)
    capfd.readouterr()
    start, peak = time.process_time(), peak_megabytes()
    try:
        with Workspace.init(folder, tmp_path / "work") as workspace:
            assert all(isfinite(row.p) for row in workspace.assess(about("France")))
    except KnEditError as refusal:
        sentence = str(refusal)
        assert refusal.exit_code in CODES
        assert len(sentence) <= 500
        assert sentence.isprintable()
    assert time.process_time() - start < SECONDS
    assert peak_megabytes() - peak < MEGABYTES
    assert capfd.readouterr() == ("", "")


# --- as processes of their own --------------------------------------------------------------------


def bomb_header(folder: Path) -> None:
    lists = b'{"a":[' + b"[]," * 10_000_000 + b"[]]}"
    (folder / "model.safetensors").write_bytes(len(lists).to_bytes(8, "little") + lists)


def bomb_config(folder: Path) -> None:
    (folder / "config.json").write_bytes(b'{"a":[' + b"[]," * 20_000_000 + b"[]]}")


def bomb_layers(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 10**6}))


def bomb_vocabulary(folder: Path) -> None:
    path = folder / "tokenizer.json"
    facts = json.loads(path.read_text())
    facts["model"]["vocab"] |= {f"{'word' * 5}{n}": n for n in range(60, 3_000_000)}
    path.write_text(json.dumps(facts))


def bomb_normalizer(folder: Path) -> None:
    path = folder / "tokenizer.json"
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 11}
    chain = {"type": "Sequence", "normalizers": [step] * 6}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": chain}))


def pipe_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    os.mkfifo(folder / "model.safetensors.index.json")


def zero_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("/dev/zero")


BOMBS = [bomb_header, bomb_normalizer]
BOMBS += [bomb_config, bomb_layers, bomb_vocabulary, pipe_index, zero_weights] if TORTURE else []
RUN = """
import resource, sys
import transformers, torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, LlamaConfig
from kn_edit.cli import main
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sys.argv[0] = "kn-edit"
try:
    main()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((peak - before) >> 10, file=open("peak", "w"))
"""


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_takes_neither_time_nor_memory(bomb, sound, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(sound("llama"), folder)
    bomb(folder)
    start = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-c", RUN, "init", str(folder), "--workspace", str(tmp_path / "work")],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in CODES
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) <= 520
    assert "unexpected" not in done.stderr
    assert int((tmp_path / "peak").read_text()) < MEGABYTES
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - start < 2 * SECONDS
    assert not (tmp_path / "work").exists()
