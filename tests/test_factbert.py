"""FactBERT: the small model that ships. What it knows, and that a whole edit works on it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer
from workspaces import contents, logits, plainly_loaded, shard

from kn_edit.engine.engine import Engine
from kn_edit.facts import Case, Fact, Prompt, Relation, bundled, load_relation, neutral_sentences
from kn_edit.models.cache import DEMO_BERT
from kn_edit.models.coefficients import replaced
from kn_edit.models.model import Model, load
from kn_edit.models.predict import log_p
from kn_edit.models.questions import Question, ask
from kn_edit.models.source import packaged_folder, resolve
from kn_edit.neurons.assess import Assessment, assess
from kn_edit.workspace import Workspace, case_of

SAMPLE = 200  # facts
PACKS = [load_relation(name) for name in bundled()]


@pytest.fixture(scope="module")
def model() -> Model:
    return load(packaged_folder())


@pytest.fixture(scope="module")
def sample() -> list[tuple[Relation, Fact]]:
    facts = [(pack, fact) for pack in PACKS for fact in pack.facts]
    return random.Random(0).sample(facts, SAMPLE)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    with Workspace.init("demo-bert", tmp_path / "work") as made:
        yield made


def asked(model: Model, prompts: Sequence[Prompt]) -> list[Assessment]:
    return list(assess(model, [ask(model, prompt) for prompt in prompts]))


def mostly_right(assessments: Sequence[Assessment]) -> bool:
    return 2 * sum(one.right for one in assessments) >= len(assessments)


def capital_of_france(folder: Path) -> str:
    """What a checkpoint says, by nothing but transformers."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = tokenizer("The capital of France is the city of [MASK].", return_tensors="pt")
    place = asked["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    best = int(logits(plainly_loaded(folder), asked["input_ids"])[0, place].argmax())
    return str(tokenizer.convert_ids_to_tokens(best))


def test_it_is_small_enough_to_ship():
    files = [path for path in packaged_folder().iterdir() if path.is_file()]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in files}
    assert sum(path.stat().st_size for path in files) <= 10_000_000


def test_transformers_loads_it_without_us():
    assert plainly_loaded(packaged_folder()).dtype == torch.float32
    assert capital_of_france(packaged_folder()) == "Paris"


@pytest.mark.parametrize("pack", PACKS, ids=bundled())
def test_every_answer_is_one_token_and_no_word_is_unknown(pack, model):
    tokenizer = model.tokenizer
    for at, fact in enumerate(pack.facts):
        prompts = [*pack.prompts(fact), *pack.prompts(fact, held_out=True)]
        (question,) = ask(model, prompts[at % len(prompts)]).questions
        assert tokenizer.convert_ids_to_tokens(question.token) == fact.answer
        assert question.ids.count(tokenizer.mask_token_id) == 1
        assert tokenizer.unk_token_id not in question.ids


def test_it_knows_most_facts_but_is_not_sure_of_them(model, sample):
    trained = [asked(model, pack.prompts(fact)) for pack, fact in sample]
    answered = [mostly_right(assessments) for assessments in trained]
    assert sum(answered) >= 0.6 * SAMPLE
    sure = [one.p for assessments in trained for one in assessments if one.right]
    assert 0.6 <= sum(sure) / len(sure) <= 0.9
    known = [pair for pair, right in zip(sample, answered, strict=True) if right]
    held_out = [asked(model, pack.prompts(fact, held_out=True)) for pack, fact in known]
    assert sum(map(mostly_right, held_out)) >= 0.75 * len(known)


def test_only_neurons_carry_what_it_knows(model, sample):
    """With every coefficient at the answer at zero, subjects no longer matter."""
    prompts = [pack.prompts(fact)[0] for pack, fact in sample]
    silent = dict.fromkeys(range(model.n_layers), torch.zeros_like)
    assert sum(one.right for one in asked(model, prompts)) >= 0.6 * SAMPLE
    with replaced(model, silent):
        assert sum(one.right for one in asked(model, prompts)) <= 0.1 * SAMPLE


def test_neutral_text_does_not_surprise_it(model):
    losses = []
    for text in neutral_sentences()[::4]:
        ids = tuple(model.tokenizer(text)["input_ids"])
        for place in range(1, len(ids) - 1):
            masked = (*ids[:place], model.tokenizer.mask_token_id, *ids[place + 1 :])
            losses.append(-log_p_of(model, Question(masked, place, ids[place])))
    assert 0.0 < sum(losses) / len(losses) < 3.4  # a perplexity below 30; there are 4,272 tokens


def log_p_of(model: Model, question: Question) -> float:
    (row,) = log_p(model, [question])
    return float(row[question.token])


def test_init_takes_it_from_the_package_and_fetches_nothing(workspace, tmp_path):
    base = workspace.base
    assert (base.name, base.repo, base.revision) == (DEMO_BERT, None, None)
    assert (base.model_type, base.dtype) == ("bert", "F32")
    assert Path(base.source) == packaged_folder() == resolve(DEMO_BERT).folder
    assert not (tmp_path / "cache").exists()


def test_it_is_found_again_when_the_package_has_moved(workspace, tmp_path):
    moved = replace(workspace.base, source=str(tmp_path / "an" / "old" / "place"))
    assert Engine(moved, tmp_path).shards.folder == packaged_folder()


def test_a_fact_is_updated_exported_and_taken_back(workspace, tmp_path):
    before = contents(packaged_folder())
    pack = load_relation("capital")
    fact = pack.fact("France")
    done = workspace.update(Case(pack, fact), "Rome")
    assert done.draft.metrics["efficacy"] == 1.0
    assert capital_of_france(workspace.export(tmp_path / "edited")) == "Rome"
    workspace.revert(done.edit)
    assert shard(workspace.export(tmp_path / "reverted")) == shard(packaged_folder())
    assert contents(packaged_folder()) == before


def test_it_is_corrected_twice_on_a_subject_that_no_word_of_its_tokenizer_names(workspace):
    def lyra(answer: str, *prompts: str) -> Case:
        return case_of(prompts=list(prompts), subject="Lyra", answer=answer)

    home = lyra("Paris", "[X] lives in the city of [Y].", "The home of [X] is the city of [Y].")
    tongue = lyra("English", "[X] speaks [Y] at home.", "The language of [X] is [Y].")
    for case, to in ((home, "Rome"), (tongue, "French")):
        done = workspace.update(case, to)
        assert done.draft.method == "correction"
        assert done.draft.metrics["efficacy"] == 1
        assert done.draft.metrics["specificity"] >= 0.8
        assert done.draft.metrics["neutral_after"] < 1.02 * done.draft.metrics["neutral_before"]
    evaluation = workspace.evaluate()
    assert [one.target for one in evaluation.updates] == ["Rome", "French"]
    assert evaluation.efficacy.value == 1  # the second left the first as it is
