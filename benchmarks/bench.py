"""Every figure of speed beside its reference in the same run, as JSON and as the table of the docs.

    python benchmarks/bench.py [--only PART ...] [--repeat 5] [--threads 1] [--peers PYTHON]
        [--json docs/performance.json] [--write docs/performance.md] [--short]
    python benchmarks/bench.py --check docs/performance.json [--only PART ...]

`make bench` and `make bench-check` run it. What is measured and its reference are run in turns.
A row holds medians over the repetitions; in brackets the least and the most. Rows that are there
already and not measured now stay as they are, marked with their own run.

--short takes small shapes and two repetitions, some 60 s: it shows that everything runs, and its
figures say nothing. --check measures anew and fails where a ratio is worse than in the file by more
than both spreads.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from bench_files import file_figures
from bench_locating import bert_figures, demo_figures, gemma_figures, growth_figures
from bench_memory import memory_figures
from bench_shapes import WIDE_SPREAD
from bench_timing import Figure, Sample, on_threads, peak, spread, thread_counts
from bench_updates import solve_figures, update_figures

MARKS = ("<!-- bench: begin -->", "<!-- bench: end -->")
LAYERS = 17  # 4.0 GB
SHORT_LAYERS = 4  # 0.9 GB


@dataclass(frozen=True)
class Plan:
    """How a run measures. python: of the peers' environment; peak: GFLOP/s for a CPU second"""

    repeats: int
    small: bool
    python: Path | None
    folder: Path | None
    peak: float


Part = Callable[[Plan, int], list[Figure]]


def _files(plan: Plan, threads: int) -> list[Figure]:
    if threads > 1:  # an export takes the threads that it takes
        return []
    with tempfile.TemporaryDirectory(dir=plan.folder) as folder:
        layers = SHORT_LAYERS if plan.small else LAYERS
        return file_figures(Path(folder), plan.repeats, layers=layers)


PARTS: dict[str, Part] = {
    "bert": lambda plan, threads: bert_figures(
        threads, plan.repeats, plan.peak, plan.python, small=plan.small
    ),
    "bert-wide": lambda plan, threads: bert_figures(
        threads, plan.repeats, plan.peak, plan.python, small=plan.small, spread=WIDE_SPREAD
    ),
    "demo": lambda plan, threads: demo_figures(threads, plan.repeats, small=plan.small),
    "growth": lambda plan, threads: growth_figures(threads, plan.repeats, small=plan.small),
    "gemma": lambda plan, threads: gemma_figures(threads, plan.repeats, small=plan.small),
    "solve": lambda plan, threads: solve_figures(threads, plan.repeats, small=plan.small),
    "updates": lambda plan, threads: [] if plan.small else update_figures(threads, plan.repeats),
    "memory": lambda plan, threads: [] if plan.small or threads > 1 else memory_figures(),
    "files": _files,
}


def run(parts: Sequence[str], plan: Plan, threads: Sequence[int]) -> list[Figure]:
    """Measure parts, on each number of threads."""
    figures = []
    for name in parts:
        for count in threads:
            started = time.monotonic()
            with on_threads(count):
                figures += PARTS[name](plan, count)
            seconds = time.monotonic() - started
            print(f"{name}, {count} threads: {seconds:.0f} s", file=sys.stderr, flush=True)
    return figures


