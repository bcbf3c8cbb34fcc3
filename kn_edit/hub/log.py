"""What is published in a repository: the commits that kn-edit made, and the names they go by."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

from kn_edit.hub.client import MOST_NAME, Commit, Hub
from kn_edit.hub.manifest import is_form
from kn_edit.models.hub_failures import line

MOST_NAMES = 20  # branches and tags of one commit that are shown

_NOTE = re.compile(r"^kn-edit-version: ([0-9a-f]{64})\nkn-edit-form: (\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Release:
    """A commit that brought a version. refs: branches and tags that stand there."""

    commit: str
    version: str
    form: str
    title: str
    created: str
    refs: tuple[str, ...]


def releases(hub: Hub, revision: str) -> list[Release]:
    """The releases in the history of a revision, newest first."""
    refs = hub.refs()
    names: dict[str, list[str]] = defaultdict(list)
    for name, commit in (*refs.branches.items(), *refs.tags.items()):
        if len(names[commit]) < MOST_NAMES:
            names[commit].append(line(name, MOST_NAME))
    candidates = (release(each, tuple(names[each.id])) for each in hub.commits(revision))
    return [each for each in candidates if each is not None]


def release(commit: Commit, refs: tuple[str, ...] = ()) -> Release | None:
    """A commit as a release; None where it says nothing of a version."""
    note = _NOTE.search(commit.message)
    if note is None or not is_form(note[2]):
        return None
    title = line(commit.title)
    created = commit.created.isoformat(timespec="seconds")
    return Release(
        commit=commit.id,
        version=note[1],
        form=note[2],
        title=title,
        created=created,
        refs=refs,
    )
