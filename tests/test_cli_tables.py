"""Tables at eighty columns: whole answers, long prompts, letters that take two columns."""

from __future__ import annotations

import unicodedata

import pytest

from kn_edit.cli import records, tables
from kn_edit.cli.output import Output
from kn_edit.editing.requests import case_of
from kn_edit.facts import Prompt
from kn_edit.workspace import Assessment

WIDE = "スターバックスの最高経営責任者は誰ですか、とても長い質問なので折り返す必要があります"


def columns(line):
    """How many columns a terminal needs for a line."""
    return sum(
        0 if unicodedata.combining(letter) else 1 + (unicodedata.east_asian_width(letter) in "WF")
        for letter in line
    )


def answered(template, says, p=0.5):
    case = case_of(subject="Starbucks", answer="Joe", prompts=[template])
    prompt = Prompt(case.fact, case.relation.templates[0])
    return Assessment(prompt, "Joe", p, 3, ((" Joe", p),), None, says, p)


def printed(capsys, found):
    Output(as_json=False, quiet=False).text(tables.assessments(found))
    return capsys.readouterr().out


@pytest.mark.parametrize("says", ["Brian Niccol", "多" * 40, "word " * 40, "x" * 200, "\n\n"])
@pytest.mark.parametrize(
    "template",
    ["[X] is [Y].", f"[X] {WIDE} [Y]", "[X] " + "long " * 60 + "[Y]", "x" * 300 + "[X][Y]"],
)
def test_every_line_fits(capsys, monkeypatch, template, says):
    monkeypatch.setenv("COLUMNS", "80")
    out = printed(capsys, [answered(template, says)])
    assert max(map(columns, out.splitlines())) <= 80
    assert "0.50" in out


def test_an_answer_of_several_tokens_is_shown_whole(capsys):
    out = printed(capsys, [answered("[X] is led by [Y].", "Brian Niccol of Starbucks")])
    assert "Brian Niccol of Starbucks 0.50" in out


@pytest.mark.parametrize("cells", [9, 10, 20])
@pytest.mark.parametrize(
    "text", ["東京都庁の所在地はどこですか", "a東b京c都d庁e所f在g地", "plain letters, many"]
)
def test_a_long_text_keeps_its_two_ends_within_its_columns(text, cells):
    short = tables.fitted(text, cells)
    assert columns(short) <= cells
    assert short[0] == text[0]
    assert short[-1] == text[-1]


def test_a_short_text_is_left_alone():
    assert tables.fitted("東京", 4) == "東京"


def test_show_tells_what_the_model_said_when_an_edit_was_made(edited):
    done = edited.update("Italy", "New York", "--accept", "--json").json
    record = edited("show", done["edit"], "--json").json
    says = record["found"]["says"]
    assert [row["prompt"] for row in says] == [row["prompt"] for row in done["after"]]
    assert [row["after"] for row in says] == [row["says"] for row in done["after"]]
    assert [row["before"] for row in says] == [row["says"] for row in done["before"]]
    assert all(len(row["after"].split()) == 2 for row in says)
    people = edited("show", done["edit"])
    assert says[0]["after"] in people.out
    assert max(map(columns, people.lines)) <= 80


@pytest.mark.parametrize(
    "found",
    [{}, {"says": 3}, {"says": [3, None, {}]}, {"says": [{"prompt": 1, "after": ["x"]}]}],
    ids=str,
)
def test_what_somebody_else_recorded_of_answers_breaks_nothing(capsys, found):
    Output(as_json=False, quiet=False).text(records.answers(found))
    assert "Traceback" not in capsys.readouterr().out
