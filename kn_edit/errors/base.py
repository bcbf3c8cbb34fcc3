"""What every error has: facts, one sentence with the next step, an exit code."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import ClassVar


class ExitCode(IntEnum):
    """What `kn-edit` returns to the shell."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    CONFLICT = 3
    INTEGRITY = 4
    NETWORK = 5
    NEWER_SCHEMA = 6
    DISK = 7
    QUALITY_GATE = 8


class KnEditError(Exception):
    """Base of every error that a user can cause. Subclasses are dataclasses of their facts."""

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR

    def detail(self) -> dict[str, object]:
        """The facts of the error as plain values, for `--json`."""
        if not is_dataclass(self):
            return {}
        return {name: _plain(value) for name, value in asdict(self).items()}


def listed(items: object, limit: int = 8) -> str:
    """`a, b and 3 more`: a readable list for an error sentence."""
    words = [str(item) for item in items]  # type: ignore[attr-defined]
    if len(words) > limit:
        words = [*words[:limit], f"{len(words) - limit} more"]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)
