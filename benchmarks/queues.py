"""Engines for jobs, measured (docs/decisions/0042-jobs.md): `queues.py huey|dbos|firm [KILLS]`.

Prints JSON: seconds of the import, size of a worker, latencies, and what becomes of jobs whose
worker is killed, and of those whose submitter is. Needs the engine beside SQLAlchemy, in any
environment: `pip install huey`, `pip install dbos`, `pip install firm-queue`. PostgreSQL where
KN_EDIT_QUEUE_URL names one.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

URL = os.environ.get("KN_EDIT_QUEUE_URL", "")
MODULES = {"huey": "huey", "dbos": "dbos", "firm": "firm.queue"}
READY = "ready"  # what a worker says once it looks for jobs
LONG = 4.0  # seconds of a job in whose middle its worker is killed
PATIENCE = 60.0
SETTLING = 3.0  # seconds after a worker began again in which a job may run once more
DEAD = 2.0  # seconds without a sign of life after which firm-queue takes a worker for dead


def work(number: int, seconds: float) -> int:
    """A job: it leaves a mark when it begins and when it ends."""
    mark("begin", number)
    time.sleep(seconds)
    mark("end", number)
    return number


def mark(word: str, number: int) -> None:
    descriptor = os.open("marks", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{word} {number} {time.time()}\n".encode())
    os.close(descriptor)


# --- the engines: each gives a function that submits, and one that is a worker --------------------


def huey(role: str) -> tuple[Callable[[int, float], Any], Callable[[], None]]:
    from huey import PostgresHuey, SqliteHuey

    queue = PostgresHuey("bench", dsn=URL) if URL else SqliteHuey("bench", "queue.db", fsync=True)
    consumer = {"workers": 1, "periodic": False, "initial_delay": 0.02, "max_delay": 0.1}

    def serve() -> None:
        print(READY, flush=True)
        queue.create_consumer(**consumer).run()

    return queue.task()(work), serve


def dbos(role: str) -> tuple[Callable[[int, float], Any], Callable[[], None]]:
    from dbos import DBOS, DBOSClient

    url = URL.replace("postgresql:", "postgresql+psycopg:") or "sqlite:///queue.db"
    if role == "work":
        DBOS(
            config={
                "name": "bench",
                "system_database_url": url,
                "application_version": "1",
                "log_level": "ERROR",
            }
        )
        DBOS.workflow(name="work")(work)
        return work, serve_dbos
    client = DBOSClient(system_database_url=url)
    options = {"workflow_name": "work", "queue_name": "q", "app_version": "1"}
    options["queue_partition_key"] = "main"
    return lambda number, seconds: client.enqueue(options, number, seconds), serve_dbos


def serve_dbos() -> None:
    from dbos import DBOS

    DBOS.launch()
    DBOS.register_queue("q", partition_concurrency=1, polling_interval_sec=0.1)
    forever()


def firm(role: str) -> tuple[Callable[[int, float], Any], Callable[[], None]]:
    import firm.queue as engine
    from firm.queue import schema

    runtime = engine.configure(
        URL.replace("postgresql:", "postgresql+psycopg:") or "sqlite:///queue.db"
    )
    schema.metadata.create_all(runtime.engine)
    work.__module__ = "bench"
    limited = engine.job(concurrency={"key": lambda number, seconds: "main", "to": 1})(work)
    return limited.enqueue, lambda: serve_firm(runtime)


def serve_firm(runtime: Any) -> None:
    from firm._core.process import prune_dead
    from firm.queue.recovery import recover_orphaned_claims
    from firm.queue.supervisor import SupervisorConfig, ThreadSupervisor, WorkerConfig

    if Path("marks").exists():
        time.sleep(DEAD)
    dead = prune_dead(runtime.engine, DEAD)
    if dead:
        recover_orphaned_claims(runtime, dead)
    workers = [WorkerConfig(threads=1, poll_interval=0.05)]
    config = SupervisorConfig(workers=workers, alive_threshold=DEAD, heartbeat_interval=0.5)
    ThreadSupervisor(runtime, config).start()
    forever()


def forever() -> None:
    print(READY, flush=True)
    while True:
        time.sleep(1)


# --- measuring -----------------------------------------------------------------------------------


class Stage:
    """A folder in which an engine has its database and jobs leave their marks."""

    def __init__(self, engine: str, folder: Path) -> None:
        self.engine, self.folder = engine, folder
        folder.mkdir()
        with self.worker():  # who makes the tables
            pass

    def start(self, role: str, *words: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(Path(__file__).resolve()), self.engine, role]
        return subprocess.Popen(
            [*command, *map(str, words)], cwd=self.folder, stdout=subprocess.PIPE, text=True
        )

    @contextmanager
    def worker(self):
        process = self.start("work")
        try:
            process.stdout.readline()  # READY
            yield process
        finally:
            process.kill()
            process.communicate()

    def submit(self, first: int, count: int = 1, seconds: float = 0.0) -> list[tuple[float, float]]:
        """Milliseconds of each submission, and when it was done."""
        with self.start("submit", first, count, seconds) as process:
            lines = process.stdout.read().split("\n")
        return [tuple(map(float, line.split()[1:])) for line in lines if line]

    def marks(self, word: str) -> dict[int, list[float]]:
        path = self.folder / "marks"
        moments: dict[int, list[float]] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            kind, number, moment = line.split()
            if kind == word:
                moments.setdefault(int(number), []).append(float(moment))
        return moments

    def until(self, word: str, number: int) -> None:
        end = time.monotonic() + PATIENCE
        while number not in self.marks(word) and time.monotonic() < end:
            time.sleep(0.01)


def import_seconds(engine: str) -> float:
    code = f"import time; t = time.perf_counter(); import {MODULES[engine]}; "
    command = [sys.executable, "-c", code + "print(time.perf_counter() - t)"]
    return min(float(subprocess.check_output(command)) for _ in range(3))


def status(process: subprocess.Popen[str], name: str) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def latencies(stage: Stage) -> dict[str, float]:
    """Of a worker that has nothing else to do."""
    submitted: list[float] = []
    with stage.worker() as process:
        stage.submit(0)
        stage.until("end", 0)
        for number in range(1, 11):
            ((_, done),) = stage.submit(number)
            stage.until("end", number)
            submitted.append(stage.marks("begin")[number][0] - done)
        size, threads = status(process, "VmRSS"), status(process, "Threads")
    return {
        "MB of an idle worker": size // 1024,
        "threads": threads,
        "picked up after, ms": round(statistics.median(submitted) * 1000, 1),
        "submitted in, ms": statistics.median(ms for ms, _ in stage.submit(100, 30)[1:]),
    }


def killed_workers(engine: str, folder: Path, kills: int) -> dict[str, int]:
    """How often a job ran whose worker was killed, and the one behind it."""
    runs: Counter[str] = Counter()
    for number in range(kills):
        stage = Stage(engine, folder / f"worker-{number}")
        with stage.worker():
            stage.submit(0, seconds=LONG)
            stage.until("begin", 0)
            time.sleep(random.random() * LONG / 4)
        stage.submit(1)
        with stage.worker():
            stage.until("end", 1)
            time.sleep(SETTLING)
        begun = stage.marks("begin")
        runs[f"{len(begun[0])} and {len(begun.get(1, []))}"] += 1
    return dict(runs)


def killed_submitters(engine: str, folder: Path, kills: int) -> dict[str, int]:
    """What becomes of jobs that were acknowledged before their submitter was killed."""
    stage, told = Stage(engine, folder / "submitters"), set()
    for number in range(kills):
        process = stage.start("submit", number * 10_000, 10_000, 0.0)
        first = process.stdout.readline()
        time.sleep(random.random() * 0.05)
        process.kill()
        rest = process.communicate()[0].splitlines()
        told |= {int(line.split()[0]) for line in (first, *rest) if len(line.split()) == 3}
    with stage.worker():
        end = time.monotonic() + 4 * PATIENCE
        while told - stage.marks("end").keys() and time.monotonic() < end:
            time.sleep(0.2)
    begun = stage.marks("begin")
    twice = sum(len(moments) > 1 for moments in begun.values())
    return {"acknowledged": len(told), "lost": len(told - begun.keys()), "twice": twice}


def main(engine: str, kills: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        report = {
            "engine": engine,
            "import, s": round(import_seconds(engine), 2),
            **latencies(Stage(engine, folder / "latencies")),
            "runs of a killed job and of the next": killed_workers(engine, folder, kills),
            "killed submitters": killed_submitters(engine, folder, kills),
        }
    print(json.dumps(report, indent=1))


def be(engine: str, role: str, words: list[str]) -> None:
    """Be a worker, or submit jobs and say when."""
    submit, serve = {"huey": huey, "dbos": dbos, "firm": firm}[engine](role)
    if role == "work":
        serve()
    first, count, seconds = int(words[0]), int(words[1]), float(words[2])
    for number in range(first, first + count):
        began = time.perf_counter()
        submit(number, seconds)
        print(number, (time.perf_counter() - began) * 1000, time.time(), flush=True)


if __name__ == "__main__":
    engine, *words = sys.argv[1:]
    random.seed(0)
    if words and words[0] in ("work", "submit"):
        be(engine, words[0], words[1:])
    else:
        main(engine, int(words[0]) if words else 20)
