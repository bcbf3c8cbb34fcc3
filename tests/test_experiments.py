"""The paper's experiments on tiny random models: they run, resume, and count right."""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path

import pytest
from samples import TORTURE, sampled
from workspaces import known_by, new_workspace

from kn_edit.edits.settings import Settings
from kn_edit.experiments import (
    assessing,
    erasing,
    expressing,
    scaling,
    sentences,
    sequence,
    sharing,
    updating,
)
from kn_edit.experiments.context import ExperimentContext, Plan
from kn_edit.experiments.rows import Rows
from kn_edit.facts import Relation, Sentences, Template
from kn_edit.progress import silent
from kn_edit.workspace import Calibrated

SHORT = Calibrated(settings=Settings(most_steps=3))
TEMPLATES = (Template("The capital of [X] is [Y]"), Template("people in [X] speak [Y]"))
HELD_OUT = (Template("the city of [X] is [Y]", held_out=True),)


def pack(folder: Path, relation: Relation) -> str:
    file = folder / f"{relation.name}.json"
    templates = [{"text": one.text, "held_out": one.held_out} for one in relation.templates]
    facts = [[fact.subject, fact.answer] for fact in relation.facts]
    file.write_text(json.dumps({"name": relation.name, "templates": templates, "facts": facts}))
    return str(file)


SHAPES = ("llama", "bert")
MEASURED = {scaling: 4, sharing: 4, expressing: 4, assessing: 2, updating: 4, erasing: 2}


