"""What a command prints: JSON, ids, or tables for people. None of it can steer a terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import IO, TYPE_CHECKING, cast

import click

from kn_edit.canonical import finite
from kn_edit.cli import terminal
from kn_edit.cli.progress import Meter, meter_for_stderr
from kn_edit.cli.remedies import COMMAND_LINE
from kn_edit.credentials import tokens_in_use
from kn_edit.errors import KnEditError, OutputLost
from kn_edit.errors.base import MAX_SENTENCE
from kn_edit.safetext import escaped, escaped_json, shortened, shown

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

MOST_LINE = 4000  # characters of a line for people, or of an id
STYLE = re.compile(r"(\x1b\[[0-9;]*m)")  # what rich itself writes where there are colours


class Output:
    """Where a command's results go, in the form that the user asked for."""

    def __init__(self, as_json: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.quiet = quiet and not as_json

    @cached_property
    def meter(self) -> Meter:
        return meter_for_stderr()

    def show(
        self,
        data: object | Callable[[], object],
        ids: Iterable[str],
        text: Callable[[], Iterable[RenderableType]],
        done: str = "",
    ) -> None:
        """Print a result. `data`, or what it returns, for --json, `ids` for -q, else `text`.

        done: what the command has finished, in words. Then a report that cannot be made or
        written is no failure, and is told on stderr. Raises OutputLost otherwise, and
        BrokenPipeError.
        """
        try:
            if self.as_json:
                self.document(data() if callable(data) else data)
            elif self.quiet:
                self.ids(ids)
            else:
                self.text(text())
        except Exception as error:
            if not done:
                raise
            self.lost(done, error)

    def lost(self, done: str, error: Exception) -> None:
        """Tell that something is done, though its report failed."""
        error = error.worded(COMMAND_LINE) if isinstance(error, KnEditError) else error
        reason = str(error) or type(error).__name__
        if isinstance(error, (OutputLost, BrokenPipeError)):
            terminal.abandon_stdout()
            reason = error.reason if isinstance(error, OutputLost) else "nobody reads it"
        self.notice(f"{done}; only the report of it could not be written: {reason}")

    def document(self, data: object) -> None:
        self.meter.stop()
        _write(f"{_json(data, indent=2)}\n")

    def ids(self, ids: Iterable[str]) -> None:
        self.meter.stop()
        for id_ in ids:
            _write(f"{_line(id_)}\n")

    def text(self, parts: Iterable[RenderableType]) -> None:
        """Print tables, which fit the width, and lines, which a terminal wraps by itself."""
        self.meter.stop()
        for part in parts:
            plain = isinstance(part, str)
            with self._console.capture() as captured:
                self._console.print(_line(part) if isinstance(part, str) else part, soft_wrap=plain)
            lines = _harmless(captured.get()).splitlines()
            _write("".join(f"{line.rstrip()}\n" for line in lines))

    def notice(self, text: str) -> None:
        """Say something beside the result, on stderr."""
        self.meter.stop()
        with suppress(OSError):  # of a note alone no command fails
            click.echo(f"note: {shown(text, MAX_SENTENCE, *tokens_in_use())}", err=True)

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(
            file=cast(IO[str], terminal.Measured()),
            markup=False,
            highlight=False,
            emoji=False,
            width=terminal.width(),
            height=terminal.HEIGHT,
        )


@dataclass
class JsonList:
    """A JSON list on stdout, a member a line, each written when it is known.

    Every line but the last is one character, then a whole object, so that a list that was cut off
    can be read as well.
    """

    members: int = 0
    failure: Exception | None = None  # of stdout; what is computed meanwhile is not stopped by it

    def add(self, output: Output, member: object) -> None:
        mark, self.members = "," if self.members else "[", self.members + 1
        self._write(output, f"{mark}{_json(member)}\n")

    def close(self, output: Output, done: str) -> None:
        """End the list. done: what was finished, in words, if the list could not be written."""
        self._write(output, "]\n" if self.members else "[]\n")
        if self.failure is not None:
            output.lost(done, self.failure)

    def _write(self, output: Output, text: str) -> None:
        output.meter.stop()
        if self.failure is None:
            try:
                _write(text)
            except (OutputLost, BrokenPipeError) as error:
                self.failure = error


def _json(data: object, indent: int | None = None) -> str:
    # Where stdout cannot hold every letter, JSON has its own way to write them.
    narrow = "utf" not in (sys.stdout.encoding or "").lower()
    text = json.dumps(finite(data), indent=indent, ensure_ascii=narrow, allow_nan=False)
    return escaped_json(text)


def _line(text: str) -> str:
    return shortened(escaped(text), MOST_LINE)


def _harmless(text: str) -> str:
    """What rich laid out, with nothing in it that steers a terminal but rich's own colours."""
    parts = STYLE.split(text)
    return "".join(
        part if number % 2 else escaped(part, keep="\n") for number, part in enumerate(parts)
    )


def _write(text: str) -> None:
    """Write to stdout, now. Raises OutputLost, BrokenPipeError."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        raise OutputLost(getattr(error, "strerror", None) or str(error)) from error
