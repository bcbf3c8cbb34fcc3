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
from kn_edit.edits.suffix import LowRankShift, Suffix, shifted
from kn_edit.models.coefficients import preactivations
from kn_edit.models.float64 import in_float64
from kn_edit.models.model import Model
from kn_edit.models.usage import Ids
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
        search = _Search.of(model, keys, layer, contexts, elsewhere)
        switches = []
        for index in search.nearest(seed):
            shifts = search.shifts(search.mark(index))
            leak = search.leak(index, shifts)
            switches.append(Switch(NeuronId(layer, index), shifts, leak))
        return min(switches, key=lambda switch: switch.leak * switch.length)


@dataclass(frozen=True, eq=False)
class _Search:
    """Where a switch of a layer is looked for. What lies below the keys ran once."""

    model: Model
    keys: Sequence[Keys]
    layer: int
    contexts: Sequence[Ids]  # each up to where the subject is named
    elsewhere: Sequence[Ids]
    suffix: Suffix

    @classmethod
    def of(
        cls,
        model: Model,
        keys: Sequence[Keys],
        layer: int,
        contexts: Sequence[Place],
        elsewhere: Sequence[Ids],
    ) -> _Search:
        # Up to the places: what a causal LM reads behind one changes nothing there.
        texts = [ids[: place + 1] for ids, place in contexts]
        lowest = min(layer_keys.layer for layer_keys in keys)
        return cls(
            model=model,
            keys=keys,
            layer=layer,
            contexts=texts,
            elsewhere=elsewhere,
            suffix=Suffix(model, lowest, [*texts, *elsewhere]),
        )

    def nearest(self, seed: int) -> list[int]:
        """The neurons that a short mark turns on, among the half that fires least elsewhere.

        A neuron's slope is probed by random marks: the mean square of what they move it by.
        """
        usage = self._coefficients_elsewhere().square().mean(0)  # (d_ff,)
        rest = self._preactivations({})  # (1 or 2, d_ff)
        draw = generator(seed, "random marks")
        squared_slopes = torch.zeros_like(rest)
        for _ in range(PROBES):
            direction = torch.tensor([draw.gauss() for _ in range(self.model.d_model)])
            moved = self._preactivations(self.shifts(PROBED * direction.to(rest))) - rest
            squared_slopes += (moved / PROBED).square() / PROBES
        tiny = torch.finfo(rest.dtype).tiny
        squared_lengths = ((_aims(rest) - rest).square() / squared_slopes.clamp_min(tiny)).sum(0)
        squared_lengths[usage > usage.median()] = math.inf
        return squared_lengths.topk(min(CANDIDATES, len(usage)), largest=False).indices.tolist()

    def mark(self, index: int) -> Tensor:
        """The shortest direction that takes a neuron to where it fires, (d_model,).

        By Newton's steps of least norm, from the mean pre-activations over contexts.
        """
        mark = torch.zeros(self.model.d_model, device=self.model.device)
        aims: Tensor | None = None
        for _ in range(ROUNDS):
            mark.requires_grad_()
            with torch.enable_grad():
                values = self._preactivations(self.shifts(mark))[:, index]
                gradients = [
                    torch.autograd.grad(value, mark, retain_graph=True)[0] for value in values
                ]
            slopes = in_float64(torch.stack(gradients))  # (1 or 2, d_model)
            reached = in_float64(values.detach())
            aims = _aims(reached) if aims is None else aims
            gram = slopes @ slopes.T
            gram.diagonal().add_(1e-6 * gram.diagonal().mean().clamp_min(1e-12))
            step = slopes.T @ torch.linalg.solve(gram, aims - reached)  # (d_model,)
            mark = mark.detach() + step.to(mark)
        return mark

    def leak(self, index: int, shifts: Mapping[int, LowRankShift]) -> float:
        """A neuron's coefficient elsewhere, the root of its mean square, in units of what it is
        where the subject is named."""
        with shifted(self.model, shifts):
            rest = self._coefficients_elsewhere()[:, index]
            by_text = self.suffix.coefficients(self.contexts, [self.layer])
            at_subject = {ids: rows[self.layer][-1, index] for ids, rows in by_text}
        fired = torch.stack([at_subject[ids] for ids in self.contexts]).mean().abs()
        return float(rest.square().mean().sqrt() / fired.clamp_min(torch.finfo(fired.dtype).tiny))

    def shifts(self, mark: Tensor) -> dict[int, LowRankShift]:
        """What the keys' layers write, each its part of the mark."""
        return {
            layer_keys.layer: LowRankShift(layer_keys.u[:1], mark[None] / len(self.keys))
            for layer_keys in self.keys
        }

    def _coefficients_elsewhere(self) -> Tensor:
        by_text = self.suffix.coefficients(self.elsewhere, [self.layer])
        return torch.cat([rows[self.layer] for _, rows in by_text])  # (places, d_ff)

    def _preactivations(self, shifts: Mapping[int, LowRankShift]) -> Tensor:
        """The pre-activations of the layer where the subject is named, means, (1 or 2, d_ff)."""
        by_text: dict[Ids, Tensor] = {}
        with shifted(self.model, shifts):
            for group in self.suffix.groups(self.contexts):
                with preactivations(self.model, self.layer) as factors:
                    group.run(self.model, stop_at=self.layer + 1)
                for number, ids in enumerate(group.texts):
                    ends = [group.rows(factor, number)[-1] for factor in factors]
                    by_text[ids] = torch.stack(ends).float()
        means = torch.stack([by_text[ids] for ids in self.contexts]).mean(0)
        return means.to(self.model.device)


def _aims(values: Tensor) -> Tensor:
    """Pre-activations at which neurons fire, of those at rest, (1 or 2, ...).

    A gate opens upwards only; what it is multiplied with may grow to either side.
    """
    aims = FIRED * torch.where(values < 0, -1.0, 1.0)
    aims[0] = FIRED
    return aims
