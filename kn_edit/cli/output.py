"""What a command prints: JSON, ids, or tables for people."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import click

from kn_edit.cli.progress import Meter, meter_for_stderr

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


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
        data: object,
        ids: Iterable[str],
        people: Callable[[], Iterable[RenderableType]],
    ) -> None:
        """Print a result. `data` for --json, `ids` for -q, else what `people` makes."""
        if self.as_json:
            self.document(data)
        elif self.quiet:
            self.ids(ids)
        else:
            self.people(people())

    def document(self, data: object) -> None:
        self.meter.stop()
        # Where stdout cannot hold every letter, JSON has its own way to write them.
        narrow = "utf" not in (sys.stdout.encoding or "").lower()
        click.echo(json.dumps(_finite(data), indent=2, ensure_ascii=narrow, allow_nan=False))

    def ids(self, ids: Iterable[str]) -> None:
        self.meter.stop()
        for one in ids:
            click.echo(one)

    def people(self, parts: Iterable[RenderableType]) -> None:
        """Print tables, which fit the width, and lines, which a terminal wraps by itself."""
        self.meter.stop()
        for part in parts:
            with self._console.capture() as captured:
                self._console.print(part, soft_wrap=isinstance(part, str))
            lines = captured.get().splitlines()
            sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))

    def notice(self, text: str) -> None:
        """Say something beside the result."""
        self.meter.stop()
        click.echo(f"note: {text}", err=True)

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console

        return Console(markup=False, highlight=False, emoji=False)


def _finite(value: object) -> object:
    """The same value without nan and inf, which JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
