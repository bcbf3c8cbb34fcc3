"""Updates: the paper's closed form, and shifts that are solved for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_models import D_FF, D_MODEL, LAYERS, SHAPES, VOCABULARY, tiny
from torch import Tensor

from kn_edit.edits.build import SlotPlace, delta_of
from kn_edit.edits.calibrate import Activations, Aims, Solution, solve
from kn_edit.edits.changes import Mode
from kn_edit.edits.delta import BaseRef
from kn_edit.edits.live import applied
from kn_edit.edits.settings import Settings
from kn_edit.edits.suffix import Shift, Suffix, shifted
from kn_edit.edits.update import calibrated, closed_form
from kn_edit.errors import EmbeddingWidthDiffers, ExitCode, NoNeurons
from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models.model import Model
from kn_edit.models.predict import log_p
from kn_edit.models.questions import ask, ask_openly
from kn_edit.neuron import NeuronId
from kn_edit.neurons.attribution import Riemann, attribute

IDS = torch.tensor([[7, 8, 9, 18, 10, 12, 11]])
TEMPLATES = (
    "the capital of [X] is [Y] .",
    "[X] has the capital city [Y]",
    "the capital city of the country of [X] is [Y]",
)
NARROW = ("electra", "opt-350m")  # their word embeddings are narrower than their slots
PATIENT = Settings(margin=1.0, kl_limit=0.1, off_target_limit=0.1, most_steps=400)


def place(model: Model) -> SlotPlace:
    names = {layer: model.slot_tensor(layer) for layer in range(LAYERS)}
    return SlotPlace(BaseRef(None, None, "f" * 64), names, model.family.axis)


def logits(model: Model) -> Tensor:
    with torch.no_grad():
        return model.net(input_ids=IDS).logits


def aims(model: Model, target: str = "Rome") -> Aims:
    def asked(subject: str, text: str) -> Prompt:
        return Prompt(Fact("capital", subject, "Paris"), Template(text))

    change = [q for text in TEMPLATES for q in ask(model, asked("France", text), target).questions]
    keep = [
        ask_openly(model, asked(subject, text))
        for subject in ("Japan", "Cuba", "Egypt")
        for text in TEMPLATES[:2]
    ]
    return Aims(tuple(change), tuple(keep))


def best_neurons(model: Model, count: int) -> list[NeuronId]:
    scores = sum(attribute(model, question, Riemann(5)).scores for question in aims(model).change)
    best = scores.flatten().topk(count).indices.tolist()
    return [NeuronId(place // D_FF, place % D_FF) for place in best]


@cache
def solved(shape: str) -> SimpleNamespace:
    model = tiny(shape)
    wanted = aims(model)
    neurons = best_neurons(model, 12)
    before = {name: weight.clone() for name, weight in model.net.state_dict().items()}
    ticks: list[tuple[int, float]] = []
    solution = solve(model, wanted, neurons, PATIENT, tick=lambda *heard: ticks.append(heard))
    return SimpleNamespace(
        model=model, aims=wanted, neurons=neurons, before=before, solution=solution, ticks=ticks
    )


solvable = pytest.mark.parametrize("shape", ["gpt2", "llama", "bert", "opt", "electra"])


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape not in NARROW])
def test_the_closed_form_is_the_formula_of_the_paper(shape):
    model = tiny(shape)
    neurons, old, new = [NeuronId(1, 5), NeuronId(0, 63), NeuronId(1, 0)], 12, 30
    found = closed_form(model, neurons, old, new, (1.0, 8.0))
    embedding = model.net.get_output_embeddings().weight.numpy().astype(np.float64)
    for row, (layer, index) in enumerate(neurons):
        weight = model.downs[layer].weight.numpy().astype(np.float64)
        slot = weight[index] if shape == "gpt2" else weight[:, index]
        size = np.linalg.norm(slot)
        expected = -1.0 * size / np.linalg.norm(embedding[old]) * embedding[old]
        expected += 8.0 * size / np.linalg.norm(embedding[new]) * embedding[new]
        np.testing.assert_allclose(found[row].numpy(), expected, rtol=1e-5, atol=1e-5)
    assert found.dtype == torch.float32


@pytest.mark.parametrize("shape", NARROW)
def test_an_embedding_that_is_no_slot_has_no_closed_form(shape):
    with pytest.raises(EmbeddingWidthDiffers, match="use the calibrated update") as refusal:
        closed_form(tiny(shape), [NeuronId(0, 1)], 12, 30, (1.0, 8.0))
    assert (refusal.value.embedding, refusal.value.slot) == (16, D_MODEL)
    assert refusal.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize("shape", SHAPES)
def test_shifting_slots_equals_adding_to_them(shape):
    model = tiny(shape, torch.float64)
    shifts = {
        layer: Shift(torch.tensor([40, 3, 17]), torch.randn(3, D_MODEL, dtype=torch.float64))
        for layer in range(LAYERS)
    }
    before = logits(model)
    with shifted(model, shifts):
        inside = logits(model)
    assert logits(model).equal(before)
    for layer, shift in shifts.items():
        model.slots(layer)[shift.index] += shift.b
    torch.testing.assert_close(logits(model), inside, rtol=0, atol=1e-11)
    assert (inside - before).abs().max() > 0.1


@pytest.mark.parametrize("shape", ["gpt2", "opt", "bert"])
def test_a_shift_has_the_gradient_of_the_slot_itself(shape):
    model = tiny(shape, torch.float64)
    b = torch.zeros(1, D_MODEL, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad(), shifted(model, {0: Shift(torch.tensor([9]), b)}):
        (ours,) = torch.autograd.grad(model.net(input_ids=IDS).logits.square().sum(), b)
    weight = model.downs[0].weight.requires_grad_()
    (theirs,) = torch.autograd.grad(model.net(input_ids=IDS).logits.square().sum(), weight)
    weight.requires_grad_(False)
    slot = theirs[9] if model.family.axis == "row" else theirs[:, 9]
    torch.testing.assert_close(ours[0], slot, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layer", range(LAYERS))
def test_the_part_above_a_layer_predicts_as_the_whole(shape, layer):
    model = tiny(shape)
    questions = aims(model).change
    with torch.no_grad():
        suffix = Suffix(model, layer, [question.ids for question in questions])
        found = suffix.log_p(questions)
    expected = torch.stack(list(log_p(model, questions)))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


@solvable
def test_the_solver_makes_the_new_answer_first_and_keeps_the_rest(shape):
    """Measured on the model with the delta in its weights, by other means than the solver's."""
    run = solved(shape)
    model, solution = run.model, run.solution
    assert solution.reached
    before = torch.stack(list(log_p(model, run.aims.keep)))
    was = torch.stack(list(log_p(model, run.aims.change)))
    delta = delta_of(place(model), solution.neurons, solution.b, Mode.ADD)
    with applied(model, [delta]):
        after = torch.stack(list(log_p(model, run.aims.keep)))
        now = torch.stack(list(log_p(model, run.aims.change)))
    rome = VOCABULARY["Rome"]
    assert (was.argmax(1) != rome).any()
    assert (now.argmax(1) == rome).all()
    others = now.clone()
    others[:, rome] = -torch.inf
    margin = float((now[:, rome] - others.max(1).values).min())
    assert margin >= PATIENT.margin - 1e-3
    assert margin == pytest.approx(solution.margin, abs=1e-3)
    kl = float((before.exp() * (before - after)).sum(1).mean())
    assert kl <= PATIENT.kl_limit + 1e-4
    assert kl == pytest.approx(solution.kl, abs=1e-4)


