"""Read files and JSON that strangers wrote: regular files only, every size bounded beforehand.

A checkpoint, a workspace or a file of facts may come from anywhere. A named pipe would block for
ever, `/dev/zero` never ends, sixty megabytes of `[]` become gigabytes of lists, and deep nesting
ends in a RecursionError somewhere else. So all of it is refused here, before it costs anything.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

MAX_VALUES = 1_000_000  # of one JSON text: a list of as many takes some 60 MB
MAX_DEPTH = 100
CHUNK = 1 << 20
MOST_PATH_BYTES = 4096  # of a path on Linux, its end included
MOST_NAME_BYTES = 255


class JsonProblem(ValueError):
    """What is wrong with a JSON text, in words; callers know where it stands."""


def path_of(named: str | os.PathLike[str]) -> Path:
    """A file or folder as users name it: text or a path, `~` for the home folder."""
    path = Path(named)
    with suppress(RuntimeError):  # ~somebody, whom this system does not know
        path = path.expanduser()
    return path


def path_problem(path: str) -> str:
    """Why no file can be called so; empty where one can."""
    if not path:
        return "it is empty"
    if "\0" in path:
        return "it holds a NUL character"
    try:
        data = os.fsencode(path)
    except UnicodeError:
        return "its characters cannot be in the name of a file"
    if len(data) >= MOST_PATH_BYTES:
        return f"it has {len(data):,} bytes, {MOST_PATH_BYTES - 1:,} are possible"
    longest = max(map(len, data.split(b"/")))
    if longest > MOST_NAME_BYTES:
        return f"a name in it has {longest:,} bytes, {MOST_NAME_BYTES} are possible"
    return ""


@contextmanager
def open_regular(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading; links are followed. Raises OSError for anything else.

    Neither a named pipe nor a device is ever opened: opening one can block, or do something.
    """
    _require_regular(path.stat(), path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        _require_regular(os.fstat(descriptor), path)  # it may have been exchanged meanwhile
        yield file


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file of at most so many. Raises OSError, also for a larger one."""
    with open_regular(path) as file:
        return read_at_most(file, max_bytes, path)


def read_at_most(file: IO[bytes], max_bytes: int, path: Path) -> bytes:
    """What an open file or pipe still holds, if that is at most so much. Raises OSError."""
    data = bytearray()
    # Not all at once: a read of so many bytes would first take so much memory.
    while len(data) <= max_bytes and (chunk := file.read(min(CHUNK, max_bytes + 1 - len(data)))):
        data += chunk
    if len(data) > max_bytes:
        raise OSError(errno.EFBIG, f"it is larger than the {max_bytes:,} bytes allowed", str(path))
    return bytes(data)


def parse_json(
    text: str | bytes, *, max_values: int = MAX_VALUES, max_depth: int = MAX_DEPTH
) -> Any:
    """The value of a JSON text in which no object repeats a key. Raises JsonProblem.

    The number of values is bounded before anything is parsed, by counting what separates them.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError:
            raise JsonProblem("it is not UTF-8") from None
    if text.count(",") + text.count("[") + text.count("{") > max_values:
        raise JsonProblem(f"it holds more than {max_values:,} values")
    try:
        value = json.loads(text, object_pairs_hook=unique_members)
    except json.JSONDecodeError as error:
        raise JsonProblem(f"it is not valid JSON ({error.msg}, line {error.lineno})") from None
    except RecursionError:
        raise JsonProblem(f"it is nested more than {max_depth} deep") from None
    except ValueError as error:
        raise JsonProblem(str(error)) from None
    if nested_deeper(value, max_depth):
        raise JsonProblem(f"it is nested more than {max_depth} deep")
    return value


def parse_object(
    text: str | bytes, *, max_values: int = MAX_VALUES, max_depth: int = MAX_DEPTH
) -> dict[str, Any]:
    """The members of a JSON text that is one object of whole characters. Raises JsonProblem."""
    value = parse_json(text, max_values=max_values, max_depth=max_depth)
    if not isinstance(value, dict):
        raise JsonProblem("it is not an object")
    if not encodable(value):
        raise JsonProblem("it holds half a character")
    return value


def encodable(value: object) -> bool:
    """Whether every text inside a JSON value is made of whole characters: no lone surrogates."""
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, dict):
        return all(map(encodable, value)) and all(map(encodable, value.values()))
    return not isinstance(value, list) or all(map(encodable, value))


def nested_deeper(value: object, depth: int) -> bool:
    """Whether lists and objects stand in each other more than so many deep."""
    level = [value]
    for _ in range(depth):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: object) -> list[Any]:
    """The lists and objects right inside a list or an object."""
    if isinstance(value, dict):
        members = list(value.values())
    elif isinstance(value, list):
        members = value
    else:
        return []
    return [member for member in members if isinstance(member, (list, dict))]


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The members of a JSON object, for a decoder. Raises JsonProblem where a key is repeated."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonProblem("an object repeats a key")
    return members


def _require_regular(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
