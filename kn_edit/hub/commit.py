"""One commit, whatever happens: asked for, looked for where the answer was lost, asked for again.

The Hub takes a commit only on top of the parent that it names. So of two equal requests at most
one is ever made, and a look at the branch tells which.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kn_edit.errors import (
    CommitUnclear,
    FilesIgnored,
    HubFailed,
    KnEditError,
    NotFinished,
    RemoteMoved,
    TagTaken,
)
from kn_edit.hub.client import PAUSE, Hub
from kn_edit.hub.failures import is_passing
from kn_edit.hub.parts import Part, Tree, Wanted

Progress = Callable[[str, int, int], None]

MOST_PULL_REQUESTS = 20  # open pull requests of the user that are looked at


@dataclass(frozen=True)
class Plan:
    """A commit to be made: where, on top of what, and which files then stand and are gone."""

    branch: str
    head: str
    title: str
    note: str
    wanted: Mapping[str, Wanted]
    gone: tuple[str, ...] = ()

    def done(self, tree: Tree) -> bool:
        """Whether a tree is as this commit would leave it."""
        return not self.missing(tree) and not any(path in tree for path in self.gone)

    def missing(self, tree: Tree) -> dict[str, Wanted]:
        """What does not stand there yet."""
        return {
            path: file for path, file in self.wanted.items() if not file.matches(tree.get(path))
        }


def commit(hub: Hub, plan: Plan, tree: Tree, progress: Progress) -> str:
    """Make the commit on top of `tree`, that of the plan's head; its id.

    The head itself where nothing is to change. Raises RemoteMoved, CommitUnclear, HubFailed, ...
    """
    if plan.done(tree):
        return plan.head
    operations = _prepared(hub, plan, tree, progress, pull_request=False)
    for again in (True, False):
        try:
            commit_id, _ = hub.commit(operations, plan.branch, plan.head, plan.title, plan.note)
            return commit_id
        except KnEditError as failure:
            arrived = _arrived(hub, plan, failure)
            if arrived is not None:
                return arrived
            if not (again and _worth_another(failure)):
                raise
        time.sleep(PAUSE)
    raise AssertionError("the last try returns or raises")


def propose(
    hub: Hub, plan: Plan, tree: Tree, user: str, progress: Progress
) -> tuple[str, str | None, bool]:
    """Make the commit as a pull request, once; its id and ref, and whether it is new.

    An open pull request of the user that holds the same files will do. None has a parent that could
    keep it from being made twice: so where the answer is lost, this looks, and does not ask again.
    """
    if plan.done(tree):
        return plan.head, None, False
    pending = _pending_pull_request(hub, plan, user)
    if pending is not None:
        return *pending, False
    operations = _prepared(hub, plan, tree, progress, pull_request=True)
    try:
        commit_id, ref = hub.commit(
            operations, plan.branch, plan.head, plan.title, plan.note, pull_request=True
        )
        return commit_id, ref, True
    except KnEditError as failure:
        try:
            pending = _pending_pull_request(hub, plan, user)
        except HubFailed as silence:
            raise CommitUnclear(hub.repo, silence.problem) from failure
        if pending is None:
            raise
        return *pending, True


def place_tag(hub: Hub, name: str, commit: str, message: str) -> None:
    """Put a tag at a commit. Raises TagTaken, NotFinished."""
    why = "it is not there, whatever the Hub says"
    for again in (True, False):
        try:
            hub.tag(name, commit, message)
        except KnEditError as failure:  # the answer may be lost, or the tag there already: look
            why = _why(failure)
        try:
            tagged_commit = hub.refs().tags.get(name)
        except KnEditError as failure:
            raise NotFinished(hub.repo, commit, f"the tag {name}", _why(failure)) from failure
        if tagged_commit == commit:
            return
        if tagged_commit is not None:
            raise TagTaken(hub.repo, name, tagged_commit)
        if again:
            time.sleep(PAUSE)
    raise NotFinished(hub.repo, commit, f"the tag {name}", why)


def _why(failure: KnEditError) -> str:
    """What went wrong, as a part of another sentence."""
    if isinstance(failure, HubFailed):
        return f"the Hub {failure.problem}"
    return str(failure).partition(";")[0]


def _prepared(
    hub: Hub, plan: Plan, tree: Tree, progress: Progress, *, pull_request: bool
) -> list[object]:
    """The operations, their large files uploaded."""
    from huggingface_hub import CommitOperationDelete

    missing = plan.missing(tree)
    operations = {path: file.operation(path) for path, file in missing.items()}
    additions: list[Any] = [
        operations[path] for path, file in missing.items() if isinstance(file, Part)
    ]
    if additions:
        size = sum(file.size for file in missing.values() if isinstance(file, Part)) / 1e6
        done = 0

        def moved(files: int) -> None:
            nonlocal done
            done += files
            progress(f"uploading {size:.1f} MB", done, len(additions))

        moved(0)
        hub.upload(additions, plan.branch, pull_request=pull_request, moved=moved)
        ignored = [
            addition.path_in_repo
            for addition in additions
            if getattr(addition, "_should_ignore", False)
        ]
        if ignored:
            raise FilesIgnored(hub.repo, tuple(ignored))
    gone = [CommitOperationDelete(path) for path in plan.gone if path in tree]
    return [*operations.values(), *gone]


def _arrived(hub: Hub, plan: Plan, failure: KnEditError) -> str | None:
    """The commit that was made although asking for it failed; None where the head did not move."""
    try:
        now = hub.refs().branches.get(plan.branch)
        if now == plan.head:
            return None
        newer: list[str] = []
        for entry in hub.commits(plan.branch):
            if entry.id == plan.head:
                break
            newer.append(entry.id)
        for each in reversed(newer):  # somebody may have gone on from it already
            if plan.done(hub.tree(each)):
                return each
    except HubFailed as silence:
        raise CommitUnclear(hub.repo, silence.problem) from failure
    raise RemoteMoved(hub.repo, plan.branch, plan.head, now or "nothing") from failure


def _pending_pull_request(hub: Hub, plan: Plan, user: str) -> tuple[str, str] | None:
    """The user's open pull request that leaves the files as this commit would."""
    for ref in hub.pull_requests(user)[:MOST_PULL_REQUESTS]:
        if plan.done(hub.tree(ref)):
            return hub.commit_at(ref), ref
    return None


def _worth_another(failure: KnEditError) -> bool:
    """Whether to ask again, now that the branch has not moved."""
    return is_passing(failure) or (isinstance(failure, HubFailed) and failure.status == 412)
