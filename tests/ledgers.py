"""Small ledgers for tests."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from postgres_server import schema_of, schema_url, server
from tensor_folds import fold_weight

from kn_edit.edits.changes import LowRankChange, Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.edits.fold import touched
from kn_edit.ledger import Adoption, Advance, BaseRecord, FactChange, Ledger, NewEdit, VersionRecord
from kn_edit.ledger.folder_blobs import FolderBlobs
from kn_edit.ledger.history import version_id
from kn_edit.ledger.in_folder import BLOBS, create_in_folder, open_in_folder

FINGERPRINT = "f" * 64
BASE = BaseRecord("demo", "org/demo", "abc", FINGERPRINT, "/models/demo", "llama", "bfloat16")
NAMES = ("model.layers.0.mlp.down_proj.weight", "model.layers.1.mlp.down_proj.weight")
D_MODEL, D_FF = 3, 6


def ticking() -> Iterator[datetime]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return (start + timedelta(minutes=minute) for minute in count())


SQLITE, POSTGRES = DATABASES = ("sqlite", "postgres")
only_sqlite = pytest.mark.parametrize("database", [SQLITE], indirect=True)
only_postgres = pytest.mark.parametrize("database", [POSTGRES], indirect=True)
KIND = ContextVar("KIND", default=SQLITE)  # of the databases that ledgers are made in


def database_url(folder: Path, name: str = "ledger") -> str:
    """The URL of a database for what lies in this folder, of the kind that is tested."""
    if KIND.get() == POSTGRES:
        return schema_url(folder / name)
    return f"sqlite:///{folder}/{name}.db"


def new_ledger(folder: Path, base: BaseRecord = BASE) -> Ledger:
    clock = ticking().__next__
    if KIND.get() == SQLITE:
        return create_in_folder(folder / ".kn-edit", base, clock=clock)
    url = database_url(folder / ".kn-edit")
    (folder / ".kn-edit").mkdir(parents=True, exist_ok=True)
    return Ledger.create(url, FolderBlobs(folder / ".kn-edit" / BLOBS), base, clock=clock)


def open_ledger(folder: Path) -> Ledger:
    clock = ticking().__next__
    if KIND.get() == SQLITE:
        return open_in_folder(folder / ".kn-edit", clock=clock)
    url = database_url(folder / ".kn-edit")
    return Ledger.open(url, FolderBlobs(folder / ".kn-edit" / BLOBS), clock=clock)


def folder_of(ledger: Ledger) -> Path:
    """The folder `.kn-edit` in which a ledger lies."""
    return Path(ledger.blobs.place).parent


def alter(ledger: Ledger, *statements: str) -> None:
    """Do to the database of an open ledger what kn-edit would not, whatever links say."""
    sql(folder_of(ledger), *statements)


def sql(folder: Path, *statements: str, name: str = "ledger") -> list[tuple[Any, ...]]:
    """Do to a database what kn-edit would not, whatever links say; the rows of the last statement.

    folder, name: as for `database_url`
    """
    if KIND.get() == POSTGRES:
        schema = schema_of(folder / name)
        return server().execute(
            "SET session_replication_role = replica", *statements, schema=schema
        )
    with closing(sqlite3.connect(folder / f"{name}.db")) as plain, plain:
        rows = [plain.execute(statement).fetchall() for statement in statements]
    return rows[-1]


def delta_of(*slots: tuple[int, int], value: float = 1.0, mode: Mode = Mode.ADD) -> Delta:
    """A delta that writes these (layer, index) slots."""
    tensors = {}
    for layer in sorted({layer for layer, _ in slots}):
        index = torch.tensor(sorted(i for at, i in slots if at == layer))
        tensors[NAMES[layer]] = SlotChanges(
            "row",
            index,
            torch.full((len(index),), mode, dtype=torch.uint8),
            torch.full((len(index), D_MODEL), value),
        )
    return Delta(BaseRef("org/demo", "abc", FINGERPRINT), tensors)


def low_rank_of(*layers: int, value: float = 1.0, rank: int = 1) -> Delta:
    """A delta that adds to all slots of these layers; numbers of different values differ."""
    u = value * torch.arange(1.0, rank * D_FF + 1).reshape(rank, D_FF)
    v = torch.arange(1.0, rank * D_MODEL + 1).reshape(rank, D_MODEL) / 4
    tensors = {NAMES[layer]: LowRankChange("row", u, v) for layer in layers}
    return Delta(BaseRef("org/demo", "abc", FINGERPRINT), tensors)


def about(delta: Delta, subject: str = "France", kind: str = "update") -> NewEdit:
    return NewEdit(
        delta=delta,
        kind=kind,
        relation="capital",
        subject=subject,
        answer="Paris",
        target="Rome",
        method="calibrated",
        found={"rule": "adaptive", "neurons": [{"neuron": "L0.1", "score": 0.5}]},
        metrics={"efficacy": 1.0},
        message=f"{subject}: Paris -> Rome",
    )


def about_many(delta: Delta, *subjects: str) -> NewEdit:
    """An edit of several facts, the first of which is as in `about`."""
    further = tuple(FactChange("capital", each, f"{each} old", "Rome") for each in subjects[1:])
    message = f"{subjects[0]}: Paris -> Rome, and {len(further)} more"
    return replace(about(delta, subjects[0]), further=further, message=message)


def weights(name: str) -> torch.Tensor:
    """The base weight of this name."""
    return torch.arange(D_FF * D_MODEL, dtype=torch.bfloat16).reshape(D_FF, D_MODEL) + len(name)


def digests(deltas: list[Delta]) -> dict[str, str]:
    return {
        name: hashlib.sha256(
            fold_weight(weights(name), name, deltas).view(torch.int16).numpy().tobytes()
        ).hexdigest()
        for name in touched(deltas)
    }


def record(ledger: Ledger, delta: Delta, **facts: str) -> VersionRecord:
    """Append an edit, as an update does."""
    plan = ledger.plan_edit(delta, "update", "a change")
    before = ledger.deltas(plan.recipe[:-1])
    return ledger.advance(plan, digests([*before, delta]), edit=about(delta, **facts))


def record_many(ledger: Ledger, delta: Delta, *subjects: str) -> VersionRecord:
    """Append an edit of several facts."""
    plan = ledger.plan_edit(delta, "update", "a change of many")
    before = ledger.deltas(plan.recipe[:-1])
    return ledger.advance(plan, digests([*before, delta]), edit=about_many(delta, *subjects))


def move(ledger: Ledger, plan: Advance) -> VersionRecord:
    """Carry out a plan that adds no edit."""
    return ledger.advance(plan, digests(ledger.deltas(plan.recipe)))


def call_every_verb(ledger: Ledger, a: Delta, b: Delta, c: Delta) -> None:
    """Record edits and move in every way that a ledger has. c: writes a slot that a writes"""
    record(ledger, a)
    second = record(ledger, b, subject="Japan")
    record(ledger, c, subject="Italy")
    record(ledger, low_rank_of(1, rank=2), subject="Cuba")
    record_many(ledger, delta_of((0, 4)), "Peru", "Spain")
    ledger.tag("v1")
    move(ledger, ledger.plan_revert(a.id, allow_overlap=True))
    move(ledger, ledger.plan_rewind(second.id))
    ledger.make_branch("side", "root", switch=True)
    move(ledger, ledger.plan_compose(["v1"], allow_overlap=True))
    other = delta_of((1, 4))
    version = version_id(FINGERPRINT, (other.id,))
    ledger.adopt(
        Adoption("ann/m@main", version, (other.id,), (about(other),), "pull"), digests([other])
    )
