"""Ctrl-C, SIGTERM and SIGHUP: a command unwinds, tidies up and says what it leaves behind."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SOON = 0.01  # seconds
_PYTHONS_OWN = (signal.SIG_DFL, signal.default_int_handler)


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command. `signum`: which one."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def signal_of(error: BaseException) -> int:
    """The signal behind a KeyboardInterrupt."""
    return getattr(error, "signum", signal.SIGINT)


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside the block the first of these signals raises Interrupted; the second ends at once.

    Signals that are ignored (nohup, a job in the background of a script) stay ignored, and
    handlers of a program that runs commands inside itself stay its own.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = {number: signal.getsignal(number) for number in STOPPING}
    ours = {number: former for number, former in ours.items() if former in _PYTHONS_OWN}

    def install() -> None:
        for number in ours:
            signal.signal(number, stop)

    def stop(signum: int, frame: FrameType | None) -> None:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)
        raise Interrupted(signum)

    def lost(unraisable: Any) -> None:
        """A signal came where Python cannot raise, as in __del__: it is given once more."""
        if isinstance(unraisable.exc_value, Interrupted):
            signal.signal(signal.SIGALRM, once_more)
            again.append(unraisable.exc_value.signum)
            signal.setitimer(signal.ITIMER_REAL, SOON)
        else:
            former_hook(unraisable)

    def once_more(signum: int, frame: FrameType | None) -> None:
        if any(caller.f_code is lost.__code__ for caller in _callers(frame)):
            signal.setitimer(signal.ITIMER_REAL, SOON)  # Python cannot raise here either
        else:
            raise Interrupted(again[0])

    again: list[int] = []
    former_hook, former_alarm = sys.unraisablehook, signal.getsignal(signal.SIGALRM)
    try:
        install()
        sys.unraisablehook = lost
        yield
    finally:
        sys.unraisablehook = former_hook
        if again:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former_alarm)
        for number, former in ours.items():
            signal.signal(number, former)


def _callers(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back
