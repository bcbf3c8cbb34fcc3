"""The tables of jobs, in the database of the service."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

metadata = MetaData()


class JsonText(TypeDecorator[Any]):
    """JSON as Python writes it, in a text: PostgreSQL's own types refuse a measure that is NaN."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: object) -> str | None:
        """The text of a value; NULL for None."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: object) -> Any:
        """The value of a text."""
        return None if value is None else json.loads(value)


_JSON = JSON(none_as_null=True).with_variant(JsonText(), "postgresql")

# number: in the order of submission; worker: the name of the one that runs it, or ran it
# moves: of branches, which were about to be recorded; who finds a dead worker looks for them
_COLUMNS = (
    Column("number", Integer, primary_key=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("verb", String, nullable=False),
    Column("arguments", _JSON, nullable=False),
    Column("branch", String),
    Column("expected_head", String),
    Column("by", String, nullable=False),
    Column("key", String, unique=True),
    Column("state", String, nullable=False),
    Column("cancelling", Boolean, nullable=False, default=False),
    Column("created", String, nullable=False),
    Column("started", String),
    Column("ended", String),
    Column("worker", String),
    Column("task", String),
    Column("steps_done", Integer, nullable=False, default=0),
    Column("steps", Integer, nullable=False, default=0),
    Column("moves", _JSON, nullable=False, default=list),
    Column("result", _JSON),
    Column("error", _JSON),
)
jobs = Table("jobs", metadata, *_COLUMNS, sqlite_autoincrement=True)

_RUNNING = text("state = 'running' AND branch IS NOT NULL")

# The database itself refuses a second running job on a branch.
one_runs = Index(
    "one_runs_on_a_branch",
    jobs.c.branch,
    unique=True,
    sqlite_where=_RUNNING,
    postgresql_where=_RUNNING,
)
by_state = Index("jobs_by_state", jobs.c.state, jobs.c.number)

log_lines = Table(
    "job_log",
    metadata,
    Column("job", ForeignKey(jobs.c.number), primary_key=True),
    Column("line", Integer, primary_key=True),
    Column("text", String, nullable=False),
)
