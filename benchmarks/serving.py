"""What a served model costs: a swap of versions, tokens, reads while it answers, memory.

    python benchmarks/serving.py WORKSPACE [--versions base head] [--parts swap wide http reads
        tokens memory] [--requests 500] [--callers 8]

A swap is taken twice: in this process, by writing the slots alone; and over HTTP, as the median
time of an answer of one token that alternates between two versions, beside that of one which stays
at a version. Reads are `GET /api/v1/status`, one after the other, with nobody else, then while
callers have answers made. Memory is what of the server is resident, after every fifth of the
requests, of two tokens each. The server is a `kn-edit serve` of its own on a free port.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from statistics import median, quantiles

import httpx
import torch

from kn_edit.edits.changes import LowRankChange
from kn_edit.edits.delta import Delta
from kn_edit.engine.swapping import VersionSwapper
from kn_edit.workspace import Workspace
from kn_edit.workspace.speaking import Speaker

PROMPT = "The capital of France is the city of"
PARTS = ("swap", "wide", "http", "reads", "tokens", "memory")
SECONDS = 15.0  # of each measurement of reads
SWAPS = 200
ANSWERS = 40  # of one token, for each of the two ways


def milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start)


def swaps(workspace: Path, names: list[str]) -> dict[str, float]:
    """Writing the slots of one version in place of another's, without a server."""
    with Workspace.open(workspace) as opened:
        versions = [opened.ledger.version_id(name) for name in names]
        speaker = Speaker(opened)
        first = [milliseconds(lambda v=v: speaker.versions.model_at(v)) for v in versions]
        turns = zip(cycle(versions), range(SWAPS))
        again = [milliseconds(lambda v=v: speaker.versions.model_at(v)) for v, _ in turns]
    return {"first_ms": max(first), "median_ms": median(again), "worst_ms": max(again)}


def wide_swaps(workspace: Path) -> dict[str, float]:
    """The same between two versions that write all slots of five layers each."""
    with Workspace.open(workspace) as opened:
        model, place = opened.engine.model, opened.engine.place
        source = torch.Generator().manual_seed(0)

        def deltas(layers: range) -> list[Delta]:
            def factor(width: int) -> torch.Tensor:
                return 1e-3 * torch.randn(4, width, generator=source)

            changes = {
                place.names[layer]: LowRankChange(
                    place.axis, factor(model.d_ff), factor(model.d_model)
                )
                for layer in layers
            }
            return [Delta(place.base, changes)]

        middle = model.n_layers // 2
        versions = {
            "a": deltas(range(middle - 3, middle + 2)),
            "b": deltas(range(middle, middle + 5)),
        }
        swapper = VersionSwapper(model, versions.__getitem__)
        first = [milliseconds(lambda v=v: swapper.model_at(v)) for v in versions]
        turns = zip(cycle(versions), range(SWAPS))
        again = [milliseconds(lambda v=v: swapper.model_at(v)) for v, _ in turns]
    return {"first_ms": max(first), "median_ms": median(again), "worst_ms": max(again)}


