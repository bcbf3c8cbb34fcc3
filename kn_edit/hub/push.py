"""Publish files: what the repository lacks travels, in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kn_edit.errors import (
    HubFailed,
    InvalidRecipe,
    NotFinished,
    NotPrivate,
    NoWriteAccess,
    RepoNotFound,
    RevisionNotFound,
    TagTaken,
    UploadDiffers,
)
from kn_edit.hub.client import Hub
from kn_edit.hub.commit import Plan, Progress, commit, place_tag, propose
from kn_edit.hub.manifest import MOST_MANIFEST, PUBLISHED, Published
from kn_edit.hub.names import MAIN
from kn_edit.hub.parts import Part, Tree, Wanted

MOST_COMMITS = 50  # of the history, in which a commit of ours is looked for


@dataclass(frozen=True)
class PushTarget:
    """Where in a repository a version is to be published. private: of a repository that is new"""

    branch: str = MAIN
    tag: str | None = None
    as_pull_request: bool = False
    private: bool = False


@dataclass(frozen=True)
class NewRelease:
    """What is to be published: a version in a form, and the files that make it."""

    version: str
    form: str
    title: str
    wanted: Mapping[str, Wanted]

    @property
    def note(self) -> str:
        """The text of the commit. `log` reads it again."""
        return f"kn-edit-version: {self.version}\nkn-edit-form: {self.form}"


@dataclass(frozen=True)
class Pushed:
    """What a push, or a rollback, left on the Hub. sent: the files that travelled, with bytes."""

    repo: str
    branch: str
    commit: str
    version: str
    form: str
    tag: str | None
    pull_request: str | None  # its ref
    made: bool  # False where the Hub held all of it already
    sent: Mapping[str, int]
    url: str


@dataclass(frozen=True)
class Access:
    """Who will publish, and whether the repository is there."""

    user: str
    there: bool


@dataclass(frozen=True)
class Place:
    """A branch that is ready to be committed to."""

    user: str
    head: str
    tree: Tree
    tags: Mapping[str, str]


def access(hub: Hub, target: PushTarget, *, create: bool = True) -> Access:
    """Make sure that the user may do it, before anything is made or sent.

    create: whether a repository that is not there will be made
    Raises NotLoggedIn, NoWriteAccess, NotPrivate, RepoNotFound, HubFailed.
    """
    user, organizations = hub.user()
    if target.as_pull_request:  # everybody may, where they may read
        return Access(user, True)
    there = hub.may_write()
    if not there and not create:
        raise RepoNotFound(hub.repo)
    owner = hub.repo.partition("/")[0]
    if not there and owner not in (user, *organizations):
        raise NoWriteAccess(hub.repo, f"it belongs to {owner}, and you are {user}")
    if there and target.private and not hub.is_private():
        raise NotPrivate(hub.repo)
    return Access(user, there)


def place(hub: Hub, target: PushTarget, who: Access, *, create: bool = True) -> Place:
    """Where to commit; repository and branch are made where they lack.

    Raises RepoNotFound, RevisionNotFound, HubFailed.
    """
    if not who.there:
        hub.create(private=target.private)
    refs = hub.refs()
    head = refs.branches.get(target.branch)
    if head is None:
        start = refs.branches.get(MAIN)
        if start is None or target.as_pull_request or not create:
            raise RevisionNotFound(hub.repo, target.branch)
        hub.branch(target.branch, start)
        head = start
    return Place(who.user, head, hub.tree(head), refs.tags)


def publish(
    hub: Hub, target: PushTarget, remote_branch: Place, release: NewRelease, progress: Progress
) -> Pushed:
    """Bring the repository to a release; raises as `commit`, `propose` and `place_tag` do.

    Files of an earlier push that no longer belong are deleted, if they are still as they were
    pushed. Whatever else stands there stays.
    """
    gone = _stale(hub, remote_branch, release.wanted)
    plan = Plan(
        branch=target.branch,
        head=remote_branch.head,
        title=release.title,
        note=release.note,
        wanted=release.wanted,
        gone=gone,
    )
    existing_commit = (
        _existing_commit(hub, plan, release) if plan.done(remote_branch.tree) else None
    )
    _check_tag(hub, target, remote_branch, existing_commit)
    commit_id, ref, new = existing_commit or remote_branch.head, None, existing_commit is None
    if target.as_pull_request:
        commit_id, ref, new = propose(hub, plan, remote_branch.tree, remote_branch.user, progress)
    elif new:
        commit_id = commit(hub, plan, remote_branch.tree, progress)
    if new:
        progress("comparing what arrived", 0, 0)
        _verify(hub, plan, commit_id)
    if target.tag is not None and remote_branch.tags.get(target.tag) != commit_id:
        place_tag(hub, target.tag, commit_id, f"{release.title}\n\n{release.note}")
    missing = plan.missing(remote_branch.tree) if new else {}
    return Pushed(
        repo=hub.repo,
        branch=target.branch,
        commit=commit_id,
        version=release.version,
        form=release.form,
        tag=target.tag,
        pull_request=ref,
        made=new,
        sent={path: part.size for path, part in missing.items() if isinstance(part, Part)},
        url=f"{hub.address}/{hub.repo}/tree/{target.tag or ref or target.branch}",
    )


def read_published(hub: Hub, tree: Tree, revision: str) -> Published | None:
    """What kn-edit left at a revision; None where it left nothing that makes sense."""
    if PUBLISHED not in tree or tree[PUBLISHED].size > MOST_MANIFEST:
        return None
    path = Path(hub.repo, PUBLISHED)
    try:
        return Published.from_json(hub.read(PUBLISHED, revision, MOST_MANIFEST), path)
    except InvalidRecipe:
        return None


def untouched(hub: Hub, files: Mapping[str, str], tree: Tree, revision: str) -> tuple[str, ...]:
    """Those of the files that are still as kn-edit pushed them, by their sha256."""
    intact = []
    for path, digest in sorted(files.items()):
        stored = tree.get(path)
        if stored is None:
            continue
        if stored.sha256 is None:
            unchanged = Part(hub.read(path, revision, stored.size)).sha256 == digest
        else:
            unchanged = stored.sha256 == digest
        if unchanged:
            intact.append(path)
    return tuple(intact)


def _stale(hub: Hub, remote_branch: Place, wanted: Mapping[str, Wanted]) -> tuple[str, ...]:
    """Files of an earlier push that are in nobody's way but do not belong to this one."""
    earlier = read_published(hub, remote_branch.tree, remote_branch.head)
    if earlier is None:
        return ()
    rest = {path: digest for path, digest in earlier.files.items() if path not in wanted}
    return untouched(hub, rest, remote_branch.tree, remote_branch.head)


