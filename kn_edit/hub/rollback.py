"""Restore an earlier state of a repository, by a new commit: its history stays as it is."""

from __future__ import annotations

from kn_edit.canonical import short
from kn_edit.errors import NotPublished, RevisionNotFound
from kn_edit.hub.client import Hub
from kn_edit.hub.log import releases
from kn_edit.hub.manifest import PUBLISHED
from kn_edit.hub.names import is_commit
from kn_edit.hub.parts import Earlier
from kn_edit.hub.push import NewRelease, Place, read_published

LEAST_DIGITS = 8  # of a version id


def earlier(hub: Hub, branch: str, remote_branch: Place, to: str) -> NewRelease:
    """The release that a version, a tag or a commit of the repository holds.

    All of its files are there already, so nothing is uploaded. Raises RevisionNotFound,
    NotPublished.
    """
    commit = _commit(hub, branch, remote_branch, to)
    tree = hub.tree(commit)
    state = read_published(hub, tree, commit)
    if state is None or not {*state.files} <= tree.keys():
        raise NotPublished(hub.repo, to)
    files = {path: Earlier(tree[path], commit) for path in (*state.files, PUBLISHED)}
    title = f"kn-edit: back to version {short(state.version)}"
    return NewRelease(state.version, state.form, title, files)


def _commit(hub: Hub, branch: str, remote_branch: Place, to: str) -> str:
    """The commit that a user names: by a tag, by its own first digits, or by a version's."""
    if to in remote_branch.tags:
        return remote_branch.tags[to]
    if not is_commit(to):
        raise RevisionNotFound(hub.repo, to)
    if len(to) >= LEAST_DIGITS:
        for release in releases(hub, branch):  # the newest first
            if release.version.startswith(to):
                return release.commit
    for commit in hub.commits(branch):
        if commit.id.startswith(to):
            return commit.id
    raise RevisionNotFound(hub.repo, to)
