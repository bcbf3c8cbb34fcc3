"""Tokens of callers, and the sessions of browsers that signed in with one.

A token is shown once, when it is made. What is kept is its sha256, so who reads the database
cannot call the service.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Row, bindparam, select

from kn_edit.canonical import digest
from kn_edit.errors import BadTokenName, TokenExists, UnknownToken
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.service.access.roles import Caller, Role
from kn_edit.service.access.tables import metadata, sessions, tokens

PREFIX = "kne_"  # by which people and scanners of secrets know a token
SECRET_BYTES = 32
SESSION_SECONDS = 12 * 60 * 60.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = ("local",)
_BY_DIGEST = select(tokens).where(tokens.c.digest == bindparam("digest"))  # made once


@dataclass(frozen=True)
class Token:
    """What is known of a token. Times are seconds since 1970; expires, revoked: None for never"""

    name: str
    role: Role
    created: float
    expires: float | None
    revoked: float | None

    def valid(self, now: float) -> bool:
        """Whether it opens anything at a time."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class Tokens:
    """The tokens of a service."""

    def __init__(self, database: ServiceDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self.needed = False  # whether it was seen that a token was made

    def create(self, name: str, role: str, *, seconds: float | None) -> str:
        """Make a token, and give it: this once.

        role: reader, editor or publisher; seconds: until it expires; None for never
        Raises BadTokenName, TokenExists.
        """
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise BadTokenName(name)
        now = self._clock()
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        row = {
            "digest": _digest(secret),
            "name": name,
            "role": int(Role[role.upper()]),
            "created": now,
            "expires": None if seconds is None else now + seconds,
        }
        with self._database.writing() as connection:
            if connection.execute(select(tokens.c.name).where(tokens.c.name == name)).first():
                raise TokenExists(name)
            connection.execute(tokens.insert().values(**row))
        return secret

    def revoke(self, name: str) -> None:
        """Let a token open nothing from now on, nor the sessions that were opened by it.

        Raises UnknownToken.
        """
        with self._database.writing() as connection:
            row = connection.execute(select(tokens).where(tokens.c.name == name)).first()
            if row is None:
                raise UnknownToken(name)
            is_it = tokens.c.digest == row.digest
            if row.revoked is None:
                connection.execute(tokens.update().where(is_it).values(revoked=self._clock()))
            connection.execute(sessions.delete().where(sessions.c.token == row.digest))

    def tokens(self) -> list[Token]:
        """Every token that was ever made, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tokens).order_by(tokens.c.created)).all()
        return [_token(row) for row in rows]

    def any(self) -> bool:
        """Whether a token was ever made: from then on, nobody is let in without one.

        No token is ever unmade, so nobody looks again once there is one.
        """
        if not self.needed:
            with self._database.reading() as connection:
                row = connection.execute(select(tokens.c.name).limit(1)).first()
            self.needed = row is not None
        return self.needed

    def caller(self, secret: str) -> Caller | None:
        """Who has a token; None where it opens nothing."""
        with self._database.reading() as connection:
            row = connection.execute(_BY_DIGEST, {"digest": _digest(secret)}).first()
        return self._caller(row)

    def sign_in(self, secret: str) -> str | None:
        """Open a session of a browser by a token, and give its secret; None for no valid token."""
        if self.caller(secret) is None:
            return None
        now, session = self._clock(), secrets.token_urlsafe(SECRET_BYTES)
        row = {
            "digest": _digest(session),
            "token": _digest(secret),
            "expires": now + SESSION_SECONDS,
        }
        with self._database.writing() as connection:
            connection.execute(sessions.delete().where(sessions.c.expires < now))
            connection.execute(sessions.insert().values(**row))
        return session

    def in_session(self, session: str) -> Caller | None:
        """Who has a session; None where it is over, or its token opens nothing any more."""
        link = sessions.join(tokens, sessions.c.token == tokens.c.digest)
        is_it = (sessions.c.digest == _digest(session)) & (sessions.c.expires > self._clock())
        with self._database.reading() as connection:
            row = connection.execute(select(tokens).select_from(link).where(is_it)).first()
        return self._caller(row)

    def sign_out(self, session: str) -> None:
        """End a session."""
        with self._database.writing() as connection:
            connection.execute(sessions.delete().where(sessions.c.digest == _digest(session)))

    def _caller(self, row: Row[tuple[object, ...]] | None) -> Caller | None:
        if row is None:
            return None
        token = _token(row)
        return Caller(token.name, token.role) if token.valid(self._clock()) else None


@contextmanager
def tokens_in(folder: Path) -> Iterator[Tokens]:
    """The tokens of the service of the workspace in a folder. Raises as ServiceDatabase.of."""
    with closing(ServiceDatabase.of(folder, metadata)) as database:
        yield Tokens(database)


def _token(row: Row[tuple[object, ...]]) -> Token:
    return Token(row.name, Role(row.role), row.created, row.expires, row.revoked)


def _digest(secret: str) -> str:
    return digest(secret.encode("utf-8", "surrogatepass"))
