"""Write the tables and plots of docs/editing.md from the lines of results.

python -m benchmarks.editing.report [--results FILE...] [--write docs/editing.md]
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.editing.facts import DATASETS
from benchmarks.editing.orders import DRAWN, ORDERS
from kn_edit.evaluation.plots import bars, curves
from kn_edit.evaluation.statistics import Estimate, harmonic, mean
from kn_edit.figures import count

Result = dict[str, Any]

MEASURED = Path("docs/measured/editing")
PLACE = re.compile(r"(?<=<!-- measured -->\n).*(?=<!-- end of measured -->)", re.DOTALL)
METHODS = (
    "unedited",
    "in-context",
    "fine-tuning",
    "rome",
    "memit",
    "alphaedit",
    "ultraedit",
    "kn-edit joint",
)
SCORED = ("efficacy", "paraphrase", "specificity")
FREE = ("free", "free_paraphrase")
AS_PAPERS = (
    "forced",
    "forced_paraphrase",
    "likelier",
    "likelier_paraphrase",
    "likelier_locality",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, nargs="*")
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    files = chosen.results or sorted(MEASURED.glob("*.jsonl"))
    results = [json.loads(line) for file in files for line in _lines(file)]
    text = report(results)
    if chosen.write is None:
        print(text)
        return
    page = chosen.write.read_text(encoding="utf-8")
    for name, drawn in plots(results).items():
        (MEASURED / f"{name}.svg").write_text(drawn, encoding="utf-8")
        text += f"\n![{name}]({MEASURED.relative_to(chosen.write.parent)}/{name}.svg)\n"
    chosen.write.write_text(PLACE.sub(lambda _: text, page), encoding="utf-8")


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def report(results: Sequence[Result]) -> str:
    """Two tables for every data set and count: what is said, and what papers score."""
    parts = []
    for (dataset, edits, order), rows in _groups(results):
        seeds = sorted({row["seed"] for row in rows})
        facts = sum(row["facts"] for row in rows) // len({row["method"] for row in rows})
        ordered = f", {order}" if order != DRAWN else ""
        parts.append(f"### {dataset}, {count(edits, 'edit')}{ordered}\n")
        parts.append(f"seed {', '.join(map(str, seeds))}; {count(facts, 'fact')}.\n")
        parts.append(_table(rows, SCORED, FREE, _unedited(results, rows)))
        parts.append(_table(rows, AS_PAPERS, (), ()))
        if retained := _retention(rows):
            parts.append(retained)
    return "\n".join(parts)


def _groups(results: Sequence[Result]) -> Iterator[tuple[tuple[str, int, str], list[Result]]]:
    orders = list(ORDERS)

    def key(row: Result) -> tuple[int, int, int]:
        return DATASETS.index(row["dataset"]), row["count"], orders.index(row["order"])

    for (dataset, edits, order), rows in groupby(sorted(results, key=key), key):
        yield (DATASETS[dataset], edits, orders[order]), list(rows)


def _unedited(results: Sequence[Result], rows: Sequence[Result]) -> list[Result]:
    """What the unedited model says to the facts of some rows, which no order changes."""
    asked = {(row["dataset"], row["count"], row["seed"]) for row in rows}
    plain = [row for row in results if row["method"] == "unedited"]
    return [row for row in plain if (row["dataset"], row["count"], row["seed"]) in asked]


def _by_method(rows: Sequence[Result]) -> Iterator[tuple[str, list[Result]]]:
    for method in METHODS:
        if runs := [row for row in rows if row["method"] == method]:
            yield method, runs


def values(runs: Sequence[Result], name: str) -> list[float]:
    """A figure of every fact of some runs, without those that have none."""
    found = [value for run in runs for value in run["by_fact"].get(name, [])]
    return [value for value in found if isinstance(value, int | float)]


def estimates(runs: Sequence[Result], names: Sequence[str]) -> dict[str, Estimate]:
    """Means over facts with their intervals."""
    return {name: mean(found) for name in names if (found := values(runs, name))}


def _table(
    rows: Sequence[Result], names: Sequence[str], further: Sequence[str], plain: Sequence[Result]
) -> str:
    """A row for each method.

    further: columns beside those that make the score; plain: the unedited model's rows
    """
    scored = bool(further)
    head = ["method", *names, *further]
    if scored:
        head[1:1] = ["score"]
        head += ["entropy", "neutral text", "CPU s"]
    lines = [head, ["---"] * len(head)]
    for method, runs in _by_method(rows):
        found = estimates(runs, (*names, *further))
        cells = [method, *(_cell(found.get(name)) for name in (*names, *further))]
        if scored:
            score = harmonic([found[name].value for name in names if name in found])
            cells[1:1] = [f"{score:.3f}"]
            cells += [_entropy(plain, runs), *_means(runs)]
        lines.append(cells)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{estimate.value:.3f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _entropy(plain: Sequence[Result], runs: Sequence[Result]) -> str:
    """The entropy of what is generated, as a share of the unedited model's."""
    before, after = values(plain, "entropy"), values(runs, "entropy")
    if not after or not sum(before):  # who ends a text at once has none
        return "-"
    return f"{(sum(after) / len(after)) / (sum(before) / len(before)):.2f}"


def _means(runs: Sequence[Result]) -> list[str]:
    neutral = sum(run["neutral"] for run in runs) / len(runs)
    seconds = sum(run["seconds"] for run in runs) / len(runs)
    return [f"{neutral:.3f}" if neutral < 1000 else f"{neutral:.1e}", f"{seconds:.0f}"]


def _retention(rows: Sequence[Result]) -> str:
    """What is left of the first facts when all others are edited too."""
    lines = [["method", "first facts", "efficacy at once", "efficacy at the end"], ["---"] * 4]
    for method, runs in _by_method(rows):
        kept = [run for run in runs if "first_at_once" in run]
        if not kept:
            continue
        at_once = [value for run in kept for value in run["first_at_once"]["efficacy"]]
        counts = [len(run["first_at_once"]["efficacy"]) for run in kept]
        end = [
            value
            for run, count in zip(kept, counts, strict=True)
            for value in run["by_fact"]["efficacy"][:count]
        ]
        lines.append([method, str(sum(counts)), _cell(mean(at_once)), _cell(mean(end))])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) if len(lines) > 2 else ""


def plots(results: Sequence[Result]) -> Mapping[str, str]:
    """Bars for every data set at its largest count, and the score by the count of edits."""
    drawn = [row for row in results if row["order"] == DRAWN]
    found: dict[str, str] = {}
    for dataset in DATASETS:
        of_dataset = [row for row in drawn if row["dataset"] == dataset]
        if not of_dataset:
            continue
        most = max(row["count"] for row in of_dataset)
        by_method = dict(_by_method([row for row in of_dataset if row["count"] == most]))
        heights = {
            name: [_value(estimates(runs, [name]), name) for runs in by_method.values()]
            for name in (*SCORED, "free")
        }
        found[f"{dataset}-{most}"] = bars(heights, list(by_method), "", f"{most} edits, {dataset}")
        counts = sorted({row["count"] for row in of_dataset})
        if len(counts) > 1:
            found[f"{dataset}-efficacy"] = curves(
                {
                    method: {
                        count: estimates(part, ["efficacy"])["efficacy"]
                        for count in counts
                        if (part := [run for run in runs if run["count"] == count])
                    }
                    for method, runs in _by_method(of_dataset)
                },
                "edits",
                "efficacy",
                logarithmic=True,
            )
    return found


def _value(found: Mapping[str, Estimate], name: str) -> float:
    return found[name].value if name in found else 0.0


if __name__ == "__main__":
    main()
