"""The command that a user gave, written again with other options, to be pasted into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import click
from click.core import ParameterSource

from kn_edit.safetext import escaped, without_secrets

WIDTH = 76  # columns of a line, before it goes on behind a backslash
INDENT = "  "
MOST = 4000  # characters of a command
Options = Mapping[str, Sequence[str]]
_ESCAPES = {"\\": "\\\\", "'": "\\'"}


def again(
    context: click.Context,
    *,
    leave_out: Collection[str] = (),
    options: Options | None = None,
    raw: Mapping[str, str] | None = None,
) -> str:
    """The command of a context as it was given, some options left out and others put in.

    leave_out: names of parameters; options: by their long name, each with one value for every
    time that it is given, an empty text for a flag; raw: the same, one value each that is written
    as it is, for a shell to expand. Empty where the command would be too long.
    """
    added, expanded = options or {}, raw or {}
    out = {*leave_out, *(_name(option) for option in (*added, *expanded))}
    words = [[context.find_root().info_name or "kn-edit"]]
    for level in _levels(context):
        if level.parent is not None:
            words.append([level.info_name or ""])
        words += _parameters_given(level, out)
    words += [[name, value] if value else [name] for name in added for value in added[name]]
    groups = [" ".join(map(quoted, group)) for group in words]
    return _lines([*groups, *(f"{name} {value}" for name, value in expanded.items())])


def quoted(text: str) -> str:
    """A word for a POSIX shell; letters that draw nothing are written as bash reads them."""
    text = without_secrets(text)
    if escaped(text) == text:
        return shlex.quote(text)
    letters = "".join(_ESCAPES.get(letter) or escaped(letter) for letter in text)
    return f"$'{letters}'"


def _levels(context: click.Context) -> list[click.Context]:
    levels = [context]
    while (parent := levels[0].parent) is not None:
        levels.insert(0, parent)
    return levels


def _parameters_given(context: click.Context, leave_out: Collection[str]) -> Iterator[list[str]]:
    """The words of each parameter that stood in the command line, the arguments last."""
    parameters = sorted(
        context.command.get_params(context),
        key=lambda parameter: isinstance(parameter, click.Argument),
    )
    for parameter in parameters:
        name = parameter.name or ""
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if not ({name, _name(_long(parameter))} & {*leave_out}):
            yield from _words(parameter, context.params[name])


def _long(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len)


def _name(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _words(parameter: click.Parameter, value: Any) -> Iterator[list[str]]:
    if isinstance(parameter, click.Argument):
        yield [str(item) for item in (value if isinstance(value, tuple) else (value,))]
        return
    option = _long(parameter)
    if isinstance(parameter, click.Option) and parameter.is_flag:
        yield [option]
        return
    for item in value if parameter.multiple else (value,):
        yield [option, *map(_text, item if isinstance(item, tuple) else (item,))]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def _lines(groups: Sequence[str]) -> str:
    """Words on lines that are not too wide, an option and its value on the same one."""
    from rich.cells import cell_len

    lines = [""]
    for words in groups:
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(words) > WIDTH:
            lines.append(INDENT + words)
        else:
            lines[-1] = f"{lines[-1]} {words}" if lines[-1] else words
    command = " \\\n".join(lines)
    return command if len(command) <= MOST else ""
