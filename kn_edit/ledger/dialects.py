"""The databases that a ledger can lie in, by the name that a URL gives them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from kn_edit.errors import DriverMissing, UnsupportedDatabase
from kn_edit.later import later
from kn_edit.ledger.dialect import Dialect
from kn_edit.ledger.sqlite_file import SQLiteFile
from kn_edit.safetext import without_secrets

if TYPE_CHECKING:
    from kn_edit.ledger import postgres
else:
    postgres = later("kn_edit.ledger.postgres")

_USER = re.compile(r".*@", re.DOTALL)  # who, and with which password, in what is no URL

# Each makes a dialect of a URL. Raises ValueError, which says why it cannot.
DIALECTS: dict[str, Callable[[URL], Dialect]] = {
    "sqlite": SQLiteFile.from_url,
    "postgresql": lambda url: postgres.PostgresDatabase.from_url(url),
}
_EXTRAS = {"postgresql": "postgres"}  # extras of kn-edit that bring a driver


def dialect_of(url: str | URL) -> Dialect:
    """The database that a SQLAlchemy URL names; nothing is opened.

    Raises UnsupportedDatabase, DriverMissing.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: of a port that is no number
        raise _unsupported(_USER.sub("…@", str(url)), "it is no URL of a database") from None
    name = parsed.get_backend_name()
    make = DIALECTS.get(name)
    if make is None:
        raise _unsupported(without_password(parsed), f"kn-edit has no dialect {name}")
    try:
        return make(parsed)
    except ValueError as error:
        raise _unsupported(without_password(parsed), str(error)) from None
    except ImportError:
        raise DriverMissing(without_password(parsed), _EXTRAS.get(name, name)) from None


def without_password(url: URL) -> str:
    """A URL as it may be shown: without its password, and options, which may hold one."""
    return without_secrets(url.set(query={}).render_as_string(hide_password=True))


def _unsupported(url: str, reason: str) -> UnsupportedDatabase:
    return UnsupportedDatabase(without_secrets(url), reason, tuple(DIALECTS))
