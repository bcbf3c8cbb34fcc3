"""kn-edit merge at the command line: conflicts of facts are told, and asked about on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from cli_shell import PROGRAM

BY_SLOTS = ("--method", "calibrated", "--accept")


@pytest.fixture
def apart(edited):
    """Branches main and other: France is Rome on one, Oslo on the other, by other slots."""
    edited("switch", "-c", "other")
    edited("rewind", "base")
    made = edited.update("France", "Oslo", *BY_SLOTS, "--neurons", "L1.60 L1.61", "--json")
    assert made.code == 0
    edited("switch", "main")
    return edited


def merge_on_a_terminal(*answers, args=("merge", "other")):
    """A merge whose stdin and stderr are a terminal on which somebody types; its exit code, both
    streams."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *args],
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as running:
        os.close(theirs)
        os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
        out = running.stdout.read()
        said = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # Linux says so where the other side is closed
                break
            if not part:
                break
            said += part
        os.close(ours)
    return running.returncode, out, said.decode()


def test_a_merge_tells_the_conflict_and_what_to_add(apart):
    ran = apart("merge", "other")
    assert (ran.code, ran.out) == (3, "")
    assert "home: France is Rome" in ran.err
    assert "Oslo" in ran.err
    assert "add --ours, --theirs or --both" in ran.err
    for choice in ("ours", "theirs", "both"):
        assert f"    kn-edit merge --{choice} other" in ran.err or f"other --{choice}" in ran.err
    error = apart("merge", "other", "--json").error
    assert (error["error"], error["code"]) == ("FactsDiffer", 3)
    (conflict,) = error["detail"]["conflicts"]
    assert (conflict["subject"], conflict["ours"]["answer"]) == ("France", "Rome")
    assert len(error["detail"]["try"]) == 3
    assert len(apart("log", "--json").json) == 3  # nothing was recorded


@pytest.mark.parametrize(("choice", "answer"), [("ours", "Rome"), ("theirs", "Oslo")])
def test_a_choice_is_carried_out_told_and_recorded(apart, choice, answer):
    ran = apart("merge", "other", f"--{choice}", "--allow-overlap", "--json")
    assert ran.code == 0
    (settled,) = ran.json["conflicts"]
    assert (settled["kept"], settled[choice]["answer"]) == (choice, answer)
    edits = [apart("show", edit, "--json").json for edit in ran.json["edits"]]
    assert {edit["target"] for edit in edits if edit["subject"] == "France"} == {answer}
    assert settled["left_out"][0] not in ran.json["edits"]
    assert ("stays Rome" in ran.err) == (choice == "ours")
    message = apart("log", "--json").json[0]["message"]
    assert message.startswith("merge other; home: France ")
    shown = apart("show", "head")
    assert "merge other; home: France" in " ".join(shown.out.split())
    assert apart("show", "head", "--json").json["moves"][0]["message"] == message
    assert apart("verify").code == 0


def test_both_edits_stay_in_order(apart):
    ran = apart("merge", "other", "--both", "--allow-overlap", "-q")
    assert (ran.code, len(apart("status", "--json").json["edits"])) == (0, 3)
    assert apart("log", "--all").lines[1].startswith("├─╮")


def test_a_merge_of_what_is_there_already_records_nothing_and_is_no_error(apart):
    head = apart("status", "-q").lines
    ran = apart("merge", "base", "-q")
    assert (ran.code, ran.lines) == (0, head)
    assert "nothing was recorded: the current branch has all of these edits" in ran.err
    assert len(apart("log", "--json").json) == 3


def test_compose_asks_in_the_same_way(apart):
    assert apart("compose", "other").code == 3
    ran = apart("compose", "other", "main", "--ours", "--allow-overlap", "--json")
    assert ran.json["conflicts"][0]["ours"]["answer"] == "Oslo"


def test_choices_exclude_each_other(apart):
    assert apart("merge", "other", "--ours", "--both").code == 2


def test_a_terminal_is_asked_what_stays(apart):
    code, out, said = merge_on_a_terminal("neither", "t", "y")
    assert code == 0, said
    assert "home: France" in said
    assert "ours    Rome" in said
    assert "theirs  Oslo" in said
    assert "type ours, theirs or both" in said
    assert "the head is" in out
    edits = apart("status", "--json").json["edits"]
    answers = [apart("show", edit, "--json").json["target"] for edit in edits]
    assert sorted(answers) == ["Cairo", "Oslo"]


def test_a_terminal_where_nobody_answers_records_nothing(apart):
    code, out, said = merge_on_a_terminal("\x04")
    assert code == 130, said
    assert out == ""
    assert len(apart("log", "--json").json) == 3
