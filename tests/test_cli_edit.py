"""assess, locate, update, erase at the command line."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from cli_shell import ended, process

from kn_edit.cli.run import STOPPED
from kn_edit.errors import ExitCode

OWN = ("--prompt", "The city of [X] is [Y].", "--subject", "Cuba", "--answer", "Havana")


def fact(shell, subject="Italy"):
    return ("--relation", shell.pack, "--subject", subject)


def fits(ran):
    return all(len(line) <= 80 for line in ran.lines)


def test_assess_says_p_rank_and_top_of_every_prompt(edited):
    ran = edited("assess", *fact(edited), "--json")
    assert ran.code == 0
    assert [row["held_out"] for row in ran.json] == [False, False, False, True]
    for row in ran.json:
        assert {"prompt", "p", "rank", "top"} <= row.keys()
        assert len(row["top"]) == 5
        assert (row["rank"] == 1) == (row["top"][0][0].strip() == "Rome")
    assert "left out" in ran.err
    people = edited("assess", *fact(edited))
    assert fits(people)
    assert "The capital of Italy is [Y]." in people.out
    firsts = [row["top"][0][0].strip() for row in ran.json]
    assert edited("assess", *fact(edited), "-q").lines == firsts


def test_assess_of_a_fact_in_the_users_own_words(edited):
    (row,) = edited("assess", *OWN, "--json").json
    assert row["prompt"] == "The city of Cuba is [Y]."
    base = edited("assess", *OWN, "--json", "--version", "base")
    assert base.json[0]["p"] != row["p"]


def test_locate_gives_neurons_with_scores_and_gaps(edited):
    how = (*OWN, "--version", "base")
    found = edited("locate", *how, "--json").json
    assert found["fact"] == {"relation": "own", "subject": "Cuba", "answer": "Havana"}
    assert len(found["gap"]) == 2
    assert found["neurons"][0].keys() == {"layer", "index", "score"}
    scores = [one["score"] for one in found["neurons"]]
    assert scores[0] > 0
    names = [f"L{one['layer']}.{one['index']}" for one in found["neurons"]]
    assert edited("locate", *how, "-q").lines == names
    people = edited("locate", *how)
    assert fits(people)
    assert names[0] in people.out


def test_locate_by_other_rules(edited):
    riemann = edited("locate", *fact(edited), "--json", "--rule", "riemann", "--steps", "4").json
    assert {prompt["nodes"] for prompt in riemann["prompts"]} == {4}
    active = edited("locate", *fact(edited), "--json", "--rule", "activation").json
    assert active["gap"] == []
    one, other = active["prompts"][0]["p"], riemann["prompts"][0]["p"]
    assert abs(one - other) < 1e-5  # p(answer) is the same, however neurons are scored


def test_locate_of_a_whole_relation(edited):
    ran = edited("locate", "--relation", edited.pack, "--limit", "3", "--json")
    assert len(ran.json) == 3
    assert len({row["fact"]["subject"] for row in ran.json}) == 3
    assert len(edited("locate", "--relation", edited.pack, "--limit", "3").lines) == 3


def test_the_gates_limits_can_be_named_for_a_call_and_for_a_workspace(edited):
    def faults(*options):
        weak = ("--neurons", "L0.1", "--method", "closed-form", "--scale", "0.001", "0.001")
        ran = edited.update("Italy", "Oslo", "--dry-run", "--json", *weak, *options)
        assert ran.out, ran.err
        return ran.json["faults"]

    assert faults()
    assert faults("--min-efficacy", "0", "--min-specificity", "0") == []
    settings = Path("kn-edit.toml")  # of the workspace that the shell stands in
    settings.write_text("[gate]\nefficacy = 0\nspecificity = 0\n")
    assert faults() == []
    assert any("of its own prompts" in fault for fault in faults("--min-efficacy", "1"))
    settings.write_text("[gate]\nspecificity = 7\n")
    broken = edited.update("Italy", "Oslo")
    assert broken.code == ExitCode.USAGE
    assert "kn-edit.toml" in broken.err
    assert "specificity cannot be 7" in broken.err
    settings.unlink()
    assert edited.update("Italy", "Oslo", "--min-efficacy", "2").code == ExitCode.USAGE


def test_update_records_and_tells(edited):
    ran = edited.update("Italy", "Oslo", "--accept", "--json")
    assert ran.code == 0
    done = ran.json
    assert {"efficacy", "generalization", "specificity"} <= done["metrics"].keys()
    assert done["kind"] == "update"
    assert done["neurons"][0].keys() == {"layer", "index", "score"}
    assert [row["prompt"] for row in done["before"]] == [row["prompt"] for row in done["after"]]
    assert all(row["answer"] == "Oslo" for row in done["after"])
    newest = edited("log", "--json").json[0]
    assert (newest["version"], newest["edit"]) == (done["version"], done["edit"])
    said = edited("assess", *fact(edited), "-q").lines[:3]
    assert said == [row["top"][0][0].strip() for row in done["after"]]


def test_update_for_people_fits_and_says_how_to_undo_it(edited):
    ran = edited.update("Italy", "Oslo", "--accept")
    assert ran.code == 0
    assert fits(ran)
    undo = ran.lines[-1].removeprefix("undo it: kn-edit ").split()
    assert edited(*undo, "--allow-overlap").code == 0


def test_a_second_update_builds_on_the_first(edited):
    edited.update("Italy", "Oslo", "--accept")
    again = edited.update("Italy", "Madrid", "--accept", "--json").json
    assert again["answer"] == "Oslo"
    assert edited.update("Italy", "Madrid", "--accept").code == ExitCode.USAGE  # it is so already


def test_a_dry_run_and_a_refusal_record_nothing(edited):
    before = edited("log", "--json").out
    dry = edited.update("Italy", "Oslo", "--dry-run", "--json")
    assert dry.code == 0
    assert (dry.json["edit"], dry.json["version"]) == (None, None)
    poor = (*OWN, "--to", "Oslo", "--method", "closed-form", "--scale", "0.001", "0.001")
    refused = edited("update", *poor, "--json")
    assert refused.code == ExitCode.QUALITY_GATE
    assert refused.json["faults"] == refused.error["detail"]["faults"]
    assert refused.json["edit"] is None
    people = edited("update", *poor)
    assert (people.code, people.lines[-1]) == (ExitCode.QUALITY_GATE, "nothing was recorded")
    assert edited("update", *poor, "-q").out == ""
    assert edited("log", "--json").out == before


def test_update_of_a_file_of_facts_makes_an_edit_of_each(edited):
    prompts = ["The capital of [X] is [Y]."]
    rows = [
        {"subject": "Cuba", "answer": "Havana", "prompts": prompts, "to": "Oslo"},
        {"subject": "Spain", "answer": "Madrid", "prompts": prompts, "to": "Paris"},
    ]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = edited("update", "--facts", "rows.jsonl", "--accept", "--json")
    assert ran.code == 0
    assert [row["target"] for row in ran.json] == ["Oslo", "Paris"]
    log = edited("log", "--json").json
    assert [step["edit"] for step in log[1::-1]] == [row["edit"] for row in ran.json]
    people = edited("update", "--facts", "rows.jsonl", "--to", "Rome", "--dry-run")
    assert len(people.lines) == 3
    assert fits(people)


@pytest.mark.parametrize("command", ["update", "assess", "locate", "suppress"])
def test_a_row_that_cannot_be_asked_is_named_and_nothing_is_recorded(edited, command):
    log = edited("log", "--json").out
    rows = [
        {"subject": "Cuba", "answer": "Havana", "prompts": ["[X] is [Y]."], "to": "Oslo"},
        {"subject": "Spain", "answer": "Atlantis", "prompts": ["[X] is [Y]."], "to": "Paris"},
    ]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = edited(command, "--facts", "rows.jsonl")
    assert (ran.code, ran.out) == (ExitCode.ERROR, "")
    assert "rows.jsonl, line 2: the tokenizer does not know the answer 'Atlantis';" in ran.err
    assert edited("log", "--json").out == log


@pytest.mark.parametrize("written", ["unk", "zero"])
def test_erase_overwrites_and_measures(edited, written):
    assert edited("rewind", "base").code == 0  # where no fact is known, so all of them serve
    how = ("--relation", edited.pack, "--top-k", "3", "--with", written, "--accept")
    ran = edited("erase", *how, "--json")
    assert ran.code == 0
    assert ran.json["kind"] == "erase"
    assert len(ran.json["neurons"]) <= 3
    assert ran.json["metrics"]["accuracy_after"] is not None
    assert edited("show", ran.json["edit"], "--json").json["method"].startswith("set to")
    people = edited("erase", *how, "--dry-run", "--at-least", "1")
    assert people.code == ExitCode.USAGE
    people = edited("erase", "--relation", edited.pack, "--at-least", "1", "--dry-run")
    assert fits(people)


def test_ctrl_c_in_an_update_leaves_the_ledger_as_it_was(edited, monkeypatch):
    log = edited("log", "--json").out
    cache = Path("fresh-cache").absolute()
    monkeypatch.setenv("KN_EDIT_CACHE", str(cache))
    running = process("update", *fact(edited, "Egypt"), "--to", "Oslo", "--accept")
    while not (cache / "scores").exists():  # the first prompt is scored
        assert running.poll() is None
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    ran = ended(running)
    assert (ran.code, ran.out) == (STOPPED, "")
    assert ran.err.splitlines()[-1] == "stopped; nothing was written"
    assert edited("log", "--json").out == log
    assert edited("verify").code == 0
