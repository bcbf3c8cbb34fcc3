"""The tables of access, in the service's own database."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Integer, String, Table

from kn_edit.jobs.callers import audit, metadata

__all__ = ["audit", "metadata", "sessions", "tokens"]


# digest: the sha256 of the token. A token is 256 random bits, so nobody finds one by trying, and
# a slow digest, as for passwords that people choose, would only make each request slower.
_TOKENS = (
    Column("digest", String(64), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("role", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
)
tokens = Table("tokens", metadata, *_TOKENS)

_SESSIONS = (
    Column("digest", String(64), primary_key=True),
    Column("token", String(64), ForeignKey("tokens.digest"), nullable=False),
    Column("expires", Float, nullable=False),
)
sessions = Table("sessions", metadata, *_SESSIONS)
