"""What jobs of tests do in place of verbs: they leave marks, wait, record edits, or fail.

Each run of a job leaves marks in a file of the workspace, so that a second run would show.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kn_edit.errors import TagExists
from kn_edit.jobs.job import JobRequest
from kn_edit.workspace import Workspace

MARKS = "marks"
STEP = 0.02  # seconds between two notes of progress


def wait_request(name: str, seconds: float = 0.0, branch: str | None = None) -> JobRequest:
    """A job that leaves marks and takes so long."""
    return JobRequest("wait", {"name": name, "seconds": seconds}, branch)


def perform(
    workspace: Workspace,
    verb: str,
    arguments: Mapping[str, Any],
    *,
    branch: str | None,
    expected_head: str | None,
) -> dict[str, Any]:
    """Run a job of a test."""
    name = str(arguments["name"])
    mark(workspace.folder, "begin", name)
    until = time.monotonic() + float(arguments.get("seconds", 0.0))
    while time.monotonic() < until:
        workspace.progress("waiting", 1, 2)
        time.sleep(STEP)
    workspace.progress("waiting", 2, 2)
    if verb == "refuse":
        raise TagExists(name, "0" * 64)
    if verb == "break":
        raise ZeroDivisionError(name)
    result: dict[str, Any] = {"name": name, "expected_head": expected_head}
    if verb == "assess":
        result["p"] = assess(workspace)
    if verb == "edit":
        with workspace.call(branch=branch):
            result |= edit(workspace, arguments, layer=int(branch != "main"))
    mark(workspace.folder, "end", name)
    return result


def edit_request(name: str, number: int, branch: str, *, die: bool = False) -> JobRequest:
    """A job that records an edit. number: of the edits of its branch, each of which is another

    die: whether its process kills itself as soon as the edit is recorded
    """
    return JobRequest("edit", {"name": name, "number": number, "die": die}, branch)


def edit(workspace: Workspace, arguments: Mapping[str, Any], *, layer: int) -> dict[str, Any]:
    """Record an edit of a neuron. layer: another one on each branch, so that no edits are equal"""
    from workspaces import CAPITALS, about, quick  # with torch, which most jobs here do without

    number, subjects, capitals = int(arguments["number"]), [*CAPITALS], [*CAPITALS.values()]
    place, way_round = number % len(subjects), number // len(subjects)
    how = quick((layer, number % 6), closed_form=True)
    to = capitals[(place + way_round + 1) % len(capitals)]
    edited = workspace.update(about(subjects[place]), to, how=how, accept=True)
    if arguments["die"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"edit": edited.edit, "version": edited.version}


def assess(workspace: Workspace) -> float:
    """Ask the model of the head for a fact."""
    from workspaces import about

    return workspace.assess(about("France"))[0].p


def mark(folder: Path, word: str, name: str) -> None:
    """Add a line to the marks: what happened, of which job, in which process, when."""
    line = f"{word} {name} {os.getpid()} {time.time()}\n"
    descriptor = os.open(folder / MARKS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)


def marks(folder: Path) -> list[tuple[str, str, float]]:
    """What was marked: word, name of the job, time."""
    path = folder / MARKS
    lines = path.read_text().splitlines() if path.exists() else []
    return [(word, name, float(moment)) for word, name, _, moment in map(str.split, lines)]


def begun(folder: Path) -> Counter[str]:
    """How often each job has begun."""
    return Counter(name for word, name, _ in marks(folder) if word == "begin")
