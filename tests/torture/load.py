"""A service under load: `load.py [--seconds 60] [--readers 32] [--writers 8] [--json]`.

Starts `kn-edit serve` on a tiny model, and asks it from this process over loopback: first one
reader alone, then readers that read again after a pause beside writers that record edits, one half
of them on one branch, the others each on a branch of its own. Then the ledger is verified, and
its edits are compared with those that writers were told of.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from http_connection import Answer, Connection
from service_process import Server, serving
from workspaces import CAPITALS, TEMPLATES, new_workspace

from kn_edit.jobs.database import ServiceDatabase
from kn_edit.service.access.tables import metadata
from kn_edit.service.access.tokens import Tokens
from kn_edit.workspace import Workspace

READS = (
    "/api/v1/status",
    "/api/v1/log?limit=20",
    "/api/v1/branches",
    "/api/v1/versions/head",
    "/api/v1/edits?limit=20",
    "/api/v1/facts?limit=20",
    "/api/v1/jobs?limit=20",
    "/",
)
IDLE_ROUNDS = 12  # of one reader, over all READS
SAMPLE = 1.0  # seconds between two looks at the memory
NEURONS = 32  # of a layer; each edit writes one of them


@dataclass(frozen=True)
class Load:
    """How much is asked. pause: seconds between two reads of a reader, in the mean"""

    seconds: float = 60.0
    readers: int = 32
    writers: int = 8
    pause: float = 1.0
    seed: int = 0


@dataclass
class Result:
    """What came of it. edits: the ids of those that writers were told are recorded"""

    statuses: Counter[str] = field(default_factory=Counter)  # `read 200`
    reads: list[float] = field(default_factory=list)  # seconds of those with an answer of 200
    edits: list[str] = field(default_factory=list)
    memory: dict[str, list[int]] = field(default_factory=dict)  # bytes, of server and worker

    def count(self, kind: str, answer: Answer) -> None:
        self.statuses[f"{kind} {answer.status}"] += 1


def main() -> None:
    """Load a service, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, usual in vars(Load()).items():
        parser.add_argument(f"--{name}", type=type(usual), default=usual)
    parser.add_argument("--json", action="store_true")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    with tempfile.TemporaryDirectory() as folder:
        report = loaded(Path(folder), Load(**options))
    if as_json:
        sys.stdout.write(json.dumps(report))
        return
    for name, value in report.items():
        sys.stdout.write(f"{name}: {value}\n")


def loaded(folder: Path, load: Load) -> dict[str, Any]:
    """Load a service whose workspace is made in a folder; what came of it."""
    work, tokens = prepared(folder, load)
    with serving(work) as server:
        result, idle = asyncio.run(run(server, load, tokens))
        cpu = sum(map(float, cpu_seconds(server.process.pid)))
        code = server.stop()
    log = server.log.read_text()
    with Workspace.open(work) as workspace:
        problems = workspace.verify()
        recorded = sorted(edit.id for edit in workspace.ledger.edits())
    return {
        "seconds": load.seconds,
        "idle p50 ms": milliseconds(idle, 0.5),
        "read p50 ms": milliseconds(result.reads, 0.5),
        "read p95 ms": milliseconds(result.reads, 0.95),
        "p95 to idle p50": round(quantile(result.reads, 0.95) / quantile(idle, 0.5), 1),
        "reads": len(result.reads),
        "edits": len(result.edits),
        "statuses": dict(sorted(result.statuses.items())),
        "server CPU s": round(cpu, 1),
        "memory": {name: growth(samples) for name, samples in result.memory.items()},
        "edits twice": len(result.edits) - len({*result.edits}),
        "edits as acknowledged": sorted(result.edits) == recorded,
        "problems": [str(problem) for problem in problems],
        "exit code": code,
        "tracebacks": log.count("Traceback"),
    }


def prepared(folder: Path, load: Load) -> tuple[Path, dict[str, str]]:
    """A workspace with a branch and a token for each caller; its folder, tokens by name."""
    with new_workspace(folder) as workspace:
        for number in range(1, load.writers, 2):
            workspace.branch(f"w{number}")
        work = workspace.folder
    with closing(ServiceDatabase.of(work, metadata)) as database:
        tokens = Tokens(database)
        names = {f"r{number}": "reader" for number in range(load.readers)}
        names |= {f"w{number}": "editor" for number in range(load.writers)}
        return work, {name: tokens.create(name, role, seconds=None) for name, role in names.items()}