@contextmanager
def serving(workspace: Path) -> Iterator[tuple[str, int]]:
    """The address and the process id of a server."""
    command = [sys.executable, "-m", "kn_edit.cli", "serve", "--port", "0", "--warm"]
    process = subprocess.Popen(
        [*command, "--workers", "0", "--workspace", str(workspace)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    assert process.stderr is not None
    line = next(line for line in process.stderr if "http://" in line)
    threading.Thread(target=process.stderr.read, daemon=True).start()
    address = re.search(r"http://[\d.]+:\d+", line)
    assert address is not None
    try:
        yield address[0], process.pid
    finally:
        process.terminate()
        process.wait()


def resident(pid: int) -> float:
    """Megabytes that a process holds in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = re.search(r"VmRSS:\s+(\d+)", status)
    assert kilobytes is not None
    return int(kilobytes[1]) / 1024


def ask(client: httpx.Client, version: str, tokens: int) -> None:
    question = {"prompt": PROMPT, "version": version, "max_tokens": tokens}
    client.post("/api/v1/ask", json=question).raise_for_status()


def reads(client: httpx.Client) -> list[float]:
    """Milliseconds of each of many reads."""
    until = time.monotonic() + SECONDS
    times = []
    while time.monotonic() < until:
        times.append(milliseconds(lambda: client.get("/api/v1/status").raise_for_status()))
        time.sleep(0.02)
    return times


def tokens_a_second(address: str, versions: list[str], callers: int, tokens: int) -> float:
    """Tokens of all callers together, each in its own thread with its versions in turns."""

    def call(version: str) -> None:
        with httpx.Client(base_url=address, timeout=None) as client:
            ask(client, version, tokens)

    threads = [
        threading.Thread(target=call, args=(version,))
        for version, _ in zip(cycle(versions), range(callers))
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return callers * tokens / (time.perf_counter() - start)


def under_load(address: str, versions: list[str], callers: int) -> list[float]:
    """Reads while callers have answers made."""
    stop = threading.Event()

    def call(version: str) -> None:
        with httpx.Client(base_url=address, timeout=None) as client:
            while not stop.is_set():
                ask(client, version, 32)

    threads = [
        threading.Thread(target=call, args=(version,))
        for version, _ in zip(cycle(versions), range(callers))
    ]
    for thread in threads:
        thread.start()
    time.sleep(1)
    with httpx.Client(base_url=address, timeout=None) as client:
        times = reads(client)
    stop.set()
    for thread in threads:
        thread.join()
    return times


def answers_of_one_token(client: httpx.Client, versions: list[str]) -> dict[str, float]:
    """The time of an answer that stays at a version, and of one that alternates."""
    a, b = versions
    ask(client, a, 1)
    ask(client, b, 1)
    turns = (a, b) * (ANSWERS // 2)
    return {
        "stays_ms": median(milliseconds(lambda: ask(client, a, 1)) for _ in range(ANSWERS)),
        "alternates_ms": median(milliseconds(lambda v=v: ask(client, v, 1)) for v in turns),
    }


def reads_idle_and_loaded(
    client: httpx.Client, versions: list[str], callers: int
) -> dict[str, float]:
    idle, loaded = reads(client), under_load(str(client.base_url), versions, callers)
    return {
        "idle_p50_ms": median(idle),
        "idle_p95_ms": quantiles(idle, n=20)[-1],
        "loaded_p50_ms": median(loaded),
        "loaded_p95_ms": quantiles(loaded, n=20)[-1],
    }


def memory(client: httpx.Client, pid: int, versions: list[str], requests: int) -> list[int]:
    """Resident megabytes, at the beginning and after every fifth of the requests."""
    megabytes = []
    for number in range(requests + 1):
        if number % (requests // 5) == 0:
            megabytes.append(round(resident(pid)))
        ask(client, versions[number % 2], 2)
    return megabytes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--versions", nargs=2, default=["base", "head"])
    parser.add_argument("--parts", nargs="+", default=PARTS)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--callers", type=int, default=8)
    options = parser.parse_args()
    a, b = versions = options.versions
    if "swap" in options.parts:
        print(json.dumps({"swap": swaps(options.workspace, versions)}), flush=True)
    if "wide" in options.parts:
        print(json.dumps({"wide": wide_swaps(options.workspace)}), flush=True)
    if not {"http", "reads", "tokens", "memory"}.intersection(options.parts):
        return
    with (
        serving(options.workspace) as (address, pid),
        httpx.Client(base_url=address, timeout=None) as client,
    ):
        parts: dict[str, Callable[[], object]] = {
            "http": lambda: answers_of_one_token(client, versions),
            "reads": lambda: reads_idle_and_loaded(client, versions, options.callers),
            "tokens": lambda: {
                "one caller": tokens_a_second(address, [a], 1, 32),
                "two callers of one version": tokens_a_second(address, [a], 2, 32),
                "two versions in turns": tokens_a_second(address, [a, b], 2, 32),
            },
            "memory": lambda: memory(client, pid, versions, options.requests),
        }
        for name, part in parts.items():
            if name in options.parts:
                print(json.dumps({name: part()}), flush=True)


if __name__ == "__main__":
    main()
