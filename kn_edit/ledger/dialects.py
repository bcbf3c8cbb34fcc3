"""The databases that a ledger can lie in, by the name that a URL gives them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

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
    parsed, make = _parsed(url)
    try:
        return make(parsed)
    except ValueError as error:
        raise _unsupported(without_password(parsed), str(error)) from None
    except ImportError:
        extra = _EXTRAS.get(parsed.get_backend_name(), "")
        raise DriverMissing(without_password(parsed), extra) from None


def public_url(url: str, *, options: bool = False) -> str:
    """A URL without its password. Raises UnsupportedDatabase.

    options: with what stands behind its question mark, which no dialect takes a password from
    """
    parsed, _ = _parsed(url)
    if not options:
        return without_password(parsed)
    query = {name: value for name, value in parsed.query.items() if name != "password"}
    return bare_url(parsed, query).render_as_string()


def is_same_database(url: str, other_url: str, *, exactly: bool = False) -> bool:
    """Whether two URLs name one database, whoever logs in. exactly: with the same login"""
    urls = [_parsed(each)[0] for each in (url, other_url)]
    first, second = (each if exactly else _place(each) for each in urls)
    return first == second


def with_login_of(url: str, login: str | None) -> str:
    """A URL with the user and the password of another one, if that names the same database.

    Raises UnsupportedDatabase.
    """
    if not login or not is_same_database(url, login):
        return url
    return login


def _place(url: URL) -> tuple[object, ...]:
    host = url.host or url.query.get("host") or "localhost"
    return url.get_backend_name(), host, url.port, url.database, url.query.get("options")


def bare_url(url: URL, query: Mapping[str, Any]) -> URL:
    """A URL with other options and without its password, which `URL.set` would leave in it."""
    return URL.create(
        url.drivername,
        username=url.username,
        host=url.host,
        port=url.port,
        database=url.database,
        query=query,
    )


def without_password(url: URL) -> str:
    """A URL as it may be shown: without its password, and options, which may hold one."""
    return without_secrets(url.set(query={}).render_as_string(hide_password=True))


def _parsed(url: str | URL) -> tuple[URL, Callable[[URL], Dialect]]:
    """A URL, and what makes a dialect of it. Raises UnsupportedDatabase."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # ValueError: of a port that is no number
        raise _unsupported(_USER.sub("…@", str(url)), "it is no URL of a database") from None
    name = parsed.get_backend_name()
    make = DIALECTS.get(name)
    if make is None:
        raise _unsupported(without_password(parsed), f"kn-edit has no dialect {name}")
    return parsed, make


def _unsupported(url: str, reason: str) -> UnsupportedDatabase:
    return UnsupportedDatabase(without_secrets(url), reason, tuple(DIALECTS))