async def run(server: Server, load: Load, tokens: dict[str, str]) -> tuple[Result, list[float]]:
    """Read alone, then load the service; what came of it, and the seconds of reads alone."""
    warm_up = Result()
    writers = [Writer(server.url, number, tokens[f"w{number}"]) for number in range(load.writers)]
    await writers[0].write_once(warm_up)  # the worker has its model from here on
    idle = await alone(server, tokens["r0"])
    result = Result(edits=list(warm_up.edits))
    until = time.monotonic() + load.seconds
    draws = random.Random(load.seed)
    await asyncio.gather(
        watch_memory(server, result, until),
        *(
            read_on(server, load, tokens[f"r{number}"], result, until, draws.random())
            for number in range(load.readers)
        ),
        *(writer.write_on(result, until) for writer in writers),
    )
    return result, idle


async def alone(server: Server, token: str) -> list[float]:
    """The seconds of each read of one reader, with nobody else."""
    result = Result()
    async with Connection(server.url, token) as connection:
        for _ in range(IDLE_ROUNDS):
            for path in READS:
                await timed_read(connection, path, result)
    return result.reads[len(READS) :]  # the first round warms up


async def timed_read(connection: Connection, path: str, result: Result) -> None:
    began = time.perf_counter()
    answer = await connection.request("GET", path)
    result.count("read", answer)
    if answer.status == 200:
        result.reads.append(time.perf_counter() - began)
    elif answer.status == 429:
        await asyncio.sleep(float(answer.headers["retry-after"]))


async def read_on(
    server: Server, load: Load, token: str, result: Result, until: float, draw: float
) -> None:
    """Read until the time is over, each time after a pause."""
    draws = random.Random(draw)
    async with Connection(server.url, token) as connection:
        await asyncio.sleep(load.pause * draws.random())
        while time.monotonic() < until:
            await timed_read(connection, draws.choice(READS), result)
            await asyncio.sleep(load.pause * 2 * draws.random())


class Writer:
    """Records edits of a subject of its own, on main or on a branch of its own."""

    def __init__(self, url: str, number: int, token: str) -> None:
        self._url, self._token = url, token
        self._branch = f"w{number}" if number % 2 else "main"
        self._updates = updates(number)
        self._next: dict[str, Any] | None = None

    async def write_on(self, result: Result, until: float) -> None:
        """Write until the time is over."""
        async with Connection(self._url, self._token) as connection:
            while time.monotonic() < until:
                await self._write(connection, result)

    async def write_once(self, result: Result) -> None:
        """Write until one edit is recorded."""
        async with Connection(self._url, self._token) as connection:
            while not result.edits:
                await self._write(connection, result)

    async def _write(self, connection: Connection, result: Result) -> None:
        """Send an edit on the head as it is now; what the head has overtaken is sent again."""
        head = await connection.request("GET", f"/api/v1/branches/{self._branch}")
        if head.status != 200:
            result.count("head", head)
            await asyncio.sleep(1)
            return
        self._next = self._next or next(self._updates)
        headers = {"If-Match": head.headers["etag"], "Prefer": "wait=60"}
        path = f"/api/v1/update?branch={self._branch}"
        answer = await connection.request("POST", path, self._next, headers)
        result.count("write", answer)
        if answer.status == 200:
            result.edits.append(answer.json()["edit"])
            self._next = None
        elif answer.status == 429:
            await asyncio.sleep(float(answer.headers["retry-after"]))


def updates(writer: int) -> Iterator[dict[str, Any]]:
    """Updates of one writer, none of which is like one of another: their scales differ."""
    subjects, answers = [*CAPITALS], [*CAPITALS.values()]
    place = writer % len(subjects)
    number = 0
    while True:
        number += 1
        yield {
            "prompts": [template.text for template in TEMPLATES[:2]],
            "subject": subjects[place],
            "answer": answers[place],
            "to": answers[(place + 1 + number % 2) % len(answers)],
            "rule": "activation",
            "method": "closed-form",
            "neurons": f"L{number % 2}.{number % NEURONS}",
            "scale": [1.0, 8 + writer + number / 10_000],
            "accept": True,
        }


async def watch_memory(server: Server, result: Result, until: float) -> None:
    """Note the resident memory of server and worker until the time is over."""
    process = server.process.pid
    (worker,) = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    while time.monotonic() < until:
        for name, id in (("server", process), ("worker", int(worker))):
            result.memory.setdefault(name, []).append(resident(id))
        await asyncio.sleep(SAMPLE)


def resident(process: int) -> int:
    """The resident memory of a process in bytes."""
    pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(process: int) -> tuple[float, float]:
    """The seconds of a processor that a process took, its own and the system's."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[11]) / ticks, int(fields[12]) / ticks


def growth(samples: list[int]) -> dict[str, float]:
    """Megabytes in the second quarter of the time, and in the last one."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    return {
        "MB": round(statistics.median(early) / 1e6, 1),
        "MB at the end": round(statistics.median(late) / 1e6, 1),
    }


def quantile(values: list[float], share: float) -> float:
    """The value that this share of values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def milliseconds(values: list[float], share: float) -> float:
    """A quantile of seconds in milliseconds."""
    return round(1000 * quantile(values, share), 1)


if __name__ == "__main__":
    main()
