"""The preservation set of an update: the places that it must leave as they are, and its reach."""

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
from kn_edit.seeds import USUAL


@dataclass(frozen=True, eq=False)
class PreservationSet:
    """What an update must preserve: coefficients of its candidates where it is wanted, and not."""

    prompt_coefficients: Tensor  # at the prompts that are to change, (prompts, n)
    elsewhere: Activations
    always: tuple[Question, ...]  # held in place whatever neurons are taken
    pools: tuple[_Pool, ...]  # held in place where the neurons that are taken reach them most

    def held(self, neurons: Sequence[NeuronId]) -> list[Question]:
        """The questions whose predictions must stay when these neurons' slots are shifted."""
        columns = [self.elsewhere.neurons.index(neuron) for neuron in neurons]
        held = list(self.always)
        for pool in self.pools:
            held += nearest(
                pool.questions,
                self.prompt_coefficients[:, columns],
                pool.coefficients[:, columns],
                pool.most,
            )
        return held


@dataclass(frozen=True, eq=False)
class _Pool:
    """Questions of one kind, and how many of them are held in place."""

    questions: Sequence[Question]
    coefficients: Tensor  # (questions, n)
    most: int


def preservation_set(
    model: Model,
    neurons: tuple[NeuronId, ...],
    questions: Sequence[Question],
    neighbours: Neighbours,
    earlier: Sequence[Question],
    *,
    most: int = HELD,
    seed: int = USUAL,
) -> PreservationSet:
    """Run the model once at every place that matters to an update, and keep its coefficients.

    questions: what is to change; neighbours: of the relation and of other relations; earlier: one
    question of every update that was made before; most: of the relation, that are held in place;
    seed: of the places in neutral text
    """
    pools = tuple(
        _Pool(group, _coefficients(model, group, neurons), most)
        for group, most in (
            (neighbours.other_subjects, most),
            (neighbours.elsewhere, HELD_ELSEWHERE),
            (earlier, HELD_EARLIER),
        )
    )
    named = _coefficients(model, neighbours.named, neurons)
    text, typical_square = _in_neutral_text(model, neurons, seed)
    places = torch.cat([*(pool.coefficients for pool in pools), named, text])
    return PreservationSet(
        prompt_coefficients=_coefficients(model, questions, neurons),
        elsewhere=Activations(neurons, places, typical_square),
        always=(*neighbours.named, *held_in_place(model, seed)),
        pools=pools,
    )


def _coefficients(
    model: Model, questions: Sequence[Question], neurons: Sequence[NeuronId]
) -> Tensor:
    """Coefficients of these neurons, (questions, n)."""
    layers, index = _where(neurons)
    batches = coefficients_in_batches(model, questions)
    none = torch.empty(0, len(neurons), dtype=model.dtype, device=model.device)
    return torch.cat([none, *(batch[:, layers, index] for batch in batches)])


def _in_neutral_text(model: Model, neurons: Sequence[NeuronId], seed: int) -> tuple[Tensor, Tensor]:
    """Coefficients of these neurons, (places, n), and |FFN output|^2 of each one's layer, (n,).

    That at the median place: causal LMs write a thousand times as much at a text's first token.
    """
    layers, index = _where(neurons)
    activations, sizes = [], []
    if not (questions := everywhere(model, seed)):  # its tokenizer knows none of the words
        none = torch.empty(0, len(neurons), dtype=model.dtype, device=model.device)
        return none, none.new_ones(len(neurons))
    for batch in coefficients_in_batches(model, questions):
        activations.append(batch[:, layers, index])
        sizes.append(written(model, batch))
    return torch.cat(activations), torch.cat(sizes).median(0).values[layers]


def _where(neurons: Sequence[NeuronId]) -> tuple[list[int], list[int]]:
    return [neuron.layer for neuron in neurons], [neuron.index for neuron in neurons]