@solvable
def test_the_solver_changes_no_weight_and_leaves_nothing_behind(shape):
    run = solved(shape)
    for name, weight in run.model.net.state_dict().items():
        assert weight.equal(run.before[name])
    for module in run.model.net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert all(parameter.grad is None for parameter in run.model.net.parameters())


@pytest.mark.parametrize("shape", ["llama", "bert"])
def test_the_same_task_has_the_same_solution_bit_for_bit(shape):
    run = solved(shape)
    again = solve(tiny(shape), run.aims, run.neurons, PATIENT)
    assert again.b.equal(run.solution.b)
    assert replace(again, b=run.solution.b) == run.solution


def test_the_solver_writes_little_where_it_is_told_to(shape="llama"):
    model = tiny(shape)
    wanted, neurons = aims(model), best_neurons(model, 12)
    draw = torch.Generator().manual_seed(0)
    elsewhere = torch.randn(200, 3, generator=draw) @ torch.randn(3, 12, generator=draw)
    others = tuple(neurons[::-1])  # known in another order
    known = Activations(others, elsewhere.flip(1), torch.full((12,), 100.0))
    written = []
    for weight in (0.0, 1.0, 100.0):
        settings = replace(PATIENT, w_off_target=weight)
        solution = solve(model, replace(wanted, elsewhere=known), neurons, settings)
        assert solution.margin >= PATIENT.margin
        written.append(float((elsewhere @ solution.b).square().sum(1).mean()))
    assert written[0] > 2 * written[1] > 4 * written[2]


