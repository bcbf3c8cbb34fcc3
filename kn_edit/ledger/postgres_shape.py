"""The tables of a PostgreSQL database, compared with those that there must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    ForeignKeyConstraint,
    Table,
    UniqueConstraint,
    inspect,
    text,
)
from sqlalchemy.engine import Inspector

from kn_edit.ledger.stored import DamagedRow
from kn_edit.ledger.tables import metadata

_NAMES = (*metadata.tables, "alembic_version")
# Triggers, rules, policies and defaults of the tables, and views in their place. Foreign keys are
# triggers too, but internal ones.
_PROGRAMS = text(
    """
    WITH ours AS (
        SELECT c.oid, c.relname, c.relkind FROM pg_class c
        WHERE c.oid IN (SELECT to_regclass(name) FROM unnest(CAST(:names AS text[])) AS name)
    )
    SELECT 'trigger', t.tgname FROM pg_trigger t JOIN ours ON ours.oid = t.tgrelid
        WHERE NOT t.tgisinternal
    UNION ALL SELECT 'rule', r.rulename FROM pg_rewrite r JOIN ours ON ours.oid = r.ev_class
    UNION ALL SELECT 'policy', p.polname FROM pg_policy p JOIN ours ON ours.oid = p.polrelid
    UNION ALL SELECT 'default of table', relname FROM pg_attrdef d JOIN ours ON ours.oid = d.adrelid
    UNION ALL SELECT 'check', n.conname FROM pg_constraint n JOIN ours ON ours.oid = n.conrelid
        WHERE n.contype NOT IN ('p', 'u', 'f', 'n')
    UNION ALL SELECT 'view', relname FROM ours WHERE relkind NOT IN ('r', 'p')
    LIMIT 1
    """
)


def refuse_programs(connection: Connection) -> None:
    """Raise DamagedRow where the tables hold what would run, or hide rows, by itself.

    kn-edit makes no triggers, rules, policies, defaults or conditions; each can change or drop
    what was just recorded.
    """
    program = connection.execute(_PROGRAMS, {"names": list(_NAMES)}).first()
    if program is not None:
        kind, name = program
        raise DamagedRow(f"the {kind} {name} in it holds a program, and kn-edit makes none")


def broken_links(connection: Connection) -> Iterator[str]:
    """Links between tables that lead nowhere, though the server looks at each that it writes."""
    present = {*inspect(connection).get_table_names()}
    for table in metadata.sorted_tables:
        for link in _links(table):
            if not {table.name, link.referred_table.name} <= present:
                continue  # `faults` tells that
            target = link.referred_table
            pairs = [(element.parent.name, element.column.name) for element in link.elements]
            condition = " AND ".join(f"o.{theirs} = t.{ours}" for ours, theirs in pairs)
            named = " AND ".join(f"t.{ours} IS NOT NULL" for ours, _ in pairs)
            query = text(
                f"SELECT 1 FROM {table.name} t WHERE {named} AND NOT EXISTS "
                f"(SELECT 1 FROM {target.name} o WHERE {condition}) LIMIT 1"
            )
            if connection.execute(query).first() is not None:
                yield f"a row of {table.name} points at a missing row of {target.name}"


def faults(connection: Connection) -> Iterator[str]:
    """Which tables, columns, keys, links and indexes are missing or not as kn-edit makes them."""
    inspector = inspect(connection)
    present = {*inspector.get_table_names()}
    for table in metadata.sorted_tables:
        if table.name not in present:
            yield f"the table {table.name} is missing"
            continue
        if _columns_there(inspector, table.name) != _columns_wanted(connection, table):
            yield f"the table {table.name} is not as kn-edit makes it"
        if _keys_there(inspector, table.name) != _keys_wanted(table):
            yield f"the keys and links of the table {table.name} are not as kn-edit makes them"
        yield from _other_indexes(inspector, table)


def _columns_wanted(connection: Connection, table: Table) -> set[Any]:
    return {_column(connection, column) for column in table.columns}


def _column(connection: Connection, column: Column[Any]) -> tuple[str, str, bool]:
    return column.name, column.type.compile(connection.dialect), not column.nullable


def _columns_there(inspector: Inspector, table: str) -> set[Any]:
    return {
        (column["name"], column["type"].compile(inspector.dialect), not column["nullable"])
        for column in inspector.get_columns(table)
    }


def _keys_wanted(table: Table) -> tuple[Any, ...]:
    unique = [
        tuple(column.name for column in constraint.columns)
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    links = [
        (
            tuple(link.column_keys),
            link.referred_table.name,
            tuple(element.column.name for element in link.elements),
        )
        for link in _links(table)
    ]
    return [column.name for column in table.primary_key], sorted(unique), sorted(links)


def _keys_there(inspector: Inspector, table: str) -> tuple[Any, ...]:
    unique = [tuple(key["column_names"]) for key in inspector.get_unique_constraints(table)]
    links = [
        (
            tuple(link["constrained_columns"]),
            link["referred_table"],
            tuple(link["referred_columns"]),
        )
        for link in inspector.get_foreign_keys(table)
    ]
    key = inspector.get_pk_constraint(table)["constrained_columns"]
    return key, sorted(unique), sorted(links)


def _other_indexes(inspector: Inspector, table: Table) -> Iterator[str]:
    wanted = {str(index.name): [column.name for column in index.columns] for index in table.indexes}
    there = {
        str(index["name"]): index["column_names"]
        for index in inspector.get_indexes(table.name)
        if "duplicates_constraint" not in index
    }
    for name in sorted(wanted.keys() | there.keys()):
        if name not in there:
            yield f"the index {name} is missing"
        elif name not in wanted:
            yield f"the index {name} does not belong there"
        elif there[name] != wanted[name]:
            yield f"the index {name} is not as kn-edit makes it"


def _links(table: Table) -> list[ForeignKeyConstraint]:
    return [
        constraint
        for constraint in table.constraints
        if isinstance(constraint, ForeignKeyConstraint)
    ]
