"""What limits locating and solving: operations, their rate, and which part of the time they take.

    python benchmarks/shares.py [--only ROW ...] [--write docs/performance.md]

One thread. Operations are those of matrix products and attention, counted by torch; the rate is
theirs for a CPU second of the whole call. *Products* and *head*: shares of the time under torch's
profiler, which slows small calls down. Nodes: evaluations per layer, the mean over layers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench_locating import capitals, locate
from bench_shapes import USUAL_SPREAD, WIDE_SPREAD, bert, bert_prompt, gemma, no_tokenizer
from bench_timing import on_threads
from bench_updates import plain_solve, solve_case
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from kn_edit.edits import calibrate
from kn_edit.edits.settings import CAUSAL
from kn_edit.models.demo import demo_folder
from kn_edit.models.model import Model, load
from kn_edit.models.questions import Question
from kn_edit.neurons.attribution import Adaptive, Attribution, Riemann

MARKS = ("<!-- shares: begin -->", "<!-- shares: end -->")
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm")
HEAD = "_Answer"
PROMPT = 12  # tokens of a random prompt
REPEATS = 3
LONG = 10  # seconds of a call that is timed once


@dataclass(frozen=True)
class Row:
    """One call, measured. seconds: of the processor, of calls under 10 s the least of three"""

    name: str
    nodes: float | None
    gflop: float
    seconds: float
    products: float  # of the profiled time
    head: float

    def __str__(self) -> str:
        cells = [
            self.name,
            "" if self.nodes is None else f"{self.nodes:.1f}",
            f"{self.gflop:.0f}",
            f"{self.seconds:.2f}",
            f"{self.gflop / self.seconds:.0f}",
            f"{self.products:.0%}",
            f"{self.head:.0%}" if self.head else "",
        ]
        return f"| {' | '.join(cells)} |"


def measured(name: str, call: Callable[[], Any]) -> Row:
    """Run a call some times: by the clock, counted, and profiled."""
    found, seconds = _timed(call)
    if seconds < LONG:  # the first run of a short call warms up
        seconds = min(_timed(call)[1] for _ in range(REPEATS))
    with FlopCounterMode(display=False) as counter:
        call()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        call()
    events = profiled.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    products = sum(event.self_cpu_time_total for event in events if event.key in PRODUCTS)
    head = sum(event.cpu_time_total for event in events if event.key == HEAD)
    return Row(
        name=name,
        nodes=_nodes(found),
        gflop=counter.get_total_flops() / 1e9,
        seconds=seconds,
        products=products / total,
        head=head / total,
    )


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and its CPU seconds."""
    started = time.process_time()
    found = call()
    return found, time.process_time() - started


def _nodes(found: Any) -> float | None:
    """Nodes of a layer, the mean over layers and prompts; None where nothing was located."""
    if not isinstance(found, list):
        return None
    attributions: list[Attribution] = found
    return float(torch.stack([each.nodes for each in attributions]).double().mean())


def _bert(spread: float, rule: Any) -> Callable[[], Any]:
    model = Model(bert(spread=spread), no_tokenizer())
    ids, position = bert_prompt()
    return _locating(model, ids, position, rule)


def _gemma(words: int, *, norm_behind: bool) -> Callable[[], Any]:
    model = Model(gemma(words, norm_behind=norm_behind), no_tokenizer())
    draws = torch.Generator().manual_seed(0)
    ids = torch.randint(1000, 40_000, (PROMPT,), generator=draws).tolist()
    return _locating(model, ids, PROMPT - 1, Adaptive())


def _locating(model: Model, ids: list[int], position: int, rule: Any) -> Callable[[], Any]:
    token = int(model.net(input_ids=torch.tensor([ids])).logits[0, position].argmax())
    question = Question(tuple(ids), position, token)
    return lambda: locate(model, [question], rule)


def _demo(count: int) -> Callable[[], Any]:
    model = load(demo_folder())
    questions = capitals(model)[:count]
    return lambda: locate(model, questions, Adaptive())


def _solve(*, plain: bool) -> Callable[[], Any]:
    model, aims, neurons = solve_case(small=False)
    steps = calibrate.solve(model, aims, neurons, CAUSAL).steps + 1
    if plain:
        return lambda: plain_solve(model, aims, neurons, steps)
    return lambda: calibrate.solve(model, aims, neurons, CAUSAL)


ROWS: dict[str, tuple[str, Callable[[], Callable[[], Any]]]] = {
    "riemann": ("BERT-base shape, m = 20", lambda: _bert(USUAL_SPREAD, Riemann(20))),
    "bert": ("BERT-base shape, default rule", lambda: _bert(USUAL_SPREAD, Adaptive())),
    "bert-wide": (
        f"BERT-base shape (weights of spread {WIDE_SPREAD}), default rule",
        lambda: _bert(WIDE_SPREAD, Adaptive()),
    ),
    "demo": ("SmolLM2-135M, ten prompts", lambda: _demo(10)),
    "one": ("SmolLM2-135M, one prompt", lambda: _demo(1)),
    "gemma": (
        "Gemma-3 shape, norm behind the FFN, 262,144 words",
        lambda: _gemma(262_144, norm_behind=True),
    ),
    "norm": (
        "the same, 49,152 words",
        lambda: _gemma(49_152, norm_behind=True),
    ),
    "words": (
        "the same, no such norm, 262,144 words",
        lambda: _gemma(262_144, norm_behind=False),
    ),
    "neither": (
        "the same, no such norm, 49,152 words",
        lambda: _gemma(49_152, norm_behind=False),
    ),
    "solve": ("SmolLM2-135M, a solve of 20 slots", lambda: _solve(plain=False)),
    "full": ("the same by full passes", lambda: _solve(plain=True)),
}


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| one thread | nodes | GFLOP | CPU s | GFLOP/s | products | head |",
        "|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *map(str, rows)])


def main() -> None:
    """Measure rows, and print them or put them into a page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    with on_threads(1):
        rows = [measured(name, prepare()) for name, prepare in (ROWS[key] for key in chosen.only)]
    print(table(rows))
    if chosen.write:
        before, rest = chosen.write.read_text().split(MARKS[0])
        after = rest.split(MARKS[1])[1]
        text = f"{before}{MARKS[0]}\n{table(rows)}\n{MARKS[1]}{after}"
        chosen.write.write_text(text)


if __name__ == "__main__":
    main()
