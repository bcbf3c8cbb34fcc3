"""The benchmark of erasures: what it does to weights is taken back, and what its probe can tell."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from tiny_models import tiny
from workspaces import CAPITAL, bits, changed, known_by, new_workspace

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import erased
import train_factbert
from erased_probe import Ranking, probe_ranking
from erased_tuning import fine_tuned, other_facts

from kn_edit.facts import load_relation
from kn_edit.models.model import load
from kn_edit.models.predict import log_p
from kn_edit.models.questions import ask
from kn_edit.models.source import packaged_folder

QUESTIONS = [CAPITAL.prompts(fact)[0] for fact in CAPITAL.facts]


def _pairs(relation):
    return {frozenset({fact.subject, fact.answer}) for fact in relation.facts}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", ["bert", "llama"])
def test_fine_tuning_teaches_and_is_taken_back_bit_by_bit(shape, dtype):
    model = tiny(shape, dtype)
    before = bits(model.net)
    questions = [ask(model, prompt).questions[0] for prompt in QUESTIONS]

    def mean_log_p():
        rows = zip(log_p(model, questions), questions, strict=True)
        return sum(float(row[question.token]) for row, question in rows) / len(questions)

    untaught = mean_log_p()
    with fine_tuned(model, questions * 8, rate=1e-2) as tuned:
        assert mean_log_p() > untaught + 0.5
        assert all(weight.dtype == dtype for weight in tuned.net.parameters())
        assert not any(weight.requires_grad for weight in tuned.net.parameters())
    assert not changed(before, bits(model.net))
    with pytest.raises(RuntimeError), fine_tuned(model, questions, rate=1e-2):
        raise RuntimeError
    assert not changed(before, bits(model.net))
    assert not any(weight.requires_grad for weight in model.net.parameters())


def test_fine_tuning_sees_no_fact_of_the_relation_either_way_round():
    model = load(packaged_folder())
    language = load_relation("language")
    taught = other_facts(model, language, 0, ["language", "demonym"])
    assert len(taught) == len(load_relation("demonym").facts) - len(
        _pairs(language) & _pairs(load_relation("demonym"))
    )
    assert taught == other_facts(model, language, 0, ["language", "demonym"])
    assert taught != other_facts(model, language, 1, ["language", "demonym"])


def test_what_is_left_out_of_training_are_the_relation_and_its_pairs_of_names():
    language, demonym = load_relation("language"), load_relation("demonym")
    (taught,) = train_factbert.trained_packs([language, demonym], "language")
    assert taught.name == "demonym"
    assert not _pairs(language) & _pairs(taught)
    assert 0 < len(taught.facts) < len(demonym.facts)
    assert train_factbert.trained_packs([language, demonym], None) == [language, demonym]


def test_rankings_count_answers_that_score_lower():
    scores = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
    assert Ranking.of(scores, torch.tensor([0, 1, 2, 0])) == Ranking(above=0.5, first=0.5)


def test_the_probe_reads_answers_of_facts_that_it_was_not_fitted_to():
    source = torch.Generator().manual_seed(0)
    embeddings = torch.randn(40, 16, generator=source)
    right = torch.arange(40)
    noise = torch.randn(40, 32, generator=source)
    states = embeddings @ torch.randn(16, 32, generator=source) + 0.1 * noise
    readable = probe_ranking(states, embeddings, right, right, seed=0)
    empty = probe_ranking(noise, embeddings, right, right, seed=0)
    assert readable.above > 0.95
    assert 0.3 < empty.above < 0.7


@pytest.mark.parametrize("shape", ["bert", "llama"])
def test_a_relation_is_erased_and_every_model_is_asked(shape, tmp_path):
    with new_workspace(tmp_path, shape) as workspace:
        relation = known_by(workspace)
        before = bits(workspace.engine.model.net)
        row = erased.measured(workspace.engine, relation, times=2, facts=26, asked_freely=2, seed=0)
        assert not changed(before, bits(workspace.engine.model.net))
    assert row["facts"] == 26 and row["facts_unseen"] == 6
    models = row["models"]
    assert list(models) == ["base", "erased", "random slots"]
    assert models["base"]["as it is"]["trained"] == 1.0
    assert models["base"]["as it is"]["others_unchanged"] == 1.0
    perplexity = {name: figures["as it is"]["perplexity"] for name, figures in models.items()}
    assert perplexity["erased"] > perplexity["base"]
    assert perplexity["random slots"] != perplexity["base"]
    assert ("choice" in models["base"]["as it is"]) == (shape == "llama")
    lines = erased.table([{"model": "tiny", **row}]).splitlines()
    assert sum(line.startswith("| tiny | capital, 2 |") for line in lines) == 2 * 3
    assert len({line.count("|") for line in lines[:5]}) == 1
