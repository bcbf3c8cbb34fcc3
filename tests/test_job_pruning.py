"""Old jobs that have ended are removed; what keys, the history and running work need stays."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from workspaces import new_workspace

from kn_edit.cli.commands import kn_edit
from kn_edit.jobs import rows
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.jobs.in_folder import SERVICE_DATABASE, FolderPlace
from kn_edit.jobs.job import JobRequest, JobState
from kn_edit.jobs.pruning import BATCH, NEWEST, Keeping, prune
from kn_edit.jobs.queue import Jobs
from kn_edit.jobs.tables import jobs, log_lines, metadata
from kn_edit.service.app import make_app

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
EVERYTHING = Keeping(most=10**9, days=1000)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ServiceDatabase]:
    with closing(ServiceDatabase(FolderPlace(tmp_path), metadata)) as database:
        yield database


def add(database: ServiceDatabase, days_ago: list[float], state: JobState = JobState.DONE) -> None:
    """Add jobs that ended so long ago, or were submitted then, each with a key and a log."""
    with database.writing() as connection:
        for days in days_ago:
            moment = (NOW - timedelta(days=days)).isoformat(timespec="seconds")
            first = connection.execute(select(func.count()).select_from(jobs)).scalar_one()
            id = f"{first:032x}"
            request = JobRequest("update", {}, branch=f"b{first}", key=f"key of {id}")
            rows.add(connection, id, request, moment)
            ended = moment if state.final else None
            changed = jobs.update().where(jobs.c.id == id)
            connection.execute(changed.values(state=state, ended=ended))
            rows.note_line(connection, id, "a line")


def pruned(database: ServiceDatabase, keeping: Keeping) -> int:
    return prune(database, keeping, lambda: NOW)


def left(database: ServiceDatabase) -> list[int]:
    """The places of the jobs that are left, in the order in which they were added."""
    with database.reading() as connection:
        ids = connection.execute(select(jobs.c.id).order_by(jobs.c.number)).scalars()
        return [int(id, 16) for id in ids]


def test_jobs_that_ended_long_ago_go_with_their_logs(database: ServiceDatabase) -> None:
    add(database, [40, 31, 29] + [2] * NEWEST)
    assert pruned(database, Keeping(10**9, days=30)) == 2
    assert left(database) == [*range(2, 3 + NEWEST)]
    with database.reading() as connection:
        lines = connection.execute(select(log_lines.c.job)).scalars().all()
        assert lines == connection.execute(select(jobs.c.number)).scalars().all()
    assert pruned(database, Keeping(10**9, days=30)) == 0


def test_beyond_so_many_the_oldest_go_in_batches(database: ServiceDatabase) -> None:
    add(database, [2] * (2 * BATCH + 70))
    assert pruned(database, Keeping(most=60, days=1000)) == 2 * BATCH + 10
    assert left(database) == [*range(2 * BATCH + 10, 2 * BATCH + 70)]


def test_the_newest_stay_however_old_they_are(database: ServiceDatabase) -> None:
    add(database, [500] * (NEWEST + 1))
    assert pruned(database, Keeping(most=0, days=0)) == 1
    assert left(database) == [*range(1, NEWEST + 1)]


def test_what_waits_or_runs_stays_and_does_not_count(database: ServiceDatabase) -> None:
    add(database, [500] * 3, JobState.QUEUED)
    add(database, [500] * 3, JobState.RUNNING)
    add(database, [500] * 2, JobState.FAILED)
    add(database, [2] * NEWEST, JobState.QUEUED)
    assert pruned(database, Keeping(most=NEWEST, days=1000)) == 0
    assert pruned(database, Keeping(most=NEWEST, days=100)) == 2
    assert left(database) == [*range(6), *range(8, 8 + NEWEST)]


def test_a_key_holds_for_a_day_and_so_does_its_job(database: ServiceDatabase) -> None:
    add(database, [1.1, 0.9] + [0] * NEWEST)
    assert pruned(database, EVERYTHING) == 0
    with database.reading() as connection:
        assert rows.with_key(connection, f"key of {0:032x}") is None
        assert rows.with_key(connection, f"key of {1:032x}") is not None
    assert pruned(database, Keeping(most=0, days=0)) == 1
    assert left(database) == [*range(1, NEWEST + 2)]


def test_gc_prunes_as_the_settings_say_and_makes_no_database(tmp_path: Path) -> None:
    with new_workspace(tmp_path) as workspace:
        folder, ledger = workspace.folder, workspace.ledger_folder
    assert gc(folder)["jobs"] == {"removed": 0}
    assert not (ledger / SERVICE_DATABASE).exists()
    with closing(ServiceDatabase.of(folder, metadata)) as database:
        add(database, [1000] * (NEWEST + 3))
    (folder / "kn-edit.toml").write_text("[serve]\nkeep_jobs_days = 10000\n")
    assert gc(folder)["jobs"] == {"removed": 0}
    (folder / "kn-edit.toml").write_text("[serve]\nkeep_jobs_days = 30\n")
    assert gc(folder)["jobs"] == {"removed": 3}


def test_the_service_prunes_by_itself(tmp_path: Path) -> None:
    with new_workspace(tmp_path) as workspace:
        folder = workspace.folder
    with closing(ServiceDatabase.of(folder, metadata)) as database:
        add(database, [1000] * (NEWEST + 3))
        with TestClient(make_app(folder, jobs=Jobs)):
            until = time.monotonic() + 20
            while len(left(database)) > NEWEST and time.monotonic() < until:
                time.sleep(0.02)
        assert left(database) == [*range(3, NEWEST + 3)]


def gc(folder: Path) -> dict[str, object]:
    result = CliRunner().invoke(kn_edit, ["gc", "--json", "--workspace", str(folder)])
    assert result.exit_code == 0, result.output
    document: dict[str, object] = json.loads(result.output)
    return document
