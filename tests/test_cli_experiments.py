"""suppress, amplify, evaluate, reproduce at the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

from kn_edit.errors import ExitCode


def fits(ran):
    return all(len(line) <= 80 for line in ran.lines)


def test_suppress_and_amplify_show_the_fact_beside_its_controls(edited):
    fact = ("--prompt", "The city of [X] is [Y].", "--subject", "Cuba", "--answer", "Havana")
    for command, factor in (("suppress", 0.0), ("amplify", 2.0)):
        ran = edited(command, *fact, "--json")
        assert ran.code == 0
        assert ran.json["factor"] == factor
        assert ran.json["neurons"]
        own, *others = ran.json["p"]
        assert own["of"] == "the fact"
        assert own["change"] == own["after"] / own["before"] - 1
        assert "the fact, random neurons" in {one["of"] for one in others}
        people = edited(command, *fact)
        assert people.code == 0
        assert fits(people)
    once = edited("amplify", *fact, "--factor", "1", "--json").json["p"]
    assert all(one["change"] == 0 for one in once)


def test_evaluate_asks_the_base_and_the_version_the_same(edited):
    ran = edited("evaluate", "--json")
    assert ran.code == 0
    assert [(one["subject"], one["target"]) for one in ran.json["updates"]] == [
        ("France", "Rome"),
        ("Japan", "Cairo"),
    ]
    for one in ran.json["updates"]:
        assert 0 <= one["efficacy"] <= 1
        assert 0 <= one["generalization"] <= 1
    figures = ran.json["efficacy"]
    assert figures["low"] <= figures["value"] <= figures["high"]
    assert figures["count"] == 2
    assert ran.json["perplexity"]["base"] != ran.json["perplexity"]["version"]
    people = edited("evaluate")
    assert fits(people)
    assert "neutral perplexity" in people.out


def test_the_base_evaluates_to_itself(edited):
    found = edited("evaluate", "base", "--json").json
    assert found["updates"] == []
    assert found["efficacy"] is None
    assert found["perplexity"]["base"] == found["perplexity"]["version"]
    assert found["entropy"]["base"] == found["entropy"]["version"]


def test_reproduce_says_which_relation_the_model_does_not_know(edited):
    ran = edited("reproduce", "out", "--relation", edited.pack, "--quick", "--json")
    assert ran.code == ExitCode.ERROR
    assert ran.error["error"] == "TooFewKnown"
    assert "fewer than 2 facts of home" in ran.error["message"]
    assert "--relation" in ran.error["message"]


def test_reproduce_says_which_relation_has_one_answer_only(edited):
    template = "The capital of [X] is [Y]"
    facts, answers = [], {}
    for subject in ("France", "Japan", "Italy", "Egypt", "Norway", "Cuba", "Spain", "Rome"):
        asked = ("--prompt", template, "--subject", subject, "--answer", "the")
        (row,) = edited("assess", *asked, "--version", "base", "--json").json
        facts.append([subject, row["top"][0][0].strip()])
        answers.setdefault(facts[-1][1], []).append(facts[-1])
    alike = max(answers.values(), key=len)
    assert len(alike) >= 2
    pack = {"name": "alike", "templates": [{"text": template}], "facts": alike}
    Path("alike.json").write_text(json.dumps(pack))
    ran = edited("reproduce", "out", "--relation", "alike.json", "--quick", "--json")
    assert (ran.code, ran.error["error"]) == (ExitCode.ERROR, "OneAnswer")
    assert "every fact of alike has the same answer" in ran.error["message"]


def test_reproduce_writes_a_page_that_needs_nothing_else(edited, tmp_path):
    packs = []
    for name in ("one", "two"):
        said = edited(
            "assess", "--relation", edited.pack, "--subject", "Italy", "--version", "base"
        )
        assert said.code == 0
        template = f"The {'capital' if name == 'one' else 'city'} of [X] is [Y]"
        facts = []
        for subject in ("France", "Japan", "Italy", "Egypt", "Norway", "Cuba", "Spain", "Rome"):
            asked = ("--prompt", template, "--subject", subject, "--answer", "the")
            (row,) = edited("assess", *asked, "--version", "base", "--json").json
            if re.fullmatch(r"\w+", row["top"][0][0].strip()):
                facts.append([subject, row["top"][0][0].strip()])
        assert len(facts) >= 3
        templates = [{"text": template}, {"text": "people of [X] in [Y]", "held_out": True}]
        pack = tmp_path / f"{name}.json"
        pack.write_text(json.dumps({"name": name, "templates": templates, "facts": facts}))
        packs += ["--relation", str(pack)]
    ran = edited("reproduce", "out", *packs, "--facts", "3", "--edits", "2", "--json")
    assert ran.code == 0, ran.err
    assert {one["holds"] for one in ran.json["claims"]} <= {True, False}
    page = (tmp_path / "w" / "out" / "report.html").read_text()
    assert page.count("<svg") == 4
    assert not re.search(r"<script|<link|src=|url\(", page.replace("url(#", ""))
    text = (tmp_path / "w" / "out" / "results.md").read_text()
    plots = {file.stem for file in (tmp_path / "w" / "out" / "plots").iterdir()}
    assert plots == set(re.findall(r"plots/([\w-]+)\.svg", text))
    assert edited("reproduce", "out", *packs, "--facts", "3", "--edits", "2").code == 0
    assert (tmp_path / "w" / "out" / "report.html").read_text() == page
    assert (tmp_path / "w" / "out" / "results.md").read_text() == text


def test_report_shows_each_update_with_its_plots_and_the_history(edited, tmp_path):
    ran = edited("report", "page", "--json")
    assert ran.code == 0, ran.err
    page = (tmp_path / "w" / "page" / "report.html").read_text()
    assert ran.json == {"report": str(Path("page") / "report.html"), "seed": 0}
    for words in ("France", "-&gt; Rome", "Japan", "-&gt; Cairo", "History", "neutral text"):
        assert words in page
    assert page.count("<svg") == 4  # a map and a curve for each of two updates
    assert not re.search(r"<script|<link|src=|url\(", page.replace("url(#", ""))
    assert edited("report", "page").code == 0
    assert (tmp_path / "w" / "page" / "report.html").read_text() == page


def test_report_of_one_edit_shows_it_on_the_base_alone(edited, tmp_path):
    edit = edited("log", "--json").json[0]["edit"]
    assert edited("report", "one", "--edit", edit, "-q").code == 0
    page = (tmp_path / "w" / "one" / "report.html").read_text()
    assert edit[:12] in page
    assert page.count("<svg") == 2
    ran = edited("report", "none", "--edit", "0123456789", "--json")
    assert ran.error["error"] == "UnknownId"


def test_a_report_that_cannot_be_written_says_so_before_the_work(edited, tmp_path):
    (tmp_path / "w" / "taken").write_text("")
    for command in ("report", "reproduce"):
        ran = edited(command, "taken", "--json")
        assert ran.code == ExitCode.DISK
        assert ran.error["error"] == "CannotWrite"
