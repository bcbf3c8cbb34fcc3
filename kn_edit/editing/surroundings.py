"""What the neurons that an update may use do, at its own prompts and everywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.editing.neighbours import (
    HELD,
    HELD_EARLIER,
    HELD_ELSEWHERE,
    Neighbours,
    nearest,
)
from kn_edit.editing.neutral import everywhere, held_in_place
from kn_edit.edits.calibrate import Activations
from kn_edit.models.model import Model
from kn_edit.models.predict import coefficients_in_batches, written
from kn_edit.models.questions import Question
from kn_edit.neuron import NeuronId


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Coefficients of an update's candidates where it is wanted, and where it is not."""

    own: Tensor  # at the prompts that are to change, (prompts, n)
    elsewhere: Activations
    always: tuple[Question, ...]  # held in place whatever neurons are taken
    near: tuple[_Near, ...]  # held in place where the neurons that are taken reach them most

    def held(self, neurons: Sequence[NeuronId]) -> list[Question]:
        """Whose predictions must stay when these neurons' slots are shifted."""
        at = [self.elsewhere.neurons.index(neuron) for neuron in neurons]
        held = list(self.always)
        for some in self.near:
            held += nearest(some.questions, self.own[:, at], some.coefficients[:, at], some.most)
        return held


@dataclass(frozen=True, eq=False)
class _Near:
    """Questions of one kind, and how many of them are held in place."""

    questions: Sequence[Question]
    coefficients: Tensor  # (questions, n)
    most: int


def surroundings(
    model: Model,
    neurons: tuple[NeuronId, ...],
    own: Sequence[Question],
    others: Neighbours,
    earlier: Sequence[Question],
) -> Surroundings:
    """Look at the model once at every place that matters to an update.

    own: what is to change; others: of the relation and of other relations; earlier: one question
    of every update that was made before
    """
    near = tuple(
        _Near(questions, _fired(model, questions, neurons), most)
        for questions, most in (
            (others.near, HELD),
            (others.elsewhere, HELD_ELSEWHERE),
            (earlier, HELD_EARLIER),
        )
    )
    named = _fired(model, others.named, neurons)
    text, usual = _in_neutral_text(model, neurons)
    places = torch.cat([*(some.coefficients for some in near), named, text])
    return Surroundings(
        _fired(model, own, neurons),
        Activations(neurons, places, usual),
        (*others.named, *held_in_place(model)),
        near,
    )


def _fired(model: Model, questions: Sequence[Question], neurons: Sequence[NeuronId]) -> Tensor:
    """Coefficients of these neurons, (questions, n)."""
    layers, index = _where(neurons)
    found = coefficients_in_batches(model, questions)
    none = torch.empty(0, len(neurons), dtype=model.dtype, device=model.device)
    return torch.cat([none, *(batch[:, layers, index] for batch in found)])


def _in_neutral_text(model: Model, neurons: Sequence[NeuronId]) -> tuple[Tensor, Tensor]:
    """Coefficients of these neurons, (places, n), and |FFN output|^2 of each one's layer, (n,).

    That at the median place: causal LMs write a thousand times as much at a text's first token.
    """
    layers, index = _where(neurons)
    fired, sizes = [], []
    if not (questions := everywhere(model)):  # its tokenizer knows none of the words
        none = torch.empty(0, len(neurons), dtype=model.dtype, device=model.device)
        return none, none.new_ones(len(neurons))
    for batch in coefficients_in_batches(model, questions):
        fired.append(batch[:, layers, index])
        sizes.append(written(model, batch))
    return torch.cat(fired), torch.cat(sizes).median(0).values[layers]


def _where(neurons: Sequence[NeuronId]) -> tuple[list[int], list[int]]:
    return [neuron.layer for neuron in neurons], [neuron.index for neuron in neurons]
