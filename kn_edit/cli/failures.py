"""Every failure becomes one sentence and an exit code, here and nowhere else."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeGuard
from urllib.parse import urlsplit

import click

from kn_edit.cli.advice import advice_json, tell_advice
from kn_edit.cli.remedies import COMMAND_LINE
from kn_edit.cli.signals import signal_of
from kn_edit.cli.stops import Stopped
from kn_edit.credentials import tokens_in_use
from kn_edit.errors import (
    BadEndpoint,
    ExitCode,
    KnEditError,
    NetworkFailed,
    NotText,
    OutOfMemory,
    SystemRefused,
    TooDeep,
    is_out_of_memory,
)
from kn_edit.errors.base import MAX_SENTENCE
from kn_edit.safetext import escaped, escaped_json, shown, struck

PROGRAM = "kn-edit"
DEBUG = "KN_EDIT_DEBUG"
BY_SIGNAL = 128  # shells add the number of the signal that ended a program
MAX_TRACEBACK = 200_000  # characters
MAX_USAGE = 380
WORDS = {  # "unexpected" is what we say of our own mistakes
    "Got unexpected extra argument (": "there is one argument too many (",
    "Got unexpected extra arguments (": "there are arguments too many (",
}


def tell(error: BaseException, *, as_json: bool) -> int:
    """Say what went wrong on stderr; the exit code."""
    if os.environ.get(DEBUG):
        _trace(error)
    error = as_own_error(error)
    if isinstance(error, KnEditError):
        return _tell_own(error, as_json)
    if isinstance(error, Stopped):
        code, detail = BY_SIGNAL + error.signum, {"head": error.head}
        return _say(_document("Stopped", code, str(error), detail), as_json)
    if isinstance(error, click.ClickException):
        return _say(_document("UsageError", ExitCode.USAGE, _usage(error)), as_json)
    words = shown(" ".join(str(error).split()), 300, *tokens_in_use()) or "no reason given"
    kind = type(error).__name__
    advice = f"run it again with {DEBUG}=1 to see where it comes from"
    document = _document(kind, ExitCode.ERROR, f"unexpected {kind}: {words}; {advice}")
    return _say(document, as_json)


def _tell_own(error: KnEditError, as_json: bool) -> int:
    document = error.document(COMMAND_LINE)
    if error.tries:
        document["detail"]["try"] = advice_json(error.tries)
    code = _say(document, as_json)
    if not as_json:
        tell_advice(error.tries, error.tries_are)
    return code


def _document(
    kind: str, code: int, message: str, detail: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """The document of what is no error of ours."""
    document = {"error": kind, "code": int(code), "message": message, "detail": detail or {}}
    return document | {"remedies": []}


def as_own_error(error: BaseException) -> BaseException:
    """The error of ours that says what one of Python's means; others as they are."""
    if isinstance(error, (KnEditError, Stopped, click.ClickException)):
        return error
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Stopped(None, signum=signal_of(error))
    if is_out_of_memory(error):
        return OutOfMemory()
    if isinstance(error, RecursionError):
        return TooDeep()
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop"):  # of pathlib
        return SystemRefused("a path", "it leads through links that lead to themselves")
    if isinstance(error, UnicodeError):
        return NotText(getattr(error, "reason", None) or "it cannot be encoded")
    if _is_of_network(error):
        return NetworkFailed(error.strerror or str(error) or type(error).__name__)
    if isinstance(error, OSError) and error.errno is not None:
        path = error.filename if error.filename is not None else "a file or a stream"
        name = os.fsdecode(path) if isinstance(path, (str, bytes)) else str(path)
        return SystemRefused(name, error.strerror or "no reason given")
    if isinstance(error, ValueError) and not _is_address(os.environ.get("HF_ENDPOINT", "")):
        return BadEndpoint(os.environ["HF_ENDPOINT"])  # huggingface_hub cannot even be imported
    return error


def _is_of_network(error: BaseException) -> TypeGuard[OSError]:
    """Whether it comes from a connection; the code that asks the Hub says more about its own."""
    if not isinstance(error, OSError) or error.filename is not None:
        return False
    modules = {kind.__module__ for kind in type(error).__mro__}  # loading them takes its time
    return isinstance(error, (ConnectionError, TimeoutError)) or bool(modules & {"socket", "ssl"})


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.port is None or bool(parts.hostname)
    except ValueError:
        return False


def _usage(error: click.ClickException) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    for theirs, ours in WORDS.items():
        message = message.replace(theirs, ours, 1)
    context = getattr(error, "ctx", None)
    command = context.command_path if context else PROGRAM
    words = shown(f"{message[:1].lower()}{message[1:]}", MAX_USAGE, *tokens_in_use())
    return f"{words}; see `{command} --help`"


def _say(document: dict[str, Any], as_json: bool) -> int:
    document["message"] = shown(document["message"], MAX_SENTENCE, *tokens_in_use())
    if as_json:
        line = escaped_json(json.dumps(document, default=str))
    else:
        prefix = "" if document["error"] == "Stopped" else f"{PROGRAM}: "
        line = f"{prefix}{document['message']}"
    with suppress(OSError, ValueError):  # nobody listens; the exit code says it
        click.echo(line, err=True)
    return int(document["code"])


def _trace(error: BaseException) -> None:
    """The traceback, of which nothing steers the terminal or gives a secret away."""
    text = "".join(traceback.format_exception(error))
    with suppress(OSError, ValueError):
        safe = escaped(struck(text, MAX_TRACEBACK, *tokens_in_use()), keep="\n")
        print(safe, end="", file=sys.stderr, flush=True)
