"""Processes that write to one ledger at once lose nothing, and fork nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FULL = os.environ.get("KN_EDIT_TORTURE") == "1"
PROCESSES, EDITS = (8, 100) if FULL else (4, 6)


@pytest.mark.timeout(1800)
def test_edits_of_many_processes_are_all_kept_beside_gc_and_readers(tmp_path, record_property):
    ran = subprocess.run(
        [
            sys.executable,
            str(TESTS / "torture" / "writers.py"),
            str(tmp_path / ".kn-edit"),
            str(PROCESSES),
            str(EDITS),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent, TESTS)))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    total = PROCESSES * EDITS
    record_property("edits beside others", total)
    assert json.loads(ran.stdout) == {
        "codes": [0] * (PROCESSES + 2),
        "edits": total,
        "recipe": total,
        "moves": total,
        "deltas": total,
        "problems": [],
    }
