"""Errors about the Hub: names, access, answers that fail, commits of others."""

from __future__ import annotations

from dataclasses import dataclass

from kn_edit.canonical import short
from kn_edit.errors.base import ExitCode, KnEditError, listed

AGAIN = "{again}: what has arrived is not sent twice"


@dataclass
class BadRepoName(KnEditError):
    """Text that no repository on the Hub is called by."""

    exit_code = ExitCode.USAGE
    name: str

    def __str__(self) -> str:
        return (
            f"{self.name!r} is not the name of a repository; write owner/name, of letters, "
            "digits, '-', '_' and single dots"
        )


@dataclass
class BadEndpoint(KnEditError):
    """An address in HF_ENDPOINT that is none."""

    exit_code = ExitCode.USAGE
    address: str

    def __str__(self) -> str:
        return f"HF_ENDPOINT is no address: {self.address!r}; write https://host, or unset it"


@dataclass
class BadRevisionName(KnEditError):
    """Text that can be neither a branch nor a tag, or that would be read as a commit."""

    exit_code = ExitCode.USAGE
    name: str

    def __str__(self) -> str:
        return (
            f"{self.name!r} cannot name a branch or a tag on the Hub; use letters, digits, '-', "
            "'_', '/' and single dots, and nothing that looks like a commit"
        )


@dataclass
class NotLoggedIn(KnEditError):
    """No token, or one that the Hub does not accept."""

    exit_code = ExitCode.NETWORK
    repo: str

    def __str__(self) -> str:
        return (
            f"the Hub does not know who you are, so {self.repo} stays as it is; "
            "log in with `hf auth login`, or set HF_TOKEN to a token with write access"
        )


@dataclass
class NoWriteAccess(KnEditError):
    """The Hub knows the user, who may not write there."""

    exit_code = ExitCode.NETWORK
    repo: str
    reason: str

    def __str__(self) -> str:
        return f"you may not write to {self.repo}: {self.reason}" + self.steps(
            "log in as somebody who may",
            "name a repository of yours",
            "or offer the change with {offer}",
        )


@dataclass
class RepoNotFound(KnEditError):
    """No such repository, or one that this user may not see."""

    exit_code = ExitCode.NETWORK
    repo: str

    def __str__(self) -> str:
        return (
            f"there is no model {self.repo} on the Hub, or you may not see it; "
            "check the name, or log in with `hf auth login`"
        )


@dataclass
class RevisionNotFound(KnEditError):
    """A repository without such a branch, tag, commit or version."""

    exit_code = ExitCode.NETWORK
    repo: str
    revision: str

    def __str__(self) -> str:
        return f"{self.repo} has no revision {self.revision!r}" + self.steps(
            "`{published:repo}` lists what is published there"
        )


@dataclass
class HubFailed(KnEditError):
    """The Hub did not do what it was asked. status: None where it did not even answer."""

    exit_code = ExitCode.NETWORK
    repo: str
    problem: str
    status: int | None = None

    def __str__(self) -> str:
        return f"{self.repo}: the Hub {self.problem}" + self.steps(AGAIN)


@dataclass
class NetworkFailed(KnEditError):
    """The operating system did not do something with a connection."""

    exit_code = ExitCode.NETWORK
    reason: str

    def __str__(self) -> str:
        return f"the network fails ({self.reason})" + self.steps(
            "check the connection", f"then {AGAIN}"
        )


@dataclass
class CommitUnclear(KnEditError):
    """A commit whose answer was lost, on a Hub that then says no more."""

    exit_code = ExitCode.NETWORK
    repo: str
    problem: str

    def __str__(self) -> str:
        return (
            f"nobody can tell yet whether {self.repo} has the new commit (the Hub {self.problem})"
        ) + self.steps("{again}, it looks before it commits")


@dataclass
class NotFinished(KnEditError):
    """A commit that was made, and something after it that was not."""

    exit_code = ExitCode.NETWORK
    repo: str
    commit: str
    left: str
    problem: str

    def __str__(self) -> str:
        return (
            f"{self.repo} has the commit {short(self.commit)}, but {self.left} is left to do "
            f"({self.problem})"
        ) + self.steps("{again} to finish, it makes no second commit")


