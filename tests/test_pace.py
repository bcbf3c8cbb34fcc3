"""How long an update will take: counted, and timed once."""

from __future__ import annotations

import itertools

import pytest
from tiny_models import tiny

from kn_edit.editing.pace import seconds_per_token, update_forecast
from kn_edit.editing.updates import Calibrated, ClosedForm
from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models.questions import ask

SOLVED = Calibrated().cost(causal=True)
PROMPT = Prompt(Fact("capital", "France", "Paris"), Template("the capital of [X] is [Y]"))


def ticking(step):
    """A clock that is `step` seconds later each time that one looks."""
    return itertools.count(0, step).__next__


@pytest.mark.parametrize("shape", ["llama", "bert"])
def test_a_machine_that_is_twice_as_slow_takes_twice_as_long(shape):
    model = tiny(shape)
    chains = [ask(model, PROMPT, "Rome")]
    fast, slow = (update_forecast(model, chains, SOLVED, clock=ticking(step)) for step in (1, 2))
    assert slow.seconds == pytest.approx(2 * fast.seconds)
    assert seconds_per_token(model, ticking(1)) > 0


def test_more_prompts_and_longer_answers_take_longer():
    model = tiny("llama")
    one, two, long = (
        update_forecast(
            model, [ask(model, PROMPT, answer)] * count, SOLVED, clock=ticking(1)
        ).seconds
        for answer, count in (("Rome", 1), ("Rome", 2), ("New York and Rome", 1))
    )
    assert one < two
    assert one < long


def test_the_formula_solves_nothing():
    model = tiny("llama")
    chains = [ask(model, PROMPT, "Rome")]
    formula = update_forecast(model, chains, ClosedForm().cost(causal=True), clock=ticking(1))
    solved = update_forecast(model, chains, SOLVED, clock=ticking(1))
    assert "solving" not in [part.name for part in formula.parts]
    assert formula.seconds < solved.seconds


def test_an_update_says_first_how_long_it_takes(edited):
    ran = edited.update("Italy", "Oslo", "--dry-run")
    first = ran.err.splitlines()[0]
    assert first.startswith("note: an update takes about ")
    assert first.endswith(" on this machine")
