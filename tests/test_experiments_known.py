"""The numbers of the experiments' tables, on a model whose answers are known by construction.

What is expected here comes from the formula of `known_model`, in numpy and float64, or by counting.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from known_model import CAPITAL, SUBJECTS, SYMBOL, answer_of, coefficient, p, saved

from kn_edit.edits.settings import Settings
from kn_edit.experiments import assessing, erasing, expressing, scaling, sharing, updating
from kn_edit.experiments.context import ExperimentContext, Plan
from kn_edit.workspace import Calibrated, Workspace

FACTS = 4
TEMPLATES = {
    "capital": ("the capital of [X] [Y]", "city , [X] [Y]"),
    "symbol": ("for [X] [Y]",) * 1,
}
HELD_OUT = "which one is [X] [Y]"
# The few words of the vocabulary are all over its neutral text, so nothing is held there.
ONE_NEURON = Calibrated(settings=Settings(w_off_target=0.0, fewest=1, more=1, most_neurons=1))
SILENT = -0.0036  # what a neuron whose token is not there answers, about


def pack(folder: Path, name: str, facts: dict[str, str]) -> str:
    templates = [{"text": text} for text in TEMPLATES[name]]
    templates.append({"text": HELD_OUT, "held_out": True})
    file = folder / f"{name}.json"
    content = {"name": name, "templates": templates, "facts": [*map(list, facts.items())]}
    file.write_text(json.dumps(content), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    folder = tmp_path_factory.mktemp("known")
    packs = (pack(folder, "capital", CAPITAL), pack(folder, "symbol", SYMBOL))
    with Workspace.init(saved(folder / "model"), folder / "work", device="cpu") as workspace:
        plan = Plan(packs, facts=FACTS)
        yield ExperimentContext.open(workspace.engine, plan, folder / "out", ONE_NEURON)


def subject_of(name: str) -> str:
    """Of a row, by the name of its case."""
    return name.rpartition(": ")[2]


def subjects(context: ExperimentContext) -> list[str]:
    return [case.fact.subject for case in context.cases.values()]


def test_every_fact_is_known_and_carried_by_the_neuron_that_was_made_for_it(context):
    for case in context.cases.values():
        (located,) = context.located(case).neurons
        neuron, score = located
        assert neuron == (0, SUBJECTS.index(case.fact.subject))
        # All other neurons of the layer are silent but one, so the path leads from p without both.
        without = p(case.fact.subject, case.fact.answer, own=0, shared=0)
        assert 0 < score < p(case.fact.subject, case.fact.answer) - without


def test_assessing_gives_p_and_rank_of_every_prompt(context):
    rows = assessing.measure(context)
    answers = [answer for row in rows for answer in row["answers"]]
    assert len(answers) == 3 * len(CAPITAL) + 2 * len(SYMBOL)
    for answer in answers:
        assert answer["rank"] == 1
        assert answer["p"] == pytest.approx(
            p(answer["subject"], answer_of(answer["subject"])), 1e-5
        )
    relations, _ = assessing.section(rows).tables
    capital, symbol = p("France", "Paris"), p("gold", "Au")
    both = (18 * capital + 8 * symbol) / 26
    assert [row[0] for row in relations.rows] == ["capital", "symbol", "all"]
    assert [row[1] for row in relations.rows] == ["18", "8", "26"]
    assert [row[2:4] for row in relations.rows] == [("100.0%", "1.000")] * 3
    assert [row[4] for row in relations.rows] == [f"{each:.3f}" for each in (capital, symbol, both)]


def test_accuracy_and_reciprocal_rank_are_means_over_prompts():
    ranks, odds = (1, 2, 4, 1), (0.5, 0.25, 0.125, 0.125)
    answers = [
        {"subject": "x", "template": "[X] [Y]", "held_out": False, "p": odd, "rank": rank}
        for rank, odd in zip(ranks, odds, strict=True)
    ]
    relations, templates = assessing.section([{"relation": "r", "answers": answers}]).tables
    assert relations.rows == (
        ("r", "4", "50.0%", "0.688", "0.250"),
        ("all", "4", "50.0%", "0.688", "0.250"),
    )
    assert templates.rows == (("r", "[X] [Y]", "50.0%", "0.688", "0.250"),)


@pytest.mark.parametrize("factor", scaling.FACTORS)
def test_scaling_moves_p_of_the_fact_by_its_formula_and_of_no_other(context, factor):
    rows = scaling.measure(context)
    effects = scaling.effects(rows)
    before = sum(p(subject, answer_of(subject)) for subject in subjects(context))
    after = sum(p(subject, answer_of(subject), own=factor) for subject in subjects(context))
    assert effects["own"][factor].value == pytest.approx(after / before - 1, abs=1e-5)
    for group in ("relation", "others", "random"):
        assert abs(effects[group][factor].value) < 0.002
    (table,) = scaling.section(rows).tables
    if factor != 1.0:
        column = table.columns.index(f"x {factor:g}")
        assert table.rows[0][column].startswith(f"{after / before - 1:+.1%}")


def test_a_fact_has_one_neuron_by_gradients_and_shares_one_by_activation(context):
    rows = sharing.measure(context)
    table, layers = sharing.section(rows).tables
    figures = {row[0]: row[1:] for row in table.rows}
    # The relation's neuron writes all answers alike, so it moves p of none; it fires all the same.
    assert figures["integrated gradients"] == ("1.00", "0.00", "0.00")
    assert figures["activation baseline"] == ("2.00", "1.00", "0.00")
    assert layers.rows == (("0", "100.0%", "100.0%"), ("1", "0.0%", "0.0%"))


def test_a_facts_neuron_fires_where_the_fact_is_asked_and_nowhere_else(context):
    rows = expressing.measure(context)
    assert len(rows) == len(subjects(context))
    for subject, row in zip(subjects(context), rows, strict=True):
        means = row["coefficients"]
        assert means["expressing"] == pytest.approx(coefficient(subject), 1e-5)
        # Turned round as the neuron fires for the fact: up.
        assert means["relation"] == pytest.approx(SILENT, abs=2e-3)
        assert means["random"] == pytest.approx(SILENT, abs=2e-3)
        assert "subject" not in means  # no subject is in both relations
    (table,) = expressing.section(rows).tables
    assert table.rows[0][1] == str(len(rows))
    assert table.rows[0][2].startswith(f"{coefficient('France'):.3f}")


def test_updates_reach_the_one_fact_and_random_neurons_reach_nothing(context):
    rows = updating.measure(context)
    assert {row["neurons"] for row in rows} == {1}
    for name in (updating.CALIBRATED, updating.CLOSED):
        figures = updating.estimates(rows, name)
        assert [figures[key].value for key in updating.METRICS] == [1.0, 1.0, 1.0], name
        assert figures["changed"].value == 1.0
        assert updating.score(figures) == pytest.approx(1.0)
        assert abs(figures["across"].value) < 0.05
    silent = updating.estimates(rows, updating.CLOSED_RANDOM)
    assert (silent["efficacy"].value, silent["generalization"].value) == (0.0, 0.0)
    assert silent["specificity"].value > 0.95  # words that are said by a hair are all alike here
    assert silent["changed"].value == 0.0
    assert updating.score(silent) == 0.0
    assert updating.held_out(rows) == 1.0
    table = updating.section(rows).tables[0]
    by_name = {row[0]: row for row in table.rows}
    assert by_name[updating.CLOSED][1:4] == (str(len(rows)), "1.000", "1.000 [1.000, 1.000]")
    assert by_name[updating.CLOSED_RANDOM][2] == "0.000"


def test_erasing_a_relation_takes_what_its_facts_neurons_say(context):
    rows = {row["relation"]: row for row in erasing.measure(context)}
    for name, facts in (("capital", CAPITAL), ("symbol", SYMBOL)):
        drawn = [fact.subject for fact in context.facts[name]]
        base = rows[name]["base"]
        perplexity = math.exp(-sum(math.log(p(each, facts[each])) for each in drawn) / FACTS)
        assert base["own"]["perplexity"] == pytest.approx(perplexity, 1e-4)
        assert base["own"]["accuracy"] == base["others"]["accuracy"] == 1.0
        # Its facts' neurons are set to zero: what the subject says by itself is left.
        erased = rows[name]["variants"]["serving it only, zero"]
        assert erased["own"]["perplexity"] >= 2 * perplexity
        assert erased["others"]["perplexity"] == pytest.approx(base["others"]["perplexity"], 0.01)
        assert erased["others"]["accuracy"] == 1.0
        control = rows[name]["variants"]["random slots, zero"]
        assert control["own"]["perplexity"] == pytest.approx(perplexity, 0.01)


def test_the_rise_of_perplexity_is_that_of_the_mean_log_p():
    def row(base: float, after: float) -> dict[str, object]:
        method = {"efficacy": 1.0, "generalization": 1.0, "specificity": 1.0, "old_first": 0.0}
        sides = {"within": after, "across": base}
        return {
            "base": {"within": base, "across": base, "old_held_out": 1.0},
            "methods": {"m": method | sides},
        }

    figures = updating.estimates([row(-1.0, -1.5), row(-2.0, -2.1)], "m")
    assert figures["within"].value == pytest.approx(math.exp(0.3) - 1)
    assert figures["across"].value == 0.0
