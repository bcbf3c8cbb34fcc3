"""What an update knows of its candidates elsewhere, and whom it holds in place."""

from __future__ import annotations

from statistics import median_low

import pytest
import torch
from tiny_models import tiny

from kn_edit.editing.neighbours import HELD, HELD_EARLIER, HELD_ELSEWHERE, Neighbours
from kn_edit.editing.neutral import everywhere, held_in_place
from kn_edit.editing.preservation import PreservationSet, preservation_set
from kn_edit.models.model import Model
from kn_edit.models.predict import coefficients, written
from kn_edit.models.questions import Question, places
from kn_edit.neuron import NeuronId

NEURONS = (NeuronId(1, 3), NeuronId(0, 7), NeuronId(0, 2))
SHAPES = pytest.mark.parametrize("shape", ["gpt2", "llama", "bert"])


def words(model: Model, count: int, text: str) -> tuple[Question, ...]:
    """So many questions, told apart by the token that they ask for, which nobody looks at."""
    asked = places(model, text)
    return tuple(
        Question(one.ids, one.position, at)
        for at, one in enumerate(asked[number % len(asked)] for number in range(count))
    )


def of_everyone(
    model: Model,
) -> tuple[PreservationSet, list[Question], Neighbours, tuple[Question, ...]]:
    own = list(words(model, 2, "the capital of France is Paris"))
    others = Neighbours(
        words(model, 3, "Rome is the capital of Italy"),
        words(model, HELD + 5, "Madrid is the capital city of Spain"),
        words(model, HELD_ELSEWHERE + 5, "people in Spain speak Spanish"),
        (),
    )
    earlier = words(model, HELD_EARLIER + 5, "Oslo is the capital city of Norway")
    return preservation_set(model, NEURONS, own, others, earlier), own, others, earlier


def at_neurons(model: Model, questions: tuple[Question, ...] | list[Question]) -> torch.Tensor:
    found = coefficients(model, questions)
    return torch.stack([found[:, one.layer, one.index] for one in NEURONS], 1)


@SHAPES
def test_coefficients_are_known_at_every_place_but_the_fact_s_own(shape):
    model = tiny(shape)
    around, own, others, earlier = of_everyone(model)
    text = everywhere(model)
    elsewhere = [*others.other_subjects, *others.elsewhere, *earlier, *others.named, *text]
    torch.testing.assert_close(around.prompt_coefficients, at_neurons(model, own))
    assert around.elsewhere.neurons == NEURONS
    torch.testing.assert_close(around.elsewhere.coefficients, at_neurons(model, elsewhere))


@SHAPES
def test_the_unit_of_off_target_effects_is_what_the_ffn_writes_at_the_median_place_of_neutral_text(
    shape,
):
    model = tiny(shape)
    around, *_ = of_everyone(model)
    sizes = written(model, coefficients(model, everywhere(model)))
    usual = [median_low(sizes[:, neuron.layer].tolist()) for neuron in NEURONS]
    assert around.elsewhere.typical_square.tolist() == pytest.approx(usual, rel=1e-4)


@SHAPES
def test_all_that_the_user_named_is_held_and_of_the_rest_what_is_reached_most(shape):
    model = tiny(shape)
    around, own, others, earlier = of_everyone(model)
    taken = NEURONS[:2]
    held = around.held(taken)
    always = [*others.named, *held_in_place(model)]
    assert held[: len(always)] == always
    wanted = at_neurons(model, own)[:, :2].mean(0)
    rest = held[len(always) :]
    for some, most in (
        (others.other_subjects, HELD),
        (others.elsewhere, HELD_ELSEWHERE),
        (earlier, HELD_EARLIER),
    ):
        reach = dict(zip(some, (at_neurons(model, some)[:, :2] @ wanted).abs(), strict=True))
        kept, rest = rest[:most], rest[most:]
        passed_over = {*some} - {*kept}
        assert len({*kept}) == most < len(some)
        least = min(float(reach[one]) for one in kept)
        assert all(float(reach[one]) <= least * 1.0001 for one in passed_over)
    assert not rest
