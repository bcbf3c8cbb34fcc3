"""A neuron that hardly ever fires, and a mark that turns it on where a subject is named.

What a key writes is proportional to its response, and at names that are like the subject a key
responds by a tenth to a half of what it does at the subject. So much of an edit is written there
too. Here keys write no answer. They write a mark: a direction that takes the pre-activations of
one neuron above them, the switch, from rest to where it fires. A neuron is curved: at a third of
the mark a gated one has about a tenth of the coefficient. Its value slot then says the answer
(decision 0033).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.edits.keys import Keys
from kn_edit.edits.suffix import LowRankShift, shifted
from kn_edit.models.coefficients import preactivations
from kn_edit.models.model import Model
from kn_edit.models.questions import Batch, Question, batched
from kn_edit.models.trace import trace
from kn_edit.models.usage import Ids, coefficients_in
from kn_edit.neuron import NeuronId
from kn_edit.seeds import USUAL, generator

FIRED = 3.0  # pre-activations of a switch where the subject is named, on the mean
CANDIDATES = 2  # neurons for which a mark is made, those that a short one turns on
ROUNDS = 3  # of Newton's steps towards a mark
PROBES = 8  # random marks, by which the length of one that turns a neuron on is estimated
PROBED = 0.1  # their length, in units of 1 in every direction

Place = tuple[Ids, int]  # a text, and a place in it


@dataclass(frozen=True, eq=False)
class Switch:
    """A neuron, and what turns it on.

    mark: by layer, what keys of lower layers write, at rank one
    leak: the root of the mean square of the neuron's coefficient elsewhere, in units of its mean
        where the subject is named
    """

    neuron: NeuronId
    mark: Mapping[int, LowRankShift]
    leak: float

    @property
    def length(self) -> float:
        """|what is written in all layers together| where keys respond by 1."""
        return float(sum(shift.v for shift in self.mark.values()).norm())  # type: ignore[union-attr]


def switch_of(
    model: Model,
    keys: Sequence[Keys],
    layer: int,
    *,
    contexts: Sequence[Place],
    elsewhere: Sequence[Ids],
    seed: int = USUAL,
) -> Switch:
    """Find the switch of a layer, and its mark. Changes no weight.

    keys: one of each lower layer that writes its part of the mark
    contexts: where the subject is named
    elsewhere: texts about other things, those that name what the subject is mistaken for too
    seed: of the random marks by which neurons are compared
    """
    with torch.inference_mode(False):
        # Up to the places: what a causal LM reads behind one changes nothing there.
        batch = batched(model, [Question(ids[: place + 1], place, 0) for ids, place in contexts])
        switches = []
        for index in _nearest(model, keys, layer, batch, elsewhere, seed=seed):
            shifts = _shifts(keys, _mark(model, keys, layer, index, batch))
            leak = _leak(model, NeuronId(layer, index), shifts, batch, elsewhere)
            switches.append(Switch(NeuronId(layer, index), shifts, leak))
        return min(switches, key=lambda switch: switch.leak * switch.length)


def _nearest(
    model: Model,
    keys: Sequence[Keys],
    layer: int,
    contexts: Batch,
    elsewhere: Sequence[Ids],
    *,
    seed: int,
) -> list[int]:
    """The neurons that a short mark turns on, among the half of a layer that fires least elsewhere.

    A neuron's slope is probed by random marks: the mean square of what they move it by.
    """
    usage = coefficients_in(model, elsewhere, [layer])[layer].square().mean(0)  # (d_ff,)
    rest = _preactivations(model, layer, contexts, {})  # (1 or 2, d_ff)
    draw = generator(seed, "random marks")
    squared_slopes = torch.zeros_like(rest)
    for _ in range(PROBES):
        probe = PROBED * torch.tensor([draw.gauss() for _ in range(model.d_model)]).to(rest)
        moved = _preactivations(model, layer, contexts, _shifts(keys, probe)) - rest
        squared_slopes += (moved / PROBED).square() / PROBES
    tiny = torch.finfo(rest.dtype).tiny
    squared_lengths = ((_aims(rest) - rest).square() / squared_slopes.clamp_min(tiny)).sum(0)
    squared_lengths[usage > usage.median()] = math.inf
    return squared_lengths.topk(min(CANDIDATES, len(usage)), largest=False).indices.tolist()


def _aims(values: Tensor) -> Tensor:
    """Pre-activations at which neurons fire, of those at rest, (1 or 2, ...).

    A gate opens upwards only; what it is multiplied with may grow to either side.
    """
    aims = FIRED * torch.where(values < 0, -1.0, 1.0)
    aims[0] = FIRED
    return aims


def _mark(model: Model, keys: Sequence[Keys], layer: int, index: int, contexts: Batch) -> Tensor:
    """The shortest direction that takes a neuron to where it fires, (d_model,).

    By Newton's steps of least norm, from the mean pre-activations over contexts.
    """
    mark = torch.zeros(model.d_model, device=model.device)
    aims: Tensor | None = None
    for _ in range(ROUNDS):
        mark.requires_grad_()
        with torch.enable_grad():
            values = _preactivations(model, layer, contexts, _shifts(keys, mark))[:, index]
            slopes = torch.stack(
                [torch.autograd.grad(value, mark, retain_graph=True)[0] for value in values]
            ).double()  # (1 or 2, d_model)
        reached = values.detach().double()
        aims = _aims(reached) if aims is None else aims
        gram = slopes @ slopes.T
        gram.diagonal().add_(1e-6 * gram.diagonal().mean().clamp_min(1e-12))
        mark = mark.detach() + (slopes.T @ torch.linalg.solve(gram, aims - reached)).to(mark)
    return mark


def _leak(
    model: Model,
    neuron: NeuronId,
    shifts: Mapping[int, LowRankShift],
    contexts: Batch,
    elsewhere: Sequence[Ids],
) -> float:
    layer, index = neuron.layer, neuron.index
    with torch.no_grad(), shifted(model, shifts):
        run = trace(model, contexts.ids, mask=contexts.mask, stop_at=layer + 1)
        rest = coefficients_in(model, elsewhere, [layer])[layer][:, index]
    fired = run.coefficients[layer][contexts.rows, contexts.positions, index].float().mean().abs()
    return float(rest.square().mean().sqrt() / fired.clamp_min(torch.finfo(fired.dtype).tiny))


def _shifts(keys: Sequence[Keys], mark: Tensor) -> dict[int, LowRankShift]:
    """What the keys' layers write, each its part of the mark."""
    return {
        layer_keys.layer: LowRankShift(layer_keys.u[:1], mark[None] / len(keys))
        for layer_keys in keys
    }


def _preactivations(
    model: Model, layer: int, contexts: Batch, shifts: Mapping[int, LowRankShift]
) -> Tensor:
    """The pre-activations of a layer at places, their means, (1 or 2, d_ff)."""
    with shifted(model, shifts), preactivations(model, layer) as factors:
        trace(model, contexts.ids, mask=contexts.mask, stop_at=layer + 1)
    shaped = (factor.reshape(*contexts.ids.shape, -1) for factor in factors)
    rows, positions = contexts.rows, contexts.positions
    return torch.stack([factor[rows, positions].float().mean(0) for factor in shaped])
