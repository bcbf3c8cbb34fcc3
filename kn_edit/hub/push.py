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
from kn_edit.hub.commit import Plan, Progress, commit, offer, place_tag
from kn_edit.hub.manifest import MOST_MANIFEST, PUBLISHED, Published
from kn_edit.hub.names import MAIN
from kn_edit.hub.parts import Part, Tree, Wanted

MOST_COMMITS = 50  # of the history, in which a commit of ours is looked for


@dataclass(frozen=True)
class Order:
    """Where a version shall be published."""

    branch: str = MAIN
    tag: str | None = None
    offer: bool = False  # as a pull request
    private: bool = False


@dataclass(frozen=True)
class Edition:
    """What shall be published: a version in a form, and the files that make it."""

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


def access(hub: Hub, order: Order, *, create: bool = True) -> Access:
    """Make sure that the user may do it, before anything is made or sent.

    create: whether a repository that is not there will be made
    Raises NotLoggedIn, NoWriteAccess, NotPrivate, RepoNotFound, HubFailed.
    """
    user, organizations = hub.user()
    if order.offer:  # everybody may, where they may read
        return Access(user, True)
    there = hub.may_write()
    if not there and not create:
        raise RepoNotFound(hub.repo)
    owner = hub.repo.partition("/")[0]
    if not there and owner not in (user, *organizations):
        raise NoWriteAccess(hub.repo, f"it belongs to {owner}, and you are {user}")
    if there and order.private and not hub.is_private():
        raise NotPrivate(hub.repo)
    return Access(user, there)


def place(hub: Hub, order: Order, who: Access, *, create: bool = True) -> Place:
    """Where to commit; repository and branch are made where they lack.

    Raises RepoNotFound, RevisionNotFound, HubFailed.
    """
    if not who.there:
        hub.create(private=order.private)
    refs = hub.refs()
    head = refs.branches.get(order.branch)
    if head is None:
        start = refs.branches.get(MAIN)
        if start is None or order.offer or not create:
            raise RevisionNotFound(hub.repo, order.branch)
        hub.branch(order.branch, start)
        head = start
    return Place(who.user, head, hub.tree(head), refs.tags)


def publish(hub: Hub, order: Order, at: Place, edition: Edition, progress: Progress) -> Pushed:
    """Bring the repository to an edition; raises as `commit`, `offer` and `place_tag` do.

    Files of an earlier push that no longer belong are deleted, if they are still as they were
    pushed. Whatever else stands there stays.
    """
    gone = _stale(hub, at, edition.wanted)
    plan = Plan(order.branch, at.head, edition.title, edition.note, edition.wanted, gone)
    standing = _standing(hub, plan, edition) if plan.done(at.tree) else None
    _check_tag(hub, order, at, standing)
    made, ref, new = standing or at.head, None, standing is None
    if order.offer:
        made, ref, new = offer(hub, plan, at.tree, at.user, progress)
    elif new:
        made = commit(hub, plan, at.tree, progress)
    if new:
        progress("comparing what arrived", 0, 0)
        _verify(hub, plan, made)
    if order.tag is not None and at.tags.get(order.tag) != made:
        place_tag(hub, order.tag, made, f"{edition.title}\n\n{edition.note}")
    missing = plan.missing(at.tree) if new else {}
    return Pushed(
        hub.repo,
        order.branch,
        made,
        edition.version,
        edition.form,
        order.tag,
        ref,
        new,
        {path: one.size for path, one in missing.items() if isinstance(one, Part)},
        f"{hub.address}/{hub.repo}/tree/{order.tag or ref or order.branch}",
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
    found = []
    for path, digest in sorted(files.items()):
        stored = tree.get(path)
        if stored is None:
            continue
        if stored.sha256 is None:
            same = Part(hub.read(path, revision, stored.size)).sha256 == digest
        else:
            same = stored.sha256 == digest
        if same:
            found.append(path)
    return tuple(found)


def _stale(hub: Hub, at: Place, wanted: Mapping[str, Wanted]) -> tuple[str, ...]:
    """Files of an earlier push that are in nobody's way but do not belong to this one."""
    earlier = read_published(hub, at.tree, at.head)
    if earlier is None:
        return ()
    rest = {path: digest for path, digest in earlier.files.items() if path not in wanted}
    return untouched(hub, rest, at.tree, at.head)


def _standing(hub: Hub, plan: Plan, edition: Edition) -> str:
    """The commit that brought what the head holds already."""
    for one in hub.commits(plan.branch)[:MOST_COMMITS]:
        if edition.note in one.message and plan.done(hub.tree(one.id)):
            return one.id
    return plan.head


def _check_tag(hub: Hub, order: Order, at: Place, standing: str | None) -> None:
    """Raise TagTaken before anything is sent, where the tag names something else."""
    if order.tag is None:
        return
    known = at.tags.get(order.tag)
    if known is not None and known != standing:
        raise TagTaken(hub.repo, order.tag, known)


def _verify(hub: Hub, plan: Plan, commit: str) -> None:
    """Compare what the commit holds with what was sent: sha256, or git's id of a small file."""
    try:
        tree = hub.tree(commit)
    except HubFailed as failure:
        left = "the comparison of what arrived"
        raise NotFinished(hub.repo, commit, left, f"the Hub {failure.problem}") from failure
    differing = [*plan.missing(tree), *(path for path in plan.gone if path in tree)]
    if differing:
        raise UploadDiffers(hub.repo, commit, tuple(differing))
