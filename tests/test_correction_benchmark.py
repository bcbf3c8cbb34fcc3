"""The benchmark of corrections with workers of Ray: the same results as without, row by row."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from samples import TORTURE
from tiny_models import tiny_folder

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "corrections.py"
ROWS = (("France", "Oslo", "Japan"), ("Egypt", "Madrid", "Japan"), ("Norway", "Cairo", "France"))


def written(folder: Path) -> Path:
    """A file of own facts in words of the tiny model."""
    rows = (
        {
            "statement": [
                f"the capital of [X: {subject}] is [Y: {to}]",
                f"[X: {subject}] is a country , the capital is [Y: {to}]",
            ],
            "held_out": ["the city of [X] is [Y]"],
            "locality": [{"prompt": f"the capital of {other} is", "answer": "Tokyo"}],
        }
        for subject, to, other in ROWS
    )
    file = folder / "facts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def command(model: Path, file: Path, folder: Path, *options: str) -> list[str]:
    """The command of the benchmark on that file."""
    words = [str(SCRIPT), str(file), "--model", str(model), "--results", str(folder)]
    return [*words, "--rows", str(len(ROWS)), "--methods", "correction", *options]


def results(folder: Path) -> dict[str, dict[str, Any]]:
    """The results that a run leaves, by file, without times."""
    read = {path.name: json.loads(path.read_text()) for path in folder.glob("*-correction.json")}
    for result in read.values():
        assert result.pop("seconds") > 0
    return read


@pytest.mark.skipif(not TORTURE, reason="a minute, most of which Ray starts: KN_EDIT_TORTURE=1")
def test_workers_leave_the_results_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, file = tiny_folder("llama", tmp_path / "model"), written(tmp_path)
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    monkeypatch.setattr(sys, "argv", command(model, file, tmp_path / "alone"))
    runpy.run_path(str(SCRIPT), run_name="__main__")
    assert "correction" in capsys.readouterr().out
    shared = [sys.executable, *command(model, file, tmp_path / "shared", "--workers", "2")]
    ran = subprocess.run(shared, capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stderr
    alone = results(tmp_path / "alone")
    assert len(alone) == len(ROWS)
    assert results(tmp_path / "shared") == alone
