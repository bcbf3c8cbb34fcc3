"""Errors of the machine below: its disk, its memory, its terminals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kn_edit.errors.base import ExitCode, KnEditError

# What torch says of allocations that failed, where its error is a RuntimeError like others.
_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory", "ALLOC_FAILED")


def reason_of(error: OSError) -> str:
    """What the operating system says of a failure, to stand in a sentence."""
    return error.strerror or str(error)


@dataclass
class SystemRefused(KnEditError):
    """The operating system did not do something with a file."""

    exit_code = ExitCode.DISK
    path: str
    reason: str

    def __str__(self) -> str:
        return f"cannot use {self.path}: {self.reason}" + self.steps(
            "check the path, its permissions and the free space", "then {again}"
        )


@dataclass
class ExtraMissing(KnEditError):
    """A package that only some commands need is not installed.

    extra: of kn-edit, which brings it; package: that is missing
    """

    exit_code = ExitCode.USAGE
    extra: str
    package: str

    def __str__(self) -> str:
        return (
            f"the package {self.package} is not installed; install what this needs by "
            f"`pip install 'kn-edit[{self.extra}]'`"
        )


@dataclass
class WriteUnknown(KnEditError):
    """A file or folder of which the disk does not tell whether it stays.

    former: where that is now whose place it takes, if it may have been moved
    """

    exit_code = ExitCode.DISK
    path: Path
    reason: str
    former: Path | None = None

    def __str__(self) -> str:
        former = f" (what stood there before may be {self.former})" if self.former else ""
        return (
            f"the disk failed at the end of writing {self.path} ({self.reason}), and does not tell "
            f"whether it stays there; look at it before you try again{former}"
        )


@dataclass
class BadPath(KnEditError):
    """Text that no file or folder can be called by."""

    exit_code = ExitCode.USAGE
    what: str
    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.what} {self.path!r} cannot be used: {self.reason}; name a file or a folder"


@dataclass
class OutputLost(KnEditError):
    """What a command had to say could not be written."""

    exit_code = ExitCode.DISK
    reason: str

    def __str__(self) -> str:
        return f"the output could not be written: {self.reason}" + self.steps(
            "free some space, or send it elsewhere", "then {again}"
        )


@dataclass
class OutOfMemory(KnEditError):
    """An allocation that failed, or that would.

    device, dtype, weights: where a model was to run, in which number format, of how many bytes;
        empty and 0 where none was
    free: bytes that the device had left for it, or beside it; None where nobody tells
    loaded: whether its weights were there already, and the work beside them was too much
    fits: a number format in which it would take less; empty where there is none
    memory: what locating may take beside the weights so that it fits, `1500MB`; empty where
        nobody knows
    """

    exit_code = ExitCode.ERROR
    device: str = ""
    dtype: str = ""
    weights: int = 0
    free: int | None = None
    loaded: bool = False
    fits: str = ""
    memory: str = ""

    def __str__(self) -> str:
        if not self.device:
            return "the memory does not suffice; end other programs, or use a smaller model"
        model = f"the model's weights take {gigabytes(self.weights)} in {self.dtype}"
        has = "have" if "," in self.device else "has"
        if self.loaded:
            left = (
                "too little"
                if self.free is None
                else f"{gigabytes(self.free)}, which is too little"
            )
            problem = f"{model}, and {self.device} {has} {left} for the work beside them"
        else:
            left = "less" if self.free is None else gigabytes(self.free)
            problem = f"{model}, and {self.device} {has} {left} free"
        return f"the memory does not suffice: {problem}" + self.steps(*self._clauses())

    def _clauses(self) -> list[str]:
        clauses = ["pass {memory:memory}"] if self.memory else []
        if self.fits:
            clauses.append("or pass {dtype:fits}" if clauses else "pass {dtype:fits}")
        if self.device.startswith("cuda") and "," not in self.device:
            clauses.append("or spread it over all GPUs and the host with {device:=spread}")
        if "cpu" not in self.device:
            clauses.append("or run it on the host with {device:=cpu}")
        return [*clauses, "or end other programs there", "or use a smaller model"]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed: of Python, of torch on the host, or of a GPU."""
    if isinstance(error, MemoryError):
        return True
    names = {kind.__name__ for kind in type(error).__mro__}  # asking torch would take its import
    return isinstance(error, RuntimeError) and (
        "OutOfMemoryError" in names or any(words in str(error) for words in _NO_MEMORY)
    )


def gigabytes(size: int) -> str:
    """A number of bytes in words: `16.1 GB`, `512 MB`."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


@dataclass
class TooDeep(KnEditError):
    """Something that stands in itself, or in others, deeper than Python can follow."""

    exit_code = ExitCode.INTEGRITY

    def __str__(self) -> str:
        return "a file is nested deeper than anybody writes by hand" + self.steps(
            "fetch or make it again", "`{verify}` looks at those of the workspace"
        )


@dataclass
class NotText(KnEditError):
    """Bytes that are no UTF-8 where text is needed."""

    exit_code = ExitCode.USAGE
    reason: str

    def __str__(self) -> str:
        return f"a name or a text is not UTF-8 ({self.reason}); write it as UTF-8"


@dataclass
class ClusterUnsupported(KnEditError):
    """Workers of Ray were asked for, and it is not installed."""

    exit_code = ExitCode.USAGE

    def __str__(self) -> str:
        return "workers of Ray need a package that is missing; run: pip install 'kn-edit[ray]'"


@dataclass
class ClusterFailed(KnEditError):
    """Ray did not start, was not reached, or lost a worker again and again."""

    exit_code = ExitCode.ERROR
    place: str
    reason: str

    def __str__(self) -> str:
        return f"Ray failed on {self.place}: {self.reason}" + self.steps(
            "{again}, with fewer workers if memory is short, or without Ray: what was "
            "recorded stays"
        )
