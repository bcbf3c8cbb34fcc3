"""Between the ledger and the Hub: publish a version, take in a published one, roll back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from kn_edit.canonical import short
from kn_edit.checkpoints.digests import digests
from kn_edit.checkpoints.folders import leads_outside
from kn_edit.checkpoints.form import ExportForm, ExportOptions
from kn_edit.edits.changes import Change
from kn_edit.edits.kept import LoadedDeltas
from kn_edit.engine.engine import Engine
from kn_edit.errors import Diverged, KnEditError, NotNoted
from kn_edit.figures import count
from kn_edit.hub.card import DEMOS, UNKNOWN, Origin, card, license_of
from kn_edit.hub.client import Hub, connected
from kn_edit.hub.contents import CARD, Version, check_version, with_history
from kn_edit.hub.failures import is_passing
from kn_edit.hub.log import Release, releases
from kn_edit.hub.names import MAIN, check_repo, check_revision, split_revision
from kn_edit.hub.pull import Fetched, Receiver, fetch
from kn_edit.hub.push import NewRelease, Pushed, PushTarget, access, place, publish
from kn_edit.hub.rollback import earlier
from kn_edit.ledger import Adoption, BaseRecord, Ledger, Publication, VersionRecord
from kn_edit.ledger.history import version_id
from kn_edit.models.shards import Shards
from kn_edit.progress import Progress
from kn_edit.untrusted import read_bounded
from kn_edit.workspace.advancing import known_digests
from kn_edit.workspace.calls import PlannedMove
from kn_edit.workspace.exporting import export_of, scratch_for_weights
from kn_edit.workspace.joint_facts import ClaimSource
from kn_edit.workspace.merging import conflicts_between

MOST_CARD = 1 << 20  # bytes of the base's model card, of which only the license is taken


@dataclass(frozen=True, kw_only=True)
class PushSettings:
    """What holds for a push unless its caller says otherwise.

    offer: as a pull request; private: of a repository that is new; most_rank: of an adapter
    license: as the Hub spells it; by default that of the base
    """

    branch: str = MAIN
    tag: str | None = None
    offer: bool = False
    private: bool = False
    most_rank: int | None = None
    license: str | None = None
    follow_links: bool = False

    @property
    def target(self) -> PushTarget:
        """Where in the repository the version is to be published."""
        return PushTarget(
            branch=self.branch,
            tag=self.tag,
            as_pull_request=self.offer,
            private=self.private,
        )


@dataclass(frozen=True)
class Pulled:
    """A version that came from the Hub. moved: the branch went on to it."""

    source: str  # the name that it goes by here, such as "owner/name@main"
    commit: str
    version: VersionRecord
    edits: tuple[str, ...]  # those that are new here
    moved: bool


def push(
    ledger: Ledger,
    engine: Engine,
    repo: str,
    version: VersionRecord,
    form: ExportForm,
    settings: PushSettings,
    progress: Progress,
) -> Pushed:
    """Publish a version. Names and access are checked before anything is made or sent."""
    check_repo(repo)
    target = settings.target
    for name in (target.branch, target.tag):
        if name is not None:
            check_revision(name)
    edits = tuple(ledger.records(version.edits))
    contents = Version(engine.base, version, edits, tuple(ledger.deltas(version.edits)))
    check_version(contents)
    export = export_of(
        files=engine,
        version=version,
        deltas=contents.deltas,
        form=form,
        options=ExportOptions(most_rank=settings.most_rank, follow_links=settings.follow_links),
        progress=progress,
    )
    with connected(repo) as hub, scratch_for_weights(engine.folder) as scratch:
        progress("asking the Hub", 0, 0)
        who = access(hub, target)
        origin = _origin(engine, settings.license)
        weights = form.files(export, scratch)
        files = with_history(contents, form.name, weights, card(repo, contents, form, origin))
        title = f"kn-edit: version {short(version.id)} with {count(len(edits), 'edit')}"
        release = NewRelease(version.id, form.name, title, files)
        pushed = publish(hub, target, place(hub, target, who), release, progress)
    _note(ledger, pushed)
    return pushed


def rollback(ledger: Ledger, repo: str, to: str, branch: str, progress: Progress) -> Pushed:
    """Restore what a branch held at a version, by a new commit."""
    check_repo(repo)
    check_revision(branch)
    target = PushTarget(branch)
    with connected(repo) as hub:
        progress("asking the Hub", 0, 0)
        remote_branch = place(hub, target, access(hub, target, create=False), create=False)
        release = earlier(hub, branch, remote_branch, to)
        pushed = publish(hub, target, remote_branch, release, progress)
    _note(ledger, pushed)
    return pushed


@dataclass(frozen=True)
class PulledBranch:
    """The branch that a pull moves on, whichever is current by then.

    expected_head: see Adoption.from_head; recording: told of the move right before it is recorded
    """

    name: str
    expected_head: str | None
    recording: Callable[[PlannedMove], None]


def pull(
    ledger: Ledger,
    engine: Engine,
    source: str,
    progress: Progress,
    branch: PulledBranch,
) -> Pulled:
    """Take in a published version; the branch moves if that only adds to it. Raises Diverged."""
    repo, revision = split_revision(source)
    with connected(repo) as hub, scratch_for_weights(engine.folder) as scratch:
        progress("asking the Hub", 0, 0)
        scratch.mkdir()
        receiver = Receiver(
            base=ledger.base,
            known_edits=ledger.known_edits,
            check=partial(_check_fit, engine.shards),
            folder=scratch,
        )
        fetched = fetch(hub, revision, receiver, progress)
        return _adopted(
            ledger=ledger,
            engine=engine,
            name=f"{repo}@{revision}",
            fetched=fetched,
            branch=branch,
            progress=progress,
        )


def _adopted(
    ledger: Ledger,
    engine: Engine,
    name: str,
    fetched: Fetched,
    branch: PulledBranch,
    progress: Progress,
) -> Pulled:
    """Record what was fetched. All that takes long is done before the ledger is locked."""
    recipe = fetched.recipe.edits
    new = {edit.delta.id: edit.delta for edit in fetched.edits}
    there = [new[edit] if edit in new else ledger.delta(edit) for edit in recipe]
    progress("folding", 0, 0)
    plan = Adoption(
        source=name,
        version=version_id(ledger.base.fingerprint, recipe),
        recipe=recipe,
        edits=fetched.edits,
        message=f"pull {name} ({short(fetched.commit)})",
        branch=branch.name,
        from_head=branch.expected_head,
    )
    recorded = known_digests(ledger, plan.version)
    folded = digests(engine.shards, LoadedDeltas(there), recorded)
    head = ledger.version(branch.name)  # not after it is recorded: then nothing may fail any more
    version, moved = ledger.adopt(
        plan,
        folded,
        recording=lambda name: branch.recording(PlannedMove(name, plan.version, edit=None)),
    )
    if not moved and head.edits[: len(recipe)] != recipe:
        differing, _ = conflicts_between(ClaimSource(ledger), head.edits, version.edits)
        facts = dict.fromkeys(conflict.name for conflict in differing)
        raise Diverged(name, version.id, head.id, tuple(facts))
    return Pulled(name, fetched.commit, version, tuple(new), moved)


def _check_fit(shards: Shards, name: str, change: Change) -> None:
    """Raise DeltaMisfit or TensorMissing for a change that does not fit a weight of the base."""
    entry = shards.entry(name)
    change.check_fit(name, entry.shape, entry.number_format)


def published(source: str) -> list[Release]:
    """The releases of a repository, newest first."""
    repo, revision = split_revision(source)
    with connected(repo) as hub:
        return releases(hub, revision)


def _origin(engine: Engine, license: str | None) -> Origin:
    """Where the base is on the Hub, and under which license."""
    base, chosen = engine.base, {"license": license} if license else None
    if base.repo is None:
        demo_origin = DEMOS.get(base.name)
        if demo_origin is None:
            return Origin(None, None, chosen or _local_license(engine.shards.folder), "BASE-MODEL")
        return replace(demo_origin, license=chosen or demo_origin.license)
    init = f"{base.repo}@{base.revision}" if base.revision else base.repo
    return Origin(base.repo, base.revision, chosen or _their_license(base), init)


def _their_license(base: BaseRecord) -> dict[str, str]:
    """What the card of the base on the Hub states."""
    hub = Hub(str(base.repo))
    revision = base.revision or MAIN
    try:
        if CARD not in hub.stored_files([CARD], revision):
            return dict(UNKNOWN)
        text = hub.read(CARD, revision, MOST_CARD)
    except KnEditError as failure:
        if is_passing(failure):
            raise
        return dict(UNKNOWN)  # it was withdrawn, or does not show its card to this user
    return license_of(text.decode(errors="replace"))  # `read` refuses one that holds the token


def _local_license(folder: Path) -> dict[str, str]:
    path = folder / CARD
    if leads_outside(path, folder):
        return dict(UNKNOWN)
    try:
        card = read_bounded(path, MOST_CARD)
    except OSError:
        return dict(UNKNOWN)
    return license_of(card.decode(errors="replace"))


def _note(ledger: Ledger, pushed: Pushed) -> None:
    """Take note of what is published. Raises NotNoted: it is, whatever happens to the note."""
    branch = pushed.pull_request or pushed.branch
    publication = Publication(
        repo=pushed.repo,
        branch=branch,
        commit=pushed.commit,
        version=pushed.version,
        form=pushed.form,
        tag=pushed.tag,
    )
    try:
        ledger.note_publication(publication)
    except KnEditError as failure:
        raise NotNoted(pushed.repo, pushed.commit, str(failure).partition(";")[0]) from failure
