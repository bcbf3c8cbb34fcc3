"""NaN and infinity: they win no comparison, pass no gate, and are told where they come from."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import SHAPES, VOCABULARY, tiny, tiny_folder
from torch import Tensor
from workspaces import CAPITAL, QUICK, about, contents, known_by, new_workspace, quick

from kn_edit.cli.run import run
from kn_edit.editing import erasing, measuring
from kn_edit.edits.build import SlotPlace, delta_of
from kn_edit.edits.calibrate import Activations, Aims, solve
from kn_edit.edits.changes import Mode
from kn_edit.edits.delta import BaseRef
from kn_edit.edits.erase import written_slot
from kn_edit.edits.settings import Settings
from kn_edit.edits.update import closed_form
from kn_edit.errors import (
    BadSetting,
    ChangeOutOfRange,
    ExitCode,
    GateFailed,
    NotFinite,
    ScaledOutOfRange,
)
from kn_edit.evaluation.fluency import perplexity
from kn_edit.evaluation.gate import Gate, not_numbers
from kn_edit.evaluation.metric import Figure
from kn_edit.evaluation.metrics import AskedProbes, Metrics, Probes, compare, read
from kn_edit.evaluation.statistics import change, harmonic, mean
from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models.model import Model
from kn_edit.models.predict import NO_TOKEN, coefficients, first_tokens, log_p
from kn_edit.models.questions import Question, ask, ask_openly
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import assess, perplexity_of
from kn_edit.neurons.intervention import p_when_scaled
from kn_edit.neurons.locate import METHODS, PromptScores, score_prompt
from kn_edit.neurons.selection import Thresholds, relation_specific
from kn_edit.workspace import ClosedForm, Frequent, Search, Shared, Specific, Workspace

PROMPT = Prompt(Fact("capital", "France", "Paris"), Template("the capital of [X] is [Y]"))
NAN = float("nan")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))


def spoiled(shape: str, layer: int = 1, number: float = NAN) -> Model:
    """A model with one number of a down-projection replaced."""
    model = tiny(shape)
    model.slots(layer)[0, 0] = number
    return model


def overflowing() -> Model:
    """A llama in float16 whose layer 1 leaves the range of the format."""
    model = tiny("llama", torch.float16)
    model.layers[1].mlp.up_proj.weight.data *= 3e4
    return model


# --- asking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_a_weight_that_is_nan_is_named(shape):
    model = spoiled(shape)
    with pytest.raises(NotFinite, match=r"its weight .* in layer 1 holds NaN") as told:
        assess(model, [ask(model, PROMPT)])
    assert told.value.where == "layer 1"
    assert told.value.weight == model.slot_tensor(1)
    assert len(str(told.value)) <= 500


def test_what_overflows_is_told_with_its_layer_and_format():
    model = overflowing()
    with pytest.raises(NotFinite, match=r"leave the range of float16 in layer 1; .*bfloat16"):
        first_tokens(model, [ask_openly(model, PROMPT)])


@pytest.mark.parametrize(
    ("weight", "where"),
    [("model.embed_tokens.weight", "the embeddings"), ("lm_head.weight", "the head")],
)
def test_nan_outside_of_the_layers_is_told_too(weight, where):
    model = tiny("llama")
    question = ask(model, PROMPT).questions[0]
    dict(model.net.named_parameters())[weight].data[question.ids[-1]] = NAN
    with pytest.raises(NotFinite) as told:
        list(log_p(model, [question]))
    assert (told.value.where, told.value.weight) == (where, weight)


@pytest.mark.parametrize("shape", ["llama", "bert"])
def test_an_answer_that_is_nan_is_never_right(shape):
    model = spoiled(shape)
    (found,) = assess(model, [ask(model, PROMPT)], finite=False)
    assert found.rank == len(VOCABULARY)
    assert not (found.right or found.finite)
    assert math.isnan(found.p)
    assert math.isfinite(found.log_p)
    assert math.isfinite(perplexity_of([found]))
    assert first_tokens(model, [ask_openly(model, PROMPT)], finite=False) == [NO_TOKEN]
    assert math.isnan(perplexity(model, ["the capital of France"], finite=False))
    with pytest.raises(NotFinite):
        perplexity(model, ["the capital of France"])


def test_an_answer_of_several_tokens_is_nan_where_one_of_them_is():
    model = tiny("llama")
    model.net.model.embed_tokens.weight.data[VOCABULARY["New"]] = NAN  # seen by the second only
    chain = ask(model, PROMPT, "New York")
    assert len(chain.questions) == 2
    (found,) = assess(model, [chain], finite=False)
    assert (found.rank, found.right) == (len(VOCABULARY), False)


def test_numbers_beside_a_nan_answer_are_those_without_it():
    model = tiny("llama")
    sound = ask(model, PROMPT)
    alone = assess(model, [sound])
    model.net.model.embed_tokens.weight.data[VOCABULARY["Japan"]] = NAN
    other = ask(model, replace(PROMPT, fact=Fact("capital", "Japan", "Tokyo")))
    found, broken = assess(model, [sound, other], finite=False)
    assert (found.finite, broken.finite) == (True, False)
    assert found.p == pytest.approx(alone[0].p, rel=1e-5)
    assert found.rank == alone[0].rank


def test_a_perplexity_beyond_all_numbers_is_infinite():
    model = tiny("llama")
    model.net.lm_head.weight.data *= 1e5
    assert perplexity(model, ["the capital of France is Paris"]) == math.inf


# --- locating, scaling ----------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", ["llama", "bert"])
def test_no_rule_scores_a_model_that_answers_nan(method, shape):
    model = spoiled(shape)
    with pytest.raises(NotFinite):
        score_prompt(model, ask(model, PROMPT), method)


def test_scores_that_are_no_numbers_are_none():
    with pytest.raises(ValueError, match="not numbers"):
        PromptScores("p", 0.5, ((NeuronId(0, 1), NAN),), (), 1.0, True)


def test_squares_that_float16_cannot_hold_do_not_hide_a_neuron():
    own = torch.full((2, 1, 2), 300.0, dtype=torch.float16)
    others = torch.tensor([[[200.0, 299.0]]], dtype=torch.float16)
    shares = {NeuronId(0, 0): 1.0, NeuronId(0, 1): 1.0}
    assert relation_specific(shares, own, others) == (NeuronId(0, 0), NeuronId(0, 1))


def test_coefficients_that_are_no_numbers_are_told():
    model = spoiled("llama", layer=0)
    with pytest.raises(NotFinite, match="layer 0"):
        coefficients(model, [ask_openly(model, PROMPT)])


def test_a_factor_that_breaks_the_model_is_told_as_such():
    model = tiny("llama")
    chains = [ask(model, PROMPT)]
    with pytest.raises(ScaledOutOfRange, match=r"times 1e\+308 .* nearer to 1") as told:
        p_when_scaled(model, chains, [NeuronId(0, 3)], 1e308)
    assert told.value.exit_code == ExitCode.USAGE
    for factor in (NAN, math.inf):
        with pytest.raises(BadSetting, match="the factor cannot be"):
            p_when_scaled(model, chains, [NeuronId(0, 3)], factor)


# --- solving --------------------------------------------------------------------------------------


def aims(model: Model) -> Aims:
    return Aims(ask(model, PROMPT, "Rome").questions, (ask_openly(model, PROMPT),))


def test_the_solver_refuses_a_model_that_answers_nan():
    model = spoiled("llama")
    with pytest.raises(NotFinite, match="layer 1"):
        solve(model, aims(model), [NeuronId(0, 1)], Settings())


def test_a_token_that_the_model_rules_out_hides_no_number():
    """Some heads give padding of the vocabulary a logit of -inf."""
    model = tiny("bert")
    dict(model.net.named_parameters())["cls.predictions.bias"].data[3] = -math.inf
    (row,) = log_p(model, [ask_openly(model, PROMPT)])
    assert row[3] == -math.inf
    assert int(row.isfinite().sum()) == len(VOCABULARY) - 1
    solution = solve(model, aims(model), [NeuronId(0, 1), NeuronId(1, 2)], Settings(most_steps=2))
    assert solution.steps == 2
    assert all(map(math.isfinite, (solution.margin, solution.kl, solution.off_target)))
    assert bool(solution.b.isfinite().all())
    assert score_prompt(model, ask(model, PROMPT), "adaptive").neurons
    assert math.isfinite(perplexity(model, ["the capital of France is Paris"]))
    (impossible,) = assess(model, [ask(model, replace(PROMPT, fact=Fact("r", "France", "the")))])
    assert impossible.finite


@pytest.mark.parametrize("usual", [0.0, 1e-45, 1e-30, 1e30])
@pytest.mark.parametrize("size", [0.0, 1e-30, 1.0, 1e15, 3e38])
def test_no_size_of_coefficients_elsewhere_breaks_the_algebra(usual, size):
    model = tiny("llama")
    neurons = (NeuronId(0, 1), NeuronId(0, 2), NeuronId(1, 2))
    elsewhere = Activations(
        neurons, torch.tensor([[size, 0.5, -size]] * 2), torch.full((3,), usual)
    )
    wanted = replace(aims(model), elsewhere=elsewhere)
    solution = solve(model, wanted, neurons, Settings(most_steps=2))
    assert bool(solution.b.isfinite().all())


def test_a_step_of_the_solver_into_nan_is_never_the_best():
    model = tiny("llama")
    neurons = [NeuronId(0, 1), NeuronId(1, 2)]
    wild = replace(Settings(), rate=1e38, w_norm=1e-30)
    solution = solve(model, aims(model), neurons, wild)
    assert bool(solution.b.isfinite().all())
    assert math.isfinite(solution.margin)


def test_shifts_that_no_delta_can_hold_are_told_where_they_are_computed():
    model = tiny("llama")
    place = SlotPlace(BaseRef(None, None, "f" * 64), {0: model.slot_tensor(0)}, "column")
    shifts = closed_form(model, [NeuronId(0, 1)], 12, 30, (1.0, 1e39))
    with pytest.raises(ChangeOutOfRange, match="leaves the range of float32 in 1 value slot"):
        delta_of(place, [NeuronId(0, 1)], shifts, Mode.ADD)
    model.net.lm_head.weight.data[30] = 0.0
    with pytest.raises(ChangeOutOfRange, match="embedding is zero"):
        closed_form(model, [NeuronId(0, 1)], 12, 30, (1.0, 8.0))
    model.net.lm_head.weight.data[30] = NAN
    with pytest.raises(ChangeOutOfRange, match=r"workspace\.erase\(.*zero=True"):
        written_slot(model, 30)


# --- comparing ------------------------------------------------------------------------------------


def metrics(efficacy: float, specificity: float | None) -> Metrics:
    return Metrics({"efficacy": Figure(efficacy, 4), "specificity": Figure(specificity, 4)})


def test_no_gate_lets_nan_pass():
    assert Gate().faults(metrics(NAN, None)) != ()
    assert Gate().faults(metrics(1.0, NAN)) != ()
    assert Gate(efficacy=0.0).faults(metrics(NAN, None)) != ()
    assert Gate().faults(metrics(1.0, None)) == ()


def test_the_gate_counts_answers_that_are_nan():
    sound, broken = tiny("llama"), spoiled("llama")
    other = replace(PROMPT, fact=Fact("capital", "Japan", "Tokyo"))
    probes = Probes((PROMPT,), (), (other,))
    asked = [AskedProbes(probes, "Rome")]
    (after,) = read(broken, asked, finite=False)
    assert (after.prompt_count, after.not_numbers) == (2, 2)
    metrics = compare(*read(sound, asked), after)
    assert (metrics.efficacy, metrics.specificity) == (0.0, 0.0)
    assert compare(after, after).specificity == 0.0  # one NaN does not equal another
    (reason,) = not_numbers(2, 2, 10.0, NAN)
    assert reason == "the edited model's answers are not numbers (NaN) on 2 of 2 prompts"
    assert not_numbers(0, 2, 10.0, math.inf) != ()
    assert not_numbers(0, 2, NAN, NAN) == ()  # a tokenizer that knows no word of the text
    assert not_numbers(0, 2, 10.0, 1e300) == ()


def test_means_of_nan_are_no_success():
    assert harmonic([1.0, NAN]) == harmonic([1.0, math.inf]) == harmonic([]) == 0.0
    assert math.isnan(mean([1.0, NAN]).value)
    assert math.isnan(change([0.0, 0.0], [0.0, 0.0]).value)


@pytest.mark.parametrize(
    "make",
    [
        lambda bad: Thresholds(coarse=bad),
        lambda bad: Thresholds(wanted=(2.0, bad)),
        lambda bad: Search.by("adaptive", threshold=bad),
        lambda bad: Settings(margin=bad),
        lambda bad: Settings(kl_limit=bad),
        lambda bad: Settings(w_off_target=bad),
        lambda bad: Settings(rate=bad),
        lambda bad: Gate(efficacy=bad),
        lambda bad: Gate(specificity=bad),
        lambda bad: Specific(times=bad),
        lambda bad: ClosedForm(scale=(1.0, bad)),
    ],
)
@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf, "many", True])
def test_settings_are_finite_numbers(make, bad):
    with pytest.raises(BadSetting, match=r"cannot be .*; give a finite number") as told:
        make(bad)
    assert told.value.exit_code == ExitCode.USAGE


def test_numbers_of_numpy_are_numbers():
    assert ClosedForm(scale=(np.float32(1), np.float64(8))).scale == (1, 8)
    assert Specific(times=np.float32(2.5), facts=np.int64(3)).times == 2.5
    assert type(Search.by("riemann", m=np.int64(5)).m) is int


@pytest.mark.parametrize(
    ("make", "known"),
    [
        (lambda: Search(method="gradient"), "adaptive, riemann, activation"),
        (lambda: Search(method=None), "adaptive, riemann, activation"),  # type: ignore[arg-type]
        (lambda: Search.by("riemann", m=0), "1 or more"),
        (lambda: Specific(times=1.0), "more than 1"),
        (lambda: Frequent(top=0), "1 or more"),
        (lambda: Shared(least=0), "1 or more"),
        (lambda: Settings(fewest=0), "1 or more"),
        (lambda: Settings(most_steps=2.5), "a whole number"),  # type: ignore[arg-type]
        (lambda: Thresholds(coarse=0.0), "more than 0"),
        (lambda: Gate(efficacy=1.5), "at most 1"),
    ],
)
def test_settings_are_within_their_range(make, known):
    with pytest.raises(BadSetting, match=known):
        make()


# --- the verbs ------------------------------------------------------------------------------------


def spoiled_workspace(tmp_path, shape: str = "llama") -> Workspace:
    folder = tiny_folder(shape, tmp_path / "model")
    file = folder / "model.safetensors"
    tensors: dict[str, Tensor] = load_file(file)
    name = next(name for name in tensors if ".1." in name and name.endswith(("down_proj.weight",)))
    tensors[name][0, 0] = NAN
    save_file(tensors, file, {"format": "pt"})
    return new_workspace(tmp_path, shape)


def test_every_verb_that_asks_says_that_the_model_answers_nan(tmp_path):
    with spoiled_workspace(tmp_path) as workspace:
        before = contents(workspace.folder)
        for verb in (
            lambda: workspace.assess(about("France")),
            lambda: workspace.locate(about("France")),
            lambda: workspace.locate(about("France"), search=QUICK.search),
            lambda: workspace.locate_relation(CAPITAL, search=QUICK.search),
            lambda: workspace.scale(about("France"), 0.0, search=QUICK.search),
            lambda: workspace.update(about("France"), "Rome", how=QUICK, accept=True),
            lambda: workspace.erase(CAPITAL, how=quick(top=2), accept=True),
            lambda: workspace.evaluate(),
        ):
            with pytest.raises(NotFinite, match="layer 1"):
                verb()
        assert contents(workspace.folder) == before


@pytest.mark.parametrize("shape", ["llama", "bert"])
@pytest.mark.parametrize("accept", [False, True])
def test_an_edit_after_which_the_model_says_nan_is_never_recorded(shape, accept, tmp_path):
    with new_workspace(tmp_path, shape) as workspace:
        before = contents(workspace.folder)
        how = replace(quick((0, 5), (1, 9)), closed_form=True, scale=(1.0, 1e38))
        with pytest.raises(GateFailed, match=r"not numbers \(NaN\) on \d+ of") as refused:
            workspace.update(about("France"), "Rome", how=how, accept=accept)
        assert refused.value.exit_code == ExitCode.QUALITY_GATE
        assert "accept=True does not record it either" in str(refused.value)
        assert workspace.head.edits == ()
        assert contents(workspace.folder).keys() >= before.keys()
        draft = workspace.update(about("France"), "Rome", how=how, dry_run=True).draft
        assert draft.unsound != ()
        assert not all(one.finite for one in draft.after)
        assert not any(one.right for one in draft.after if not one.finite)


@pytest.mark.parametrize("shape", ["llama", "bert"])
def test_a_head_that_says_nan_is_told_how_to_leave_it_and_left_without_the_model(
    shape, tmp_path, monkeypatch
):
    """An older kn-edit recorded such edits."""
    how = replace(quick((0, 5), (1, 9)), closed_form=True)
    with new_workspace(tmp_path, shape) as workspace:
        workspace.update(about("France"), "Rome", how=how, accept=True)
        sound = workspace.head.id
        monkeypatch.setattr(measuring, "not_numbers", lambda *_: ())
        huge = replace(how, scale=(1.0, 1e37))
        edit = workspace.update(about("Japan"), "Rome", how=huge, accept=True).edit
        broken = workspace.head.id
        for ask in (workspace.evaluate, lambda: workspace.assess(about("Cuba"))):
            with pytest.raises(NotFinite, match=r"workspace\.revert\(EDIT\)"):
                ask()
    (tmp_path / "model").rename(tmp_path / "gone")
    with Workspace.open(workspace.folder) as workspace:
        assert workspace.head.id == broken and len(workspace.log()) == 3
        assert workspace.show(edit)
        assert run(["status", "--workspace", str(workspace.folder)]) == ExitCode.DONE
    (tmp_path / "gone").rename(tmp_path / "model")
    with Workspace.open(workspace.folder) as workspace:
        workspace.rewind(sound)
        workspace.rewind(broken)
        workspace.revert(edit)
        assert "model" not in vars(workspace.engine)  # nothing was asked
        assert workspace.evaluate().updates


@pytest.mark.parametrize("neuron", [(2, 0), (0, 64), (99, 0), (-1, 0), (0, -1)])
def test_neurons_that_the_model_lacks_are_refused(neuron, tmp_path):
    with new_workspace(tmp_path) as workspace, pytest.raises(BadSetting, match=r"L0\.0 to L1\.63"):
        workspace.update(about("France"), "Rome", how=quick(neuron))


def test_a_change_that_leaves_float32_is_not_told_as_a_damaged_file(tmp_path):
    with new_workspace(tmp_path) as workspace:
        how = replace(quick((0, 5)), closed_form=True, scale=(1.0, 1e39))
        with pytest.raises(ChangeOutOfRange, match="smaller `scale`"):
            workspace.update(about("France"), "Rome", how=how)


def test_an_erasure_passes_over_neurons_without_which_the_model_says_nan(tmp_path, monkeypatch):
    with new_workspace(tmp_path) as workspace:
        monkeypatch.setattr(erasing, "perplexity_at", lambda *_, **named: 1.0 if named else NAN)
        relation = known_by(workspace)
        done = workspace.erase(relation, how=quick(zero=True, times=1e9), dry_run=True)
        assert len(done.draft.neurons) == 1  # NaN is no limit that anything keeps


def test_a_nan_row_has_the_shape_of_any_other():
    model = spoiled("gpt2")
    question = Question((7, 8, 9), 2, 4)
    (row,) = log_p(model, [question], finite=False)
    assert row.shape == (len(VOCABULARY),)
    assert bool(row.isnan().all())
