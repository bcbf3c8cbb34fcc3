"""Seconds of two programs measured in turns, and what the machine's matrix products reach."""

from __future__ import annotations

import ctypes
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

SIDE = 2048  # of the matrices whose product says the peak


@dataclass(frozen=True)
class Sample:
    """What one run took. wall, cpu: seconds; cpu is that of all threads and child processes"""

    wall: float
    cpu: float

    def of(self, parts: int) -> Sample:
        """One of so many equal parts of it."""
        return Sample(self.wall / parts, self.cpu / parts)


@dataclass(frozen=True)
class Figure:
    """A row of the table: what kn-edit takes, beside its reference in the same run.

    unit: of `ours`, "s" where both are samples of time; else `ours` holds plain numbers
    bound: what the ratio is to reach; or, where `at_most`, what is not to be passed
    clock: which of the ratios is judged
    """

    name: str
    threads: int
    ours: list[Any]
    against: str = ""
    reference: list[Any] = field(default_factory=list)
    unit: str = "s"
    bound: float | None = None
    at_most: bool = False
    clock: str = "cpu"
    note: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """Names the row."""
        return self.name, self.threads

    def values(self, clock: str = "") -> list[float]:
        """What is judged, one a repetition: the ratio, or the number itself without reference."""
        ours = [_number(value, clock or self.clock) for value in self.ours]
        if not self.reference:
            return ours
        reference = [_number(value, clock or self.clock) for value in self.reference]
        pairs = list(zip(ours, reference, strict=True))
        return [a / b for a, b in pairs] if self.at_most else [b / a for a, b in pairs]

    @property
    def holds(self) -> bool | None:
        """Whether the median keeps the bound; None where there is none."""
        if self.bound is None:
            return None
        middle = statistics.median(self.values())
        return middle <= self.bound if self.at_most else middle >= self.bound

    def to_json(self) -> dict[str, Any]:
        """Everything measured, with median and spread of what is judged."""
        summary = {clock: spread(self.values(clock)) for clock in ("cpu", "wall")}
        judged = {clock: summary[clock] for clock in summary if self.unit == "s"}
        return asdict(self) | {"judged": judged or {self.clock: spread(self.values())}}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Figure:
        """A figure as `to_json` wrote it."""
        known = {name: value for name, value in raw.items() if name != "judged"}
        for part in ("ours", "reference"):
            known[part] = [Sample(**v) if isinstance(v, dict) else v for v in known[part]]
        return cls(**known)


def _number(value: Any, clock: str) -> float:
    return float(getattr(value, clock) if isinstance(value, Sample) else value)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def timed(call: Callable[[], object]) -> Sample:
    """What one call takes."""
    cpu, wall = _cpu(), time.perf_counter()
    call()
    return Sample(wall=time.perf_counter() - wall, cpu=_cpu() - cpu)


def in_turns(calls: Mapping[str, Callable[[], Sample]], repeats: int) -> dict[str, list[Sample]]:
    """Samples of each program, taken in turns, so that a slow minute hits all of them."""
    samples: dict[str, list[Sample]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            samples[name].append(call())
    return samples


def timing(call: Callable[[], object]) -> Callable[[], Sample]:
    """A call that times itself."""
    return lambda: timed(call)


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def thread_counts() -> list[int]:
    """One thread, and all cores of this process where these are more."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return sorted({1, cores or 1})


def peak(repeats: int = 5) -> dict[str, float]:
    """GFLOP/s of float32 products of square matrices: median, least and most. A second of work."""
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    a @ b
    flop = 2 * SIDE**3 / 1e9
    return spread([flop / timed(lambda: a @ b).cpu for _ in range(repeats)]) | {
        "wall": flop / min(timed(lambda: a @ b).wall for _ in range(repeats))
    }


def _cpu() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def forget_peak() -> None:
    """Let the peak of this process's memory begin anew, where the system can (Linux).

    What the C library holds and does not use goes back first, or the peak would hide in it.
    """
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def memory(what: str = "VmHWM") -> int:
    """Bytes of memory of this process: at the most so far, or now (`VmRSS`)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) << 10
