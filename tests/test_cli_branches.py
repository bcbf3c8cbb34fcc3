"""Branches at the command line: branch, switch, and the log of one or all of them."""

from __future__ import annotations

import json
import re

import pytest

from kn_edit.cli.graph import drawn
from kn_edit.cli.output import Output
from kn_edit.ledger import Step


@pytest.fixture
def head(edited):
    return edited("status", "-q").lines[0]


def test_a_ledger_has_one_branch_which_is_marked(edited, head):
    (main,) = edited("branch", "--json").json
    assert (main["branch"], main["current"], main["version"]) == ("main", True, head)
    assert (main["edits"], main["message"]) == (2, "home: Japan, Tokyo -> Cairo")
    assert edited("branch", "-q").lines == ["main"]
    people = edited("branch")
    assert re.match(rf"\* +main +{head[:12]} +{main['edit'][:12]} ", people.lines[1])
    assert all(len(line) <= 80 for line in people.lines)


def test_a_branch_is_made_and_gone_to(edited, head):
    made = edited("branch", "capitals")
    assert made.lines == [
        f"branch capitals is made, at version {head[:12]}",
        "go there: kn-edit switch capitals",
    ]
    assert edited("status", "--json").json["branch"] == "main"
    ran = edited("switch", "capitals", "--json").json
    assert ran == {"branch": "capitals", "version": head, "current": True}
    status = edited("status", "--json").json
    assert (status["branch"], status["branches"]) == ("capitals", {"capitals": head, "main": head})
    assert "branch  capitals" in edited("status").out
    assert edited("switch", "-c", "more", "-q").lines == [head]
    assert edited("switch", "main", "base").code == 2
    assert edited("switch", "-c", "early", "base").code == 0
    assert edited("status", "--json").json["edits"] == []
    assert edited("switch", "more").code == 0
    assert edited("branch", "--delete", "early").code == 0
    assert edited("branch", "-q").lines == ["capitals", "main", "more"]


def test_moves_are_recorded_on_the_current_branch(edited, head):
    edited("switch", "-c", "capitals")
    moved = edited("rewind", "base", "--json").json
    assert moved["refs"] == ["capitals"]
    assert edited("show", "main", "-q").lines == [head]
    assert edited("diff", "capitals", "main", "--json").json["b"] == head
    assert edited("rewind", "main", "--json").json["refs"] == ["capitals", "main"]


def test_a_branch_is_renamed_and_deleted(edited, head):
    edited("branch", "capitals")
    assert edited("branch", "--rename", "capitals", "cities").code == 0
    assert edited("branch", "--rename", "trunk").lines == ["branch main is called trunk now"]
    assert edited("branch", "-q").lines == ["cities", "trunk"]
    assert edited("branch", "--delete", "trunk").code == 3
    gone = edited("branch", "--delete", "cities")
    assert gone.lines == [
        f"branch cities is deleted; it was at version {head[:12]}",
        f"bring it back: kn-edit branch cities {head[:12]}",
    ]


def test_a_branch_that_alone_has_edits_is_deleted_by_force(edited, head):
    edited("branch", "capitals")
    edited("rewind", "base")
    refused = edited("branch", "--delete", "capitals", "--json")
    assert (refused.code, refused.error["error"]) == (3, "OnlyThere")
    assert "--force" in refused.error["message"]
    assert edited("branch", "--delete", "capitals", "--force", "-q").lines == [head]
    assert edited("verify").code == 0
    assert edited("gc").code == 0
    assert edited("rewind", head).code == 0  # its edits are kept with their ids


@pytest.mark.parametrize(
    "args",
    [
        ("branch", "--delete"),
        ("branch", "--rename"),
        ("branch", "a", "--force"),
        ("branch", "a", "b", "--delete"),
        ("branch", "a", "--delete", "--rename"),
        ("branch", "MAIN"),
        ("log", "main", "--all"),
    ],
)
def test_wrong_use(edited, args):
    assert edited(*args).code == 2


def test_a_branch_that_is_not_there(edited):
    ran = edited("switch", "capitals", "--json")
    assert (ran.code, ran.error["error"]) == (1, "UnknownBranch")
    assert edited("log", "capitals").code == 1


