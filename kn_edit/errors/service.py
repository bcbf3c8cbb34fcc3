"""Errors about requests to the service, before a verb begins."""

from __future__ import annotations

from dataclasses import dataclass

from kn_edit.canonical import short
from kn_edit.errors.base import ExitCode, KnEditError, listed


@dataclass
class BadArguments(KnEditError):
    """Arguments of a verb that are missing, unknown, or too large.

    problems: where in the arguments, and what is wrong there
    """

    exit_code = ExitCode.USAGE
    verb: str
    problems: tuple[tuple[str, str], ...]

    def detail(self) -> dict[str, object]:
        return {
            "verb": self.verb,
            "problems": [{"at": place, "problem": problem} for place, problem in self.problems],
        }

    def __str__(self) -> str:
        sentences = listed([f"{place}: {problem}" for place, problem in self.problems], 3)
        return f"{self.verb} cannot be called so: {sentences}; correct it and send it again"


@dataclass
class HeadNotNamed(KnEditError):
    """A write over HTTP that does not say which version it builds on."""

    exit_code = ExitCode.USAGE
    branch: str
    version: str

    def __str__(self) -> str:
        return (
            f"the write does not say which version it builds on; send the version of branch "
            f"{self.branch}, {short(self.version)}..., whole and in quotes as If-Match"
        )


@dataclass
class KeyReused(KnEditError):
    """An Idempotency-Key that came with another request before."""

    exit_code = ExitCode.USAGE
    key: str

    def __str__(self) -> str:
        return f"the key {self.key!r} came with another request before; choose a new one"


@dataclass
class KeyInUse(KnEditError):
    """An Idempotency-Key of a request that is being answered."""

    exit_code = ExitCode.CONFLICT
    key: str

    def __str__(self) -> str:
        return f"the request with the key {self.key!r} is not answered yet; send it again later"


@dataclass
class NoQueue(KnEditError):
    """A service that was started without a queue of jobs."""

    def __str__(self) -> str:
        return "this service keeps no jobs; start it by `kn-edit serve`"


@dataclass
class NotReady(KnEditError):
    """A service that cannot do its work. part: what is missing: ledger, jobs, workers

    cause: the name of the error; empty where no worker lives
    """

    part: str
    cause: str = ""

    def __str__(self) -> str:
        if self.cause:
            return (
                f"the service is not ready: its {self.part} cannot be read ({self.cause}); its log "
                "says why, and `kn-edit verify` looks at everything"
            )
        return (
            "the service is not ready: no worker runs its jobs; start one by `kn-edit worker`, or "
            "look in the log why those of `kn-edit serve` end"
        )


@dataclass
class ServiceStopping(KnEditError):
    """A request that was not answered when the service stopped. retry_after: seconds"""

    retry_after: int = 5

    def __str__(self) -> str:
        return (
            f"the service stops, and has no time to answer; ask again in {self.retry_after} s, and "
            "look at the jobs for what was submitted"
        )


@dataclass
class ExportsNotAllowed(KnEditError):
    """An export over HTTP, where the settings name no folder for exports."""

    settings: str

    def __str__(self) -> str:
        return (
            f"no folder for exports is named; write one into {self.settings} on the server: "
            '[serve] exports = "FOLDER"'
        )


@dataclass
class RepositoryNotAllowed(KnEditError):
    """A push over HTTP to a repository that the settings do not name."""

    repo: str
    allowed: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"this service may push to {listed(self.allowed)}, not to {self.repo}; add it to the "
            "list in kn-edit.toml on the server: [serve] push"
        )


@dataclass
class ServiceProblem(KnEditError):
    """A problem that a service told, and that this release has no error for.

    status: of HTTP; 0 where the answer had none
    """

    name: str
    status: int
    reason: str

    def __str__(self) -> str:
        return f"the service answered {self.status} ({self.name}): {self.reason}"


@dataclass
class ServiceUnreachable(KnEditError):
    """A service that does not answer, or not as one."""

    exit_code = ExitCode.NETWORK
    url: str
    reason: str

    def __str__(self) -> str:
        return (
            f"there is no answer from the service at {self.url}: {self.reason}; start it by "
            f"`kn-edit serve`, or correct the address"
        )


