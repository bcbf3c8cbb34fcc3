"""The kinds of columns in a ledger, the same values in every database.

SQLite keeps the bytes of a text and 64 bits of a number, whatever a column is called. PostgreSQL
is told to do the same: text of any length that is compared byte by byte, numbers of 64 bits, and
JSON as the text that it was written as, since digests of rows cover that text.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy
from sqlalchemy import BigInteger, Dialect, Integer, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from kn_edit.ledger.stored import stored_json

POSTGRES = "postgresql"
BYTEWISE = "C"  # the collation of PostgreSQL that compares bytes


class _JsonText(TypeDecorator[Any]):
    """JSON in a column for text, written as SQLAlchemy writes it for SQLite."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else stored_json(value)


def label(letters: int) -> TypeEngine[str]:
    """Short text of a known form. letters: the most that kn-edit writes; no database counts them"""
    return String(letters).with_variant(Text(collation=BYTEWISE), POSTGRES)


TEXT: TypeEngine[str] = Text().with_variant(Text(collation=BYTEWISE), POSTGRES)
NUMBER: TypeEngine[int] = Integer().with_variant(BigInteger(), POSTGRES)
JSON: TypeEngine[Any] = sqlalchemy.JSON(none_as_null=True).with_variant(
    _JsonText(collation=BYTEWISE), POSTGRES
)
SHA256 = label(64)
MOMENT = label(32)  # ISO 8601, UTC
