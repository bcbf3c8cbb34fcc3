"""The benchmark of free questions: which facts it takes, what it asks, and its table."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tiny_models import tiny

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import free

from kn_edit.editing.protocol_shares import questions_about
from kn_edit.facts import Case, load_relation

RELATIONS = ("capital", "country", "language", "symbol")


def test_each_relation_has_three_questions_that_resemble_no_other_words():
    model = tiny("gpt2")
    for name in RELATIONS:
        relation = load_relation(name)
        fact = relation.facts[0]
        prompts = free.prompts_about(model, Case(relation, fact))
        assert len(prompts) == 3
        texts = [prompt.text for prompt in prompts]
        assert all(text.count(fact.subject) == 1 for text in texts)
        known = {text.casefold() for text in questions_about(model, relation, fact)}
        known |= {prompt.before.strip().casefold() for prompt in relation.prompts(fact)}
        known |= {
            prompt.before.strip().casefold() for prompt in relation.prompts(fact, held_out=True)
        }
        for text in texts:
            assert not any(words and words in text.casefold() for words in known)


def test_facts_are_taken_in_turn_from_each_relation():
    names = ["a:1", "a:2", "a:3", "b:1", "c:1", "c:2"]
    assert list(free.in_turn(names)) == ["a:1", "b:1", "c:1", "a:2", "c:2", "a:3"]


def row(name, share, *texts):
    version = [{"new": new, "old": old} for new, old in texts]
    replies = [{"version": version}]
    return {"name": name, "base_old": 0.5, "entropy_share": share, "replies": replies}


def test_the_table_has_shares_of_texts_and_the_least_entropy():
    rows = [
        row("capital:France", 1.0, (True, False), (True, True)),
        row("capital:Japan", 0.5, (False, True), (True, False)),
        row("symbol:gold", None, (True, False), (False, False)),
    ]
    lines = free.table(json.loads(json.dumps(rows))).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert [(line[0], line[1]) for line in cells] == [
        ("capital", "2"),
        ("symbol", "1"),
        ("all", "3"),
    ]
    assert [line[3].split()[0] for line in cells] == ["0.500", "1.000", "0.667"]
    assert [line[4].split()[0] for line in cells] == ["0.500", "0.000", "0.333"]
    assert [line[5] for line in cells] == ["0.750 (0.500)", "-", "0.750 (0.500)"]
    assert [line[6] for line in cells] == ["1 of 2", "0 of 1", "1 of 3"]
    assert free.right({"new": True, "old": False})


@pytest.mark.parametrize("name", RELATIONS)
def test_the_questions_name_relations_that_ship(name):
    lines = free.QUESTIONS.read_text(encoding="utf-8").splitlines()
    assert sum(json.loads(line)["relation"] == name for line in lines) == 3
    assert len(lines) == 12


def test_a_run_that_goes_on_writes_no_known_fact_twice(tmp_path):
    rows = tmp_path / "known-facts.jsonl"
    for name in ("capital: France", "symbol: gold", "capital: France"):
        free.add({"name": name}, rows)
    assert [json.loads(line)["name"] for line in rows.read_text().splitlines()] == [
        "capital: France",
        "symbol: gold",
    ]