def test_the_log_of_a_branch_and_of_all(edited, head):
    edited("switch", "-c", "capitals")
    edited("rewind", "base")
    main = edited("log", "main", "--json").json
    assert main[0]["version"] == head
    assert [step["version"] for step in edited("log", "--json").json][1:] == [
        step["version"] for step in main
    ]
    drawn_steps = edited("log", "--all", "--json").json
    assert [step["refs"] for step in drawn_steps] == [["capitals"], ["main"], [], []]
    steps = [step["step"] for step in drawn_steps]
    assert [step["after"] for step in drawn_steps] == [[steps[1]], [steps[2]], [steps[3]], []]
    people = edited("log", "--all")
    assert [line[0] for line in people.lines] == ["●"] * 4
    assert "(*capitals)" in people.lines[0]
    assert all(len(line) <= 80 for line in people.lines)
    assert len(edited("log", "--all", "-n", "2").lines) == 2
    assert edited("log", "--all", "-q").lines == [step["version"] for step in drawn_steps]


# --- the drawing ---------------------------------------------------------------------------------


def step(seq: int, *after: int, refs: tuple[str, ...] = (), kind: str = "update") -> Step:
    return Step(
        seq=seq,
        created="2026-01-01T00:00:00+00:00",
        kind=kind,
        version=f"{seq:064}",
        parents=(),
        edits=(),  # type: ignore[arg-type]
        edit=None,
        message=f"step {seq}",
        refs=refs,
        after=after,
    )


ROOT = step(1, kind="init")


def lines_of(capsys, *steps: Step) -> list[str]:
    """What is drawn in front of the texts."""
    Output(False, False).text(drawn(steps, "main"))
    return [line.partition("0000")[0].rstrip() for line in capsys.readouterr().out.splitlines()]


def test_one_line_is_drawn_without_anything_between(capsys):
    assert lines_of(capsys, step(3, 2), step(2, 1), ROOT) == ["●", "●", "●"]


def test_two_branches_part_and_meet(capsys):
    merged = [step(5, 4, 3), step(4, 2), step(3, 2), step(2, 1), ROOT]
    assert lines_of(capsys, *merged) == ["●", "├─╮", "● │", "│ ●", "├─╯", "●", "●"]
    assert lines_of(capsys, *merged[1:]) == ["●", "│ ●", "├─╯", "●", "●"]


def test_a_merge_of_three(capsys):
    merged = [step(5, 4, 3, 2), step(4, 1), step(3, 1), step(2, 1), ROOT]
    lines = ["●", "├─┬─╮", "● │ │", "│ ● │", "│ │ ●", "├─┴─╯", "●"]
    assert lines_of(capsys, *merged) == lines


def test_a_merge_of_what_has_a_line_already_joins_that(capsys):
    crossing = [step(5, 4, 3), step(4, 2), step(3, 2), step(2, 1), ROOT]
    both = [step(7, 6, 5), step(6, 3), *crossing]
    assert lines_of(capsys, *both)[:6] == ["●", "├─╮", "● │", "│ ●", "├─┤", "│ ●"]


def test_lines_of_a_listing_that_is_cut_off_lead_to_its_end(capsys):
    assert lines_of(capsys, step(9), step(8), step(7)) == ["●", "│ ●", "│ │ ●"]


def test_a_terminal_that_draws_no_lines_gets_letters(capsys, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    merged = [step(5, 4, 3), step(4, 2), step(3, 2), step(2, 1), ROOT]
    assert lines_of(capsys, *merged) == ["*", "+-+", "* |", "| *", "+-+", "*", "*"]


def test_a_row_keeps_to_the_width_whatever_the_names(capsys):
    steps = [step(3, 2, refs=("main", "x" * 90)), step(2, 1, refs=("v1",)), ROOT]
    Output(False, False).text(drawn(steps, "main"))
    first, second, _ = capsys.readouterr().out.splitlines()
    assert len(first) <= 80
    assert "(*main, x" in first
    assert "(v1) step 2" in second


def test_json_of_the_graph_is_what_the_drawing_is_made_of(edited):
    edited("switch", "-c", "capitals")
    steps = json.loads(edited("log", "--all", "--json").out)
    assert {step["branch"] for step in steps} == {"main"}  # nothing happened on the other one
    assert steps[0]["refs"] == ["capitals", "main"]
