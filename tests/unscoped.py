"""Refuses SQL that reads or writes rows of a ledger without saying of which workspace.

`watch` looks at every statement of every engine while the tests run.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache

from sqlalchemy import Engine, event

from kn_edit.ledger.tables import metadata

TABLES = frozenset(metadata.tables) - {"workspaces"}
NAMED = re.compile(
    r'\b(FROM|JOIN|UPDATE|INTO|,)\s+"?(\w+)"?(?:\s+(?:AS\s+)?"?(?!WHERE|ON|SET|JOIN|LEFT|INNER|'
    r'ORDER|GROUP|UNION|LIMIT|VALUES)(\w+)"?)?',
    re.IGNORECASE,
)


class Unscoped(AssertionError):
    """A statement that could see rows of another workspace."""


@lru_cache(maxsize=4096)
def unscoped(sql: str) -> tuple[str, ...]:
    """The tables of a ledger, as the statement calls them, of which it names no workspace."""
    missing = []
    for word, table, alias in NAMED.findall(sql):
        if table not in TABLES:
            continue
        name = alias or table
        if word.upper() == "INTO":
            scoped = "workspace_id" in sql.partition(")")[0]
        else:
            own = rf'"?\b{name}"?\.workspace_id'
            scoped = bool(re.search(rf"{own}\s*=|=\s*{own}", sql))
        if not scoped:
            missing.append(name)
    return tuple(missing)


def refuse(connection, cursor, statement, parameters, context, executemany) -> None:
    missing = unscoped(statement)
    if missing and not _is_exempt():
        raise Unscoped(f"of no workspace: {', '.join(missing)} in {statement}")


def _is_exempt() -> bool:
    """Whether a function that means all workspaces asks, or a migration."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_name == "everywhere" or "alembic" in frame.f_code.co_filename:
            return True
        frame = frame.f_back
    return False


def watch() -> None:
    event.listen(Engine, "before_cursor_execute", refuse)
