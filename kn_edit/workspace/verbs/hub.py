"""Verbs on the Hub: publish versions, take in published ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack

from kn_edit.checkpoints.forms import form_of
from kn_edit.engine.undisturbed import verb
from kn_edit.later import later
from kn_edit.workspace.opened import OpenWorkspace

if TYPE_CHECKING:
    from kn_edit.hub.log import Release
    from kn_edit.hub.push import Pushed
    from kn_edit.workspace import publishing
else:
    publishing = later("kn_edit.workspace.publishing")


class PushOptions(TypedDict, total=False):
    """What a push takes by keyword, beside the version and its form."""

    branch: str  # of the repository; main where it is left out
    tag: str | None  # of the commit; a tag never moves
    offer: bool  # as a pull request
    private: bool  # of a repository that is new
    most_rank: int | None  # of an adapter
    license: str | None  # as the Hub spells it; by default that of the base
    follow_links: bool  # publish also what links of the model's folder point at outside of it


class HubVerbs(OpenWorkspace):
    """What leaves a workspace for the Hub, and what comes from there."""

    @verb
    def push(
        self,
        repo: str,
        *,
        version: str = "head",
        form: str = "checkpoint",
        licence: str | None = None,
        **options: Unpack[PushOptions],
    ) -> Pushed:
        """Publish a version on the Hub, in one commit of what the repository lacks.

        form: checkpoint, adapter (PEFT LoRA) or delta
        options: branch ("main"), tag, offer, private, most_rank, license, follow_links; see
            PushOptions. licence: as license
        Raises BadRepoName, BadRevisionName, NotLoggedIn, NoWriteAccess, NotPrivate, TagTaken,
        RemoteMoved, CardRefused, HubFailed, CommitUnclear, NotFinished, NotNoted,
        UploadDiffers.
        """
        if licence is not None:
            options.setdefault("license", licence)
        return publishing.push(
            ledger=self.ledger,
            engine=self.engine,
            repo=repo,
            version=self.ledger.version(self._named(version)),
            form=form_of(form, publishable=True),
            settings=publishing.PushSettings(**options),
            progress=self.progress,
        )

    @verb
    def pull(self, source: str) -> publishing.Pulled:
        """Take in what `owner/name` or `owner/name@revision` published, each digest compared.

        The branch moves on where its edits are the first ones of that version. Raises Diverged
        where they are not (the version is kept under the name of its source), DifferentBase,
        NoRecipe, InvalidRecipe, DeltaDigestDiffers, RepoNotFound, RevisionNotFound, HubFailed.
        """
        pulled = publishing.pull(
            self.ledger,
            self.engine,
            source,
            self.progress,
            publishing.PulledBranch(
                self._moved_branch, self._calls.expected_head, self._calls.recording
            ),
        )
        if pulled.moved:
            self._calls.moved(pulled.version.id)
        return pulled

    @verb
    def rollback(self, repo: str, to: str, *, branch: str = "main") -> Pushed:
        """Restore what a repository held at a version, a tag or a commit, by a new commit.

        Raises NotPublished, RevisionNotFound, and what push raises.
        """
        return publishing.rollback(self.ledger, repo, to, branch, self.progress)

    @verb
    def published(self, source: str) -> list[Release]:
        """What kn-edit published in `owner/name`, or on a branch behind an @, newest first."""
        return publishing.published(source)
