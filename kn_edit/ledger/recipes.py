"""The list of edits of a version, packed, so that a hundred thousand edits cost milliseconds."""

from __future__ import annotations

import hashlib
import json
from binascii import hexlify, unhexlify
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from threading import Lock
from typing import Any, overload

WIDTH = 32  # bytes of an id
DIGITS = 2 * WIDTH
_AT_ONCE = 4096  # ids that are unpacked or compared together
_FEW = 24  # ids that are searched for one by one
_RECENT = 64  # states of a sha256 that are kept beside those at every so many ids

_growing = Lock()


class BadId(ValueError):
    """What stands in the place of an edit's id is no sha256."""


class _Line:
    """Ids one after the other, to which more may be appended; recipes are beginnings of it.

    So a line of versions, each with one edit more than the one before, is one list. It keeps
    states of the sha256 of its text, from which the id of a version near the end is soon told.
    """

    __slots__ = ("base", "data", "states")

    def __init__(self, data: bytes | bytearray = b"") -> None:
        self.data = data  # a bytearray as soon as something is appended
        self.base: str | None = None
        self.states: dict[int, Any] = {}  # by how many ids a state has taken in

    def digest(self, base: str, length: int) -> str:
        """The id of the version with this base and the first so many edits."""
        with _growing:
            if self.base != base:
                self.base, self.states = base, {0: _text_start(base)}
            first = max(count for count in self.states if count <= length)
            sha = self.states[first].copy()
            while first < length:
                last = min(first - first % _AT_ONCE + _AT_ONCE, length)
                ids = hexlify(self.data[first * WIDTH : last * WIDTH], b",", WIDTH)
                sha.update(b',"' if first else b'"')
                sha.update(ids.replace(b",", b'","'))
                sha.update(b'"')
                self.states[last] = sha.copy()
                first = last
            recent = [count for count in self.states if count % _AT_ONCE]
            for count in recent[:-_RECENT]:
                del self.states[count]
        sha.update(b"]}")
        return str(sha.hexdigest())

    def branch(self, data: bytes | bytearray, shared: int) -> _Line:
        """Another line, which begins with the same so many ids."""
        line = _Line(data)
        with _growing:
            line.base = self.base
            line.states = {n: sha for n, sha in self.states.items() if n <= shared}
        return line


def _text_start(base: str) -> Any:
    """The sha256 of the text before the first id: see `history.version_id`."""
    return hashlib.sha256(f'{{"base":{json.dumps(base)},"edits":['.encode())