@pytest.fixture(scope="module", params=SHAPES)
def context(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    with new_workspace(folder, request.param) as workspace:
        packs = []
        for number, template in enumerate(TEMPLATES):
            known = known_by(workspace, template)
            relation = Relation(f"r{number}", (template, *HELD_OUT), known.facts[:12])
            packs.append(pack(folder, relation))
        yield ExperimentContext.open(
            workspace.engine, Plan(tuple(packs), facts=2), folder / "out", SHORT
        )


def test_the_sample_is_known_and_of_the_size_that_was_asked_for(context):
    assert [len(facts) for facts in context.facts.values()] == [2, 2]
    with context.base() as (_, locator):
        for case in context.cases.values():
            assert locator.knows(case.relation, case.fact)
    again = ExperimentContext.open(context.engine, context.plan, context.out)
    assert again.facts == context.facts
    other = ExperimentContext.open(
        context.engine, Plan(context.plan.relations, 2, seed=1), context.out
    )
    assert other.facts != context.facts


def test_random_neurons_lie_in_the_same_layers_and_are_others(context):
    case = next(iter(context.cases.values()))
    own = [neuron for neuron, _ in context.located(case).ranking[:6]]
    drawn = context.random_neurons(case, own)
    assert sorted(n.layer for n in drawn) == sorted(n.layer for n in own)
    assert not set(drawn) & set(own)
    assert len(set(drawn)) == len(own)
    assert context.random_neurons(case, own) == drawn


@pytest.mark.parametrize(
    ("context", "experiment"),
    sampled(product(SHAPES, MEASURED), 7),
    indirect=["context"],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_an_experiment_runs_resumes_and_has_its_say(context, experiment):
    found = experiment.measure(context)
    assert len(found) == MEASURED[experiment]
    file = context.out / "rows" / f"{experiment.__name__.rsplit('.', 1)[-1]}.jsonl"
    whole = file.read_text()
    lines = whole.splitlines(keepends=True)
    file.write_text("".join(lines[:2]) + lines[2][:10])  # stopped in the middle of a line
    assert experiment.measure(context) == found
    assert file.read_text() == whole
    said = experiment.section(found)
    for table in said.tables:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}


@pytest.mark.parametrize("context", SHAPES if TORTURE else SHAPES[1:], indirect=True)
def test_random_neurons_may_be_tried_on_some_facts_only(context):
    rows = updating.measure(context, controls=1)
    tried = [updating.RANDOM in row["methods"] for row in rows]
    assert tried == [True, False] * 2
    said = {row[0]: row[1] for row in updating.section(rows).tables[0].rows}
    assert said[updating.CALIBRATED] == "4"
    assert said[updating.RANDOM] == "2"


def test_relations_without_held_out_paraphrases_or_other_subjects_have_their_say(context):
    rows = updating.measure(context, controls=1)
    for row in rows:
        for made in row["methods"].values():
            made |= {"generalization": None, "specificity": None}
    said = updating.section(rows)
    assert {len(row) for row in said.tables[0].rows} == {len(said.tables[0].columns)}


def test_one_relation_without_held_out_paraphrases_has_its_say_too(context, tmp_path):
    known = known_by(context, TEMPLATES[0])
    alone = pack(tmp_path, Relation("alone", TEMPLATES[:1], known.facts[:6]))
    context = ExperimentContext.open(
        context.engine, Plan((alone,), facts=2), tmp_path / "out", SHORT
    )
    for experiment in (scaling, sharing, expressing, assessing, erasing):
        said = experiment.section(experiment.measure(context))
        for table in said.tables:
            assert {len(row) for row in table.rows} <= {len(table.columns)}


@pytest.mark.parametrize("context", SHAPES if TORTURE else SHAPES[:1], indirect=True)
def test_updates_in_a_row_are_all_kept(context):
    rows = sequence.measure(context, 3)
    looks = [row["look"] for row in rows]
    assert [len(look["efficacy"]) for look in looks] == [1, 2, 3]
    for key in updating.METRICS:
        assert all(0 <= share <= 1 for look in looks for share in look[key])
    assert len({look["perplexity"]["base"] for look in looks}) == 1
    assert len({look["perplexity"]["version"] for look in looks}) == 3
    assert len(list((context.out / "rows" / "sequence").iterdir())) == 3
    assert sequence.measure(context, 3) == rows
    said = sequence.section(rows)
    assert [row[0] for row in said.tables[0].rows] == ["1", "2", "3"]


def test_a_sequence_that_ruins_the_model_is_said_to():
    """Two updates, of which the second undoes the first and makes the model babble."""
    once = {"efficacy": [1.0], "generalization": [1.0], "specificity": [0.9]}
    twice = {"efficacy": [0.0, 1.0], "generalization": [0.5, None], "specificity": [0.2, 0.4]}
    fine, babble = {"base": 10.0, "version": 10.0}, {"base": 10.0, "version": 15.0}
    said = sequence.section(
        [
            {"look": once | {"perplexity": fine, "entropy": {"base": 8.0, "version": 8.0}}},
            {"look": twice | {"perplexity": babble, "entropy": {"base": 8.0, "version": 2.0}}},
        ]
    )
    assert [claim.holds for claim in said.claims] == [False, False]
    first, second = said.tables[0].rows
    assert (first[1], first[-2:]) == ("0.964", ("1.000", "1.000"))
    assert (second[1], second[-2:]) == ("0.409", ("1.500", "0.250"))
    assert second[2:5] == (
        "0.500 [0.000, 1.000]",
        "0.500 [0.500, 0.500]",
        "0.300 [0.200, 0.400]",
    )


def test_activation_in_sentences_of_a_file(context):
    """Some facts have sentences; what is drawn in them is drawn alike each time."""
    (name, facts), *_ = context.facts.items()
    found = [
        Sentences(
            fact,
            (f"{fact.subject} is a country whose capital city is {fact.answer} of course",),
            (f"people in {fact.subject} speak the language of the country",),
        )
        for fact in facts
    ]
    rows = sentences.measure(context, name, found[:2])
    assert len(rows) == 2
    for row in rows:
        assert set(row["coefficients"]) == (set(sentences.KINDS) if row["neurons"] else set())
    causal = context.engine.model.causal  # the tiny masked LM's neurons all speak for all
    assert any(row["neurons"] for row in rows) == causal
    (context.out / "rows" / f"sentences-{name}.jsonl").unlink()
    assert sentences.measure(context, name, found[:2]) == rows
    said = sentences.section(name, rows)
    kinds = list(sentences.KINDS.values()) if causal else []
    assert [row[0] for row in said.tables[0].rows] == kinds


CHANGED = {
    "no UTF-8": b"\xff\xfe\n",
    "without a name": b'{"x": 1}\n',
    "another row": b'{"name": "a", "row": {}}\n',
    "nested deep": b"[" * 100_000 + b"\n",
    "no object": b"17\n",
}


@pytest.mark.parametrize("line", CHANGED.values(), ids=CHANGED)
def test_a_row_that_was_changed_is_made_anew(line, tmp_path):
    file = tmp_path / "some.jsonl"
    made = Rows(file, {"seed": 0}).all(["a", "b"], lambda name: {"value": name}, silent)
    head, _, last = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(head + line + last)
    again = []

    def make(name):
        again.append(name)
        return {"value": name}

    assert Rows(file, {"seed": 0}).all(["a", "b"], make, silent) == made
    assert again == ["a"]


def test_rows_are_read_from_no_pipe_and_no_device(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    (tmp_path / "zero.jsonl").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(OSError, match="regular"):
            Rows(tmp_path / f"{name}.jsonl", {})


def test_rows_of_other_settings_are_made_anew(tmp_path):
    file = tmp_path / "some.jsonl"
    made = []

    def make(name):
        made.append(name)
        return {"value": len(made)}

    Rows(file, {"seed": 0}).all(["a", "b"], make, silent)
    Rows(file, {"seed": 0}).all(["a", "b", "c"], make, silent)
    assert made == ["a", "b", "c"]
    Rows(file, {"seed": 1}).all(["a"], make, silent)
    assert made == ["a", "b", "c", "a"]
