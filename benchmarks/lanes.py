"""Who hands out jobs in PostgreSQL: huey's storage there, or the rows of the jobs themselves.

`python benchmarks/lanes.py postgresql://user@host/database` submits jobs one after the other, lets
four processes take them at once, and prints medians in milliseconds and how many were taken twice.
"""

from __future__ import annotations

import argparse
import multiprocessing
import secrets
import statistics
import time
from collections.abc import Callable
from contextlib import closing

from huey.storage import PostgresStorage

from kn_edit.jobs import rows
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.jobs.in_postgres import PostgresPlace
from kn_edit.jobs.job import JobRequest
from kn_edit.jobs.lanes import Lanes, lanes_of
from kn_edit.jobs.queue import now
from kn_edit.jobs.tables import metadata

JOBS, WORKERS = 100, 4
FORK = multiprocessing.get_context("fork")


class HueyLanes:
    """A table of huey as the only lane, of jobs that only look."""

    def __init__(self, url: str) -> None:
        dsn = url.replace("+", "%20")  # as libpq reads a space
        self._storage = PostgresStorage("bench", dsn=dsn, blocking=False, table_prefix="bench")

    def put(self, branch: str | None, number: int, id: str) -> None:
        self._storage.enqueue(id.encode(), priority=-number)

    def take(self, branch: str | None) -> str | None:
        data = self._storage.dequeue()
        return None if data is None else bytes(data).decode()

    def waiting(self, branch: str | None) -> set[str]:
        return {bytes(data).decode() for data in self._storage.enqueued_items()}

    def close(self) -> None:
        self._storage.close()


WAYS: dict[str, Callable[[str, ServiceDatabase], Lanes]] = {
    "huey": lambda url, database: HueyLanes(url),
    "rows": lambda url, database: lanes_of(database),
}


def submit(database: ServiceDatabase, lanes: Lanes) -> list[float]:
    """Submit the jobs; the milliseconds of each."""
    taken = []
    for _ in range(JOBS):
        began, id_ = time.perf_counter(), secrets.token_hex(16)
        with database.writing() as connection:
            number = rows.add(connection, id_, JobRequest("bench", {}), now())
        lanes.put(None, number, id_)
        taken.append(1000 * (time.perf_counter() - began))
    return taken


def take(url: str, workspace: str, name: str, worker: str) -> tuple[list[str], list[float]]:
    """Take jobs until none is left: their ids, and the milliseconds of each."""
    ids, taken = [], []
    with closing(ServiceDatabase(PostgresPlace(url, workspace))) as database:
        lanes = WAYS[name](url, database)
        began = time.perf_counter()
        while (id_ := lanes.take(None)) is not None:
            with database.writing() as connection:
                claimed = rows.claim(connection, id_, worker, now())
            if claimed:
                ids.append(id_)
                taken.append(1000 * (time.perf_counter() - began))
                began = time.perf_counter()
        lanes.close()
    return ids, taken


def measure(url: str, name: str) -> None:
    """Print the figures of one way."""
    workspace = f"bench-{secrets.token_hex(4)}"
    with closing(ServiceDatabase(PostgresPlace(url, workspace), metadata)) as database:
        lanes = WAYS[name](url, database)
        submitted = submit(database, lanes)
        lanes.close()
    with FORK.Pool(WORKERS) as pool:
        began = time.perf_counter()
        work = [(url, workspace, name, f"{name}-{number}") for number in range(WORKERS)]
        results = pool.starmap(take, work)
        seconds = time.perf_counter() - began
    ids = [id_ for each, _ in results for id_ in each]
    one = statistics.median(value for _, each in results for value in each)
    print(
        f"{name}: submitted in {statistics.median(submitted):.1f} ms, "
        f"taken in {one:.1f} ms by {WORKERS} at once, {len(ids) / seconds:.0f} a second, "
        f"lost {JOBS - len({*ids})}, twice {len(ids) - len({*ids})}"
    )


def main() -> None:
    """Measure both ways, twice in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    url: str = parser.parse_args().url
    for name in [*WAYS] * 2:
        measure(url, name)


if __name__ == "__main__":
    main()
