"""update --facts: a run over a file is looked at as a whole, goes on, and can be run again."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cli_shell import Ran, Shell, ended, process
from workspaces import about

from kn_edit.cli.many import Run, duration
from kn_edit.cli.output import Output
from kn_edit.cli.run import STOPPED
from kn_edit.editing.evaluating import evaluate
from kn_edit.errors import ExitCode
from kn_edit.workspace import Batch, BatchRow, Case, Plan, RowResult, RowStatus, Workspace, case_of

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


def flat(subject: str, target: str) -> dict[str, object]:
    return {"subject": subject, "prompt": f"The capital of {subject} is", "target_new": target}


UNASKABLE = flat("Egypt", "Zanzibar")  # which this model's tokenizer does not know


def test_a_row_that_fails_does_not_end_the_run(edited):
    before = edits(edited)
    ran = run(
        edited, [UNASKABLE, flat("Cuba", "Oslo"), flat("Spain", "Paris")], "--accept", "--json"
    )
    assert ran.code == ExitCode.USAGE
    assert [(each["line"], each["status"]) for each in ran.json] == [
        (1, "failed"),
        (2, "recorded"),
        (3, "recorded"),
    ]
    assert ran.error["error"] == "RowsFailed"
    assert ran.error["message"].startswith("1 of 3 rows failed: line 1: the tokenizer does not")
    assert edits(edited) == before + 2


def test_an_old_answer_that_the_model_cannot_say_refuses_no_row_of_a_benchmark(edited):
    rows = [{**flat("Cuba", "Oslo"), "ground_truth": "Zanzibar"}]
    ran = run(edited, rows, "--accept", "--json")
    assert (ran.code, ran.json[0]["status"]) == (0, "recorded")
    assert ran.json[0]["answer"] != "Zanzibar"
    assert edited("assess", "--facts", "rows.jsonl", "--json").code == 0


def test_a_row_that_the_user_wrote_and_the_model_cannot_be_asked_ends_the_run(edited):
    before = edits(edited)
    ran = run(edited, [SPAIN, row("Cuba", "Havana", "Zanzibar")], "--accept")
    assert (ran.code, edits(edited)) == (ExitCode.ERROR, before)
    assert "rows.jsonl, line 2: the tokenizer does not know the answer 'Zanzibar'" in ran.err


def test_rows_of_a_benchmark_that_contradict_each_other_fail_alone(edited):
    rows = [flat("Cuba", "Oslo"), flat("Spain", "Paris"), flat("Cuba", "Tokyo")]
    ran = run(edited, rows, "--accept", "--json")
    assert ran.code == ExitCode.USAGE
    assert [each["status"] for each in ran.json] == ["recorded", "recorded", "failed"]
    assert "line 1 gives 'Cuba' the new answer 'Oslo'" in ran.json[2]["why_not"][0]


def test_the_worst_row_gives_the_exit_code(edited):
    weak = ("--scale", "0.001", "0.001")
    refused = run(edited, [CUBA, SPAIN], *weak, "--json")
    assert refused.code == ExitCode.QUALITY_GATE
    assert [each["status"] for each in refused.json] == ["refused by the gate"] * 2
    both = run(edited, [UNASKABLE, flat("Cuba", "Oslo")], *weak, "--json")
    assert both.code == ExitCode.USAGE
    assert len(both.error["detail"]["failures"]) == 2


# --- what is told of each row --------------------------------------------------------------------


def test_every_row_has_one_line_of_json_with_what_became_of_it(edited):
    ran = run(edited, [UNASKABLE, flat("Spain", "Paris")], "--accept", "--json")
    lines = ran.out.splitlines()
    assert [line[0] for line in lines] == ["[", ",", "]"]
    failed, recorded = (json.loads(line[1:]) for line in lines[:2])
    for each in (failed, recorded):
        assert {"subject", "answer", "target", "metrics", "edit", "recorded", "why_not"} <= {*each}
        assert {"efficacy", "generalization", "specificity"} <= {*each["metrics"]}
    assert (failed["edit"], failed["recorded"], failed["error"]) == (
        None,
        False,
        "AnswerNotInVocabulary",
    )
    assert (recorded["recorded"], recorded["why_not"]) == (True, [])


def test_no_rows_are_an_empty_list(edited):
    assert run(edited, [row("Italy", "Rome", "Rome")], "--json").json == []


def test_people_see_a_line_a_row_and_the_counts_at_the_end(edited):
    weak = ("--scale", "0.001", "0.001")
    ran = run(edited, [UNASKABLE, flat("Cuba", "Oslo"), flat("Spain", "Paris")], *weak)
    head, *lines = ran.lines
    assert head.split() == ["edit", "eff.", "gen.", "spec.", "change"]
    rows = [line for line in lines if not line.startswith(" ")]
    assert rows[0] == "not recorded  -    -    -     rows: Egypt -> Zanzibar"
    assert [line.split()[2] for line in rows[1:]] == ["0.00", "0.00"]
    assert all(len(line) <= 80 for line in lines)
    assert "    the tokenizer does not know the answer 'Zanzibar'" in ran.out
    assert "note: 3 rows in" in ran.err
    assert ": 2 refused by the gate and 1 failed" in ran.err
    assert "note: means over the rows that were measured: efficacy 0.00 (2)" in ran.err


def test_a_dry_run_over_rows_says_what_it_measured(edited):
    before = edits(edited)
    ran = run(edited, [CUBA, SPAIN], "--dry-run", "--json")
    assert {each["status"] for each in ran.json} == {"measured, not recorded"}
    assert (edits(edited), ran.json[0]["edit"]) == (before, None)


def test_what_readers_take_otherwise_is_told_once_with_its_lines(edited):
    rows = [{**flat(name, " Oslo "), "subject": name} for name in ("Cuba", "Spain")]
    ran = run(edited, rows, "--accept", "--json")
    note = "note: 2 rows (lines 1 and 2): the new answer is asked without the spaces around it"
    assert ran.err.count(note) == 1
    assert edited("assess", "--facts", "rows.jsonl").err.count(note) == 1


def test_the_time_that_is_left_is_told_with_the_row(edited):
    rows = [BatchRow(about(name), "Oslo") for name in ("Cuba", "Spain", "Italy")]
    batch = Batch(Plan((), (), ()), rows, pytest.fail)
    began = time.monotonic() - 300
    now = Run(batch, Output(as_json=True, quiet=False), began=began)
    assert now.position() == "row 1 of 3"
    batch.results.append(RowResult(rows[0], RowStatus.RECORDED, metrics={"efficacy": 1.0}))
    now.ended = time.monotonic()
    assert now.position() == "row 2 of 3, 10 min left"


def test_a_run_that_is_stopped_has_shown_its_rows_and_goes_on_where_it_was(edited):
    names = ["Cuba", "Spain", "Italy", "Egypt", "yen", "gold"]
    rows = [flat("Norway", "Zanzibar"), *(flat(name, "Oslo") for name in names)]
    Path("rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    command = ("update", "--facts", "rows.jsonl", *QUICK, "--accept", "--json")
    before = edits(edited)
    running = process(*command)
    assert running.stdout is not None
    begun = [running.stdout.readline() for _ in range(2)]
    running.send_signal(signal.SIGINT)
    ran = ended(running)
    assert ran.code == STOPPED
    failed, *shown = json.loads("".join(begun) + ran.out)
    assert (failed["status"], shown[0]["status"]) == ("failed", "recorded")
    recorded = edits(edited) - before
    assert recorded - len(shown) in (0, 1)  # a signal may come before the last one is shown
    assert recorded < len(names)
    assert "stopped at" in ran.err
    again = edited(*command)
    assert again.code == ExitCode.USAGE
    assert [each["subject"] for each in again.json] == ["Norway", *names[recorded:]]
    assert edits(edited) - before == len(names)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (89, "89 s"), (100, "2 min"), (3599, "1 h 0 min"), (12_000, "3 h 20 min")],
)
def test_a_duration_is_told_in_the_words_of_people(seconds, words):
    assert duration(seconds) == words


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
