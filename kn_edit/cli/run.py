"""From arguments to an exit code: every failure becomes one sentence, here and nowhere else."""

from __future__ import annotations

import errno
import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress

import click
from click.shell_completion import shell_complete

from kn_edit.cli.commands import kn_edit
from kn_edit.cli.options import Stopped
from kn_edit.errors import ExitCode, KnEditError

PROGRAM = "kn-edit"
COMPLETE = "_KN_EDIT_COMPLETE"  # set by the scripts of `kn-edit completion`
DEBUG = "KN_EDIT_DEBUG"

STOPPED = 130  # what shells say of a program that Ctrl-C ended
READER_LEFT = 141  # and of one whose output nobody reads any more

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def run(args: Sequence[str]) -> int:
    """Run one command; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a stream that tests put there
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    instruction = os.environ.get(COMPLETE)
    if instruction:
        return shell_complete(kn_edit, {}, PROGRAM, COMPLETE, instruction)
    try:
        code = _invoke(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _leave_quietly()
        return READER_LEFT
    except (Exception, KeyboardInterrupt) as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        return _told(error, as_json="--json" in args)


def _invoke(args: Sequence[str]) -> int:
    try:
        with kn_edit.make_context(PROGRAM, list(args)) as context:
            kn_edit.invoke(context)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    return ExitCode.DONE


def _told(error: BaseException, as_json: bool) -> int:
    """Say what went wrong on stderr; the exit code."""
    if isinstance(error, KnEditError):
        return _say(type(error).__name__, error.exit_code, error.detail(), str(error), as_json)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        error = Stopped(None)
    if isinstance(error, Stopped):
        return _say("Stopped", STOPPED, {"head": error.head}, str(error), as_json)
    if isinstance(error, click.ClickException):
        return _say("UsageError", ExitCode.USAGE, {}, _usage(error), as_json)
    known = isinstance(error, OSError) and error.errno in _DISK
    code = ExitCode.DISK if known else ExitCode.ERROR
    words = " ".join(str(error).split()) or "no reason given"
    kind = type(error).__name__
    advice = f"run it again with {DEBUG}=1 to see where it comes from"
    return _say(kind, code, {}, f"unexpected {kind}: {words}; {advice}", as_json)


def _usage(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context else PROGRAM
    return f"{message[:1].lower()}{message[1:]}; see `{command} --help`"


def _say(kind: str, code: int, detail: Mapping[str, object], sentence: str, as_json: bool) -> int:
    if as_json:
        told = {"error": kind, "code": int(code), "message": sentence, "detail": detail}
        click.echo(json.dumps(told, default=str), err=True)
    else:
        stopped = code == STOPPED
        click.echo(sentence if stopped else f"{PROGRAM}: {sentence}", err=True)
    return int(code)


def _leave_quietly() -> None:
    """Nobody reads stdout any more; keep the interpreter from complaining when it flushes it."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