def test_what_shifts_write_elsewhere_is_told_in_units_of_what_the_ffn_writes():
    model = tiny("llama")
    neurons = best_neurons(model, 12)
    coefficients = torch.randn(50, 12, generator=torch.Generator().manual_seed(1))
    usual = torch.tensor([1000.0 * 4**neuron.layer for neuron in neurons])
    known = Activations(tuple(neurons), coefficients, usual)
    solution = solve(model, replace(aims(model), elsewhere=known), neurons, PATIENT)
    written = (coefficients / usual.sqrt()) @ solution.b  # (places, d_model)
    assert solution.off_target == pytest.approx(float(written.square().sum(1).mean()), rel=1e-4)
    assert solution.reached
    assert 0 < solution.off_target <= PATIENT.off_target_limit


def test_a_higher_power_lifts_the_prompt_that_lags_behind():
    model = tiny("bert")
    neurons, wanted = best_neurons(model, 3), aims(model)
    hard = replace(PATIENT, margin=8.0, w_norm=0.3, most_steps=200)
    least = [
        solve(model, wanted, neurons, replace(hard, power=power)).margin for power in (1.0, 2.0)
    ]
    assert least[1] > least[0]


def test_the_solver_tells_every_step():
    run = solved("llama")
    assert [step for step, _ in run.ticks] == list(range(run.solution.steps + 1))
    assert run.ticks[-1][1] == run.solution.margin
    assert run.ticks[0][1] < PATIENT.margin


def test_a_solution_has_a_shift_for_each_neuron_in_their_order():
    run = solved("llama")
    assert run.solution.neurons == tuple(run.neurons)
    assert run.solution.b.shape == (len(run.neurons), D_MODEL)
    assert run.solution.b.dtype == torch.float32
    backwards = solve(run.model, run.aims, run.neurons[::-1], replace(PATIENT, most_steps=3))
    forwards = solve(run.model, run.aims, run.neurons, replace(PATIENT, most_steps=3))
    torch.testing.assert_close(backwards.b.flip(0), forwards.b, rtol=1e-3, atol=1e-4)


def test_the_solver_starts_from_the_shifts_it_is_given():
    run = solved("llama")
    again = solve(run.model, run.aims, run.neurons, PATIENT, start=run.solution.b)
    assert again.reached
    assert again.steps == 0
    torch.testing.assert_close(again.b, run.solution.b, rtol=1e-5, atol=1e-6)


def test_the_solver_says_when_it_stopped_short():
    run = solved("llama")
    hurried = solve(run.model, run.aims, run.neurons, replace(PATIENT, most_steps=1))
    assert not hurried.reached
    assert hurried.steps == 1
    assert hurried.margin < PATIENT.margin
    strict = solve(run.model, run.aims, run.neurons, replace(PATIENT, most_steps=30, kl_limit=0.0))
    assert not strict.reached
    assert strict.kl > 0


def test_nothing_need_be_kept():
    run = solved("gpt2")
    free = solve(run.model, replace(run.aims, keep=()), run.neurons, PATIENT)
    assert free.reached
    assert free.kl == 0.0
    assert free.steps <= run.solution.steps


@pytest.mark.parametrize("shape", ["gpt2", "llama"])
def test_every_token_of_a_chain_is_made_first(shape):
    model = tiny(shape)
    wanted = aims(model, "New York")
    solution = solve(model, wanted, best_neurons(model, 16), PATIENT)
    assert solution.reached
    delta = delta_of(place(model), solution.neurons, solution.b, Mode.ADD)
    with applied(model, [delta]):
        found = [int(row.argmax()) for row in log_p(model, wanted.change)]
    assert found == [VOCABULARY["New"], VOCABULARY["York"]] * len(TEMPLATES)


def test_a_slot_of_zeros_among_the_others_stays_as_it_is():
    """As an erase leaves them."""
    model = tiny("llama")
    neurons = best_neurons(model, 8)
    model.slots(neurons[2].layer)[neurons[2].index] = 0.0
    solution = solve(model, aims(model), neurons, PATIENT)
    assert bool(torch.isfinite(solution.b).all())
    assert solution.reached
    assert float(solution.b[2].abs().max()) < 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_16_bits_the_applied_delta_does_what_was_solved_for(dtype):
    model = tiny("llama", dtype)
    wanted = aims(model)
    solution = solve(model, wanted, best_neurons(model, 12), PATIENT)
    assert solution.reached
    delta = delta_of(place(model), solution.neurons, solution.b, Mode.ADD)
    with applied(model, [delta]):
        found = [int(row.argmax()) for row in log_p(model, wanted.change)]
    assert found == [VOCABULARY["Rome"]] * len(TEMPLATES)


