"""Corrections: what hears a subject, and what is written there, solved for in a few prompts."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch
from tiny_models import LAYERS, SHAPES, tiny
from torch import Tensor

from kn_edit.editing import correcting
from kn_edit.editing.correcting import CorrectionTask, correction, in_other_cases
from kn_edit.editing.neighbours import Neighbours
from kn_edit.edits import correct
from kn_edit.edits.correct import Factors, Lesson, QuestionGroup, corrected
from kn_edit.edits.keys import DAMPING, Keys, keys_of
from kn_edit.edits.settings import CorrectionSettings
from kn_edit.edits.suffix import LowRankShift, shifted
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
from kn_edit.facts.varying import in_other_case, varied_templates
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
EASY = CorrectionSettings(
    steps=160,
    extra=0,
    pressing=0,
    margin=1.0,
    w_off_target=1.0,
    w_keep=1.0,
    w_near=3.0,
    w_settled=1.0,
    near=6,
)
EVERYWHERE = tuple(range(LAYERS))


def chains(model: Model, subject: str, texts: tuple[str, ...], answer: str) -> list[Chain]:
    fact = Fact("capital", subject, "Paris")
    return [ask(model, Prompt(fact, Template(text)), answer) for text in texts]


def asked(model: Model, subject: str, texts: tuple[str, ...], answer: str) -> list[QuestionGroup]:
    return [chain.questions for chain in chains(model, subject, texts, answer)]


def near(model: Model) -> list[QuestionGroup]:
    facts = [Fact("capital", subject, "") for subject in ("Japan", "Cuba", "Egypt")]
    return [(ask_openly(model, Prompt(fact, Template(OWN[0]))),) for fact in facts]


def texts(model: Model) -> list[tuple[int, ...]]:
    return [tuple(model.tokenizer(text)["input_ids"]) for text in TEXTS]


def answer(model: Model) -> str:
    return "New York" if model.causal else "Rome"


def keys(model: Model, rank: int = 4) -> list[Keys]:
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
        found.append(keys_of(layer, heard, kinds, rank=rank))
    return found


def lesson(model: Model, found: list[Keys]) -> Lesson:
    return Lesson(
        prompts=asked(model, "France", OWN, answer(model)),
        rewordings=asked(model, "France", OTHERWISE, answer(model)),
        other_subjects=near(model),
        same_subject=asked(model, "France", ("people in [X] speak [Y]",), "French"),
        text=[tuple(Question(ids, place, 0) for place in (2, 3)) for ids in texts(model)],
        keys=found,
        typical_norms=usual_sizes(model, texts(model)),
    )


def solved(model: Model, settings: CorrectionSettings = EASY) -> Factors:
    return corrected(model, lesson(model, keys(model)), settings)


def shifts(found: Factors) -> dict[int, LowRankShift]:
    return {layer: LowRankShift(u, v) for layer, (u, v) in found.by_layer.items()}


def responses(key: Keys, rows: Tensor) -> Tensor:
    """Of a layer's keys to coefficients, (places, r)."""
    return rows @ key.u.T


def second_moment(elsewhere: Tensor) -> Tensor:
    """As the keys are made against it."""
    moment = (elsewhere.T @ elsewhere).double() / len(elsewhere)
    alone = moment.diagonal().clone()
    moment = 0.9 * moment
    moment.diagonal().copy_(alone + 0.1 * alone.median())
    return moment


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


def test_the_key_of_one_context_is_its_coefficients_whitened():
    draw = torch.Generator().manual_seed(0)
    heard = torch.randn(1, 12, generator=draw)
    elsewhere = torch.randn(4000, 12, generator=draw) @ torch.randn(12, 12, generator=draw)
    key = keys_of(0, heard, [elsewhere], rank=3)
    assert key.u.shape == (1, 12)  # there is nothing in which contexts differ
    moment = second_moment(elsewhere)
    rome = torch.linalg.solve(moment, heard[0].double())
    rome = rome / (heard[0].double() @ rome)
    assert torch.allclose(key.u[0].double(), rome, rtol=1e-4)
    noise = float((rome @ moment @ rome).sqrt())
    assert float(key.noise[0]) == pytest.approx(noise, rel=1e-4)