def machine(peaks: Mapping[str, float]) -> dict[str, Any]:
    """What the figures of a run depend on."""
    cpu = Path("/proc/cpuinfo")
    names = (
        [line for line in cpu.read_text().splitlines() if "model name" in line]
        if (cpu.exists())
        else []
    )
    return {
        "processor": names[0].split(":")[1].strip() if names else platform.processor(),
        "cores": thread_counts()[-1],
        "peak": dict(peaks),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def table(figures: Sequence[Figure]) -> str:
    """The rows as Markdown."""
    lines = [
        "| figure | threads | kn-edit | reference | ratio, CPU | ratio, wall | bound | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(_row, figures)])


def _row(figure: Figure) -> str:
    name = f"{figure.name} ({figure.note})" if figure.note else figure.name
    bound, verdict = "", ""
    if figure.bound is not None:
        bound = f"{'≤' if figure.at_most else '≥'} {_digits(figure.bound)}"
        verdict = "holds" if figure.holds else "missed"
    if figure.unit != "s":
        cells = [f"{_spread(figure.values())} {figure.unit}", "", "", ""]
    else:
        cells = [
            f"{_seconds(figure.ours)}",
            f"{figure.against}: {_seconds(figure.reference)}",
            _spread(figure.values("cpu")),
            _spread(figure.values("wall")),
        ]
    return f"| {' | '.join([name, str(figure.threads), *cells, bound, verdict])} |"


def _seconds(samples: Sequence[Sample]) -> str:
    cpu = spread([sample.cpu for sample in samples])["median"]
    wall = spread([sample.wall for sample in samples])["median"]
    return f"{_digits(cpu)} s CPU, {_digits(wall)} s"


def _spread(values: Sequence[float]) -> str:
    facts = spread(values)
    middle = _digits(facts["median"])
    if len(values) == 1:
        return middle
    return f"{middle} ({_digits(facts['least'])} to {_digits(facts['most'])})"


def _digits(value: float) -> str:
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def page(text: str, report: Mapping[str, Any], figures: Sequence[Figure]) -> str:
    """A page with the table between its marks."""
    facts, peaks = report["machine"], report["machine"]["peak"]
    about = (
        f"Machine: {facts['processor']}, {facts['cores']} cores, torch {facts['torch']}, "
        f"transformers {facts['transformers']}. Its float32 matrix products reach "
        f"{peaks['median']:.0f} GFLOP/s for a CPU second ({peaks['least']:.0f} to "
        f"{peaks['most']:.0f})."
    )
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    return f"{before}{MARKS[0]}\n{about}\n\n{table(figures)}\n{MARKS[1]}{after}"


def worse(figures: Sequence[Figure], recorded: Sequence[Figure]) -> list[str]:
    """A sentence for each figure that is worse than recorded by more than both spreads."""
    before = {figure.key: figure for figure in recorded}
    sentences = []
    for figure in figures:
        earlier = before.get(figure.key)
        if earlier is None:
            continue
        now, then = spread(figure.values()), spread(earlier.values())
        lost = now["least"] > then["most"] if figure.at_most else now["most"] < then["least"]
        if lost:
            sentences.append(
                f"{figure.name}, {figure.threads} threads: {_spread(figure.values())}, "
                f"recorded {_spread(earlier.values())}"
            )
    return sentences


def merged(figures: Sequence[Figure], recorded: Sequence[Figure]) -> list[Figure]:
    """The recorded rows, with those that were measured now in the place of their former ones."""
    rows = {figure.key: figure for figure in recorded} | {figure.key: figure for figure in figures}
    return list(rows.values())


def figures_of(path: Path) -> list[Figure]:
    """The figures that a file holds; none where there is no file."""
    if not path.exists():
        return []
    return [Figure.from_json(raw) for raw in json.loads(path.read_text())["figures"]]


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeat", type=int)
    parser.add_argument("--threads", type=int, nargs="+", default=thread_counts())
    parser.add_argument("--peers", type=Path, help="python of an environment with the packages")
    parser.add_argument("--folder", type=Path, help="where 8 GB fit for a while")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--check", type=Path)
    parser.add_argument("--short", action="store_true")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    with on_threads(1):
        peaks = peak()
    plan = Plan(
        repeats=chosen.repeat or (2 if chosen.short else 5),
        small=chosen.short,
        python=chosen.peers,
        folder=chosen.folder,
        peak=peaks["median"],
    )
    figures = run(chosen.only, plan, chosen.threads)
    print(table(figures))
    if chosen.check:
        sentences = worse(figures, figures_of(chosen.check))
        if sentences:
            sys.exit("\n".join(["worse than recorded:", *sentences]))
        return
    report = {"machine": machine(peaks)}
    if chosen.json:
        figures = merged(figures, figures_of(chosen.json))
        report["figures"] = [figure.to_json() for figure in figures]
        chosen.json.write_text(json.dumps(report, indent=1) + "\n")
    if chosen.write:
        chosen.write.write_text(page(chosen.write.read_text(), report, figures))


if __name__ == "__main__":
    main()
