"""Results of an experiment, a row each, in a file that grows as they come.

A run that was stopped goes on where it was. A file that other settings made is not mixed with new
rows: its first line says what made it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kn_edit.canonical import digest
from kn_edit.evaluation.report import made_folder, write
from kn_edit.progress import Progress
from kn_edit.untrusted import parse_json, read_bounded

Row = dict[str, Any]

MOST_BYTES = 64 << 20  # of a file; thousands of rows take a few


class Rows:
    """The rows of one experiment. The file is JSONL: its settings, then one row a line."""

    def __init__(self, file: Path, settings: Row) -> None:
        self._file = file
        self._settings = json.loads(json.dumps(settings))  # as it will be read back
        self._rows = self._read()
        self._writing = False

    def all(
        self, names: Sequence[str], make: Callable[[str], Row], progress: Progress
    ) -> list[Row]:
        """The rows of these names, in order; `make` is called for those that are not there yet."""

        def new_rows(missing: Sequence[str]) -> Iterator[tuple[str, Row]]:
            for name in missing:
                yield name, make(name)

        return self.filled(names, new_rows, progress)

    def filled(
        self,
        names: Sequence[str],
        make: Callable[[Sequence[str]], Iterator[tuple[str, Row]]],
        progress: Progress,
    ) -> list[Row]:
        """The rows of these names, in order; `make` gives those that are not there yet, in any."""
        title, missing = self._file.stem, [name for name in names if name not in self._rows]
        done = len(names) - len(missing)
        progress(title, done, len(names))
        for name, row in make(missing):
            self._add(name, row)
            done += 1
            progress(title, done, len(names))
        return [self._rows[name] for name in names]

    def _read(self) -> dict[str, Row]:
        try:
            lines = read_bounded(self._file, MOST_BYTES).splitlines()
        except FileNotFoundError:
            return {}
        entries = [parsed for line in lines if (parsed := _parsed(line)) is not None]
        if not entries or entries[0] != self._settings:
            return {}
        return {row["name"]: row["row"] for row in entries[1:] if row == _sealed(row)}

    def _add(self, name: str, row: Row) -> None:
        if not self._writing:
            self._begin()
        row = json.loads(json.dumps(row))
        with self._file.open("a", encoding="utf-8") as file:
            file.write(_line(_sealed({"name": name, "row": row})))
        self._rows[name] = row

    def _begin(self) -> None:
        """Write what is known anew: the half line of a stopped run would swallow the next row."""
        made_folder(self._file.parent)
        rows = (_sealed({"name": name, "row": row}) for name, row in self._rows.items())
        write(self._file, "".join(map(_line, (self._settings, *rows))))
        self._writing = True


def _line(value: Row) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _sealed(line: Row) -> Row:
    """A line with the digest of its name and row; one that was changed later is made anew."""
    content = json.dumps([line.get("name"), line.get("row")], sort_keys=True)
    return line | {"sha256": digest(content.encode())}


def _parsed(line: bytes) -> Row | None:
    """One line; None for the half of a line that a stopped run may leave at the end."""
    try:
        value = parse_json(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
