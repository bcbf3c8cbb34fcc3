"""The benchmark: its reference loops compute the same scores; its table says what it measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from tiny_models import tiny

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import bench
from bench_locating import bert_figures, relative_error
from bench_plain import cached_prefix_loop, full_pass_loop
from bench_timing import Figure, Sample

from kn_edit.models.questions import Question
from kn_edit.neurons.attribution import Adaptive, Riemann, attribute


@pytest.mark.parametrize("shape", ["bert", "llama"])
def test_the_reference_loops_compute_the_scores_of_the_papers_rule(shape):
    model = tiny(shape, torch.float64)
    ids = (5, 9, 11, 6, 7)
    question = Question(ids, 2 if shape == "bert" else 4, 8)
    expected = attribute(model, question, Riemann(20)).scores
    for loop in (cached_prefix_loop, full_pass_loop):
        assert (loop(model, question) - expected).abs().max() < 1e-6 * expected.abs().max()
    exact = attribute(model, question, Adaptive()).scores
    assert relative_error(model, question, exact) < 1e-3 < relative_error(model, question, expected)


def figure(*ratios: float, threads: int = 1, **facts: object) -> Figure:
    ours = [Sample(wall=2.0, cpu=1.0) for _ in ratios]
    reference = [Sample(wall=2 * ratio, cpu=ratio) for ratio in ratios]
    return Figure("speed", threads, ours, "a loop", reference, **({"bound": 3.0} | facts))


def test_a_ratio_is_that_of_each_turn_and_the_median_is_judged():
    assert figure(2.0, 4.0, 3.5).values("cpu") == [2.0, 4.0, 3.5]
    assert figure(2.0, 4.0, 3.5).holds and not figure(2.0, 4.0, 2.5).holds
    slower = figure(0.5, 1.0, at_most=True, bound=1.0)
    assert slower.values("wall") == [2.0, 1.0] and not slower.holds


def test_only_what_is_worse_by_more_than_both_spreads_is_told():
    recorded = [figure(3.0, 4.0, 5.0), figure(1.0, threads=2)]
    assert bench.worse([figure(2.0, 3.1)], recorded) == []
    assert bench.worse([figure(9.0)], recorded) == []
    (sentence,) = bench.worse([figure(2.0, 2.9), figure(9.0, threads=4)], recorded)
    assert sentence.startswith("speed, 1 threads: 2.45 (2 to 2.9), recorded 4 (3 to 5)")
    more = figure(2.0, at_most=True)
    assert bench.worse([figure(0.1, at_most=True)], [more]) == [
        "speed, 1 threads: 10, recorded 0.5"
    ]


def test_rows_not_measured_stay_in_the_page_and_the_file(tmp_path):
    file = tmp_path / "figures.json"
    rows = [figure(2.0), figure(4.0, threads=2)]
    file.write_text(json.dumps({"figures": [row.to_json() for row in rows]}))
    assert bench.figures_of(file) == rows
    together = bench.merged([figure(8.0)], bench.figures_of(file))
    assert [row.values() for row in together] == [[8.0], [4.0]]
    peaks = {"median": 90.0, "least": 80.0, "most": 95.0}
    text = f"above {bench.MARKS[0]} stale {bench.MARKS[1]} below"
    page = bench.page(text, {"machine": bench.machine(peaks)}, together)
    assert page.startswith("above") and page.endswith("below") and "stale" not in page
    assert "| speed | 1 | 1 s CPU, 2 s | a loop: 8 s CPU, 16 s | 8 | 8 | ≥ 3 | holds |" in page
    assert "90 GFLOP/s" in page


def test_the_short_form_measures_each_row_of_a_part():
    figures = bert_figures(1, 2, 90.0, None, small=True)
    assert [row.against for row in figures] == ["plain loop", "padded loop", "", ""]
    assert all(min(row.values()) > 0 for row in figures)
