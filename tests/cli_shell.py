"""Run commands in this process, or in one of their own, on a workspace of a tiny model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tiny_models import tiny_folder

from kn_edit.cli.run import run
from kn_edit.workspace import Auto, Workspace, case_of

# Ctrl-C must mean something also where the tests run in the background of a shell.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from kn_edit.cli import main
main()
"""
PACK = {
    "name": "home",
    "templates": [
        {"text": "The capital of [X] is [Y]."},
        {"text": "people in [X] know of the city of [Y]."},
        {"text": "one famous city in [X] is [Y]."},
        {"text": "[Y] is a city in [X]."},
        {"text": "The city of people in [X] is [Y].", "held_out": True},
    ],
    "facts": [
        ["France", "Paris"],
        ["Japan", "Tokyo"],
        ["Italy", "Rome"],
        ["Egypt", "Cairo"],
        ["Norway", "Oslo"],
        ["Cuba", "Havana"],
        ["Spain", "Madrid"],
    ],
}


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error document of --json, on the last line of stderr."""
        return json.loads(self.err.splitlines()[-1])

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Shell:
    """`shell("log", "-q")` runs a command here."""

    def __init__(self, capsys: pytest.CaptureFixture[str], model: Path, pack: Path) -> None:
        self._capsys = capsys
        self.model, self.pack = str(model), str(pack)

    def __call__(self, *args: str) -> Ran:
        self._capsys.readouterr()
        code = run(args)
        captured = self._capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    def update(self, subject: str, to: str, *more: str) -> Ran:
        fact = ("--relation", self.pack, "--subject", subject)
        return self("update", *fact, "--to", to, *more)


def process(*args: str, program: str = PROGRAM, **options: Any) -> subprocess.Popen[str]:
    """A command in a process of its own, in the present folder and environment."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def ended(running: subprocess.Popen[str]) -> Ran:
    out, err = running.communicate(timeout=120)
    return Ran(running.returncode, out, err)


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all tests share: a model, a pack, a cache, a workspace with two overlapping edits."""
    place = tmp_path_factory.mktemp("cli")
    tiny_folder("llama", place / "model")
    (place / "pack.json").write_text(json.dumps(PACK))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KN_EDIT_CACHE", str(place / "cache"))
        made = ("--workspace", str(place / "edited"))
        assert run(["init", str(place / "model"), *made]) == 0
        fact = ["--relation", str(place / "pack.json"), "--subject", "France"]
        by_slots = ["--method", "calibrated"]  # a correction would write whole layers
        assert run(["update", *fact, "--to", "Rome", *by_slots, "--accept", *made]) == 0
        with Workspace.open(place / "edited") as workspace:  # on the same slots: they overlap
            (first,) = workspace.ledger.edits()
            japan = case_of(relation=str(place / "pack.json"), subject="Japan")
            workspace.update(japan, "Cairo", how=Auto(first.neurons), accept=True)
    return place


@pytest.fixture
def shell(
    place: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    """A shell in an empty folder, outside of every workspace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KN_EDIT_CACHE", str(place / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    for variable in ("KN_EDIT_WORKSPACE", "KN_EDIT_DEBUG", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
    return Shell(capsys, place / "model", place / "pack.json")


@pytest.fixture
def edited(shell: Shell, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A shell in a workspace with two edits: France -> Rome, then Japan -> Cairo."""
    shutil.copytree(place / "edited", tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return shell
