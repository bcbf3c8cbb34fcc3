"""The tests' end of the warm process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hub_side  # its routes
from hub import Hub, hub_env
from library import LIBRARY, built

MEMORY = Path("/dev/shm")  # fsync costs nothing there; the replayer is what judges it


@dataclass
class Warm:
    """A process that carries out sweeps under the fault library, and a Hub beside it."""

    process: subprocess.Popen[str]
    hub: Hub

    @classmethod
    def start(cls, folder: Path) -> Warm:
        """Build the library in a folder, and start the process under it."""
        library = str(built(folder))
        tests = Path(__file__).resolve().parents[1]
        stage = MEMORY if os.access(MEMORY, os.W_OK) else folder
        hub = Hub().__enter__()
        hub.token("ann")
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("serve.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **hub_env(hub.url, folder / "hub-home", hub_side.TOKEN),
                "LD_PRELOAD": library,
                LIBRARY: library,
                "KN_EDIT_STAGE": str(stage),
                "OMP_NUM_THREADS": "1",
                "KN_EDIT_HUB_TIMEOUT": "5",
                "TOKENIZERS_PARALLELISM": "false",
                "PYTHONPATH": os.pathsep.join(map(str, (tests.parent, tests))),
            },
        )
        return cls(process, hub)

    def ask(self, sweep: str, command: str, points: int | None, seed: int = 0) -> dict[str, Any]:
        """The report of a sweep: its trials, its failures, its seconds.

        Raises AssertionError with the traceback of a sweep that broke; others can be asked for.
        """
        assert self.process.stdin and self.process.stdout
        request = {"sweep": sweep, "command": command, "points": points, "seed": seed}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, "the warm process ended; its traceback is above"
        reply: dict[str, Any] = json.loads(line)
        assert "broke" not in reply, reply["broke"]
        return reply

    def stop(self) -> None:
        self.process.communicate(timeout=60)
        self.hub.__exit__(None)