@dataclass
class PortTaken(KnEditError):
    """A port on which another program listens."""

    exit_code = ExitCode.CONFLICT
    host: str
    port: int

    def __str__(self) -> str:
        return (
            f"another program listens on port {self.port} of {self.host}; stop it, or choose "
            f"another port (0 takes one that is free)"
        )


@dataclass
class AddressUnusable(KnEditError):
    """An address on which this machine cannot listen."""

    exit_code = ExitCode.USAGE
    host: str
    port: int
    reason: str

    def __str__(self) -> str:
        return (
            f"nothing can listen on port {self.port} of {self.host}: {self.reason}; choose an "
            f"address of this machine, such as 127.0.0.1, and a port from 1024 on"
        )


@dataclass
class NotSignedIn(KnEditError):
    """A request that needs a token, and has none that is valid."""

    exit_code = ExitCode.USAGE

    def __str__(self) -> str:
        return "this needs a token that is valid" + self.steps(
            "{token}", "or ask whoever runs the service to make one"
        )


@dataclass
class UnknownProposal(KnEditError):
    """An id that no edit that was tried out has, or none that is still kept."""

    exit_code = ExitCode.USAGE
    id: str

    def __str__(self) -> str:
        return (
            f"there is no proposal {self.id!r} that could be recorded, or not any more: the newest "
            "of a week are kept; try the edit out again"
        )


@dataclass
class RoleTooLow(KnEditError):
    """A caller that may not do what it asks for. role: that it has; needed: that it takes"""

    exit_code = ExitCode.USAGE
    caller: str
    role: str
    needed: str

    def __str__(self) -> str:
        return (
            f"the role of {self.caller} is {self.role}, and this takes {self.needed}; "
            "ask for a token of that role from whoever runs the service"
        )


@dataclass
class HostNotServed(KnEditError):
    """A request for a name that this service does not go by."""

    exit_code = ExitCode.USAGE
    host: str

    def __str__(self) -> str:
        return (
            f"the service does not go by the name {self.host!r}; call it by its address, or add "
            "the name to hosts in the [serve] of kn-edit.toml"
        )


@dataclass
class ForeignPage(KnEditError):
    """A request that may change something, sent by a page of somebody else."""

    exit_code = ExitCode.USAGE

    def __str__(self) -> str:
        return (
            "the request comes from a page that is not of this service, so it is not done; open "
            "the service's own page, or send a token as `Authorization: Bearer TOKEN`"
        )


@dataclass
class BodyTooLarge(KnEditError):
    """A request with more in it than is taken. most: bytes"""

    exit_code = ExitCode.USAGE
    most: int

    def __str__(self) -> str:
        return f"the request is larger than {self.most:,} bytes, or its length is unclear; split it"


@dataclass
class BodyTooSlow(KnEditError):
    """A request that did not come to its end in time."""

    exit_code = ExitCode.USAGE
    seconds: float

    def __str__(self) -> str:
        return f"the request did not come within {self.seconds:.0f} seconds; send it again at once"


@dataclass
class TooManyRequests(KnEditError):
    """A caller that asks faster than it may. retry_after: seconds"""

    exit_code = ExitCode.CONFLICT
    retry_after: int

    def __str__(self) -> str:
        return f"there are too many requests; send the next one in {self.retry_after} s"


@dataclass
class BadTokenName(KnEditError):
    """A name that no token can have."""

    exit_code = ExitCode.USAGE
    name: str

    def __str__(self) -> str:
        return (
            f"no token can be called {self.name!r}; use up to 64 letters, digits, dots, dashes and "
            "underlines, and not `local`"
        )


@dataclass
class TokenExists(KnEditError):
    """A name that a token has already, maybe one that was revoked."""

    exit_code = ExitCode.CONFLICT
    name: str

    def __str__(self) -> str:
        return f"there was a token {self.name} already; choose a name that was never used"


@dataclass
class UnknownToken(KnEditError):
    """A name that no token has."""

    exit_code = ExitCode.USAGE
    name: str

    def __str__(self) -> str:
        return f"there is no token {self.name}; `kn-edit token list` shows those that there are"


@dataclass
class TokensNeeded(KnEditError):
    """An address that others reach, and no token by which they could be told apart."""

    exit_code = ExitCode.USAGE
    address: str

    def __str__(self) -> str:
        return (
            f"others can reach {self.address}, so callers need tokens, and there is none; make one "
            "by `kn-edit token create NAME`, then start again"
        )
