"""How far long work is, on stderr: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import click

from kn_edit.cli import terminal
from kn_edit.safetext import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

EVERY = 30.0  # seconds between the lines
MOST = 60  # characters of what is being done


class Meter(Protocol):
    """Told what is done, how many steps of how many; of 0 where nobody knows.

    Stopped before anything is printed.
    """

    def __call__(self, what: str, done: int, total: int) -> None: ...

    def stop(self) -> None: ...


def meter_for_stderr() -> Meter:
    """A bar where a person looks, else lines."""
    from rich.console import Console

    console = Console(stderr=True, width=terminal.width(), height=terminal.HEIGHT)
    return Bar(console) if console.is_terminal and not console.is_dumb_terminal else Lines()


class Bar:
    """A bar with the time left. It goes away when the work is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._task: TaskID | None = None
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        what = shown(what, MOST)
        if self._bars is None:
            self._bars = _bars(self._console)
            self._bars.start()
        if self._task is None or what != self._what:
            if self._task is not None:
                self._bars.remove_task(self._task)
            self._task, self._what = self._bars.add_task(what, total=None), what
        name = what if total or not done else f"{what}, step {done}"
        self._bars.update(self._task, description=name, completed=done, total=total or None)

    def stop(self) -> None:
        if self._bars is not None:
            with suppress(OSError):  # the terminal may be gone
                self._bars.stop()
        self._bars = self._task = None


def _bars(console: Console) -> Progress:
    from rich import progress

    return progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(),
        progress.TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class Lines:
    """A line every half minute, for logs."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._last = self._began = seconds()
        self._what = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        now = self._seconds()
        if what != self._what:
            self._what, self._began = what, now
        if now - self._last < EVERY:
            return
        self._last = now
        with suppress(OSError):
            click.echo(shown(what, MOST) + _standing(done, total, now - self._began), err=True)

    def stop(self) -> None:
        pass


def _standing(done: int, total: int, spent: float) -> str:
    if not total:
        return f", step {done}" if done else " ..."
    left = f", about {spent * (total - done) / done:.0f} s left" if done else ""
    return f": {done / total:.0%}{left}"
