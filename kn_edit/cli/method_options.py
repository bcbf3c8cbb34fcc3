"""The options of editing methods, read from the table of methods when a command is parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field
from typing import Any

import click

from kn_edit.cli.options import finite
from kn_edit.workspace import EditMethod, Kind, Option, methods, options_of, summary_of

METHOD = "method"
Options = Mapping[str, tuple["Option", Field[Any]]]


class MethodCommand(click.Command):
    """A command with `--method` and the options of every method of its kind."""

    kind: Kind
    after: str  # the parameter behind which they stand in --help

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        parameters = super().get_params(ctx)
        place = [parameter.name for parameter in parameters].index(self.after) + 1
        return [*parameters[:place], *_parameters(self.kind), *parameters[place:]]


def method_command(kind: Kind, after: str) -> type[MethodCommand]:
    """The class of a command for the methods of a kind; after: a parameter of its own."""
    return type("MethodCommand", (MethodCommand,), {"kind": kind, "after": after})


def chosen_method(kind: Kind, parameters: dict[str, Any]) -> EditMethod:
    """The method that options name, with its own among them, which are taken out of `parameters`.

    Raises UsageError for an option that belongs to other methods, BadSetting for a bad value.
    """
    table = methods(kind)
    options_by_method = {name: options_of(method) for name, method in table.items()}
    named: str | None = parameters.pop(METHOD)
    names = dict.fromkeys(name for options in options_by_method.values() for name in options)
    texts = {name: parameters.pop(name) for name in names}
    values = {name: value for name, value in texts.items() if value is not None}
    name = named or _implied(options_by_method, values) or next(iter(table))
    for option in values:
        if option not in options_by_method[name]:
            owners = [method for method, options in options_by_method.items() if option in options]
            flag = options_by_method[owners[0]][option][0].flag
            raise click.UsageError(f"{flag} belongs to --method {' or '.join(owners)}")
    read = {
        option: _value(options_by_method[name][option][0], text) for option, text in values.items()
    }
    return table[name](**read)


def _implied(options_by_method: Mapping[str, Options], values: Mapping[str, Any]) -> str | None:
    """The method whose options imply it. Raises UsageError where two are implied."""
    implied = {
        method: option[0].flag
        for method, options in options_by_method.items()
        for name, option in options.items()
        if option[0].implies and name in values
    }
    if len(implied) > 1:
        flags = " and ".join(implied.values())
        raise click.UsageError(f"{flags} are two ways to choose; give one")
    return next(iter(implied), None)


def _parameters(kind: Kind) -> Iterator[click.Parameter]:
    """`--method`, and each option once, whatever methods have it."""
    table = methods(kind)
    summaries = " ".join(f"{name}: {summary_of(method)}" for name, method in table.items())
    yield click.Option(
        [f"--{METHOD}"], type=click.Choice(list(table)), help=f"{summaries} ({next(iter(table))})"
    )
    for name, (option, field) in {
        name: pair for method in table.values() for name, pair in options_of(method).items()
    }.items():
        yield _parameter(name, option, field)


def _parameter(name: str, option: Option, field: Field[Any]) -> click.Option:
    default: Any = field.default
    declared = [option.flag, name]
    if default is False and option.words is None:
        return click.Option(declared, is_flag=True, default=None, help=option.help)
    several = isinstance(default, tuple) and option.read is None
    return click.Option(
        declared,
        type=_type(option, default[0] if several else default),
        nargs=len(default) if several else 1,
        metavar=option.metavar,
        callback=finite if _is_float(default[0] if several else default) else None,
        help=option.help,
    )


def _type(option: Option, default: object) -> click.ParamType[Any]:
    if option.words is not None:
        return click.Choice(list(option.words))
    if option.least is not None:
        return click.IntRange(option.least)
    if option.above is not None:
        return click.FloatRange(option.above, min_open=True)
    if option.read is None and _is_float(default):
        return click.FLOAT
    return click.INT if isinstance(default, int) else click.STRING


def _is_float(value: object) -> bool:
    return isinstance(value, float)


def _value(option: Option, text: Any) -> object:
    if option.words is not None:
        return option.words[text]
    return text if option.read is None else option.read(text)
