"""From arguments to an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

from kn_edit.cli import terminal
from kn_edit.cli.commands import kn_edit
from kn_edit.cli.failures import BY_SIGNAL, PROGRAM, tell
from kn_edit.cli.signals import signal_of, stoppable
from kn_edit.errors import ExitCode, OutputLost, reason_of

PRINTERS = ("click.utils", terminal.__name__)  # modules that write to stdout for click
COMPLETE = "_KN_EDIT_COMPLETE"  # set by the scripts of `kn-edit completion`

STOPPED = 130  # what shells say of a program that Ctrl-C ended
READER_LEFT = 141  # and of one whose output nobody reads any more


def run(args: Sequence[str]) -> int:
    """Run one command; the exit code."""
    terminal.prepare_streams()
    instruction = os.environ.get(COMPLETE)
    if instruction:
        return shell_complete(kn_edit, {}, PROGRAM, COMPLETE, instruction)
    try:
        with stoppable():
            try:
                return _invoke(args)
            except (Exception, KeyboardInterrupt) as error:
                return _failed(error, as_json="--json" in args)
    except KeyboardInterrupt as error:  # while the failure was told
        return BY_SIGNAL + signal_of(error)


def _invoke(args: Sequence[str]) -> int:
    try:
        with kn_edit.make_context(PROGRAM, list(args)) as context:
            kn_edit.invoke(context)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    return ExitCode.DONE


def _failed(error: BaseException, *, as_json: bool) -> int:
    if isinstance(error, BrokenPipeError):
        terminal.abandon_stdout()
        return READER_LEFT
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        terminal.abandon_stdout()
    if isinstance(error, OSError) and _is_of_click(error):
        error = OutputLost(reason_of(error))
    return tell(error, as_json=as_json)


def _is_of_click(error: BaseException) -> bool:
    """Whether an error comes from what click prints by itself: help, version, completion."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__") in PRINTERS