def test_no_other_direction_answers_more_evenly_at_as_little_noise_as_the_first_key():
    draw = torch.Generator().manual_seed(1)
    heard = torch.randn(5, 8, generator=draw) + 3
    elsewhere = torch.randn(3000, 8, generator=draw) * torch.arange(1, 9)
    first = keys_of(0, heard, [elsewhere], rank=1).u[0].double()
    moment = second_moment(elsewhere)

    def uneven(directions: Tensor) -> Tensor:
        off = heard.double() @ directions.T - 1
        return off.square().mean(0) + DAMPING * ((directions @ moment) * directions).sum(1)

    # The key is scaled for its strongest response to be 1.
    scales = torch.linspace(0.1, 2, 400, dtype=torch.float64)[:, None]
    best = float(uneven(scales * first).min())
    others = torch.randn(5000, 8, generator=draw, dtype=torch.float64)
    nearby = first + 0.1 * first.norm() * others
    assert float(uneven(others).min()) > best
    assert float(uneven(nearby).min()) >= best * (1 - 1e-4)


def test_a_context_that_is_heard_ten_times_as_loud_does_not_drown_the_others():
    draw = torch.Generator().manual_seed(4)
    subject = torch.randn(30, generator=draw)
    quiet = subject + 0.3 * torch.randn(6, 30, generator=draw)
    loud = 10 * torch.randn(1, 30, generator=draw)
    elsewhere = 0.5 * torch.randn(3000, 30, generator=draw)
    key = keys_of(0, torch.cat([quiet, loud, loud, loud]), [elsewhere], rank=1)
    answers = responses(key, torch.cat([quiet, loud]))[:, 0]
    assert float(answers.min()) > 0.7
    assert float(answers.max()) == pytest.approx(1)


def test_a_keys_strongest_response_at_the_subject_is_one_and_its_noise_what_it_says_elsewhere():
    model = tiny("llama")
    for one in keys(model):
        (chain,) = chains(model, "France", OWN, "New York")
        seen = trace(model, torch.tensor([chain.questions[-1].ids])).coefficients[one.layer][0]
        heard = responses(one, seen[list(word_places(model, chain, "France"))])
        assert float(heard.abs().max()) <= 1 + 1e-4
        others = coefficients_in(model, texts(model), [one.layer])[one.layer]
        written_elsewhere = responses(one, others).square().mean(0).sqrt()
        assert bool((written_elsewhere <= one.noise * 1.1).all())


def test_a_slot_that_fires_as_much_elsewhere_is_left_to_others():
    draw = torch.Generator().manual_seed(2)
    heard = torch.rand(3, 20, generator=draw) + 1
    elsewhere = 0.1 * torch.randn(500, 20, generator=draw)

    def written(key: Keys) -> list[int]:
        return key.u.abs().sum(0).nonzero().flatten().tolist()

    chosen = written(keys_of(0, heard, [elsewhere], most=5, rank=2))
    assert len(chosen) == 5
    loud = elsewhere.clone()
    loud[:, chosen[0]] *= 1e3
    assert chosen[0] not in written(keys_of(0, heard, [loud], most=5, rank=2))


def test_slots_that_are_named_have_the_keys():
    draw = torch.Generator().manual_seed(3)
    heard, elsewhere = torch.randn(4, 20, generator=draw), torch.randn(90, 20, generator=draw)
    key = keys_of(0, heard, [elsewhere], most=5, rank=2, only=[9, 3])
    assert key.u.abs().sum(0).nonzero().flatten().tolist() == [3, 9]
    assert {neuron for neuron, _ in key.best(2)} == {NeuronId(0, 3), NeuronId(0, 9)}


@pytest.mark.parametrize("elsewhere", [[], [torch.zeros(0, 6)], [torch.zeros(5, 6)]])
def test_where_nothing_is_heard_keys_are_finite_and_write_nothing_by_themselves(elsewhere):
    for heard in (torch.zeros(2, 6), torch.ones(2, 6)):
        key = keys_of(0, heard, elsewhere, most=4, rank=3)
        assert bool(key.u.isfinite().all())
        assert bool(key.noise.isfinite().all())


