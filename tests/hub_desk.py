"""One process in which kn-edit commands run one after the other as a client of the Hub.

To start Python with all that a push needs takes seconds, to push a tiny model a moment. Pauses
between tries take no time here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli_shell import Ran
from hub import Hub, hub_env

SECONDS = "5"  # of silence, until a client gives up; tests of silence take less
PROGRAM = """
import contextlib, io, json, os, sys, time
from kn_edit.cli.run import run

time.sleep = lambda seconds: None
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    asked = json.loads(line)
    os.environ.update(asked["env"])
    for name in asked["unset"]:
        os.environ.pop(name, None)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(asked["args"])
    answers.write(json.dumps([code, out.getvalue(), err.getvalue()]) + "\\n")
    answers.flush()
"""


class Desk:
    """`desk("push", "ann/model")` runs a command as Ann; `as_user=None` has no token."""

    def __init__(self, hub: Hub, workspace: Path | None = None) -> None:
        self.hub, self.workspace = hub, workspace
        self._running = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=hub_env(hub.url, hub.folder / "desk"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._running.pid

    def __call__(
        self,
        *args: str,
        token: str | None = "hf_ann_write",
        workspace: Path | None = None,
        seconds: str = SECONDS,
        debug: bool = False,
    ) -> Ran:
        folder = workspace or self.workspace
        given = [*args, *(["--workspace", str(folder)] if folder else [])]
        env = {"KN_EDIT_HUB_TIMEOUT": seconds, "HF_TOKEN": token, "KN_EDIT_DEBUG": debug and "1"}
        asked: dict[str, Any] = {
            "args": given,
            "env": {name: value for name, value in env.items() if value},
            "unset": [name for name, value in env.items() if not value],
        }
        assert self._running.stdin is not None and self._running.stdout is not None
        self._running.stdin.write(json.dumps(asked) + "\n")
        self._running.stdin.flush()
        return Ran(*json.loads(self._running.stdout.readline()))

    def close(self) -> None:
        self._running.communicate(timeout=30)


@contextmanager
def desk_of(workspace: Path) -> Iterator[Desk]:
    """A desk in a workspace, with a Hub of its own on which Ann has a token."""
    with Hub() as hub:
        hub.token("ann")
        desk = Desk(hub, workspace)
        try:
            yield desk
        finally:
            desk.close()
