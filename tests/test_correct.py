"""Corrections: which slots can say something new, and shifts solved for a few prompts at a time."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch
from tiny_models import D_FF, LAYERS, SHAPES, tiny
from torch import Tensor

from kn_edit.edits.correct import Asked, CorrectionSettings, Lesson, corrected
from kn_edit.edits.suffix import Shift, shifted
from kn_edit.errors import BadSetting
from kn_edit.facts import Case, Fact, Prompt, Relation, Template
from kn_edit.facts.shortening import shortened_templates
from kn_edit.models.model import Model
from kn_edit.models.predict import lead, log_p
from kn_edit.models.questions import Question, ask, ask_openly, batched
from kn_edit.models.trace import trace
from kn_edit.models.usage import coefficients_of, mean_squares, usual_sizes
from kn_edit.neuron import NeuronId
from kn_edit.neurons.writable import slot_gradients, writable
from kn_edit.workspace.correcting import correction
from kn_edit.workspace.neighbours import Neighbours

CAUSAL = tuple(shape for shape in SHAPES if tiny(shape).causal)
OWN = ("the capital of [X] is [Y]",)
OTHERWISE = ("[X] has the capital city [Y]", "capital [X] [Y]")
TEXTS = (
    "people in Spain speak the language",
    "gold is known by the symbol",
    "which one is famous and chemical",
)
EASY = CorrectionSettings(slots=40, steps=120, margin=1.0, w_spill=1.0, w_keep=1.0)


def asked(model: Model, subject: str, texts: tuple[str, ...], answer: str) -> list[Asked]:
    fact = Fact("capital", subject, "Paris")
    return [ask(model, Prompt(fact, Template(text)), answer).questions for text in texts]


def near(model: Model) -> list[Asked]:
    facts = [Fact("capital", subject, "") for subject in ("Japan", "Cuba", "Egypt")]
    return [(ask_openly(model, Prompt(fact, Template(OWN[0]))),) for fact in facts]


def texts(model: Model) -> list[tuple[int, ...]]:
    return [tuple(model.tokenizer(text)["input_ids"]) for text in TEXTS]


def answer(model: Model) -> str:
    return "New York" if model.causal else "Rome"


def lesson(model: Model, neurons: list[NeuronId]) -> Lesson:
    own = asked(model, "France", OWN, answer(model))
    others = asked(model, "France", OTHERWISE, answer(model))
    ids = [chain[-1].ids for chain in (*own, *others)]
    return Lesson(
        own=own,
        reworded=others,
        near=near(model),
        same=asked(model, "France", ("people in [X] speak [Y]",), "French"),
        text=[tuple(Question(ids, place, 0) for place in (2, 3)) for ids in texts(model)],
        elsewhere=coefficients_of(model, texts(model), neurons),
        largest=coefficients_of(model, ids, neurons).abs().amax(0),
        usual=usual_sizes(model, texts(model))[[neuron.layer for neuron in neurons]],
    )


def chosen(model: Model, count: int = 40) -> list[NeuronId]:
    own = asked(model, "France", OWN, answer(model))
    noise = mean_squares(model, texts(model))
    return sorted(neuron for neuron, _ in writable(model, own, noise, margin=4.0, most=count))


def with_shifts(model: Model, neurons: tuple[NeuronId, ...], b: Tensor) -> dict[int, Shift]:
    shifts = {}
    for layer in {neuron.layer for neuron in neurons}:
        rows = [row for row, neuron in enumerate(neurons) if neuron.layer == layer]
        shifts[layer] = Shift(torch.tensor([neurons[row].index for row in rows]), b[rows])
    return shifts


# What fires where


@pytest.mark.parametrize("shape", SHAPES)
def test_usage_is_what_every_token_of_every_text_shows(shape):
    model = tiny(shape)
    squares, count = torch.zeros(LAYERS, D_FF), 0
    for ids in texts(model):
        seen = trace(model, torch.tensor([ids])).coefficients
        squares += torch.stack([seen[layer][0].square().sum(0) for layer in range(LAYERS)])
        count += len(ids)
    assert torch.allclose(mean_squares(model, texts(model)), squares / count, atol=1e-5)


def test_coefficients_of_some_neurons_are_in_their_order_at_every_token():
    model = tiny("llama")
    neurons = [NeuronId(1, 5), NeuronId(0, 7), NeuronId(1, 2)]
    (ids, *_) = texts(model)
    seen = trace(model, torch.tensor([ids])).coefficients
    expected = torch.stack([seen[n.layer][0, :, n.index] for n in neurons], 1)
    assert torch.allclose(coefficients_of(model, [ids], neurons), expected, atol=1e-6)


# Which slots can be written


@pytest.mark.parametrize("shape", SHAPES)
def test_a_slots_gradient_is_that_of_its_row_of_the_weight(shape):
    model = tiny(shape)
    own = asked(model, "France", OWN, answer(model))
    ours = slot_gradients(model, own, 4.0)
    questions = [question for some in own for question in some]
    batch = batched(model, questions)
    for layer in range(LAYERS):
        weight = model.downs[layer].weight.requires_grad_()
        run = trace(model, batch.ids, mask=batch.mask)
        rows = model.logits(batch.at_answer(run.output)).log_softmax(-1)
        (4.0 - lead(rows, batch.tokens)).relu().mean().backward()
        gradient = weight.grad if model.family.axis == "row" else weight.grad.T
        weight.requires_grad_(False)
        weight.grad = None
        assert torch.allclose(ours[layer], gradient.norm(dim=1), rtol=1e-3, atol=1e-6)


def test_of_two_slots_with_the_same_gradient_the_one_that_fires_less_elsewhere_is_better():
    model = tiny("llama")
    own = asked(model, "France", OWN, "Rome")
    even = torch.ones(LAYERS, D_FF)
    (best, _), *_ = writable(model, own, even, margin=4.0, most=5)
    even[best.layer, best.index] = 1e4
    assert best not in dict(writable(model, own, even, margin=4.0, most=5))


def test_a_slot_that_says_nothing_is_not_chosen():
    model = tiny("llama")
    own = asked(model, "France", OWN, "Rome")
    everything = writable(model, own, torch.ones(LAYERS, D_FF), margin=-1e9, most=5)
    assert everything == ()  # the margin is reached already, so no slot has a gradient


# Solving


@pytest.mark.parametrize("shape", SHAPES)
def test_a_correction_says_the_whole_answer_to_the_prompt(shape):
    model = tiny(shape)
    neurons = chosen(model)
    solution = corrected(model, lesson(model, neurons), neurons, EASY)
    own = asked(model, "France", OWN, answer(model))
    questions = [question for some in own for question in some]
    with shifted(model, with_shifts(model, solution.neurons, solution.b)):
        said = [int(row.argmax()) for row in log_p(model, questions)]
    assert said == [question.token for question in questions]
    assert solution.reached
    assert solution.margin >= EASY.margin / 2


def test_slots_that_are_named_are_written_in_place_of_the_best():
    model = tiny("llama")
    fact = Fact("capital", "France", "Paris")
    case = Case(Relation("capital", tuple(map(Template, OWN)), (fact,)), fact)
    near_questions = tuple(question for some in near(model) for question in some)
    around = Neighbours(named=near_questions, near=(), elsewhere=(), judges=())
    chains = [ask(model, Prompt(fact, Template(OWN[0])), "New York")]
    best = {*chosen(model)}
    slots = [neuron for at in range(D_FF) if (neuron := NeuronId(1, at)) not in best][:5]
    settings = replace(EASY, steps=2)
    solved = correction(model, case, "New York", chains, around, settings, slots=slots)
    assert solved.neurons == tuple(sorted(slots))
    assert bool(solved.b.abs().sum(1).gt(0).all())


def test_what_it_tells_is_measured_on_all_prompts_with_the_shifts_it_gives():
    model = tiny("llama")
    neurons = chosen(model)
    told = lesson(model, neurons)
    solution = corrected(model, told, neurons, EASY)
    kept = [question for some in (*told.near, *told.same, *told.text) for question in some]
    own = [question for some in told.own for question in some]
    before = torch.stack(list(log_p(model, kept)))
    with shifted(model, with_shifts(model, solution.neurons, solution.b)):
        after = torch.stack(list(log_p(model, kept)))
        rows = torch.stack(list(log_p(model, own)))
    kl = (before.exp() * (before - after)).sum(1).mean()
    least = lead(rows, torch.tensor([question.token for question in own])).min()
    written = (told.elsewhere[:, :, None] * solution.b / told.usual[:, None]).sum(1)
    assert solution.kl == pytest.approx(float(kl), abs=1e-5)
    assert solution.margin == pytest.approx(float(least), abs=1e-4)
    assert solution.spill == pytest.approx(float(written.square().sum(1).mean()), rel=1e-3)


@pytest.mark.parametrize(
    ("weight", "least", "harm"), [("w_keep", 0.0, "kl"), ("w_spill", 0.01, "spill")]
)
def test_where_a_kind_of_harm_weighs_more_there_is_less_of_it(weight, least, harm):
    model = tiny("llama")
    neurons = chosen(model)
    told = lesson(model, neurons)
    much = corrected(model, told, neurons, replace(EASY, **{weight: least}))
    little = corrected(model, told, neurons, replace(EASY, **{weight: 100.0}))
    assert getattr(little, harm) < getattr(much, harm) / 2


def test_the_same_lesson_has_the_same_solution_bit_for_bit_and_no_weight_moves():
    model = tiny("llama")
    neurons = chosen(model)
    before = [down.weight.clone() for down in model.downs]
    one, other = (corrected(model, lesson(model, neurons), neurons, EASY) for _ in range(2))
    assert torch.equal(one.b, other.b)
    assert all(torch.equal(old, down.weight) for old, down in zip(before, model.downs, strict=True))


def test_every_step_is_told_and_steps_end_when_nothing_is_missing():
    model = tiny("llama")
    neurons = chosen(model)
    steps: list[int] = []
    solution = corrected(
        model,
        lesson(model, neurons),
        neurons,
        replace(EASY, steps=400),
        tick=lambda step, margin: steps.append(step),
    )
    assert steps == [*range(solution.steps + 1)]
    assert solution.steps < 400


def test_nothing_need_be_kept():
    model = tiny("llama")
    neurons = chosen(model)
    alone = replace(lesson(model, neurons), near=(), same=(), text=(), reworded=())
    assert corrected(model, alone, neurons, EASY).reached


@pytest.mark.parametrize("wrong", [{"slots": 0}, {"rate": 0.0}, {"w_keep": -1.0}, {"margin": 0}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(BadSetting):
        CorrectionSettings(**wrong)


# Prompts with words left out


def test_a_shortened_prompt_keeps_the_subject_and_ends_with_the_answer():
    template = Template("In which city was the mother of [X] born? [Y]")
    short = shortened_templates(template, 6, Random(0))
    assert len({one.text for one in short}) == 6
    words = set(template.text.replace("?", "").split())
    for one in short:
        assert one.text.count("[X]") == 1
        assert one.text.endswith("? [Y]")
        assert set(one.text.replace("?", "").split()) <= words
        assert one.text != template.text


def test_a_prompt_of_few_words_gives_few_and_one_that_does_not_end_with_its_answer_none():
    assert len(shortened_templates(Template("[X] [Y]"), 6, Random(0))) == 0
    assert shortened_templates(Template("[Y] is the capital of [X]"), 6, Random(0)) == ()
