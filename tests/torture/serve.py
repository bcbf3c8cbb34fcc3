"""The warm process: requests as JSON lines on stdin, reports as JSON lines on stdout.

A request names a sweep, a command, how many points (null: all), and a seed:
`{"sweep": "kills", "command": "tag", "points": 10, "seed": 0}`. pytest starts it through
tests/torture/warm.py, and so can a person who looks for the cause of a failure.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

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
            sweep = SWEEPS[request["sweep"]]
            reply = report(*sweep(stage, request["command"], request["points"], request["seed"]))
            reply["seconds"] = round(time.monotonic() - began, 2)
            print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