class Recipe(Sequence[str]):
    """The ids of the edits of a version, in order: a sequence that is never changed.

    It equals a tuple of the same ids.
    """

    __slots__ = ("_length", "_line")

    def __init__(self, ids: Iterable[str] = ()) -> None:
        """A recipe of these ids. Raises BadId."""
        self._line = _Line(packed(ids))
        self._length = len(self._line.data) // WIDTH

    @classmethod
    def _of(cls, line: _Line, length: int) -> Recipe:
        recipe = cls.__new__(cls)
        recipe._line, recipe._length = line, length
        return recipe

    @classmethod
    def from_bytes(cls, data: bytes) -> Recipe:
        """A recipe of packed ids. Raises BadId."""
        if len(data) % WIDTH:
            raise BadId(f"{len(data)} bytes are no list of ids")
        return cls._of(_Line(data), len(data) // WIDTH)

    def to_bytes(self) -> bytes:
        """The ids, packed: 32 bytes each."""
        line, length = self._parts()
        return bytes(line.data[: length * WIDTH])

    def holds(self, data: bytes) -> bool:
        """Whether these packed ids are its own."""
        line, length = self._parts()
        return len(data) == length * WIDTH and line.data.startswith(data)

    def beginning(self, data: bytes) -> Recipe | None:
        """The recipe of these packed ids, where it begins with them; else None."""
        line, _ = self._parts()
        return Recipe._of(line, len(data) // WIDTH) if line.data.startswith(data) else None

    def version_id(self, base: str) -> str:
        """The id of the version that has this base and these edits."""
        line, length = self._parts()
        return line.digest(base, length)

    def appended(self, ids: Iterable[str]) -> Recipe:
        """The recipe with more edits at its end. Raises BadId."""
        return self.appended_bytes(packed(ids))

    def appended_bytes(self, data: bytes) -> Recipe:
        """The recipe with more edits at its end, packed ones."""
        if not data:
            return self
        line, length = self._parts()
        end, after = length * WIDTH, length + len(data) // WIDTH
        with _growing:
            if len(line.data) == end:
                if not isinstance(line.data, bytearray):
                    line.data = bytearray(line.data)
                line.data += data
            goes_on = line.data[end : end + len(data)] == data
        if not goes_on:  # it goes on with other edits already
            line = line.branch(line.data[:end] + data, length)
        return Recipe._of(line, after)

    def without(self, ids: Collection[str]) -> Recipe:
        """The recipe that lacks these edits, wherever they stand; those that it never had too."""
        places = sorted(self.places(ids).values())
        if not places:
            return self
        line, _ = self._parts()
        data = self.to_bytes()
        remaining = cut(data, places)
        return Recipe._of(line.branch(remaining, places[0]), len(remaining) // WIDTH)

    def places(self, ids: Collection[str]) -> dict[str, int]:
        """Where these edits stand, counted from 0; those that it lacks are left out."""
        if len(ids) <= _FEW:
            pairs = ((id_, self._find(id_)) for id_ in ids)
            return {id_: place for id_, place in pairs if place >= 0}
        wanted, length = set(ids), len(self)
        places: dict[str, int] = {}
        for first in range(0, length, _AT_ONCE):
            part = self._texts(first, min(first + _AT_ONCE, length))
            there = wanted.intersection(part)
            if len(there) <= _FEW:
                places |= {id_: first + part.index(id_) for id_ in there}
            else:
                places |= {id_: place for place, id_ in enumerate(part, first) if id_ in there}
        return places

    def common(self, recipe: Recipe) -> int:
        """How many edits both begin with."""
        (line, length), (other_line, other_length) = self._parts(), recipe._parts()
        most = min(length, other_length)
        return most if line is other_line else _common(line.data, other_line.data, 0, 0, most)

    def run(self, start: int, recipe: Recipe, recipe_start: int) -> int:
        """How many edits are the same in both from these places on."""
        (line, length), (other_line, other_length) = self._parts(), recipe._parts()
        most = min(length - start, other_length - recipe_start)
        return _common(line.data, other_line.data, start, recipe_start, most)

    def _parts(self) -> tuple[_Line, int]:
        return self._line, self._length

    def _find(self, id_: object) -> int:
        """The place of an edit; -1 where it is not."""
        try:
            needle = packed((id_,))
        except BadId:
            return -1
        line, length = self._parts()
        return place_of(needle, line.data, length)

    def __len__(self) -> int:
        _, length = self._parts()
        return length

    def __iter__(self) -> Iterator[str]:
        length = len(self)
        for first in range(0, length, _AT_ONCE):
            yield from self._texts(first, min(first + _AT_ONCE, length))

    def _texts(self, first: int, last: int) -> list[str]:
        line, _ = self._parts()
        return line.data[first * WIDTH : last * WIDTH].hex(",", WIDTH).split(",")

    def __contains__(self, id_: object) -> bool:
        return self._find(id_) >= 0

    def index(self, id_: object, start: int = 0, stop: int | None = None) -> int:
        """The place of an edit, counted from 0. Raises ValueError."""
        place = self._find(id_)
        if not start <= place < (len(self) if stop is None else stop):
            raise ValueError(f"{id_!r} is not in the recipe")
        return place

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> Recipe: ...

    def __getitem__(self, place: int | slice) -> str | Recipe:
        line, length = self._parts()
        if isinstance(place, int):
            offset = range(length)[place] * WIDTH
            return line.data[offset : offset + WIDTH].hex()
        first, last, step = place.indices(length)
        if (first, step) == (0, 1):
            return Recipe._of(line, max(0, last))
        return Recipe(self[index] for index in range(first, last, step))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Recipe):
            return len(self) == len(other) == self.common(other)
        if isinstance(other, tuple):
            return len(self) == len(other) and all(
                own_id == id_ for own_id, id_ in zip(self, other, strict=True)
            )
        return NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, ids: Iterable[str]) -> Recipe:
        return self.appended(ids)

    def __radd__(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        return ids + tuple(self)

    def __mul__(self, times: int) -> tuple[str, ...]:
        return tuple(self) * times

    def __repr__(self) -> str:
        return repr(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return Recipe.from_bytes, (self.to_bytes(),)


class LateRecipe(Recipe):
    """A recipe that is read when somebody looks at it: many are listed, and few are looked at."""

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[], Recipe]) -> None:
        """read: gives the recipe; what it raises, looking raises"""
        self._read: Callable[[], Recipe] | None = read

    def _parts(self) -> tuple[_Line, int]:
        read = self._read
        if read is not None:
            self._line, self._length = read()._parts()
            self._read = None
        return self._line, self._length


def packed(ids: Iterable[object]) -> bytes:
    """Ids of edits, 32 bytes each. Raises BadId for what is not 64 digits of a sha256."""
    if isinstance(ids, Recipe):
        return ids.to_bytes()
    ids = list(ids)
    if not all(isinstance(id_, str) and len(id_) == DIGITS for id_ in ids):
        raise BadId("an id has not 64 digits")
    text = "".join(str(id_) for id_ in ids)
    try:
        data = unhexlify(text)
    except ValueError as error:  # letters that are no digits, also those beyond ASCII
        raise BadId("an id is not made of digits") from error
    if data.hex() != text:
        raise BadId("an id has capital letters")
    return data


def place_of(id_: bytes, data: bytes | bytearray, length: int | None = None) -> int:
    """The place of a packed id among others, of which the first so many count; -1: not there."""
    end = len(data) if length is None else length * WIDTH
    offset = data.find(id_, 0, end)
    while offset % WIDTH and offset >= 0:
        offset = data.find(id_, offset + 1, end)
    return offset // WIDTH if offset >= 0 else -1


def cut(data: bytes, places: Iterable[int]) -> bytes:
    """Packed ids without those at these places."""
    ends = [place * WIDTH for place in sorted(places)]
    starts = [0, *(end + WIDTH for end in ends)]
    slices = zip(starts, [*ends, len(data)], strict=True)
    return b"".join(data[start:end] for start, end in slices)


def _common(
    data: bytes | bytearray, other_data: bytes | bytearray, start: int, other_start: int, most: int
) -> int:
    """How many ids are the same in two lists from these places on, at most so many."""
    count, step = 0, _AT_ONCE
    while count < most:
        step = min(step, most - count)
        offset, other_offset = (start + count) * WIDTH, (other_start + count) * WIDTH
        if (
            data[offset : offset + step * WIDTH]
            == other_data[other_offset : other_offset + step * WIDTH]
        ):
            count += step
        elif step == 1:
            break
        else:
            step = step // 2
            most = min(most, count + 2 * step + 1)
    return count
