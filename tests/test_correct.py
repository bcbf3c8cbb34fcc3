"""Corrections: which slots can say something new, and shifts solved for a few prompts at a time."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch
from tiny_models import D_FF, LAYERS, SHAPES, tiny
from torch import Tensor

from kn_edit.editing.correcting import correction
from kn_edit.editing.neighbours import Neighbours
from kn_edit.edits.calibrate import Solution, by_layer
from kn_edit.edits.correct import Asked, CorrectionSettings, Lesson, corrected
from kn_edit.edits.keys import Keys, keys_of
from kn_edit.edits.suffix import shifted
from kn_edit.errors import BadSetting
from kn_edit.facts import (
    Case,
    Fact,
    Prompt,
    Relation,
    Template,
    neutral_sentences,
    ordinary_sentences,
)
from kn_edit.facts.varying import varied_templates
from kn_edit.models.model import Model
from kn_edit.models.predict import lead, log_p
from kn_edit.models.questions import Chain, Question, ask, ask_openly, word_places
from kn_edit.models.trace import trace
from kn_edit.models.usage import coefficients_in, usual_sizes
from kn_edit.neuron import NeuronId

CAUSAL = tuple(shape for shape in SHAPES if tiny(shape).causal)
OWN = ("the capital of [X] is [Y]",)
OTHERWISE = ("[X] has the capital city [Y]", "capital [X] [Y]")
TEXTS = (
    "people in Spain speak the language",
    "gold is known by the symbol",
    "which one is famous and chemical",
)
EASY = CorrectionSettings(slots=40, steps=120, extra=0, margin=1.0, w_spill=1.0, w_keep=1.0)
EVERYWHERE = tuple(range(LAYERS))


def chains(model: Model, subject: str, texts: tuple[str, ...], answer: str) -> list[Chain]:
    fact = Fact("capital", subject, "Paris")
    return [ask(model, Prompt(fact, Template(text)), answer) for text in texts]


def asked(model: Model, subject: str, texts: tuple[str, ...], answer: str) -> list[Asked]:
    return [chain.questions for chain in chains(model, subject, texts, answer)]


def near(model: Model) -> list[Asked]:
    facts = [Fact("capital", subject, "") for subject in ("Japan", "Cuba", "Egypt")]
    return [(ask_openly(model, Prompt(fact, Template(OWN[0]))),) for fact in facts]


def texts(model: Model) -> list[tuple[int, ...]]:
    return [tuple(model.tokenizer(text)["input_ids"]) for text in TEXTS]


def answer(model: Model) -> str:
    return "New York" if model.causal else "Rome"


def keys(model: Model, count: int = 40, rank: int = 4) -> list[Keys]:
    """Those of both layers: what hears prompts from France on, against other texts and subjects."""
    asking = chains(model, "France", (*OWN, *OTHERWISE), answer(model))
    others = [group[0].ids for group in near(model)]
    elsewhere = [coefficients_in(model, some, EVERYWHERE) for some in (texts(model), others)]
    found = []
    for layer in EVERYWHERE:
        rows = []
        for chain in asking:
            seen = trace(model, torch.tensor([chain.questions[-1].ids])).coefficients[layer][0]
            rows.append(seen[word_places(model, chain, "France")[0] :])  # two layers are few
        heard = torch.cat(rows)
        kinds = [kind[layer] for kind in elsewhere]
        found.append(keys_of(layer, heard, kinds, most=count // LAYERS, rank=rank))
    return found


def lesson(model: Model, found: list[Keys]) -> Lesson:
    return Lesson(
        own=asked(model, "France", OWN, answer(model)),
        reworded=asked(model, "France", OTHERWISE, answer(model)),
        near=near(model),
        same=asked(model, "France", ("people in [X] speak [Y]",), "French"),
        text=[tuple(Question(ids, place, 0) for place in (2, 3)) for ids in texts(model)],
        keys=found,
        usual=usual_sizes(model, texts(model)),
    )


def solved(model: Model, settings: CorrectionSettings = EASY) -> Solution:
    return corrected(model, lesson(model, keys(model)), settings)


# What fires where


@pytest.mark.parametrize("shape", SHAPES)
def test_what_fires_elsewhere_is_every_token_of_every_text(shape):
    model = tiny(shape)
    rows = [trace(model, torch.tensor([ids])).coefficients for ids in texts(model)]
    seen = coefficients_in(model, texts(model), EVERYWHERE)
    for layer in EVERYWHERE:
        expected = torch.cat([row[layer][0] for row in rows])
        assert seen[layer].shape == expected.shape
        # Texts of similar length run together, so the order of places is not that of texts.
        assert torch.allclose(seen[layer].T @ seen[layer], expected.T @ expected, atol=1e-4)


def test_no_sentence_that_judges_shows_what_is_ordinary():
    assert len(ordinary_sentences()) == len(set(ordinary_sentences())) == 100
    assert not {*ordinary_sentences()} & {*neutral_sentences()}


# What hears the subject


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("text", ["the capital of [X] is [Y]", "is [X] the capital? [Y]"])
def test_a_subjects_places_are_its_tokens(shape, text):
    model = tiny(shape)
    (chain,) = chains(model, "France", (text,), "Paris")
    places = word_places(model, chain, "France")
    ids = chain.questions[-1].ids
    assert [model.tokenizer.decode([ids[at]]).strip() for at in places] == ["France"]


def test_a_subject_that_begins_a_text_is_heard_behind_its_first_token():
    model = tiny("gpt2")
    (chain,) = chains(model, "France", ("[X] is the capital [Y]",), "Paris")
    assert word_places(model, chain, "France") == (1,)
    assert word_places(model, chain, "Spain") == ()


def test_the_key_of_one_token_is_its_coefficients_whitened():
    draw = torch.Generator().manual_seed(0)
    heard = torch.randn(1, 12, generator=draw)
    elsewhere = torch.randn(4000, 12, generator=draw) @ torch.randn(12, 12, generator=draw)
    key = keys_of(0, heard, [elsewhere], most=12, rank=3)
    assert key.weights.shape == (12, 1)  # no other direction hears it
    moment = (elsewhere.T @ elsewhere).double() / len(elsewhere)
    alone = moment.diagonal().clone()
    moment = 0.9 * moment
    moment.diagonal().copy_(alone + 0.1 * alone.median())
    rome = torch.linalg.solve(moment, heard[0].double())
    rome = rome / (heard[0].double() @ rome)
    assert torch.allclose(key.weights[:, 0].abs().double(), rome.abs(), rtol=1e-4)
    noise = float((rome @ moment @ rome).sqrt())
    assert float(key.noise[0]) == pytest.approx(noise, rel=1e-4)


def test_no_other_direction_stands_out_more_than_the_first_key():
    draw = torch.Generator().manual_seed(1)
    heard = torch.randn(5, 8, generator=draw)
    elsewhere = torch.randn(3000, 8, generator=draw) * torch.arange(1, 9)
    first = keys_of(0, heard, [elsewhere], most=8, rank=1).weights[:, 0]
    moment = elsewhere.T @ elsewhere / len(elsewhere)
    alone = moment.diagonal().clone()
    moment = 0.9 * moment
    moment.diagonal().copy_(alone + 0.1 * alone.median())

    def apart(directions: Tensor) -> Tensor:
        signal = (heard @ directions.T).square().sum(0)
        return signal / ((directions @ moment) * directions).sum(1)

    others = torch.randn(5000, 8, generator=draw)
    nearby = first + 0.1 * first.norm() * torch.randn(5000, 8, generator=draw)
    best = float(apart(first[None])[0])
    assert float(apart(others).max()) <= best * (1 + 1e-4)
    assert float(apart(nearby).max()) <= best * (1 + 1e-4)


def test_a_keys_strongest_response_at_the_subject_is_one_and_its_noise_what_it_says_elsewhere():
    model = tiny("llama")
    for one in keys(model):
        (chain,) = chains(model, "France", OWN, "New York")
        seen = trace(model, torch.tensor([chain.questions[-1].ids])).coefficients[one.layer][0]
        heard = seen[list(word_places(model, chain, "France"))][:, one.slots] @ one.weights
        assert float(heard.abs().max()) <= 1 + 1e-4
        others = coefficients_in(model, texts(model), [one.layer])[one.layer]
        spilled = (others[:, one.slots] @ one.weights).square().mean(0).sqrt()
        assert bool((spilled <= one.noise * 1.1).all())


def test_a_slot_that_fires_as_much_elsewhere_is_left_to_others():
    draw = torch.Generator().manual_seed(2)
    heard = torch.rand(3, 20, generator=draw) + 1
    elsewhere = 0.1 * torch.randn(500, 20, generator=draw)
    chosen = keys_of(0, heard, [elsewhere], most=5, rank=2).slots.tolist()
    loud = elsewhere.clone()
    loud[:, chosen[0]] *= 1e3
    assert chosen[0] not in keys_of(0, heard, [loud], most=5, rank=2).slots.tolist()


def test_slots_that_are_named_have_the_keys():
    draw = torch.Generator().manual_seed(3)
    heard, elsewhere = torch.randn(4, 20, generator=draw), torch.randn(90, 20, generator=draw)
    assert keys_of(0, heard, [elsewhere], most=5, rank=2, only=[9, 3]).slots.tolist() == [3, 9]


@pytest.mark.parametrize("elsewhere", [[], [torch.zeros(0, 6)], [torch.zeros(5, 6)]])
def test_where_nothing_is_heard_keys_are_finite_and_write_nothing_by_themselves(elsewhere):
    for heard in (torch.zeros(2, 6), torch.ones(2, 6)):
        key = keys_of(0, heard, elsewhere, most=4, rank=3)
        assert bool(key.weights.isfinite().all())
        assert bool(key.noise.isfinite().all())


# Solving


@pytest.mark.parametrize("shape", SHAPES)
def test_a_correction_says_the_whole_answer_to_the_prompt(shape):
    model = tiny(shape)
    solution = solved(model)
    own = asked(model, "France", OWN, answer(model))
    questions = [question for some in own for question in some]
    with shifted(model, by_layer(solution.neurons, solution.b)):
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
    asking = [ask(model, Prompt(fact, Template(OWN[0])), "New York")]
    best = {neuron for one in keys(model) for neuron in one.neurons}
    slots = [neuron for at in range(D_FF) if (neuron := NeuronId(1, at)) not in best][:5]
    settings = replace(EASY, steps=2)
    found = correction(model, case, "New York", asking, around, settings, slots=slots)
    assert found.neurons == tuple(sorted(slots))
    assert bool(found.b.abs().sum(1).gt(0).all())


def test_what_it_tells_is_measured_on_all_prompts_with_the_shifts_it_gives():
    model = tiny("llama")
    told = lesson(model, keys(model))
    solution = corrected(model, told, EASY)
    kept = [question for some in (*told.near, *told.same, *told.text) for question in some]
    own = [question for some in told.own for question in some]
    before = torch.stack(list(log_p(model, kept)))
    with shifted(model, by_layer(solution.neurons, solution.b)):
        after = torch.stack(list(log_p(model, kept)))
        rows = torch.stack(list(log_p(model, own)))
    kl = (before.exp() * (before - after)).sum(1).mean()
    least = lead(rows, torch.tensor([question.token for question in own])).min()
    assert solution.kl == pytest.approx(float(kl), abs=1e-5)
    assert solution.margin == pytest.approx(float(least), abs=1e-4)


def test_the_spill_it_tells_bounds_what_is_written_in_other_texts():
    model = tiny("llama")
    told = lesson(model, keys(model))
    solution = corrected(model, told, EASY)
    seen = coefficients_in(model, texts(model), EVERYWHERE)
    written = 0.0
    for layer, usual in enumerate(told.usual.tolist()):
        rows = [row for row, neuron in enumerate(solution.neurons) if neuron.layer == layer]
        slots = [solution.neurons[row].index for row in rows]
        said = seen[layer][:, slots] @ solution.b[rows] / usual
        written += float(said.square().sum(1).mean())
    assert 0 < written <= solution.spill * 1.1


@pytest.mark.parametrize(
    ("weight", "least", "harm"), [("w_keep", 0.0, "kl"), ("w_spill", 0.0, "spill")]
)
def test_where_a_kind_of_harm_weighs_more_there_is_less_of_it(weight, least, harm):
    model = tiny("llama")
    much = solved(model, replace(EASY, **{weight: least}))
    little = solved(model, replace(EASY, **{weight: 100.0}))
    assert getattr(little, harm) < getattr(much, harm) / 2


def test_the_same_lesson_has_the_same_solution_bit_for_bit_and_no_weight_moves():
    model = tiny("llama")
    before = [down.weight.clone() for down in model.downs]
    one, other = (solved(model) for _ in range(2))
    assert torch.equal(one.b, other.b)
    assert all(torch.equal(old, down.weight) for old, down in zip(before, model.downs, strict=True))


def test_every_step_is_told_and_steps_end_when_nothing_is_missing():
    model = tiny("llama")
    steps: list[int] = []
    solution = corrected(
        model,
        lesson(model, keys(model)),
        replace(EASY, steps=400),
        tick=lambda step, margin: steps.append(step),
    )
    assert steps == [*range(solution.steps + 1)]
    assert solution.steps < 400


@pytest.mark.parametrize(("alone", "joined"), [(0, True), (20, False)])
def test_other_keys_join_where_the_best_of_each_layer_does_not_make_the_answer_lead(alone, joined):
    model = tiny("llama")
    told = lesson(model, keys(model))
    settings = replace(EASY, steps=3, alone=alone)
    solution = corrected(model, told, settings)
    for one in told.keys:
        rows = [row for row, neuron in enumerate(solution.neurons) if neuron.layer == one.layer]
        assert one.weights.shape[1] > 1
        rank = int(torch.linalg.matrix_rank(solution.b[rows], rtol=1e-4))
        assert (rank > 1) is joined


def test_extra_steps_are_made_only_where_the_answer_does_not_lead_yet():
    model = tiny("llama")
    told = lesson(model, keys(model))
    never = corrected(model, told, replace(EASY, steps=2, extra=3, margin=50.0, rate=1e-6))
    assert never.steps == 5
    led = corrected(model, told, replace(EASY, steps=60, extra=50, patience=1000))
    assert led.reached
    assert led.steps == 60


def test_nothing_need_be_kept():
    model = tiny("llama")
    alone = replace(lesson(model, keys(model)), near=(), same=(), text=(), reworded=())
    assert corrected(model, alone, EASY).reached


@pytest.mark.parametrize("wrong", [{"slots": 0}, {"rate": 0.0}, {"w_keep": -1.0}, {"margin": 0}])
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(BadSetting):
        CorrectionSettings(**wrong)


# Prompts in other words


def test_a_varied_question_holds_the_subject_once_and_ends_with_its_mark_and_the_answer():
    template = Template("In which city was the mother of [X] born? [Y]")
    varied = varied_templates(template, 12, Random(0))
    assert len({one.text for one in varied}) == 12
    for one in varied:
        assert one.text.count("[X]") == 1
        assert one.text.endswith("? [Y]")
        assert one.text != template.text
    words = [set(one.text.rstrip("? [Y]").split()) for one in varied]
    own = set(template.text.replace("?", "").split())
    assert any(some - own for some in words)  # others were put in
    assert all(own - some for some in words)  # and some left out


def test_a_varied_statement_ends_as_it_did():
    template = Template("In the year of the fair, [X]'s first director was named [Y].")
    for one in varied_templates(template, 8, Random(0)):
        assert one.text.endswith("was named [Y].")
        assert "[X]'s" not in one.text or "[X]'s " in one.text


def test_where_no_english_stands_none_is_put_in():
    template = Template("フランス の [X] の 首都 は [Y]")
    own = set(template.text.split())
    varied = varied_templates(template, 4, Random(0))
    assert varied
    assert all(set(one.text.split()) <= own for one in varied)


def test_a_prompt_of_no_other_words_gives_few_and_one_that_does_not_end_with_its_answer_none():
    assert len(varied_templates(Template("[X] [Y]"), 6, Random(0))) == 0
    assert varied_templates(Template("[Y] is the capital of [X]"), 6, Random(0)) == ()
