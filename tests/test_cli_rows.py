"""update --facts: a run over a file is looked at as a whole, goes on, and can be run again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from cli_shell import Ran, Shell
from tiny_models import WORDS

from kn_edit.errors import AnswerUnknown, ExitCode
from kn_edit.workspace import Case, Workspace, case_of
from kn_edit.workspace.evaluating import evaluate
from kn_edit.workspace.stated import said

PROMPT = "The capital of [X] is [Y]."
QUICK = ("--method", "closed-form", "--rule", "activation")


def row(subject: str, answer: str, to: str, prompt: str = PROMPT) -> dict[str, object]:
    return {"subject": subject, "answer": answer, "to": to, "prompts": [prompt]}


CUBA, SPAIN = row("Cuba", "Havana", "Oslo"), row("Spain", "Madrid", "Paris")


def run(shell: Shell, rows: list[dict[str, object]], *more: str) -> Ran:
    Path("rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    return shell("update", "--facts", "rows.jsonl", *QUICK, *more)


def edits(shell: Shell) -> int:
    return len(shell("status", "--json").json["edits"])


def test_a_row_that_asks_for_the_answer_that_is_there_is_passed_over(edited):
    ran = run(edited, [CUBA, row("Italy", "Rome", " rome "), SPAIN], "--accept", "--json")
    assert ran.code == 0
    assert [(each["target"], each["line"]) for each in ran.json] == [("Oslo", 1), ("Paris", 3)]
    assert "note: line 2 has the new answer already, and passed over" in ran.err
    assert edits(edited) == 4


def test_a_row_that_stands_twice_is_made_once(edited):
    ran = run(edited, [CUBA, SPAIN, CUBA], "--accept", "--json")
    assert ran.code == 0
    assert len(ran.json) == 2
    assert "note: line 3 has been given by an earlier row, and passed over" in ran.err


def test_rows_that_contradict_each_other_are_refused_with_both_lines(edited):
    before = edits(edited)
    ran = run(edited, [SPAIN, CUBA, {**CUBA, "to": "Tokyo"}], "--accept", "--json")
    assert (ran.code, edits(edited)) == (ExitCode.ERROR, before)
    assert "rows.jsonl, line 3: line 2 gives 'Cuba' the new answer 'Oslo'" in ran.error["message"]
    assert "'Tokyo'" in ran.error["message"]


def test_the_same_command_goes_on_where_it_was_and_ends_well(edited):
    before = edits(edited)
    assert run(edited, [CUBA], "--accept").code == 0  # as far as the first run came
    rest = run(edited, [CUBA, SPAIN], "--accept", "--json")
    assert (rest.code, [each["subject"] for each in rest.json]) == (0, ["Spain"])
    again = run(edited, [CUBA, SPAIN], "--accept")
    assert (again.code, again.out) == (0, "")
    assert "note: 2 rows (lines 1 and 2) have the new answer already" in again.err
    assert edits(edited) == before + 2


def test_two_questions_about_one_subject_are_two_rows(edited):
    other = row("Cuba", "yen", "euro", "people in [X] use the currency [Y].")
    ran = run(edited, [CUBA, other], "--accept", "--json")
    assert (ran.code, len(ran.json)) == (0, 2)


def unanswerable() -> str:
    """A word of whose capital the model says nothing that could be an answer."""
    with Workspace.open(Path()) as workspace:
        deltas = workspace.ledger.deltas(workspace.head.edits)
        with workspace.engine.at(deltas) as model:
            for word in WORDS.split():
                case = case_of(subject=word, answer="x", prompts=["The capital of [X] is [Y]"])
                try:
                    said(model, case)
                except AnswerUnknown:
                    return word
    raise AssertionError("the model has an answer to everything")


def flat(subject: str, target: str) -> dict[str, object]:
    return {"subject": subject, "prompt": f"The capital of {subject} is", "target_new": target}


def test_a_row_that_fails_does_not_end_the_run(edited):
    before = edits(edited)
    rows = [flat(unanswerable(), "Rome"), flat("Cuba", "Oslo"), flat("Spain", "Paris")]
    ran = run(edited, rows, "--accept", "--json")
    assert ran.code == ExitCode.USAGE
    assert [each["line"] for each in ran.json] == [2, 3]
    assert ran.error["error"] == "RowsFailed"
    assert ran.error["message"].startswith("1 of 3 rows failed: line 1: no answer for")
    assert edits(edited) == before + 2


def test_the_worst_row_gives_the_exit_code(edited):
    weak = ("--scale", "0.001", "0.001")
    refused = run(edited, [CUBA, SPAIN], *weak, "--json")
    assert refused.code == ExitCode.QUALITY_GATE
    assert len(refused.json) == 2
    rows = [flat(unanswerable(), "Rome"), flat("Cuba", "Oslo")]
    both = run(edited, rows, *weak, "--json")
    assert both.code == ExitCode.USAGE
    assert len(both.error["detail"]["failures"]) == 2


# --- facts of which nobody states the answer -----------------------------------------------------


def test_an_answer_that_nobody_stated_is_what_the_model_says(edited):
    Path("flat.jsonl").write_text(json.dumps(flat("Cuba", "Oslo")) + "\n")
    (asked,) = edited("assess", "--facts", "flat.jsonl", "--json").json
    assert asked["rank"] == 1
    assert asked["answer"] == asked["top"][0][0].strip() or " " in asked["answer"]


@pytest.mark.parametrize("verb", ["locate", "suppress"])
def test_such_facts_can_be_located_and_scaled(edited, verb):
    Path("flat.jsonl").write_text(json.dumps(flat("Cuba", "Oslo")) + "\n")
    assert edited(verb, "--facts", "flat.jsonl", "--rule", "activation").code == 0


# --- which fact an edit is about -----------------------------------------------------------------


def test_edits_of_one_subject_by_other_prompts_do_not_hide_each_other(edited):
    capital = row("Cuba", "Havana", "Oslo")
    money = row("Cuba", "yen", "euro", "people in [X] use the currency [Y].")
    assert run(edited, [capital, money], "--accept").code == 0
    updates = edited("evaluate", "--json").json["updates"]
    assert [each["target"] for each in updates[-2:]] == ["Oslo", "euro"]
    own = ("--subject", "Cuba", "--answer", "Havana", "--prompt", PROMPT)
    assert edited("update", *own, "--to", "Oslo", "--accept", *QUICK).code == 0  # another relation
    assert edited("locate", *own, "--rule", "activation", "--json").json["fact"]["answer"] == "Oslo"
    asked = ("--prompt", "people in [X] use the currency [Y].", "--subject", "Cuba")
    found = edited("locate", *asked, "--answer", "yen", "--rule", "activation", "--json").json
    assert found["fact"]["answer"] == "yen"


def test_an_update_that_this_model_cannot_be_asked_is_passed_over(edited):
    with Workspace.open(Path()) as workspace:
        deltas = workspace.ledger.deltas(workspace.head.edits)
        records = workspace.ledger.records(workspace.head.edits)
        hostile = [replace(records[0], target="</s>"), *records[1:]]
        evaluation = evaluate(workspace.engine, deltas, hostile, workspace.progress)
    assert len(evaluation.updates) == len(records) - 1
    assert "cannot be asked" in evaluation.passed_over[0]


def test_the_plan_of_python_users_sorts_their_cases(edited):
    with Workspace.open(Path()) as workspace:
        france = case_of(subject="France", answer="Paris", prompts=[PROMPT])
        plan = workspace.plan([(france, "Rome"), (france, "Rome"), (_italy(), "Rome")])
    assert [len(rows) for rows in (plan.wanted, plan.done, plan.repeated)] == [1, 1, 1]


def _italy() -> Case:
    return case_of(subject="Italy", answer="Rome", prompts=[PROMPT])
