"""How far long work is, on stderr: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import click

from kn_edit.cli import terminal
from kn_edit.safetext import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from kn_edit.workspace import Forecast

EVERY = 10.0  # seconds between the lines, at least
MOST = 60  # characters of what is being done
MOST_BESIDE_BAR = 32
TRUST = 0.1  # of a forecast is as much as its whole, before any of it was seen to be true


class Meter(Protocol):
    """Told what is done, how many steps of how many; of 0 where nobody knows.

    Stopped before anything is printed. expect: what comes, with how long it will take.
    """

    def __call__(self, task: str, done: int, total: int) -> None: ...

    def expect(self, forecast: Forecast | None) -> None: ...

    def stop(self) -> None: ...


def meter_for_stderr() -> Meter:
    """A bar where a person looks, else lines."""
    from rich.console import Console

    console = Console(stderr=True, width=terminal.width(), height=terminal.HEIGHT)
    return Bar(console) if console.is_terminal and not console.is_dumb_terminal else Lines()


def duration(seconds: float) -> str:
    """A time as people say it: `40 s`, `25 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def roughly(seconds: float) -> str:
    """A time that is not known exactly: at least `1 s`, from twenty on in tens."""
    return duration(max(seconds, 1.0) if seconds < 20 else round(seconds, -1))


@dataclass(frozen=True)
class Estimate:
    """How far some work is."""

    share: float | None  # of it that is done; None where nobody knows
    seconds_left: float | None
    step: int = 0  # how many are done, where nobody knows of how many

    def __str__(self) -> str:
        """As it goes on behind what is being done."""
        words = f", step {self.step}" if self.step else ""
        if self.share is not None:
            words += f": {self.share:.0%}"
        if self.seconds_left is not None:
            words += f", about {roughly(self.seconds_left)} left"
        return words or " ..."


class Course:
    """Tells how far work is from what it says of itself, part by part or with a forecast.

    A forecast is corrected by how long what is done took: if its first half took twice as long,
    so will the other.
    """

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._name, self._began = "", seconds()
        self._forecast: Forecast | None = None
        self._part, self._share = 0, 0.0

    def expect(self, forecast: Forecast | None) -> None:
        self._forecast, self._began = forecast, self._seconds()
        self._part, self._share = 0, 0.0

    def estimate(self, task: str, done: int, total: int) -> Estimate:
        now = self._seconds()
        if self._forecast is not None and self._forecast.seconds:
            return self._expected(self._forecast, task, done, total, now - self._began)
        if task != self._name:
            self._name, self._began = task, now
        if not total:
            return Estimate(None, None, done)
        seconds_left = (now - self._began) * (total - done) / done if done else None
        return Estimate(done / total, seconds_left)

    def _expected(
        self, forecast: Forecast, task: str, done: int, total: int, spent: float
    ) -> Estimate:
        parts = forecast.parts
        named = (
            index for index in range(self._part, len(parts)) if task.startswith(parts[index].name)
        )
        self._part = index = next(named, self._part)
        seconds = [part.seconds for part in parts]
        share, usual = 0.0, parts[index].steps
        if task.startswith(parts[index].name):
            share = done / total if total else 0.0
            if usual and done < 0.8 * usual:
                share = done / usual
            elif usual and total:  # it takes more steps than usual, and may need them all
                seconds[index] *= max(total / usual, 1.0)
            elif usual:
                share = min(done / usual, 0.9)
        total_seconds = sum(seconds)
        through = sum(seconds[:index]) + share * seconds[index]
        self._share = max(self._share, through / total_seconds)  # a bar does not go back
        pace = (spent + TRUST * total_seconds) / (through + TRUST * total_seconds)
        return Estimate(self._share, (total_seconds - through) * pace)


class Bar:
    """A bar with the time left. It goes away when the work is done."""

    def __init__(self, console: Console, seconds: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._course = Course(seconds)
        self._bars: Progress | None = None
        self._task: TaskID | None = None

    def expect(self, forecast: Forecast | None) -> None:
        self._course.expect(forecast)

    def __call__(self, task: str, done: int, total: int) -> None:
        estimate = self._course.estimate(task, done, total)
        name = shown(task, MOST_BESIDE_BAR)
        name = f"{name}, step {estimate.step}" if estimate.step else name
        time_left = (
            "" if estimate.seconds_left is None else f"{roughly(estimate.seconds_left)} left"
        )
        share = estimate.share
        if self._bars is None:
            self._bars = _bars(self._console)
            self._bars.start()
        if self._task is None:
            self._task = self._bars.add_task(name, total=None, left=time_left)
        self._bars.update(
            self._task,
            description=name,
            completed=share or 0,
            total=None if share is None else 1.0,
            left=time_left,
        )

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
        progress.BarColumn(bar_width=20),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[left]}", markup=False),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class Lines:
    """A line every ten seconds at most, for logs."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._last = seconds()
        self._course = Course(seconds)

    def expect(self, forecast: Forecast | None) -> None:
        self._course.expect(forecast)

    def __call__(self, task: str, done: int, total: int) -> None:
        estimate = self._course.estimate(task, done, total)
        now = self._seconds()
        if now - self._last < EVERY:
            return
        self._last = now
        with suppress(OSError):
            click.echo(f"{shown(task, MOST)}{estimate}", err=True)

    def stop(self) -> None:
        pass
