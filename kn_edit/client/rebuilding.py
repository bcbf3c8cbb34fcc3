"""Errors of the service as the errors that a workspace raises, made from problem documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import kn_edit.errors as errors
from kn_edit.errors import KnEditError, ServiceProblem

# Members of `detail` that are fields of an error by another name.
NAMED = {"measured": "result", "conflicts": "facts"}


def error_of(problem: Mapping[str, Any]) -> KnEditError:
    """The error that a problem document tells: of the class that it names, with its facts.

    ServiceProblem where this release has no such class, or the document lacks facts of it.
    """
    name = str(problem.get("error", ""))
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, KnEditError) and is_dataclass(kind):
        error = _rebuilt(kind, problem.get("detail"))
        if error is not None:
            return error
    status, title = problem.get("status", 0), problem.get("title", "no reason")
    return ServiceProblem(name or "an error", int(status), str(title))


def _rebuilt(kind: type[KnEditError], detail: object) -> KnEditError | None:
    """An error with its facts from a document; None where some that it needs are missing."""
    facts = dict(detail) if isinstance(detail, Mapping) else {}
    facts |= {field: facts[name] for name, field in NAMED.items() if name in facts}
    values = {}
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in facts:
            values[field.name] = _immutable(facts[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            return None
    try:
        error = kind(**values)
        str(error)
    except (TypeError, ValueError, LookupError, AttributeError):
        return None  # a release whose facts have another form
    return error


def _immutable(value: object) -> object:
    """A fact as errors hold it: lists as tuples, objects in lists as rows of their members."""
    if not isinstance(value, list):
        return value
    return tuple(
        tuple(_members(entry)) if isinstance(entry, Mapping) else _immutable(entry)
        for entry in value
    )


def _members(entry: Mapping[str, Any]) -> Iterator[object]:
    for member in entry.values():
        if isinstance(member, Mapping):
            yield from _members(member)
        else:
            yield member
