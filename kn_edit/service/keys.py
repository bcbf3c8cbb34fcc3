"""Keys of requests, kept for a day: a request that is sent again is answered, not done, again.

They lie in the service's own database, beside the ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

from kn_edit.canonical import canonical_json, digest
from kn_edit.errors import KeyInUse, KeyReused
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.jobs.job import KEY_SECONDS

PATIENCE = 30.0  # seconds; a request without an answer for longer was cut off

metadata = MetaData()
_COLUMNS = (
    Column("id", String(64), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Column("status", Integer),
    Column("answer", Text),
)
_keys = Table("request_keys", metadata, *_COLUMNS)


@dataclass(frozen=True)
class KeptAnswer:
    """The answer that a request had. text: its JSON"""

    status: int
    text: str


@dataclass(frozen=True)
class RequestKey:
    """A key as a caller sent it, with what it was sent with.

    id: of the key, among those of all callers; request: digest of the request
    """

    key: str
    id: str
    request: str

    @classmethod
    def of(cls, caller: str, key: str, request: object) -> RequestKey:
        """The key of a caller; request: what must be the same where it is sent again, as JSON"""
        id_ = digest(canonical_json([caller, key]))
        return cls(key, id_, digest(canonical_json(request)))


class Keys:
    """The keys of a service's requests."""

    def __init__(self, database: ServiceDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def claim(self, key: RequestKey) -> bool:
        """Whether a key is new, and is the caller's from now on. Raises KeyReused."""
        now = self._clock()
        values = {"id": key.id, "request": key.request, "created": now}
        with self._database.writing() as connection:
            connection.execute(_keys.delete().where(_keys.c.created < now - KEY_SECONDS))
            row = connection.execute(_keys.select().where(_keys.c.id == key.id)).first()
            if row is None:
                connection.execute(_keys.insert().values(**values))
        if row is not None and row.request != key.request:
            raise KeyReused(key.key)
        return row is None

    def answer(self, key: RequestKey) -> KeptAnswer | None:
        """The answer of the request that a claimed key came with first.

        None where that was cut off, and may be done now. Raises KeyInUse while it is being done.
        """
        with self._database.reading() as connection:
            row = connection.execute(_keys.select().where(_keys.c.id == key.id)).first()
        if row is None:
            return None
        if row.answer is not None:
            return KeptAnswer(row.status, row.answer)
        if self._clock() - row.created < PATIENCE:
            raise KeyInUse(key.key)
        return None

    def keep(self, key: RequestKey, answer: KeptAnswer) -> None:
        """Keep the answer of a request."""
        changed = {"status": answer.status, "answer": answer.text}
        with self._database.writing() as connection:
            connection.execute(_keys.update().where(_keys.c.id == key.id).values(**changed))

    def release(self, key: RequestKey) -> None:
        """Give a key back of a request that was refused."""
        with self._database.writing() as connection:
            connection.execute(_keys.delete().where(_keys.c.id == key.id))