HURRIED = Settings(most_steps=2, fewest=2, more=3, most_neurons=10)
ALWAYS = Settings(margin=-1e3, kl_limit=1e3, fewest=3)


def test_neurons_that_carry_the_change_get_no_help():
    run = solved("llama")
    found = calibrated(run.model, run.aims, run.neurons, ALWAYS)
    assert found.solution.neurons == tuple(run.neurons[: ALWAYS.fewest])
    assert found.why == ""


def test_where_they_cannot_the_next_join_and_it_says_why():
    run = solved("llama")
    first = solve(run.model, run.aims, run.neurons[:2], HURRIED)
    found = calibrated(run.model, run.aims, run.neurons, HURRIED)
    assert found.solution.neurons == tuple(run.neurons[:8])  # 2, 5, 8; 11 would be too many
    assert f"2 stopped at a margin of {first.margin:.2f}" in found.why
    assert (
        f"divergence of {first.kl:.3f} and an off-target effect of {first.off_target:.3f}"
        in found.why
    )


def test_help_ends_with_the_ranking():
    run = solved("llama")
    found = calibrated(run.model, run.aims, run.neurons[:4], HURRIED)
    assert found.solution.neurons == tuple(run.neurons[:4])
    assert not found.solution.reached


def test_help_ends_when_the_change_is_reached():
    run = solved("llama")
    settings = replace(PATIENT, most_steps=120, fewest=1, more=4, most_neurons=40)
    few = solve(run.model, run.aims, run.neurons[:1], settings)
    assert not few.reached
    found = calibrated(run.model, run.aims, run.neurons, settings)
    assert found.solution.reached
    assert 1 < len(found.solution.neurons) < len(run.neurons) + 1
    assert found.why


def test_without_any_neuron_there_is_nothing_to_solve():
    run = solved("llama")
    with pytest.raises(NoNeurons, match="no knowledge neuron was found"):
        calibrated(run.model, run.aims, [], ALWAYS)


@pytest.mark.parametrize("shape", ["gpt2", "llama"])
@pytest.mark.parametrize("mode", Mode)
def test_a_delta_names_the_slots_in_order_whatever_the_order_of_the_neurons(shape, mode):
    model = tiny(shape)
    neurons = [NeuronId(1, 7), NeuronId(0, 63), NeuronId(1, 2), NeuronId(0, 4)]
    values = torch.arange(4.0)[:, None].expand(4, D_MODEL)
    delta = delta_of(place(model), neurons, values, mode)
    assert delta.neurons() == tuple(sorted(neurons))
    assert list(delta.tensors) == [model.slot_tensor(0), model.slot_tensor(1)]
    for layer, (index, rows) in enumerate((([4, 63], [3, 1]), ([2, 7], [2, 0]))):
        changes = delta.tensors[model.slot_tensor(layer)]
        assert changes.axis == ("row" if shape == "gpt2" else "column")
        assert changes.index.tolist() == index
        assert changes.mode.tolist() == [mode] * 2
        np.testing.assert_array_equal(changes.value, values[rows].numpy())


@pytest.mark.parametrize("shape", ["gpt2", "llama"])
def test_a_delta_lands_in_the_slots_it_was_computed_for(shape):
    model = tiny(shape)
    neurons = [NeuronId(1, 7), NeuronId(0, 63), NeuronId(1, 2)]
    values = torch.randn(3, D_MODEL)
    before = {neuron: model.slots(neuron.layer)[neuron.index].clone() for neuron in neurons}
    with applied(model, [delta_of(place(model), neurons, values, Mode.ADD)]):
        for row, (layer, index) in enumerate(neurons):
            moved = model.slots(layer)[index] - before[neurons[row]]
            torch.testing.assert_close(moved, values[row], rtol=1e-5, atol=1e-6)
    with applied(model, [delta_of(place(model), neurons, values, Mode.SET)]):
        for row, (layer, index) in enumerate(neurons):
            assert model.slots(layer)[index].equal(values[row])


def test_equal_solutions_make_equal_edits():
    run = solved("llama")
    solution: Solution = run.solution
    one = delta_of(place(run.model), solution.neurons, solution.b, Mode.ADD)
    other = delta_of(place(run.model), solution.neurons[::-1], solution.b.flip(0), Mode.ADD)
    assert one.id == other.id
