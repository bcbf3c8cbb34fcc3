"""How plots tell their lines apart."""

from __future__ import annotations

from kn_edit.evaluation.plots import COLOURS, _look, curves
from kn_edit.evaluation.statistics import Estimate


def test_twelve_lines_look_different():
    looks = {tuple(map(str, _look(index).values())) for index in range(2 * len(COLOURS))}
    assert len(looks) == 2 * len(COLOURS)
    assert _look(0)["color"] == _look(len(COLOURS))["color"]  # there are six colours


def test_places_may_be_logarithmic():
    points = {count: Estimate(value=0.5, low=0.4, high=0.6, count=9) for count in (10, 100, 1000)}
    plain, logarithmic = (
        curves({"joint": points}, "edits", "efficacy", logarithmic=chosen)
        for chosen in (False, True)
    )
    assert plain != logarithmic
    assert "edits" in logarithmic and "joint" in logarithmic
