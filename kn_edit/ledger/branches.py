"""Branches: names that edits move on. All of it runs in the caller's one transaction.

A branch is a row of `refs`; the kind of the current one says so. Each change of a branch's name is
an event, from which `verify` knows what has to stand there.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, update

from kn_edit.errors import BranchExists, BranchIsCurrent, NameTaken, OnlyThere, UnknownBranch
from kn_edit.ledger import events, journal, lists, names
from kn_edit.ledger.connection import Connection
from kn_edit.ledger.reading import all_refs, fingerprint
from kn_edit.ledger.records import BranchRecord, Ref
from kn_edit.ledger.tables import refs

_WORDS = {"tag": "tag", "remote": "pulled version"}  # for kinds of refs


def find(connection: Connection, name: str) -> Ref:
    """A branch by its name, or the current one by `head`. Raises UnknownBranch."""
    if name.lower() == names.HEAD:
        return events.current_branch(connection)
    named = next((ref for ref in all_refs(connection) if ref.name == name), None)
    if named is None or named.kind != "branch":
        raise UnknownBranch(name, _WORDS[named.kind] if named else None)
    return named


def described(connection: Connection) -> list[BranchRecord]:
    """Every branch by name, with its last edit and its last move."""
    branches = [ref for ref in all_refs(connection) if ref.kind == "branch"]
    base = fingerprint(connection)
    records = []
    for ref in branches:
        recipe = lists.read(connection, base, ref.version)
        moved = journal.last_move(connection, ref.name)
        records.append(
            BranchRecord(
                name=ref.name,
                version=ref.version,
                current=ref.current,
                edits=len(recipe),
                edit=recipe[-1] if recipe else None,
                message=moved.message if moved else "",
                moved=moved.created if moved else "",
            )
        )
    return records


def make(connection: Connection, name: str, version_name: str, now: str) -> Ref:
    """Make a branch at a version, by any name of that.

    Raises BadBranchName, BranchExists, NameTaken, UnknownId.
    """
    _require_free(connection, name)
    version = names.find_version(connection, version_name)
    start = next((ref for ref in all_refs(connection) if _is_branch(ref, version_name)), None)
    where = journal.made_at(version) if start is None else journal.started(start.name)
    return _place(connection, name, version, f"branch {name} {where}", now)


def switch(connection: Connection, name: str, now: str) -> Ref:
    """Make a branch the current one. Raises UnknownBranch."""
    branch, former = find(connection, name), events.current_branch(connection)
    if branch.name == former.name:
        return former
    for ref_name, kind in ((former.name, "branch"), (branch.name, events.CURRENT)):
        connection.execute(update(refs).where(refs.c.name == ref_name).values(kind=kind))
    _note(connection, journal.SWITCH, branch, f"switch from {former.name} to {branch.name}", now)
    return Ref(branch.name, "branch", branch.version, current=True)


def remove(connection: Connection, name: str, force: bool, now: str) -> Ref:
    """Remove a branch; edits and versions stay, with their ids.

    Raises UnknownBranch, BranchIsCurrent, and OnlyThere unless it is forced.
    """
    branch = find(connection, name)
    if branch.current:
        raise BranchIsCurrent(branch.name)
    only = () if force else _only_there(connection, branch)
    if only:
        raise OnlyThere(branch.name, only)
    _drop(connection, branch, f"delete branch {branch.name}", now)
    return branch


def rename(connection: Connection, name: str, to: str, now: str) -> Ref:
    """Give a branch another name. Raises UnknownBranch, BranchExists, NameTaken."""
    branch = find(connection, name)
    _require_free(connection, to)
    _place(connection, to, branch.version, f"branch {to} {journal.started(branch.name)}", now)
    if branch.current:
        switch(connection, to, now)
    _drop(connection, branch, f"rename branch {branch.name} to {to}", now)
    return Ref(to, "branch", branch.version, branch.current)


def _is_branch(ref: Ref, name: str) -> bool:
    if ref.kind != "branch":
        return False
    return ref.current if name.lower() == names.HEAD else ref.name == name


def _require_free(connection: Connection, name: str) -> None:
    """Raise BadBranchName, BranchExists or NameTaken for what no branch can be called."""
    names.check_branch(name)
    for ref in all_refs(connection):
        if ref.name == name:
            raise BranchExists(name) if ref.kind == "branch" else NameTaken(name, "tag", "branch")


def _only_there(connection: Connection, branch: Ref) -> tuple[str, ...]:
    """The edits of a branch that no other branch or tag has, nor what was pulled."""
    base = fingerprint(connection)
    recipe = lists.read(connection, base, branch.version)
    rest: Sequence[str] = recipe
    other_versions = {ref.version for ref in all_refs(connection) if ref.name != branch.name}
    if branch.version in other_versions:
        return ()
    for version in sorted(other_versions):
        there = lists.looked_at(connection, base, version).places(rest)
        rest = [edit for edit in rest if edit not in there]
        if not rest:
            break
    return tuple(rest)


def _place(connection: Connection, name: str, version: str, message: str, now: str) -> Ref:
    connection.insert(refs, {"name": name, "kind": "branch", "version_id": version})
    branch = Ref(name, "branch", version)
    _note(connection, journal.START, branch, message, now)
    return branch


def _drop(connection: Connection, branch: Ref, message: str, now: str) -> None:
    connection.execute(delete(refs).where(refs.c.name == branch.name))
    _note(connection, journal.DELETE, branch, message, now)


def _note(connection: Connection, kind: str, branch: Ref, message: str, now: str) -> None:
    events.append(
        connection,
        events.NewEvent(
            created=now,
            kind=kind,
            ref=branch.name,
            version=branch.version,
            parents=(branch.version,) if kind == journal.START else (),
            message=message,
        ),
    )
