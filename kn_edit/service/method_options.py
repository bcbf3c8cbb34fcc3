"""The options of editing methods as members of JSON, read from the table of methods."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import Field as DataclassField
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from kn_edit.errors import BadSetting, listed
from kn_edit.workspace import EditMethod, Kind, Option, methods, options_of, summary_of

MOST_TEXT = 2000  # characters of an option that is a text


def method_members(kind: Kind) -> dict[str, Any]:
    """`method`, and each option once, as members of a pydantic model; by the names of fields."""
    table = methods(kind)
    summaries = " ".join(f"{name}: {summary_of(method)}" for name, method in table.items())
    usual = next(iter(table))
    members: dict[str, Any] = {
        "method": (one_of(table) | None, Field(default=None, description=f"{summaries} ({usual})"))
    }
    for method in table.values():
        for name, (option, field) in options_of(method).items():
            member = Field(default=None, alias=_key(option), description=option.help)
            members[name] = (_type(option, field) | None, member)
    return members


def named_method(kind: Kind, arguments: BaseModel) -> EditMethod:
    """The method that arguments name, with its options.

    Raises BadSetting for an option that belongs to other methods, and for a bad value.
    """
    table = methods(kind)
    options_by_method = {name: options_of(method) for name, method in table.items()}
    every = {name: pair for options in options_by_method.values() for name, pair in options.items()}
    values = {name: value for name in every if (value := getattr(arguments, name)) is not None}
    implied = {
        method: _key(option)
        for method, options in options_by_method.items()
        for name, (option, _) in options.items()
        if option.implies and name in values
    }
    if len(implied) > 1:
        raise BadSetting("the ways to choose", listed(implied.values()), "one of them")
    usual = next(iter(implied), next(iter(table)))
    name = getattr(arguments, "method", None) or usual
    own_options = options_by_method[name]
    for option_name, value in values.items():
        if option_name not in own_options:
            owners = [method for method, names in options_by_method.items() if option_name in names]
            key = _key(every[option_name][0])
            raise BadSetting(key, value, f"it with the method {' or '.join(owners)}")
    read = {option: _value(own_options[option][0], value) for option, value in values.items()}
    return table[name](**read)


def _key(option: Option) -> str:
    """An option's name in JSON: its flag without dashes."""
    return option.flag.removeprefix("--").replace("-", "_")


def _type(option: Option, field: DataclassField[Any]) -> Any:
    default: Any = field.default
    if option.words is not None:
        return one_of(option.words)
    if option.read is not None:
        return Annotated[str, Field(max_length=MOST_TEXT)]
    if isinstance(default, tuple):
        number = Annotated[float, Field(allow_inf_nan=False)]
        return Annotated[list[number], Field(min_length=len(default), max_length=len(default))]
    if isinstance(default, bool):
        return bool
    if option.least is not None:
        return Annotated[int, Field(ge=option.least, le=10**9)]
    if option.above is not None:
        return Annotated[float, Field(gt=option.above, allow_inf_nan=False)]
    if isinstance(default, float):
        return Annotated[float, Field(allow_inf_nan=False)]
    return int if isinstance(default, int) else Annotated[str, Field(max_length=MOST_TEXT)]


def one_of(names: Iterable[str]) -> Any:
    """The type of a text that is one of these names."""
    return Literal[tuple(names)]


def _value(option: Option, value: Any) -> object:
    if option.words is not None:
        return option.words[value]
    if option.read is not None:
        return option.read(value)
    return tuple(value) if isinstance(value, list) else value
