"""bench at the command line: what a model takes on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

TIMES = {"wall", "cpu"}


def scores() -> list[Path]:
    """The cached scores of prompts."""
    return sorted(Path(os.environ["KN_EDIT_CACHE"]).glob("scores/*/*"))


def test_bench_times_prompts_and_an_update_and_records_nothing(edited):
    head, cached = edited("log", "-q").lines, scores()
    ran = edited("bench", "--relation", edited.pack, "--prompts", "4", "--json")
    assert ran.code == 0, ran.err
    result = ran.json
    for name in ("load", "prompt", "update"):
        assert result[name].keys() == TIMES
        assert min(result[name].values()) > 0
    assert result["update"]["cpu"] > result["prompt"]["cpu"]
    assert (result["device"], result["dtype"], result["prompts"]) == ("cpu", "float32", 4)
    assert result["weights"] == 4 * result["parameters"] > 0
    assert 0.1 < result["peak"] < 1e5
    assert result["memory"] is None or 0 <= result["memory"] < 1 << 30
    assert edited("log", "-q").lines == head
    assert scores() == cached


@pytest.mark.parametrize("form", ["people", "quiet"])
def test_bench_without_an_update_tells_the_seconds_of_a_prompt(form, edited):
    args = ("bench", "--relation", edited.pack, "--prompts", "1", "--no-update")
    if form == "quiet":
        (line,) = edited(*args, "-q").lines
        assert float(line) >= 0
        return
    ran = edited(*args)
    assert ran.code == 0
    names = [line.split("  ")[0].strip() for line in ran.lines if line[:1].strip()]
    assert names == [
        "model", "runs on", "its peak", "loading", "a prompt", "an update", "weights", "over them",
    ]  # fmt: skip
    assert "not measured" in ran.out and "1 scored together" in ran.out
    assert all(len(line) <= 80 for line in ran.lines)
