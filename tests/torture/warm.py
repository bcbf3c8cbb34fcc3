"""The tests' end of the warm process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library import LIBRARY, built

MEMORY = Path("/dev/shm")  # fsync costs nothing there; the replayer is what judges it


@dataclass
class Warm:
    """A process that carries out sweeps under the fault library."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, folder: Path) -> Warm:
        """Build the library in a folder, and start the process under it."""
        library = str(built(folder))
        tests = Path(__file__).resolve().parents[1]
        stage = MEMORY if os.access(MEMORY, os.W_OK) else folder
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("serve.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "LD_PRELOAD": library,
                LIBRARY: library,
                "KN_EDIT_STAGE": str(stage),
                "OMP_NUM_THREADS": "1",
                "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "false",
                "PYTHONPATH": os.pathsep.join(map(str, (tests.parent, tests))),
            },
        )
        return cls(process)

    def ask(self, sweep: str, command: str, points: int | None, seed: int = 0) -> dict[str, Any]:
        """The report of a sweep: its trials, its failures, its seconds."""
        assert self.process.stdin and self.process.stdout
        request = {"sweep": sweep, "command": command, "points": points, "seed": seed}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        assert line, "the warm process ended; its traceback is above"
        reply: dict[str, Any] = json.loads(line)
        return reply

    def stop(self) -> None:
        self.process.communicate(timeout=60)
