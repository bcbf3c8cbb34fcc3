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
            f"another one with --port (0 takes one that is free)"
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
            f"address of this machine with --host, such as 127.0.0.1, and a port from 1024 on"
        )
