"""From scores to knowledge neurons: coarse per prompt, refined over prompts, filtered by relation.

Thresholds are those of Dai et al. (2022) and of the code that came with it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from kn_edit.errors import require_number, require_whole
from kn_edit.models.float64 import in_float64
from kn_edit.neuron import NeuronId

MOST_SIGNAL = 100.0  # a neuron that never fired elsewhere counts as one that does so seldom

DEEP = 12  # layers, from which on an update writes those of the upper half
Neurons = frozenset[NeuronId]


@dataclass(frozen=True)
class Thresholds:
    """How neurons are chosen."""

    coarse: float = 0.2  # times the largest score of the prompt; 0.5 for the activation baseline
    shared: float = 0.7  # share of a fact's prompts that a refined neuron is coarse for
    least: int = 3  # and at least so many prompts, where there are that many
    step: float = 0.05  # by which `shared` moves
    moves: int = 6  # at most so often
    wanted: tuple[float, float] = (2.0, 5.0)  # until the mean count of refined neurons is in here
    other_facts: float = 0.1  # of the relation: a neuron that a larger share has is dropped

    def __post_init__(self) -> None:
        require_number("the coarse threshold", self.coarse, above=0, most=1)
        require_number("the share of prompts", self.shared, least=0, most=1)
        require_number("the step of the share", self.step, least=0, most=1)
        require_number("the share of other facts", self.other_facts, least=0, most=1)
        require_whole("the least count of prompts", self.least, 0)
        require_whole("the moves of the share", self.moves, 0)
        for count in self.wanted:
            require_number("the wanted count of neurons", count, least=0)


def coarse(scores: Sequence[tuple[NeuronId, float]], threshold: float) -> Neurons:
    """Neurons of a prompt that reach a share of its largest score; none where that is not positive.

    scores: the prompt's best neurons, best first
    """
    if not scores or scores[0][1] <= 0:
        return frozenset()
    least = threshold * scores[0][1]
    return frozenset(neuron for neuron, score in scores if score >= least)


def refined(prompts: Sequence[Neurons], shared: float, least: int) -> Neurons:
    """Neurons that are coarse for at least a share of one fact's prompts."""
    needed = max(math.ceil(shared * len(prompts) - 1e-9), min(least, len(prompts)), 1)
    counts = Counter(neuron for prompt in prompts for neuron in prompt)
    return frozenset(neuron for neuron, count in counts.items() if count >= needed)


def fitted_share(facts: Sequence[Sequence[Neurons]], thresholds: Thresholds) -> float:
    """The `shared` at which the facts of a relation have a wanted mean count of neurons.

    Starts at the threshold's value and moves towards the wanted range. Raising the share can only
    lose neurons, so it stops when the mean enters the range or jumps over it.
    """
    low, high = thresholds.wanted
    share, direction = thresholds.shared, 0
    for _ in range(thresholds.moves):
        sizes = [len(refined(prompts, share, thresholds.least)) for prompts in facts]
        mean = sum(sizes) / len(sizes)
        wanted = (mean > high) - (mean < low)  # +1: too many, so ask for a larger share
        if wanted == 0 or wanted == -direction:
            break
        direction = wanted
        share = round(min(1.0, share + direction * thresholds.step), 10)
    return share


def relation_neurons(other_facts: Sequence[Neurons], share: float) -> Neurons:
    """Neurons that carry the relation: more than a share of its other facts have them.

    other_facts: the neurons of each other fact
    """
    counts = Counter(neuron for fact in other_facts for neuron in fact)
    most = share * len(other_facts) + 1e-9
    return frozenset(neuron for neuron, count in counts.items() if count > most)


