"""The verbs that edit: what they change, what they record, and what they leave as it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import VOCABULARY, tiny_folder
from workspaces import (
    CAPITAL,
    QUICK,
    SHAPES,
    Way,
    about,
    answers,
    bits,
    changed,
    contents,
    exported,
    known_by,
    logits,
    new_workspace,
    plainly_loaded,
    quick,
    tokens,
)

from kn_edit.editing import erasing
from kn_edit.editing.erasing import MOST_TRIED
from kn_edit.editing.locating import Locator
from kn_edit.edits.changes import Mode
from kn_edit.edits.settings import Settings
from kn_edit.errors import (
    AnswerNotInVocabulary,
    AnswerNotOneToken,
    ExitCode,
    GateFailed,
    NoNeurons,
    SameAnswer,
)
from kn_edit.facts import Fact, Prompt, Relation
from kn_edit.models.predict import log_p
from kn_edit.models.questions import ask, ask_openly
from kn_edit.neuron import NeuronId
from kn_edit.workspace import Case, Edited, Search, Workspace, case_of

THOROUGH = Way(settings=Settings(margin=1.0, kl_limit=0.1))
every_shape = pytest.mark.parametrize("shape", SHAPES)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- an edited model is edited --------------------------------------------------------------------


@every_shape
def test_what_is_loaded_and_what_is_exported_are_edited(shape, tmp_path):
    workspace = new_workspace(tmp_path, shape)
    france = about("France")
    rome = tokens(workspace, france, "Rome")
    before = answers(workspace, workspace.load(), france)
    done = workspace.update(france, "Rome", how=THOROUGH, accept=True)

    assert done.draft.metrics["efficacy"] == 1.0
    assert before != rome
    loaded, plain = workspace.load(), plainly_loaded(exported(workspace))
    assert answers(workspace, loaded, france) == answers(workspace, plain, france) == rome
    assert changed(bits(loaded), bits(plain)) == []
    assert logits(loaded).equal(logits(plain))
    assert not logits(loaded).equal(logits(workspace.load("base")))
    assert [one.right for one in workspace.assess(france, answer="Rome")][:3] == [True] * 3
    assert [one.right for one in workspace.assess(france, answer="Rome", version="base")][:3] == [
        token == wanted for token, wanted in zip(before, rome, strict=True)
    ]


@every_shape
def test_a_second_update_needs_no_trick_and_both_hold(shape, tmp_path):
    workspace = new_workspace(tmp_path, shape)
    france = about("France")
    japan = about("Japan", neighbours=CAPITAL.prompts(france.fact))
    # In random weights every neuron fires everywhere, so nothing is written at one place alone.
    firmly = Settings(
        margin=2.0, kl_limit=0.02, most_steps=100, w_off_target=1.0, off_target_limit=1e9
    )
    for number, (case, to) in enumerate(((france, "Rome"), (japan, "Oslo"))):
        neurons = [(layer, index) for layer in (0, 1) for index in range(number, 32, 2)]
        how = replace(quick(*neurons), settings=firmly)
        done = workspace.update(case, to, how=how, accept=True)
        assert done.draft.metrics["efficacy"] == 1.0
    rome, oslo = tokens(workspace, france, "Rome"), tokens(workspace, japan, "Oslo")
    for net in (workspace.load(), plainly_loaded(exported(workspace))):
        assert answers(workspace, net, japan) == oslo
        assert answers(workspace, net, france) == rome
    with Workspace.open(workspace.folder) as again:  # nor does a new process
        assert again.head.id == workspace.head.id
        assert changed(bits(again.load()), bits(workspace.load())) == []


@pytest.mark.parametrize("layout", ["sharded", "without the prefix of the task"])
def test_other_layouts_of_a_checkpoint_are_edited_too(layout, tmp_path):
    folder = tiny_folder("gpt2", tmp_path / "model")
    if layout == "sharded":
        plainly_loaded(folder).save_pretrained(folder, max_shard_size="30KB")
        (folder / "model.safetensors").unlink()
        assert len(list(folder.glob("*.safetensors"))) > 2
    else:  # as GPT-2 itself is published
        tensors = load_file(folder / "model.safetensors")
        bare = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        assert bare.keys() != tensors.keys()
        save_file(bare, folder / "model.safetensors", {"format": "pt"})
    workspace, france = new_workspace(tmp_path), about("France")
    workspace.update(france, "Rome", how=THOROUGH, accept=True)
    plain = plainly_loaded(exported(workspace))
    assert answers(workspace, plain, france) == tokens(workspace, france, "Rome")
    assert changed(bits(workspace.load()), bits(plain)) == []
    assert contents(exported(workspace)).keys() == contents(folder).keys()
    assert workspace.verify() == []


def test_an_update_of_an_updated_fact_starts_from_the_new_answer(tmp_path):
    workspace = new_workspace(tmp_path)
    workspace.update(about("France"), "Rome", how=QUICK, accept=True)
    with pytest.raises(SameAnswer, match="rome") as refusal:
        workspace.update(about("France"), " rome ", how=QUICK, accept=True)
    assert refusal.value.exit_code == ExitCode.USAGE
    second = workspace.update(about("France"), "Cairo", how=QUICK, accept=True)
    assert (second.draft.answer, second.draft.target) == ("Rome", "Cairo")
    back = workspace.update(about("France"), "Paris", how=QUICK, accept=True)
    assert (back.draft.answer, back.draft.target) == ("Cairo", "Paris")
    assert workspace.locate(about("France"), search=QUICK.search).fact.answer == "Paris"
    located = workspace.locate(about("France"), search=QUICK.search, version=second.version)
    assert located.fact.answer == "Cairo"


def test_two_things_asked_of_one_subject_in_own_words_are_two_facts(tmp_path):
    workspace = new_workspace(tmp_path)
    city = case_of(prompts=["the city of [X] is [Y]"], subject="Lyra", answer="Oslo")
    money = case_of(prompts=["the currency of [X] is [Y]"], subject="Lyra", answer="yen")
    for case, to in ((city, "Rome"), (money, "euro")):
        done = workspace.update(case, to, how=QUICK, accept=True)
        assert done.draft.answer == case.fact.answer
    again = workspace.update(city, "Cairo", how=QUICK, accept=True)
    assert (again.draft.answer, again.draft.target) == ("Rome", "Cairo")


# --- what is left alone ---------------------------------------------------------------------------


class Stop(Exception):
    """Raised by a test in the middle of a verb."""


def stopping_at(words: str, times: int = 1) -> Callable[[str, int, int], None]:
    """A progress that raises when it hears these words for the n-th time."""
    left = times

    def hear(what: str, done: int, total: int) -> None:
        nonlocal left
        left -= words in what
        if left == 0:
            left = -1
            raise Stop

    return hear


@every_shape
def test_no_verb_changes_the_live_base_or_its_files(shape, tmp_path):
    workspace = new_workspace(tmp_path, shape)
    files, before = contents(tmp_path / "model"), bits(workspace.engine.model.net)
    france = about("France")

    def update(subject: str, to: str) -> Edited:
        return workspace.update(about(subject), to, how=QUICK, accept=True)

    verbs: list[Callable[[], object]] = [
        lambda: workspace.assess(france),
        lambda: workspace.locate(france),
        lambda: workspace.locate_relation(CAPITAL, most=2),
        lambda: workspace.update(france, "Rome", how=QUICK, dry_run=True),
        lambda: update("France", "Rome"),
        lambda: update("Japan", "Oslo"),
        lambda: workspace.assess(france),
        lambda: workspace.erase(CAPITAL, how=quick(top=3), accept=True),
        lambda: workspace.load(),
        lambda: workspace.export(tmp_path / "out"),
        lambda: workspace.revert(workspace.head.edits[0], allow_overlap=True),
        lambda: workspace.compose(["base", workspace.log()[2].version]),
        lambda: workspace.tag("here"),
        lambda: workspace.rewind("base"),
        lambda: workspace.verify(),
    ]
    for verb in verbs:
        verb()
        assert changed(bits(workspace.engine.model.net), before) == []
        assert contents(tmp_path / "model") == files


@every_shape
@pytest.mark.parametrize("where", ["locating", "solving", "measuring"])
def test_what_stops_an_update_leaves_neither_weights_nor_records(shape, where, tmp_path):
    workspace = new_workspace(tmp_path, shape)
    workspace.update(about("Japan"), "Oslo", how=QUICK, accept=True)
    recorded, before = contents(workspace.folder), bits(workspace.engine.model.net)
    with Workspace.open(workspace.folder, progress=stopping_at(where, 2)) as other:
        with pytest.raises(Stop):
            while True:  # `measuring` is heard once in each
                other.update(about("France"), "Rome", how=QUICK, dry_run=True)
        assert changed(bits(other.engine.model.net), before) == []
        assert [hook for down in other.engine.model.downs for hook in hooks(down)] == []
    assert contents(workspace.folder) == recorded


def hooks(module: torch.nn.Module) -> list[object]:
    return [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]


def test_odd_bits_in_what_no_edit_touches_survive(tmp_path):
    """-0.0 and NaN payloads, in the edited tensors and beside them."""
    model = tiny_folder("llama", tmp_path / "model")
    file = model / "model.safetensors"
    tensors = load_file(file)
    payload = torch.arange(0x7F800001, 0x7F800021, dtype=torch.int32).view(torch.float32)
    tensors["model.embed_tokens.weight"][VOCABULARY["Fe"]] = payload  # a word nobody asks about
    for layer in (0, 1):
        tensors[f"model.layers.{layer}.mlp.down_proj.weight"][:, 7] = -0.0
    save_file(tensors, file, {"format": "pt"})

    workspace = new_workspace(tmp_path)
    workspace.update(about("France"), "Rome", how=quick((0, 6), (0, 8), (1, 8)), accept=True)
    after = load_file(exported(workspace) / "model.safetensors")
    assert (
        after["model.embed_tokens.weight"][VOCABULARY["Fe"]]
        .view(torch.int32)
        .equal(payload.view(torch.int32))
    )
    allowed = {0: [6, 8], 1: [8]}
    for name, tensor in tensors.items():
        differs = (after[name].view(torch.int32) != tensor.view(torch.int32)).nonzero()
        layer = int(name.split(".")[2]) if name.endswith("down_proj.weight") else None
        assert sorted({*differs[:, -1].tolist()}) == allowed.get(layer, [])
    zeros = after["model.layers.0.mlp.down_proj.weight"][:, 7]
    assert bool((zeros == 0).all()) and bool(zeros.signbit().all())


# --- the gate, and what is not recorded -----------------------------------------------------------


def test_a_dry_run_measures_and_records_nothing(tmp_path):
    workspace = new_workspace(tmp_path)
    before, head = contents(workspace.folder), workspace.head
    done = workspace.update(about("France"), "Rome", how=QUICK, dry_run=True)
    erased = workspace.erase(CAPITAL, how=quick(top=2), dry_run=True, accept=True)
    assert [(one.edit, one.version) for one in (done, erased)] == [(None, None)] * 2
    assert done.draft.metrics["p_new_after"] > done.draft.metrics["p_new_before"]
    assert done.draft.metrics["neutral_before"] == erased.draft.metrics["neutral_before"] > 1
    assert done.draft.metrics["neutral_after"] != erased.draft.metrics["neutral_after"]
    assert len(erased.draft.delta.neurons()) == 2
    assert workspace.head == head
    assert contents(workspace.folder) == before


@pytest.mark.parametrize("kind", ["update", "erase"])
def test_the_gate_refuses_shows_and_records_nothing(kind, tmp_path):
    workspace = new_workspace(tmp_path)
    before = contents(workspace.folder)

    def edit(**options: bool) -> Edited:
        if kind == "update":
            how = replace(quick((0, 1)), settings=Settings(most_steps=0))
            return workspace.update(about("France"), "Rome", how=how, **options)
        return workspace.erase(CAPITAL, how=quick(top=20), **options)

    with pytest.raises(GateFailed, match=r"not recorded: .* accept=True") as refusal:
        edit()
    assert refusal.value.exit_code == ExitCode.QUALITY_GATE
    result = refusal.value.result
    assert isinstance(result, Edited)
    assert (result.edit, result.version) == (None, None)
    assert result.draft.faults == refusal.value.faults != ()
    assert result.draft.metrics["efficacy" if kind == "update" else "specificity"] < 0.8
    assert contents(workspace.folder) == before

    accepted = edit(accept=True)
    assert accepted.edit == accepted.draft.delta.id == result.draft.delta.id
    assert workspace.head.edits == (accepted.edit,)
    assert workspace.head.id == accepted.version
    assert workspace.verify() == []


def test_an_edit_is_recorded_with_all_that_was_found(tmp_path):
    workspace = new_workspace(tmp_path)
    done = workspace.update(about("France"), "Rome", how=THOROUGH, accept=True)
    record = workspace.ledger.edit(str(done.edit))
    assert (record.kind, record.relation, record.subject) == ("update", "capital", "France")
    assert (record.answer, record.target, record.method) == ("Paris", "Rome", "calibrated")
    assert record.neurons == done.draft.delta.neurons()
    assert record.metrics == done.draft.metrics
    assert record.found == done.draft.found
    assert workspace.show(record.id[:10]) == record
    assert workspace.show("head") == workspace.head
    (blamed,) = workspace.blame(record.neurons[0])
    assert (blamed.edit, blamed.mode, blamed.in_head) == (record, "add", True)


# --- ways to edit ---------------------------------------------------------------------------------


@every_shape
@pytest.mark.parametrize("closed_form", [False, True], ids=["calibrated", "closed-form"])
def test_neurons_given_by_hand_are_used_and_no_others(shape, closed_form, tmp_path):
    workspace = new_workspace(tmp_path, shape)
    chosen = ((1, 63), (0, 5), (1, 0))
    how = replace(quick(*chosen), closed_form=closed_form)
    done = workspace.update(about("France"), "Rome", how=how, accept=True)
    expected = tuple(sorted(NeuronId(*neuron) for neuron in chosen))
    assert done.draft.delta.neurons() == expected
    assert tuple(neuron for neuron, _ in done.draft.neurons) == expected
    assert workspace.ledger.edit(str(done.edit)).neurons == expected
    names = {down: workspace.engine.place.names[down] for down in (0, 1)}
    assert workspace.head.digests.keys() == set(names.values())


def test_a_neuron_given_twice_is_used_once(tmp_path):
    workspace = new_workspace(tmp_path)
    how = quick((0, 5), (0, 5), (1, 2))
    done = workspace.update(about("France"), "Rome", how=how, accept=True)
    assert done.draft.delta.neurons() == (NeuronId(0, 5), NeuronId(1, 2))


@every_shape
def test_the_closed_form_adds_the_formula_to_the_slots(shape, tmp_path):
    workspace = new_workspace(tmp_path, shape)
    how = replace(quick((0, 5), (1, 9)), closed_form=True, scale=(0.5, 2.0))
    done = workspace.update(about("France"), "Rome", how=how, accept=True)
    assert done.draft.method == "closed-form"
    assert done.draft.found["scale"] == [0.5, 2.0]
    model, edited = workspace.engine.model, workspace.load()
    old, new = (
        model.output_embedding(VOCABULARY[word]) / model.output_embedding(VOCABULARY[word]).norm()
        for word in ("Paris", "Rome")
    )
    weights = dict(edited.named_parameters())
    for layer, index in ((0, 5), (1, 9)):
        slot = model.slots(layer)[index]
        written = weights[model.slot_tensor(layer)].detach()
        written = written[index] if model.family.axis == "row" else written[:, index]
        expected = slot + slot.norm() * (2.0 * new - 0.5 * old)
        torch.testing.assert_close(written, expected, rtol=1e-5, atol=1e-6)


@every_shape
@pytest.mark.parametrize("zero", [False, True], ids=["unk", "zero"])
def test_an_erasure_writes_the_unknown_token_or_zero(shape, zero, tmp_path):
    workspace = new_workspace(tmp_path, shape)
    done = workspace.erase(known_by(workspace), how=quick(top=4, zero=zero), accept=True)
    assert done.draft.method == ("set to zero" if zero else "set to [UNK]")
    assert {int(mode) for one in done.draft.delta.tensors.values() for mode in one.mode} == {
        Mode.SET
    }
    model, weights = workspace.engine.model, dict(workspace.load().named_parameters())
    unknown = model.output_embedding(VOCABULARY["[UNK]"])
    expected = torch.zeros(model.d_model) if zero else unknown
    assert len(done.draft.neurons) == 4
    for (layer, index), _ in done.draft.neurons:
        written = weights[model.slot_tensor(layer)].detach()
        slot = written[index] if model.family.axis == "row" else written[:, index]
        assert slot.equal(expected)
    assert done.draft.metrics["neighbours"] > 20


def test_an_erasure_grows_until_enough_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(erasing, "SPARE", 1e9)
    workspace = new_workspace(tmp_path)
    relation = known_by(workspace)
    some = workspace.erase(relation, how=quick(zero=True, times=1.2), dry_run=True)
    more = workspace.erase(relation, how=quick(zero=True, times=1.5), dry_run=True)
    all_of_them = workspace.erase(relation, how=quick(zero=True, times=1e9), dry_run=True)
    sizes = [len(one.draft.neurons) for one in (some, more, all_of_them)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[2] <= MOST_TRIED
    for one, times in ((some, 1.2), (more, 1.5)):
        metrics = one.draft.metrics
        assert metrics["perplexity_after"] >= times * metrics["perplexity_before"]
        assert one.draft.notices == ()
    assert "times as perplexing as before" in all_of_them.draft.notices[0]
    assert {neuron for neuron, _ in some.draft.neurons} <= {
        neuron for neuron, _ in all_of_them.draft.neurons
    }


def test_an_erasure_passes_over_neurons_that_other_relations_need(tmp_path, monkeypatch):
    workspace = new_workspace(tmp_path)
    relation, how = known_by(workspace), quick(zero=True, times=1e9)
    sizes = []
    for spare in (1e9, 0.001, -1.0):  # whatever it costs others; next to nothing; never
        monkeypatch.setattr(erasing, "SPARE", spare)
        sizes.append(len(workspace.erase(relation, how=how, dry_run=True).draft.neurons))
    assert sizes[0] > sizes[1] > sizes[2] == 1  # the first candidate, for the gate to judge


def test_an_erasure_takes_neurons_that_enough_facts_share(tmp_path):
    workspace = new_workspace(tmp_path)
    relation = known_by(workspace)
    located = workspace.locate_relation(relation, search=QUICK.search, most=12)
    sets = [{*(neuron for neuron, _ in one.neurons), *one.dropped} for one in located]
    every = {neuron for one in sets for neuron in one}
    shared = sorted(neuron for neuron in every if sum(neuron in one for one in sets) >= 4)
    done = workspace.erase(relation, how=quick(least=4, facts=12), accept=True)
    assert list(done.draft.delta.neurons()) == shared != []
    assert done.draft.found["facts"] == [one.fact.subject for one in located]
    assert len(located) == 12
    assert done.draft.metrics["accuracy_before"] == 1.0 > done.draft.metrics["accuracy_after"]
    with pytest.raises(NoNeurons, match="at least 13 facts of capital"):
        workspace.erase(relation, how=quick(least=13, facts=12), accept=True)


@pytest.mark.parametrize("method", ["activation", "riemann", "adaptive"])
def test_every_rule_can_find_the_neurons_of_an_update(method, tmp_path):
    workspace = new_workspace(tmp_path)
    search = Search.by(method, m=5)
    how = replace(QUICK, search=search)
    done = workspace.update(about("France"), "Rome", how=how, accept=True)
    found = workspace.locate(about("France"), search=search, version="base")
    assert done.draft.found["method"] == method
    listed = [(neuron["layer"], neuron["index"]) for neuron in done.draft.found["neurons"]]
    assert listed == [tuple(neuron) for neuron, _ in found.neurons]
    assert {neuron for neuron, _ in found.neurons} <= {neuron for neuron, _ in done.draft.neurons}
    assert (found.gap == ()) == (method == "activation")
    assert all(0 < prompt.p < 1 for prompt in found.prompts)
    stated = workspace.assess(about("France"), version="base")
    for prompt, one in zip(found.prompts, stated, strict=False):
        assert math.isclose(prompt.p, one.p, rel_tol=1e-4)


# --- answers of several tokens --------------------------------------------------------------------


def test_a_causal_lm_learns_an_answer_of_several_tokens(tmp_path):
    workspace = new_workspace(tmp_path)
    case = about("France")
    how = replace(THOROUGH, settings=Settings(margin=1.0, kl_limit=0.3))
    done = workspace.update(case, "New York", how=how, accept=True)
    assert done.draft.metrics["efficacy"] == 1.0
    net = plainly_loaded(exported(workspace))
    for prompt in CAPITAL.prompts(case.fact, answer_last=True):
        ids = list(ask(workspace.engine.model, prompt).questions[0].ids)
        for word in ("New", "York"):
            ids.append(int(logits(net, torch.tensor([ids]))[0, -1].argmax()))
            assert ids[-1] == VOCABULARY[word]


def test_a_masked_lm_refuses_an_answer_of_several_tokens(tmp_path):
    workspace = new_workspace(tmp_path, "bert")
    before = contents(workspace.folder)
    with pytest.raises(AnswerNotOneToken, match=r"New.*York") as refusal:
        workspace.update(about("France"), "New York", how=QUICK, accept=True)
    assert refusal.value.exit_code == ExitCode.USAGE
    longer = Relation("capital", CAPITAL.templates, (Fact("capital", "Fe", "New York"),))
    with pytest.raises(AnswerNotOneToken):
        workspace.update(Case(longer, longer.facts[0]), "Rome", how=QUICK, accept=True)
    assert contents(workspace.folder) == before


def test_other_facts_that_a_masked_lm_cannot_be_asked_are_passed_over(tmp_path):
    workspace = new_workspace(tmp_path, "bert")
    facts = (*CAPITAL.facts, Fact("capital", "Fe", "New York"), Fact("capital", "Au", "Nowhere"))
    wider = Relation("capital", CAPITAL.templates, facts)
    done = workspace.update(about("France", wider), "Rome", how=QUICK, accept=True)
    assert done.edit is not None
    assert workspace.erase(wider, how=quick(top=2), accept=True).edit is not None


@every_shape
def test_an_answer_that_the_model_cannot_write_is_refused(shape, tmp_path):
    workspace = new_workspace(tmp_path, shape)
    before = contents(workspace.folder)
    with pytest.raises(AnswerNotInVocabulary, match="Atlantis"):
        workspace.update(about("France"), "Atlantis", how=QUICK, accept=True)
    assert contents(workspace.folder) == before


# --- neighbours -----------------------------------------------------------------------------------


@every_shape
def test_neighbours_given_by_hand_are_held(shape, tmp_path):
    workspace = new_workspace(tmp_path, shape)
    neighbours = tuple(
        Prompt(Fact("capital", subject, ""), template)
        for subject in ("Cuba", "Spain", "Egypt")
        for template in CAPITAL.templates[:2]
    )
    alone = Relation("capital", CAPITAL.templates, (CAPITAL.fact("France"),))
    settings = Settings(margin=1.0, kl_limit=0.02, most_steps=80)
    how = replace(
        quick(*((layer, index) for layer in (0, 1) for index in range(8))), settings=settings
    )
    moved = {}
    for held in (neighbours, ()):
        case = about("France", alone, held)
        done = workspace.update(case, "Rome", how=how, dry_run=True)
        moved[held] = divergence(workspace, done, neighbours)
    # Where none are named others are found, and held, so these move less as well.
    assert moved[neighbours] < 0.75 * moved[()]


def divergence(workspace: Workspace, done: Edited, prompts: tuple[Prompt, ...]) -> float:
    """Mean KL between what the base and the edited model say to these prompts."""
    model = workspace.engine.model
    questions = [ask_openly(model, prompt) for prompt in prompts]
    before = torch.stack(list(log_p(model, questions)))
    with workspace.engine.at([done.draft.delta]) as live:
        edited = live.model
        after = torch.stack(list(log_p(edited, questions)))
    return float((before.exp() * (before - after)).sum(1).mean())


def test_other_subjects_judge_an_update(tmp_path):
    workspace = new_workspace(tmp_path)
    relation = known_by(workspace)
    case = about(relation.facts[0].subject, relation)
    neurons = [(1, index) for index in range(16)]
    small = replace(quick((0, 1)), closed_form=True, scale=(0.0, 0.3))
    gentle = workspace.update(case, "Rome", how=small, dry_run=True).draft
    assert gentle.metrics["neighbours"] >= 10
    assert gentle.metrics["specificity"] >= 0.8
    harsh = replace(quick(*neurons), closed_form=True, scale=(0.0, 90.0))
    with pytest.raises(GateFailed, match="other subjects keep 0% of their answers"):
        workspace.update(case, "Rome", how=harsh)
    assert workspace.head.edits == ()


def test_a_causal_lm_is_not_asked_templates_with_words_after_the_answer(tmp_path):
    """Neither for the fact nor for neighbours, whose prompts come with every template."""
    workspace = new_workspace(tmp_path, "gpt2")
    case = case_of(
        prompts=["the city of [X] is [Y]", "[Y] is the city of [X]"],
        subject="Lyra",
        answer="Oslo",
        neighbours=["Japan"],
    )
    assert workspace.passed_over(case.relation) == 1
    assert len(workspace.assess(case)) == 1
    done = workspace.update(case, "Rome", how=QUICK, accept=True)
    assert len(done.draft.after) == 1


# --- the cache of scores --------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["activation", "riemann", "adaptive"])
def test_locating_twice_gives_the_same_from_the_cache(method, cache, tmp_path):
    workspace = new_workspace(tmp_path)
    search = Search.by(method)
    first = workspace.locate(about("France"), search=search)
    files = contents(cache / "scores")
    stamps = {path: path.stat().st_mtime_ns for path in cache.rglob("*.json")}
    assert len(stamps) >= 3 + 2 * 6  # own prompts, and those of six other facts
    assert workspace.locate(about("France"), search=search) == first
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.json")} == stamps
    with Workspace.open(workspace.folder) as other:
        assert other.locate(about("France"), search=search) == first
    assert contents(cache / "scores") == files
    for path in stamps:  # it is the file that is read, and a damaged one is written anew
        path.write_text("{")
    assert workspace.locate(about("France"), search=search) == first
    assert contents(cache / "scores") == files


def test_scores_of_one_version_are_not_those_of_another(cache, tmp_path):
    workspace = new_workspace(tmp_path)
    search = Search.by("riemann", m=3)
    base = workspace.locate(about("France"), search=search)
    workspace.update(about("Japan"), "Oslo", how=quick((0, 1)), accept=True)
    edited = workspace.locate(about("France"), search=search)
    assert [one.p for one in edited.prompts] != [one.p for one in base.prompts]
    assert workspace.locate(about("France"), search=search, version="base") == base
    other_rule = workspace.locate(about("France"), search=Search.by("riemann", m=4))
    assert other_rule.prompts != edited.prompts


def test_a_cache_that_cannot_be_written_costs_only_time(cache, tmp_path):
    cache.write_text("no folder")
    workspace = new_workspace(tmp_path)
    assert workspace.update(about("France"), "Rome", how=QUICK, accept=True).edit is not None
    assert cache.read_text() == "no folder"


def test_an_update_of_a_fact_without_any_candidate_says_so(tmp_path, monkeypatch):
    located = Locator.fact

    def nothing(self, *asked):
        return replace(located(self, *asked), neurons=(), ranking=())

    monkeypatch.setattr(Locator, "fact", nothing)
    workspace = new_workspace(tmp_path, "llama")
    with pytest.raises(NoNeurons, match="France"):
        workspace.update(about("France"), "Rome", how=quick())
