"""Errors of object storage: addresses, keys, rights, servers that fail."""

from __future__ import annotations

from dataclasses import dataclass

from kn_edit.errors.base import ExitCode, KnEditError

KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to one in ~/.aws"


@dataclass
class BadObjectAddress(KnEditError):
    """Text that is no address of object storage."""

    exit_code = ExitCode.USAGE
    address: str
    reason: str

    def __str__(self) -> str:
        return f"{self.address!r} cannot be used: {self.reason}; write s3://bucket/prefix"


@dataclass
class BadObjectEndpoint(KnEditError):
    """An address of a server that is none."""

    exit_code = ExitCode.USAGE
    address: str

    def __str__(self) -> str:
        return (
            f"the endpoint of object storage is no address: {self.address!r}; set "
            "AWS_ENDPOINT_URL to one such as https://host:9000, or unset it for Amazon's own"
        )


@dataclass
class ObjectsUnsupported(KnEditError):
    """Object storage was named, and the package that reaches it is not installed."""

    exit_code = ExitCode.USAGE
    place: str

    def __str__(self) -> str:
        return f"{self.place} needs a package that is missing; run: pip install 'kn-edit[s3]'"


@dataclass
class ObjectKeysMissing(KnEditError):
    """Neither the environment nor a file gives keys for object storage."""

    exit_code = ExitCode.NETWORK
    place: str
    profile: str

    def __str__(self) -> str:
        return (
            f"no keys for {self.place}: the environment has none, and neither has the profile "
            f"{self.profile} in the files of AWS; {KEYS}"
        )


@dataclass
class ObjectAccessDenied(KnEditError):
    """The server does not know the keys, or they do not allow what was asked."""

    exit_code = ExitCode.NETWORK
    place: str
    reason: str

    def __str__(self) -> str:
        return (
            f"access to {self.place} is denied ({self.reason}); {KEYS} that may list, read, write "
            "and delete there, and check AWS_ENDPOINT_URL"
        )


@dataclass
class BucketMissing(KnEditError):
    """A bucket that the server does not have."""

    exit_code = ExitCode.NETWORK
    place: str
    server: str

    def __str__(self) -> str:
        return (
            f"there is no bucket of {self.place} on {self.server}; make it, or check the name, "
            "AWS_ENDPOINT_URL and AWS_REGION"
        )


@dataclass
class ObjectStoreFailed(KnEditError):
    """A server of object storage did not do what it was asked, or did not answer."""

    exit_code = ExitCode.NETWORK
    place: str
    server: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place} cannot be reached on {self.server}: {self.reason}" + self.steps(
            "check the connection and AWS_ENDPOINT_URL", "then {again}"
        )


@dataclass
class ObjectsInTheWay(KnEditError):
    """An export to a place in object storage where something lies.

    unfinished: whether it is another export, which is under way or was cut off
    """

    exit_code = ExitCode.USAGE
    place: str
    unfinished: bool

    def __str__(self) -> str:
        if self.unfinished:
            return (
                f"{self.place} holds an export that is under way, or was cut off; export to "
                f"another prefix, or delete what lies there if nobody works on it"
            )
        return f"{self.place} holds objects already; export to another prefix"


@dataclass
class BlobsTaken(KnEditError):
    """A place in object storage where the deltas of another ledger lie."""

    exit_code = ExitCode.CONFLICT
    place: str

    def __str__(self) -> str:
        return (
            f"{self.place} is the store of another ledger, which would remove what only this one "
            f"needs; choose another prefix, or delete {self.place}/owner if no ledger uses it"
        )
