"""Edits that were tried out, kept so that they can be recorded as they were measured.

They lie in the service's own database, beside the ledger: the newest ones, for a week.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Float, Integer, LargeBinary, MetaData, String, Table, Text

from kn_edit.errors import UnknownProposal
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.workspace import Edited, MeasuredEdit, Workspace, to_json

Plain = dict[str, Any]
KEPT_SECONDS = 7 * 24 * 60 * 60.0
MOST = 100  # proposals that are kept

metadata = MetaData()
_COLUMNS = (
    Column("number", Integer, primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("created", Float, nullable=False),
    Column("edit", Text, nullable=False),
    Column("delta", LargeBinary, nullable=False),
    Column("result", Text, nullable=False),
)
_proposals = Table("proposals", metadata, *_COLUMNS, sqlite_autoincrement=True)


@dataclass(frozen=True, eq=False)
class Proposal:
    """An edit that was tried out. result: what that gave, as JSON"""

    edit: MeasuredEdit
    result: Plain


class Proposals:
    """The proposals of a workspace."""

    def __init__(self, database: ServiceDatabase, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def keep(self, proposal: Proposal) -> str:
        """Keep a proposal, and give its id. Old ones go."""
        id_, now = secrets.token_hex(16), self._clock()
        row = {
            "id": id_,
            "created": now,
            "edit": json.dumps(proposal.edit.document()),
            "delta": proposal.edit.delta.to_bytes(),
            "result": json.dumps(proposal.result),
        }
        with self._database.writing() as connection:
            number = connection.execute(_proposals.insert().values(**row)).inserted_primary_key
            beyond = _proposals.c.number <= (number or (0,))[0] - MOST
            old = beyond | (_proposals.c.created < now - KEPT_SECONDS)
            connection.execute(_proposals.delete().where(old))
        return id_

    def proposal(self, id: str) -> Proposal:
        """A proposal. Raises UnknownProposal, DeltaDigestDiffers."""
        is_kept = _proposals.c.created >= self._clock() - KEPT_SECONDS
        query = _proposals.select().where((_proposals.c.id == id) & is_kept)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise UnknownProposal(id)
        return Proposal(MeasuredEdit.read(json.loads(row.edit), row.delta), json.loads(row.result))


def keep_proposal(workspace: Workspace, edited: Edited) -> Plain:
    """An edit that is not recorded, as JSON, with the id by which it can be."""
    result = to_json.edited(edited)
    with _proposals_of(workspace) as proposals:
        id_ = proposals.keep(Proposal(MeasuredEdit.of(edited), result))
    return result | {"proposal": id_}


def recorded(workspace: Workspace, id: str, *, accept: bool) -> Plain:
    """Record a proposal, and give what an update gives. accept: although the gate refuses it

    Raises UnknownProposal, and what `Workspace.record` raises.
    """
    with _proposals_of(workspace) as proposals:
        proposal = proposals.proposal(id)
    version = workspace.record(proposal.edit, accept=accept)
    return proposal.result | {"edit": proposal.edit.delta.id, "version": version.id}


@contextmanager
def _proposals_of(workspace: Workspace) -> Iterator[Proposals]:
    with closing(ServiceDatabase.of(workspace.folder, metadata)) as database:
        yield Proposals(database)