# Solving


@pytest.mark.parametrize("shape", SHAPES)
def test_a_correction_says_the_whole_answer_to_the_prompt(shape):
    model = tiny(shape)
    solution = solved(model)
    own = asked(model, "France", OWN, answer(model))
    questions = [question for some in own for question in some]
    with shifted(model, shifts(solution)):
        said = [int(row.argmax()) for row in log_p(model, questions)]
    assert said == [question.token for question in questions]
    assert solution.reached
    assert solution.margin >= EASY.margin / 2


def test_slots_that_are_named_are_written_in_place_of_the_best():
    model = tiny("llama")
    fact = Fact("capital", "France", "Paris")
    case = Case(Relation("capital", tuple(map(Template, OWN)), (fact,)), fact)
    near_questions = tuple(question for some in near(model) for question in some)
    task = CorrectionTask(
        case=case,
        to="New York",
        chains=[ask(model, Prompt(fact, Template(OWN[0])), "New York")],
        neighbours=Neighbours(named=near_questions, other_subjects=(), elsewhere=(), judges=()),
        slots=[NeuronId(1, index) for index in (4, 7, 11, 19)],
    )
    found = correction(model, task, replace(EASY, steps=2))
    assert list(found.factors) == [1]
    u, v = found.factors[1]
    assert u.abs().sum(0).nonzero().flatten().tolist() == [4, 7, 11, 19]
    assert bool(v.abs().sum(1).gt(0).all())


def test_what_is_held_is_not_said_about_names_that_the_keys_were_made_against(monkeypatch):
    model = tiny("llama")
    fact = Fact("capital", "France", "Paris")
    case = Case(Relation("capital", tuple(map(Template, OWN)), (fact,)), fact)
    judge = Prompt(Fact("capital", "Japan", "Tokyo"), Template(OWN[0]))
    around = Neighbours(named=(), other_subjects=(), elsewhere=(), judges=(judge,))
    against: list[str] = []
    lessons: list[Lesson] = []
    made = correcting.writing_of

    def keys_made(model, layers, surroundings, settings, slots):
        against.extend(name for name, _ in surroundings.other_prompts)
        return made(model, layers, surroundings, settings, slots)

    def kept(model, lesson, settings, *, seed, tick):
        lessons.append(lesson)
        return corrected(model, lesson, settings, seed=seed, tick=tick)

    monkeypatch.setattr(correcting, "writing_of", keys_made)
    monkeypatch.setattr(correcting, "corrected", kept)
    asking = chains(model, "France", OWN, "New York")
    task = CorrectionTask(case=case, to="New York", chains=asking, neighbours=around)
    correction(model, task, EASY)
    texts = [model.tokenizer.decode(group[0].ids) for group in lessons[0].other_subjects]
    held = [text.partition(" is ")[0] for text in texts]  # without what the model goes on with
    assert len({*against}) > 3
    assert len(held) > 3
    for name in ("France", "Japan"):
        assert name not in against
        assert not any(name in text for text in held)
    known = [name for name in {*against} if len(name.split()) == 1]
    assert not any(name in text.split() for name in known for text in held)


def test_what_it_tells_is_measured_on_all_prompts_with_the_shifts_it_gives():
    model = tiny("llama")
    told = lesson(model, keys(model))
    solution = corrected(model, told, EASY)
    groups = (*told.other_subjects, *told.same_subject, *told.text)
    kept = [question for group in groups for question in group]
    own = [question for group in told.prompts for question in group]
    before = torch.stack(list(log_p(model, kept)))
    with shifted(model, shifts(solution)):
        after = torch.stack(list(log_p(model, kept)))
        rows = torch.stack(list(log_p(model, own)))
    kl = (before.exp() * (before - after)).sum(1).mean()
    least = lead(rows, torch.tensor([question.token for question in own])).min()
    assert solution.kl == pytest.approx(float(kl), abs=1e-5)
    assert solution.margin == pytest.approx(float(least), abs=1e-4)


