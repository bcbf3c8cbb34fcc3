"""Progress on stderr, JSON without nan, streams that cannot hold every letter."""

from __future__ import annotations

import io
import json

from rich.console import Console

from kn_edit.cli.output import Output
from kn_edit.cli.progress import EVERY, Bar, Lines
from kn_edit.cli.tables import word


def test_lines_come_now_and_then_with_the_time_left(capsys):
    now = iter([0.0, 1.0, EVERY + 1, EVERY + 2, 2 * EVERY + 1])
    lines = Lines(lambda: next(now))
    for done in (0, 1, 2, 4):
        lines("locating", done, 8)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "locating: 12%, about 210 s left",
        "locating: 50%, about 60 s left",
    ]
    assert captured.out == ""


def test_steps_of_nobody_knows_how_many_are_counted(capsys):
    now = iter([0.0, EVERY, 2 * EVERY])
    lines = Lines(lambda: next(now))
    for step in (0, 12):
        lines("solving", step, 0)
    assert capsys.readouterr().err.splitlines() == ["solving ...", "solving, step 12"]


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
    Output(as_json=False, quiet=False).people(["The capital of [X] is [bold] [Y]."])
    assert capsys.readouterr().out == "The capital of [X] is [bold] [Y].\n"


def test_tokens_that_do_not_print_are_written_out():
    assert [word(token) for token in (" Rome", "\n", " ")] == ["Rome", r"'\n'", "' '"]


def test_a_bar_counts_steps_where_nobody_knows_how_many():
    stream = io.StringIO()
    bar = Bar(Console(file=stream, force_terminal=True, width=80))
    bar("solving", 7, 0)
    bar.stop()
    assert "solving, step 7" in stream.getvalue()