@dataclass
class NotNoted(KnEditError):
    """A version that is published, of which the ledger could not take note."""

    exit_code = ExitCode.DISK
    repo: str
    commit: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.repo} has the commit {short(self.commit)}, but this ledger does not say so "
            f"({self.reason})"
        ) + self.steps("{again} to note it, it makes no second commit")


@dataclass
class RemoteMoved(KnEditError):
    """Somebody else committed to the branch between our look and our commit."""

    exit_code = ExitCode.CONFLICT
    repo: str
    branch: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return (
            f"somebody moved {self.repo} ({self.branch}) from {short(self.expected)} to "
            f"{short(self.actual)} meanwhile, so nothing was committed"
        ) + self.steps("look at what they did", "then {again}")


@dataclass
class TagTaken(KnEditError):
    """A tag on the Hub that names another commit."""

    exit_code = ExitCode.CONFLICT
    repo: str
    tag: str
    commit: str

    def __str__(self) -> str:
        return (
            f"the tag {self.tag} of {self.repo} stands at {short(self.commit)} already, and tags "
            "of releases do not move; choose another name"
        )


@dataclass
class NotPrivate(KnEditError):
    """A repository that everybody sees, where the user asked for a private one."""

    exit_code = ExitCode.CONFLICT
    repo: str

    def __str__(self) -> str:
        return f"{self.repo} exists and is public, so nothing was sent" + self.steps(
            "make it private in its settings", "or leave {private} out"
        )


@dataclass
class CardRefused(KnEditError):
    """The Hub finds fault with the metadata of the model card."""

    exit_code = ExitCode.ERROR
    repo: str
    faults: str

    def __str__(self) -> str:
        return (
            f"the Hub refuses the model card of {self.repo} ({self.faults}), so nothing was "
            "committed" + self.steps("name a license that it knows with {licence}")
        )


@dataclass
class FilesIgnored(KnEditError):
    """Files that the repository's own .gitignore keeps out."""

    exit_code = ExitCode.CONFLICT
    repo: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"the .gitignore of {self.repo} keeps out {listed(self.files)}, so nothing was "
            "committed; change it there, or push to another repository"
        )


@dataclass
class UploadDiffers(KnEditError):
    """What stands on the Hub is not what was sent."""

    exit_code = ExitCode.INTEGRITY
    repo: str
    commit: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"commit {short(self.commit)} of {self.repo} does not hold what was sent in "
            f"{listed(self.files)}; somebody may have changed it on the way, push again"
        )


@dataclass
class NotPublishable(KnEditError):
    """An edit whose record or numbers nobody could pull, so that it is not published."""

    exit_code = ExitCode.ERROR
    edit: str
    problem: str

    def __str__(self) -> str:
        return (
            f"edit {short(self.edit)} cannot be published, as nobody could pull it: {self.problem}"
            + self.steps("publish a version without it (`{revert}`)", "or make it again")
        )


@dataclass
class NoRecipe(KnEditError):
    """A repository, or a revision of it, that kn-edit did not publish."""

    exit_code = ExitCode.ERROR
    repo: str
    revision: str

    def __str__(self) -> str:
        return (
            f"{self.repo} at {self.revision} has no kn_edit.json, so it holds no edits to pull"
            + self.steps("name a repository that `{push!m}` made", "or start from it with `{init}`")
        )


@dataclass
class NotPublished(KnEditError):
    """A revision to roll back to that kn-edit did not make."""

    exit_code = ExitCode.ERROR
    repo: str
    revision: str

    def __str__(self) -> str:
        return (
            f"kn-edit did not publish {self.repo} at {self.revision}, so it cannot tell which "
            f"files to restore" + self.steps("`{published:repo}` lists what it published")
        )


@dataclass
class Diverged(KnEditError):
    """A pulled version that does not begin with the edits of the head."""

    exit_code = ExitCode.CONFLICT
    ref: str
    version: str
    head: str
    facts: tuple[str, ...] = ()  # that it answers otherwise than the head, by edits of its own

    def __str__(self) -> str:
        otherwise = f" (and answer {listed(self.facts, 2)} otherwise)" if self.facts else ""
        return (
            f"the edits of {self.ref} (version {short(self.version)}) do not begin with those of "
            f"the head {short(self.head)}{otherwise}, so the head stays"
            + self.steps("`{merge:ref}` joins both", "`{rewind:ref}` takes theirs")
        )