def test_the_off_target_effect_it_tells_bounds_what_is_written_in_other_texts():
    model = tiny("llama")
    told = lesson(model, keys(model))
    solution = corrected(model, told, EASY)
    seen = coefficients_in(model, texts(model), EVERYWHERE)
    written = 0.0
    for layer, usual in enumerate(told.typical_norms.tolist()):
        said = shifts(solution)[layer].written(seen[layer]) / usual
        written += float(said.square().sum(1).mean())
    assert 0 < written <= solution.off_target * 1.1


@pytest.mark.parametrize(
    ("weight", "least", "harm"), [("w_keep", 0.0, "kl"), ("w_off_target", 0.0, "off_target")]
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
    for layer, (u, v) in one.by_layer.items():
        assert torch.equal(u, other.by_layer[layer][0])
        assert torch.equal(v, other.by_layer[layer][1])
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


def test_no_more_is_written_than_the_answer_needs(monkeypatch):
    model = tiny("llama")
    told = lesson(model, keys(model))
    settings = replace(EASY, patience=1000, w_keep=0.0, w_off_target=0.0)
    least = corrected(model, told, settings)
    monkeypatch.setattr(correct, "SCALES", ())
    whole = corrected(model, told, settings)
    assert settings.margin / 2 <= least.margin < whole.margin
    for layer, (_, v) in least.by_layer.items():
        part = v / whole.by_layer[layer][1]
        assert torch.allclose(part, torch.full_like(part, 0.6))


def test_extra_steps_are_made_only_where_the_answer_does_not_lead_yet():
    model = tiny("llama")
    told = lesson(model, keys(model))
    never = corrected(model, told, replace(EASY, steps=2, extra=3, margin=50.0, rate=1e-6))
    assert never.steps == 5
    led = corrected(model, told, replace(EASY, steps=60, extra=50, patience=1000))
    assert led.reached
    assert led.steps == 60


def test_where_the_answer_does_not_lead_what_is_held_counts_for_less():
    model = tiny("llama")
    told = lesson(model, keys(model))
    strict = replace(EASY, steps=12, extra=3, w_keep=1e3, w_off_target=1e3)
    held = corrected(model, told, strict)
    pressed = corrected(model, told, replace(strict, pressing=60, pressed=1e-4))
    assert (held.reached, held.steps) == (False, 12)  # far behind, so no more of the same
    assert pressed.reached
    assert 12 < pressed.steps < 75  # it ends as soon as the answer leads
    assert pressed.margin > held.margin
    again = corrected(model, told, replace(strict, pressing=2, pressed=1.0))
    assert again.steps == 14


def test_an_answer_that_is_far_behind_is_pressed_for_at_once():
    model = tiny("llama")
    told = lesson(model, keys(model))
    far = replace(EASY, steps=2, extra=30, margin=0.2, rate=1e-6, pressing=4)
    assert corrected(model, told, far).steps == 6
    near = replace(far, margin=50.0)  # behind by less than half of it
    assert corrected(model, told, near).steps == 36


def test_nothing_need_be_kept():
    model = tiny("llama")
    nothing = {"other_subjects": (), "same_subject": (), "text": (), "rewordings": ()}
    alone = replace(lesson(model, keys(model)), **nothing)
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


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Porcupine grass", "porcupine grass"),
        ("2005 honda civic", "2005 Honda Civic"),
        ("harry's mom", "Harry's Mom"),
        ("東京", "東京"),
        ("", ""),
    ],
)
def test_a_name_in_the_other_case_is_in_small_letters_or_has_capitals(name, other):
    assert in_other_case(name) == other


def test_every_third_prompt_writes_the_subject_in_the_other_case(monkeypatch):
    model = tiny("llama")
    named = [("Japan", chain) for chain in chains(model, "Japan", OWN, "Rome")] * 6
    assert in_other_cases(model, named, "Rome") == named  # its tokenizer knows no japan
    monkeypatch.setattr(correcting, "in_other_case", {"Japan": "Cuba"}.get)
    written = in_other_cases(model, named, "Rome")
    assert [subject for subject, _ in written] == ["Japan", "Japan", "Cuba"] * 2
    assert all(subject in chain.prompt.before for subject, chain in written)
    token = named[0][1].questions[0].token
    assert all(chain.questions[0].token == token for _, chain in written)
