"""Processes that write to one ledger at once lose nothing, and fork nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
FULL = os.environ.get("KN_EDIT_TORTURE") == "1"
PROCESSES, EDITS = (8, 100) if FULL else (4, 6)


def run(script: str, folder: Path, processes: int, edits: int) -> Any:
    """What a script of tests/torture says of a ledger that its processes worked on."""
    ran = subprocess.run(
        [sys.executable, str(TESTS / "torture" / script), str(folder), str(processes), str(edits)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent, TESTS)))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    return json.loads(ran.stdout)


@pytest.mark.timeout(1800)
def test_processes_that_switch_and_record_at_once_record_each_on_its_own_branch(tmp_path):
    processes, edits = (6, 40) if FULL else (3, 5)
    names = [f"line-{number}" for number in range(processes)]
    assert run("branching.py", tmp_path / ".kn-edit", processes, edits) == {
        "codes": [0] * (processes + 2),
        "edits": processes * edits,
        "branches": {"main": 0} | dict.fromkeys(names, edits),
        "own": dict.fromkeys(names, True),
        "current": 1,
        "problems": [],
    }


@pytest.mark.timeout(1800)
def test_edits_of_many_processes_are_all_kept_beside_gc_and_readers(tmp_path, record_property):
    total = PROCESSES * EDITS
    record_property("edits beside others", total)
    assert run("writers.py", tmp_path / ".kn-edit", PROCESSES, EDITS) == {
        "codes": [0] * (PROCESSES + 2),
        "edits": total,
        "recipe": total,
        "moves": total,
        "deltas": total,
        "problems": [],
    }
