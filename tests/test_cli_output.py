"""Progress on stderr, JSON without nan, streams that cannot hold every letter."""

from __future__ import annotations

import io
import json
import re

import pytest
from rich.console import Console

from kn_edit.cli.output import Output
from kn_edit.cli.progress import EVERY, Bar, Course, Lines, roughly
from kn_edit.cli.tables import word
from kn_edit.editing.pace import Forecast, Part


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def lines_at(clock, moments, what="solving"):
    lines = Lines(clock)
    for clock.now, done, total in moments:
        lines(what, done, total)


def test_lines_come_now_and_then_with_the_time_left(capsys):
    moments = [(1, 0, 8), (EVERY + 1, 1, 8), (EVERY + 2, 2, 8), (2 * EVERY + 1, 4, 8)]
    lines_at(Clock(), moments, "locating")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "locating: 12%, about 70 s left",
        "locating: 50%, about 20 s left",
    ]
    assert captured.out == ""


def test_at_most_one_line_comes_in_ten_seconds(capsys):
    assert EVERY >= 10
    lines_at(Clock(), [(tenth / 10, tenth, 1000) for tenth in range(1000)])
    assert len(capsys.readouterr().err.splitlines()) == 9


def test_steps_of_nobody_knows_how_many_are_counted(capsys):
    lines_at(Clock(), [(EVERY, 0, 0), (2 * EVERY, 12, 0)])
    assert capsys.readouterr().err.splitlines() == ["solving ...", "solving, step 12"]


FORECAST = Forecast((Part("locating", 20), Part("solving", 60, 12), Part("measuring", 20)))


def course_at(moments, forecast=FORECAST):
    clock = Clock()
    course = Course(clock)
    course.expect(forecast)
    estimates = []
    for clock.now, what, done, total in moments:
        estimates.append(course.estimate(what, done, total))
    return estimates


def test_a_forecast_tells_what_is_left_of_all_parts():
    begin, half, solving, end = course_at(
        [
            (0, "locating Cuba", 0, 4),
            (10, "locating Cuba", 2, 4),
            (50, "solving", 6, 0),
            (80, "measuring", 0, 0),
        ]
    )
    assert begin.seconds_left == pytest.approx(100)
    assert half.seconds_left == pytest.approx(90)
    assert (solving.share, solving.seconds_left) == (0.5, pytest.approx(50))
    assert (end.share, end.seconds_left) == (0.8, pytest.approx(20))


def test_a_forecast_that_was_too_short_is_corrected_by_what_was_seen():
    (at,) = course_at([(100, "solving", 6, 0)])  # half is done, in twice the time
    assert 80 < at.seconds_left < 100
    (at,) = course_at([(25, "solving", 6, 0)])
    assert 25 < at.seconds_left < 35


def test_more_steps_than_usual_make_the_rest_longer():
    usual, more = course_at([(60, "solving", 9, 40), (80, "solving", 12, 40)])
    assert more.seconds_left > usual.seconds_left


def test_a_bar_never_goes_back():
    shares = [
        standing.share
        for standing in course_at(
            [
                (50, "solving", 10, 0),
                (60, "solving", 1, 0),
                (70, "asking", 0, 0),
                (80, "measuring", 0, 0),
                (85, "solving", 3, 0),
            ]
        )
    ]
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (3.2, "3 s"), (47, "50 s"), (200, "3 min"), (12_000, "3 h 20 min")],
)
def test_durations_are_not_more_exact_than_they_are_known(seconds, words):
    assert roughly(seconds) == words


@pytest.mark.parametrize(
    "what", ["solving", "row 3 of 40, about 25 min left: locating " + "x" * 60]
)
def test_a_bar_fits_eighty_columns(what):
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=80, color_system=None))
    bar.expect(FORECAST)
    bar(what, 3, 12)
    bar.stop()
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n")
    assert "left" in drawn
    assert max(map(len, drawn.splitlines())) <= 80


def test_short_work_tells_nothing(capsys):
    lines = Lines(lambda: 0.0)
    lines("measuring", 0, 0)
    lines.stop()
    assert capsys.readouterr().err == ""


def test_a_bar_shows_the_work_and_goes_away():
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=80))
    bar("locating [X]", 1, 4)
    bar("measuring", 0, 0)
    bar.stop()
    bar.stop()
    assert "measuring" in stream.getvalue()
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h") == 1


def test_json_knows_no_nan(capsys):
    Output(as_json=True, quiet=False).document({"p": float("nan"), "all": [float("inf"), 1.5]})
    assert json.loads(capsys.readouterr().out) == {"p": None, "all": [None, 1.5]}


def test_square_brackets_are_text(capsys):
    Output(as_json=False, quiet=False).text(["The capital of [X] is [bold] [Y]."])
    assert capsys.readouterr().out == "The capital of [X] is [bold] [Y].\n"


def test_tokens_that_do_not_print_are_written_out():
    assert [word(token) for token in (" Rome", "\n", " ")] == ["Rome", r"'\n'", "' '"]


def test_a_bar_counts_steps_where_nobody_knows_how_many():
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=80))
    bar("solving", 7, 0)
    bar.stop()
    assert "solving, step 7" in stream.getvalue()
