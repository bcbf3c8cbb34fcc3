"""A service that many ask at once: no request fails, no edit is lost, memory stays flat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FULL = os.environ.get("KN_EDIT_TORTURE") == "1"
MOST_RATIO = 20  # of the 95th percentile of reads under load to the median of one reader alone
MOST_GROWTH = 30.0  # MB between the second quarter and the last one
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (TESTS.parent, TESTS)))}


@pytest.mark.timeout(900)
def test_readers_and_writers_are_all_answered_and_every_edit_that_was_told_is_there(
    record_property: pytest.RecordProperty,
) -> None:
    options = [] if FULL else ["--seconds", "5", "--readers", "8", "--writers", "4"]
    ran = subprocess.run(
        [sys.executable, str(TESTS / "torture" / "load.py"), "--json", *options],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    report = json.loads(ran.stdout)
    record_property("report", ran.stdout)
    kinds = {"read 200", "read 429", "head 429", "write 200", "write 409", "write 429"}
    assert {*report["statuses"]} <= kinds, report
    assert report["reads"] > (500 if FULL else 5), report
    assert report["edits"] > (10 if FULL else 1), report
    assert report["edits as acknowledged"] and not report["edits twice"], report
    assert (report["problems"], report["exit code"], report["tracebacks"]) == ([], 0, 0), report
    if FULL:
        assert report["p95 to idle p50"] < MOST_RATIO, report
        for name, memory in report["memory"].items():
            assert memory["MB at the end"] - memory["MB"] < MOST_GROWTH, (name, report)
