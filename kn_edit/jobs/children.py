"""Workers as child processes of a server: started, started again, and ended with it."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

log = logging.getLogger("kn_edit.jobs")

GLANCE = 0.2  # seconds between two looks whether a child lives
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before a dead child is started again
SETTLED = 60.0  # seconds after which a child that dies is no repeated failure
PATIENCE = 10.0  # seconds beyond its grace until a child that does not end is killed


def worker_command(folder: Path, grace: float) -> list[str]:
    """The command of a worker that ends with this process.

    folder: of the workspace; grace: seconds that a running job has to finish then
    """
    command = [sys.executable, "-m", "kn_edit.cli", "worker", "--until-stdin-ends"]
    return [*command, "--workspace", str(folder), "--grace", str(grace)]


@dataclass
class Child:
    """A place for a worker. pause: before the next start; next_start: of the monotonic clock"""

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    next_start: float = 0.0


class Workers:
    """So many workers of a workspace, as long as the block runs.

    Each holds the read end of a pipe from this process. So it notices the end of this process,
    even by kill -9: the kernel closes the other end.
    """

    def __init__(self, command: Sequence[str], count: int, *, grace: float) -> None:
        """command: of `worker_command`; grace: seconds that a running job has to finish"""
        self._command = [*command]
        self._grace = grace
        self._children = [Child() for _ in range(count)]
        self._stopping = threading.Event()
        self._stopped_at = 0.0
        self._thread = threading.Thread(target=self._watch, name="workers", daemon=True)

    def __enter__(self) -> Self:
        for child in self._children:
            self._start(child)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the workers: they finish what runs within their grace, or cancel it."""
        self.stop()
        until = self._stopped_at + self._grace + PATIENCE
        for process in self._processes:
            _end(process, until - time.monotonic())

    def stop(self) -> None:
        """Let the workers begin no further job, and end; nobody waits for them here."""
        if self._stopping.is_set():
            return
        self._stopped_at = time.monotonic()
        self._stopping.set()
        self._thread.join()
        for process in self._processes:
            process.terminate()

    @property
    def process_ids(self) -> list[int]:
        """The process ids of the workers that were started and are not known to be dead."""
        return [process.pid for process in self._processes]

    @property
    def _processes(self) -> list[subprocess.Popen[bytes]]:
        return [child.process for child in self._children if child.process is not None]

    def _watch(self) -> None:
        """Start workers again that died, the more patiently the more often."""
        while not self._stopping.wait(GLANCE):
            for child in self._children:
                self._look_after(child, time.monotonic())

    def _look_after(self, child: Child, moment: float) -> None:
        if child.process is None:
            if moment >= child.next_start:
                self._start(child)
            return
        code = child.process.poll()
        if code is None:
            return
        if moment - child.started >= SETTLED:
            child.pause = FIRST_PAUSE
        log.warning("worker %s ended (%s); next in %.0f s", child.process.pid, code, child.pause)
        _end(child.process, 0)
        child.process, child.next_start = None, moment + child.pause
        child.pause = min(2 * child.pause, LONGEST_PAUSE)

    def _start(self, child: Child) -> None:
        # A group of its own: Ctrl-C reaches the server alone, which then ends its workers.
        child.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, process_group=0)
        child.started = time.monotonic()


def _end(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Wait so long for the end of a process, then kill it."""
    try:
        process.wait(max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()
