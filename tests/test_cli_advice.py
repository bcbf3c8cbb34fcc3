"""What a refusal says: which prompt failed, on which token, and commands to try."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import click
import pytest

from kn_edit.cli.again import WIDTH, again, quoted
from kn_edit.errors import ExitCode

OWN = ("--prompt", "The city of [X] is [Y].", "--subject", "Cuba", "--answer", "Havana")
POOR = ("--to", "New York", "--slots", "1", "--neighbour", "Egypt")
HIDDEN = "a\x1b[2Jb\u202ec\\d'e\nf"


def commands(err):
    """The commands of an advice, as a shell would split them."""
    text = err[err.index("what to try") :].replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("kn-edit ")]


def expanded(shell, words):
    """The words, in place of `$(kn-edit ...)` what that command prints."""
    return [
        shell(*shlex.split(word[2:-1])[1:]).out.strip() if word.startswith("$(") else word
        for word in words
    ]


def test_a_refusal_names_the_prompt_the_token_and_what_came(edited):
    ran = edited("update", *OWN, *POOR)
    assert ran.code == ExitCode.QUALITY_GATE
    (sentence,) = [line for line in ran.err.splitlines() if line.startswith("kn-edit: ")]
    assert "The city of Cuba is [Y]." in sentence
    assert re.search(r"token [12] of 2 should be '(New|York)', and '.*' comes", sentence)
    assert "--accept" in sentence
    document = edited("update", *OWN, *POOR, "--json")
    (answer,) = document.json["after"]
    miss = answer["miss"]
    assert miss["wanted"].strip() == ["New", "York"][miss["place"] - 1]
    assert f"token {miss['place']} of {miss['of']} should be" in sentence
    assert miss["instead"].strip() in answer["says"]
    assert document.error["detail"]["misses"][0] in sentence
    assert document.error["detail"]["try"] == document.json["try"]


def test_what_to_try_comes_in_the_order_of_promise_with_the_users_own_options(edited):
    err = edited("update", *OWN, *POOR).err
    wording, neurons, slots, *_, accept = commands(err)
    assert "--neurons" in neurons
    assert "--slots" not in slots  # without it a correction writes all of its layers
    assert accept[-1] == "--accept"
    for words in (wording, neurons, slots, accept):
        assert words[0] == "update"
        for option, value in zip(OWN[2::2], OWN[3::2], strict=True):
            assert words[words.index(option) + 1] == value
        assert words[words.index("--neighbour") + 1] == "Egypt"
        assert words[words.index("--to") + 1] == "New York"
    assert wording[wording.index("--prompt") + 1] != OWN[1]
    assert neurons[neurons.index("--prompt") + 1] == OWN[1]
    assert all(len(line) <= 80 for line in err.splitlines() if line.endswith("\\"))


def test_every_command_can_be_run_and_the_last_one_records(edited):
    before = edited("log", "--json").json
    *others, accept = commands(edited("update", *OWN, *POOR).err)
    for words in others:
        ran = edited(*expanded(edited, words), "--dry-run")
        assert ran.code == 0, ran.err
    assert edited(*accept).code == 0
    assert len(edited("log", "--json").json) == len(before) + 1


def test_a_relation_that_fails_is_asked_again_in_its_own_words(edited):
    fact = ("--relation", edited.pack, "--subject", "Italy", "--to", "New York", "--slots", "1")
    wording, *_ = commands(edited("update", *fact).err)
    assert wording.count("--prompt") > 1
    assert wording[wording.index("--answer") + 1] == "Rome"
    assert edited(*wording).code in (0, ExitCode.QUALITY_GATE)


def test_a_dry_run_advises_too(edited):
    ran = edited("update", *OWN, *POOR, "--dry-run")
    assert ran.code == 0
    *others, accept = commands(ran.err)
    assert all("--dry-run" in words for words in others)
    assert "--dry-run" not in accept
    assert edited("update", *OWN, *POOR, "--dry-run", "--json").json["try"][-1]["command"]


def test_the_papers_formula_is_first_replaced_by_solving(edited):
    poor = ("--to", "Oslo", "--method", "closed-form", "--scale", "0.001", "0.001")
    first, *others = commands(edited("update", *OWN, *poor).err)
    assert "--method" not in first
    assert "--slots" not in first
    assert others[0][others[0].index("--scale") + 1 :][:2] == ["0.001", "0.001"]
    for words in (first, *others):
        ran = edited(*expanded(edited, words), "--dry-run")
        assert ran.code == 0, (words, ran.err)


def test_answers_of_others_that_change_are_named_with_their_token(edited):
    fact = ("--relation", edited.pack, "--subject", "Italy", "--to", "Oslo")
    named = ("--neurons", " ".join(f"L1.{number}" for number in range(20)))
    harm = (*fact, *named, "--method", "closed-form", "--scale", "1", "400", "--json")
    ran = edited("update", *harm)
    assert ran.code == ExitCode.QUALITY_GATE
    changed = ran.json["changed"]
    metrics = ran.json["metrics"]
    assert len(changed) == round((1 - metrics["specificity"]) * metrics["neighbours"]) > 0
    for row in changed:
        assert row["subject"] in row["prompt"]
        assert row["subject"] != "Italy"
        assert 1 <= row["token"] <= row["of"]
        assert row["before"] != row["after"]
    misses = ran.error["detail"]["misses"]
    assert any(f"on '{changed[0]['prompt']}' token {changed[0]['token']}" in one for one in misses)
    people = edited("update", *harm[:-1])
    assert "other prompt that answers otherwise" in people.out
    holding = next(words for words in commands(people.err) if "--neighbour" in words)
    assert holding[holding.index("--neighbour") + 1] == changed[0]["subject"]
    assert edited(*holding, "--dry-run").code == 0


def test_rows_of_a_file_are_tried_again_with_the_file(edited, tmp_path):
    rows = [
        {"subject": s, "answer": a, "prompts": [OWN[1]], "to": "New York"}
        for s, a in (("Cuba", "Havana"), ("Spain", "Madrid"))
    ]
    (tmp_path / "w" / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ran = edited("update", "--facts", "facts.jsonl", "--slots", "1")
    assert ran.code == ExitCode.QUALITY_GATE
    assert re.search("token [12] of 2 should be", ran.err)
    slots, accept = commands(ran.err)
    assert slots == ["update", "--facts", "facts.jsonl"]
    assert accept == ["update", "--facts", "facts.jsonl", "--slots", "1", "--accept"]
    assert edited(*accept).code == 0


def test_an_erasure_that_harms_is_tried_with_less(edited):
    ran = edited("erase", "--relation", edited.pack, "--top-k", "40", "--with", "zero")
    if ran.code == ExitCode.QUALITY_GATE:
        less, accept = commands(ran.err)
        assert less[less.index("--top-k") + 1] == "20"
        assert accept[-1] == "--accept"


@pytest.mark.parametrize(
    "more", [("--neurons", "L0.1"), ("--method", "closed-form")], ids=["neurons", "formula"]
)
def test_a_count_of_slots_stands_by_itself(edited, more):
    assert edited("update", *OWN, *POOR, *more).code == ExitCode.USAGE


def test_only_the_named_neurons_are_written(edited):
    named = ("--neurons", "L0.1, L1.2 L1.3", "--to", "Oslo", "--dry-run", "--json")
    written = edited("update", *OWN, *named).json["neurons"]
    assert [(one["layer"], one["index"]) for one in written] == [(0, 1), (1, 2), (1, 3)]
    assert edited("update", *OWN, "--to", "Oslo", "--neurons", "9.9").code == ExitCode.USAGE


@pytest.mark.parametrize("text", ["plain", "it's $HOME", "東京", '"', "", "-x", HIDDEN, "hf_x"])
def test_a_shell_reads_a_quoted_word_as_it_was(text):
    shell = subprocess.run(
        ["bash", "-c", f"printf %s {quoted(text)}"], capture_output=True, check=True
    )
    assert shell.stdout.decode() == text
    assert quoted(text).isprintable()


def test_a_command_is_written_again_with_options_left_out_and_put_in():
    @click.group()
    @click.option("--workspace")
    def kn_edit(workspace):
        pass

    @kn_edit.command()
    @click.option("--prompt", multiple=True)
    @click.option("--scale", type=float, nargs=2)
    @click.option("--dry-run", is_flag=True)
    @click.option("--unused", default="x")
    @click.argument("names", nargs=-1)
    @click.pass_context
    def show(context, **_):
        lines.append(again(context, leave_out=["dry_run"], options={"--slots": ["4"]}))

    lines = []
    args = ["--workspace", "my work", "show", "a", "--dry-run", "--scale", "1", "8"]
    args += ["--prompt", "[X] is [Y]", "--prompt", "東" * 30]
    kn_edit.main(args, prog_name="kn-edit", standalone_mode=False)
    (text,) = lines
    assert shlex.split(text.replace("\\\n", " ")) == [
        *("kn-edit", "--workspace", "my work", "show", "--prompt", "[X] is [Y]"),
        *("--prompt", "東" * 30, "--scale", "1", "8", "a", "--slots", "4"),
    ]
    assert max(map(len, text.splitlines())) <= WIDTH + 2