def fact_specific(
    ranking: Sequence[tuple[NeuronId, float]], fact_coefficients: Tensor, elsewhere: Tensor
) -> tuple[NeuronId, ...]:
    """Candidates that fire for a fact and hardly elsewhere, best first.

    What is written into a slot is felt wherever its neuron fires, in proportion to the coefficient.
    So by c^2 / (mean c^2 elsewhere + c^2 / 100), c the mean coefficient for the fact, times the
    square root of the score: at most 100 times the noise counts as signal.

    ranking: with scores; fact_coefficients, elsewhere: coefficients in its order, (prompts, n) and
    (places, n)
    """
    fact_coefficients, elsewhere = in_float64(fact_coefficients.cpu()), in_float64(elsewhere.cpu())
    signal = fact_coefficients.mean(0).square()
    noise = elsewhere.square().mean(0) if len(elsewhere) else torch.zeros_like(signal)
    clear = signal / (noise + signal / MOST_SIGNAL).clamp_min(torch.finfo(signal.dtype).tiny)
    positive = [max(score, 0.0) for _, score in ranking]
    scores = torch.tensor(positive, dtype=torch.float64, device="cpu")
    worth = (scores.sqrt() * clear).tolist()
    order = sorted(range(len(ranking)), key=lambda index: (-worth[index], -ranking[index][1]))
    return tuple(ranking[index][0] for index in order)


def relation_specific(
    shares: Mapping[NeuronId, float], coefficients: Tensor, elsewhere: Tensor
) -> tuple[NeuronId, ...]:
    """Neurons that serve a relation and little else, best first.

    By their share of the largest score, the mean over the relation's prompts, times
    max(0, 1 - rms(coefficient elsewhere) / rms(coefficient in the relation)) squared: what fires
    for other relations alike harms them, whatever its score here.

    coefficients, elsewhere: of the relation's and of other prompts, at the answer position,
    (prompts, layers, d_ff)
    """
    coefficients, elsewhere = _at_least_float32(coefficients), _at_least_float32(elsewhere)
    specificity = _less_elsewhere(coefficients.square().mean(0).sqrt(), elsewhere).square()
    worth = {
        neuron: share * float(specificity[neuron.layer, neuron.index])
        for neuron, share in shares.items()
    }
    neurons = [neuron for neuron, value in worth.items() if value > 0]
    return tuple(sorted(neurons, key=lambda neuron: (-worth[neuron], neuron)))


def upper_first(neurons: Sequence[NeuronId], n_layers: int) -> tuple[NeuronId, ...]:
    """Neurons of the upper half of the layers, then the others, each in their order.

    One slot far below has every step of a solver run all layers, and writes no better (decision
    0052). Models of fewer than DEEP layers have nothing far below: their order stays.
    """
    if n_layers < DEEP:
        return tuple(neurons)
    return tuple(sorted(neurons, key=lambda neuron: neuron.layer < n_layers // 2))


def _at_least_float32(coefficients: Tensor) -> Tensor:
    """Cast to float32 at least: the squares of 16-bit numbers leave their range."""
    return coefficients.to(torch.promote_types(coefficients.dtype, torch.float32))


def _less_elsewhere(level: Tensor, elsewhere: Tensor) -> Tensor:
    """max(0, 1 - rms(coefficient elsewhere) / level) of every neuron, (layers, d_ff)."""
    level = level.clamp_min(torch.finfo(level.dtype).tiny)
    return (1 - elsewhere.square().mean(0).sqrt() / level).clamp_min(0)


def as_many_elsewhere(neurons: Sequence[NeuronId], d_ff: int, draw: Random) -> Neurons:
    """Draw a control: as many random neurons of the same layers, none of them among `neurons`.

    Fewer where a layer has no more.
    """
    used = set(neurons)
    free = {neuron.layer: d_ff for neuron in used}
    for neuron in used:
        free[neuron.layer] -= 1
    for neuron in sorted(set(neurons)):
        if not free[neuron.layer]:
            continue
        candidate = neuron
        while candidate in used:
            candidate = NeuronId(neuron.layer, draw.randrange(d_ff))
        used.add(candidate)
        free[neuron.layer] -= 1
    return frozenset(used - set(neurons))
