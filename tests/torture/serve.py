"""The warm process: requests as JSON lines on stdin, reports as JSON lines on stdout.

A request names a sweep, a command, how many points (null: all), and a seed:
`{"sweep": "kills", "command": "tag", "points": 10, "seed": 0}`. A sweep that broke is answered
`{"broke": TRACEBACK}`, and the next one is served. pytest starts it through tests/torture/warm.py,
and so can a person who looks for the cause of a failure.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from replays import power_cuts
from small_disk import full_disks
from stage import Stage
from sweeps import errors, kills, report, signals

SWEEPS = {
    "kills": kills,
    "errors": errors,
    "signals": signals,
    "power cuts": power_cuts,
    "full disks": full_disks,
}


def main() -> None:
    """Answer requests until stdin ends."""
    torch.set_num_threads(1)  # a fork keeps only the thread that makes it
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what commands print while templates are made is nobody's answer
    with tempfile.TemporaryDirectory(dir=os.environ.get("KN_EDIT_STAGE")) as folder:
        stage = Stage(Path(folder))
        for line in sys.stdin:
            request = json.loads(line)
            began = time.monotonic()
            reply = _reply(stage, request)
            reply["seconds"] = round(time.monotonic() - began, 2)
            print(json.dumps(reply), file=answers, flush=True)


def _reply(stage: Stage, request: dict[str, Any]) -> dict[str, Any]:
    sweep = SWEEPS[request["sweep"]]
    try:
        return report(*sweep(stage, request["command"], request["points"], request["seed"]))
    except Exception:
        return {"broke": traceback.format_exc()}


if __name__ == "__main__":
    main()