def _existing_commit(hub: Hub, plan: Plan, release: NewRelease) -> str:
    """The commit that brought what the head holds already."""
    for entry in hub.commits(plan.branch)[:MOST_COMMITS]:
        if release.note in entry.message and plan.done(hub.tree(entry.id)):
            return entry.id
    return plan.head


def _check_tag(
    hub: Hub, target: PushTarget, remote_branch: Place, existing_commit: str | None
) -> None:
    """Raise TagTaken before anything is sent, where the tag names something else."""
    if target.tag is None:
        return
    tagged_commit = remote_branch.tags.get(target.tag)
    if tagged_commit is not None and tagged_commit != existing_commit:
        raise TagTaken(hub.repo, target.tag, tagged_commit)


def _verify(hub: Hub, plan: Plan, commit: str) -> None:
    """Compare what the commit holds with what was sent: sha256, or git's id of a small file."""
    try:
        tree = hub.tree(commit)
    except HubFailed as failure:
        unfinished = "the comparison of what arrived"
        raise NotFinished(hub.repo, commit, unfinished, f"the Hub {failure.problem}") from failure
    differing = [*plan.missing(tree), *(path for path in plan.gone if path in tree)]
    if differing:
        raise UploadDiffers(hub.repo, commit, tuple(differing))
