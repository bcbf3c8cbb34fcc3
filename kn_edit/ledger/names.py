"""From what people type to ids: unique prefixes, branches, tags, `head`, `base`, `root`."""

from __future__ import annotations

import re
from collections.abc import Collection

from sqlalchemy import Column

from kn_edit.errors import (
    AmbiguousId,
    BadBranchName,
    BadTagName,
    BadWorkspaceName,
    ShortPrefix,
    UnknownId,
)
from kn_edit.ledger.connection import Connection, select
from kn_edit.ledger.events import head_id
from kn_edit.ledger.history import version_id
from kn_edit.ledger.reading import fingerprint
from kn_edit.ledger.records import BRANCH
from kn_edit.ledger.stored import DamagedRow, Row
from kn_edit.ledger.tables import edits, refs, versions
from kn_edit.untrusted import encodable

LEAST_DIGITS = 8
HEAD = "head"
ROOTS = ("base", "root")

_HEX = re.compile(r"[0-9a-f]+", re.IGNORECASE)
_TAG = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/-]*[A-Za-z0-9_-])?")


def root_id(connection: Connection) -> str:
    """The version without edits. Raises DamagedRow."""
    return version_id(fingerprint(connection), ())


def find_version(connection: Connection, name: str) -> str:
    """The id of a version by any of its names. Raises UnknownId, ShortPrefix, AmbiguousId."""
    if not isinstance(name, str):
        raise UnknownId("version", str(name))
    if name.lower() == HEAD:
        return head_id(connection)
    if name.lower() in ROOTS:
        return root_id(connection)
    if not encodable(name):
        raise UnknownId("version", name)
    ref = BRANCH if name.lower() == BRANCH else name
    named = connection.execute(select(refs.c.version_id).where(refs.c.name == ref)).first()
    if named is None:
        return _by_prefix(connection, versions.c.id, "version", name)
    return Row("refs", named._mapping).text("version_id")


def find_edit(connection: Connection, prefix: str) -> str:
    """The id of an edit by its first digits. Raises UnknownId, ShortPrefix, AmbiguousId."""
    return _by_prefix(connection, edits.c.id, "edit", prefix)


def check_tag(name: str) -> None:
    """Raise BadTagName for what git would refuse, or what could be read as something else."""
    reason = _fault(name, (HEAD, BRANCH, *ROOTS))
    if reason:
        raise BadTagName(str(name), reason)


def check_branch(name: str) -> None:
    """Raise BadBranchName for what no tag may be called either; `main` may be one again."""
    reason = _fault(name, (HEAD, *(() if name == BRANCH else (BRANCH,)), *ROOTS))
    if reason:
        raise BadBranchName(str(name), reason)


def check_workspace(name: str) -> None:
    """Raise BadWorkspaceName for what no branch could be called either, however long."""
    reason = _fault(name, ())
    if reason:
        raise BadWorkspaceName(str(name), reason)


def _fault(name: object, reserved: Collection[str]) -> str | None:
    """What is wrong with the name of a branch or a tag."""
    if not isinstance(name, str):
        return "it is not text"
    parts = name.split("/")
    if len(name) > 100:
        return "it is longer than 100 characters"
    if name.lower() in reserved:
        return "the name is reserved"
    if len(name) >= LEAST_DIGITS and _HEX.fullmatch(name):
        return "it looks like an id"
    if not _TAG.fullmatch(name) or ".." in name:
        return "it is not made of letters, digits, '-', '_', '/' and single dots"
    if any(not part or part.startswith(".") or part.endswith(".lock") for part in parts):
        return "a part of it is empty, begins with '.' or ends with '.lock'"
    return None


def _by_prefix(connection: Connection, column: Column[str], kind: str, prefix: str) -> str:
    typed = str(prefix).lower()
    if not isinstance(prefix, str) or not _HEX.fullmatch(typed):
        raise UnknownId(kind, str(prefix))
    if len(typed) < LEAST_DIGITS:
        raise ShortPrefix(prefix, LEAST_DIGITS)
    # A range, which the index answers: LIKE would look at every id. "g" comes after all digits.
    query = select(column).where(column >= typed, column < f"{typed}g").order_by(column)
    ids = connection.execute(query).scalars().all()
    if not all(isinstance(id_, str) for id_ in ids):
        raise DamagedRow(f"the id of one {kind} is not text")
    if not ids:
        raise UnknownId(kind, prefix)
    if len(ids) > 1:
        raise AmbiguousId(kind, prefix, tuple(ids))
    return str(ids[0])
