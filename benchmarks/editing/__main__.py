"""Run the sweep of mass editing, and write its results line by line."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import suppress
from itertools import product
from pathlib import Path

import torch

from benchmarks.editing.editors import Shared, Unedited, editors
from benchmarks.editing.facts import BUNDLED, DATASETS, drawn
from benchmarks.editing.orders import DRAWN, ORDERS
from benchmarks.editing.runs import Bench, Results, Run
from kn_edit.workspace import Workspace


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.editing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, help="folder of counterfact.jsonl, zsre.jsonl, ...")
    parser.add_argument("--datasets", default=",".join(DATASETS))
    parser.add_argument("--methods", default="", help="by default all")
    parser.add_argument("--counts", default="10,100")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--orders", default=DRAWN, help=f"of {', '.join(ORDERS)}")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--results", type=Path, default=Path(".editing/results.jsonl"))
    chosen = parser.parse_args()
    if chosen.data is None and set(chosen.datasets.split(",")) != {BUNDLED}:
        parser.error("--data names the folder of the data sets' files; without it take bundled")
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace.init(chosen.model, Path(folder) / "work") as workspace,
        suppress(KeyboardInterrupt),
    ):
        _sweep(workspace, chosen)


def _sweep(workspace: Workspace, chosen: argparse.Namespace) -> None:
    engine = workspace.engine
    every = editors(engine, Shared(engine.model))
    methods = chosen.methods.split(",") if chosen.methods else list(every)
    if unknown := [method for method in methods if method not in every]:
        raise SystemExit(f"no method {', '.join(unknown)}; there are {', '.join(every)}")
    results = Results(chosen.results)
    datasets = chosen.datasets.split(",")
    sizes = [int(count) for count in chosen.counts.split(",")]
    seeds = [int(seed) for seed in chosen.seeds.split(",")]
    orders = chosen.orders.split(",")
    for count, dataset, seed in product(sizes, datasets, seeds):
        runs = [
            Run(chosen.model, dataset, method, count, seed, order)
            for order in orders
            for method in methods
        ]
        missing = [run for run in runs if not results.has(run)]
        if not missing:
            continue
        facts = drawn(engine.model, dataset, chosen.data, count, seed)
        bench = Bench(Unedited(engine), facts)
        for run in missing:
            ordered = ORDERS[run.order](engine.model, facts)
            figures = bench.run(every[run.method](), ordered)
            results.add(run, {"facts": len(facts)} | figures)
            print(_line(run, figures), flush=True)


def _line(run: Run, figures: dict[str, object]) -> str:
    """One run in a line, for whoever watches."""
    by_fact = figures["by_fact"]
    assert isinstance(by_fact, dict)
    shares = []
    for name, values in by_fact.items():
        numbers = [value for value in values if isinstance(value, float)]
        if numbers:
            shares.append(f"{name} {sum(numbers) / len(numbers):.3f}")
    named = f"{run.dataset} {run.count} {run.method} seed {run.seed} {run.order}"
    return f"{named}: {', '.join(shares)}, neutral {figures['neutral']}, {figures['seconds']} s"


if __name__ == "__main__":
    main()
