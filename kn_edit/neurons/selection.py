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
from kn_edit.neuron import NeuronId

MOST_SIGNAL = 100.0  # a neuron that never fired elsewhere counts as one that does so seldom

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
    others: float = 0.1  # dropped from an update when more of the relation's other facts share it

    def __post_init__(self) -> None:
        require_number("the coarse threshold", self.coarse, above=0, most=1)
        require_number("the share of prompts", self.shared, least=0, most=1)
        require_number("the step of the share", self.step, least=0, most=1)
        require_number("the share of other facts", self.others, least=0, most=1)
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


def spoken_for(others: Sequence[Neurons], share: float) -> Neurons:
    """Neurons that more than a share of the relation's other facts have: they speak for it."""
    counts = Counter(neuron for fact in others for neuron in fact)
    most = share * len(others) + 1e-9
    return frozenset(neuron for neuron, count in counts.items() if count > most)


def selective(
    ranking: Sequence[tuple[NeuronId, float]], own: Tensor, elsewhere: Tensor
) -> tuple[NeuronId, ...]:
    """Candidates that fire for a fact and hardly elsewhere, best first.

    What is written into a slot is felt wherever its neuron fires, in proportion to the coefficient.
    So by c^2 / (mean c^2 elsewhere + c^2 / 100), c the mean coefficient for the fact, times the
    square root of the score: at most 100 times the noise counts as signal.

    ranking: with scores; own, elsewhere: coefficients in its order, (prompts, n), (places, n)
    """
    signal = own.double().mean(0).square()
    noise = elsewhere.double().square().mean(0) if len(elsewhere) else torch.zeros_like(signal)
    clear = signal / (noise + signal / MOST_SIGNAL).clamp_min(torch.finfo(signal.dtype).tiny)
    positive = [max(score, 0.0) for _, score in ranking]
    scores = torch.tensor(positive, dtype=torch.float64, device="cpu")
    worth = (scores.sqrt() * clear.cpu()).tolist()
    order = sorted(range(len(ranking)), key=lambda at: (-worth[at], -ranking[at][1]))
    return tuple(ranking[at][0] for at in order)


def serving_only(
    shares: Mapping[NeuronId, float], own: Tensor, others: Tensor
) -> tuple[NeuronId, ...]:
    """Neurons that serve a relation and little else, best first.

    By their share of the largest score, the mean over the relation's prompts, times
    max(0, 1 - rms(coefficient elsewhere) / rms(coefficient in the relation)) squared: what fires
    for other relations alike harms them, whatever its score here.

    own, others: coefficients at the answer position, (prompts, layers, d_ff)
    """
    own, others = _wide(own), _wide(others)
    apart = _less_elsewhere(own.square().mean(0).sqrt(), others).square()
    worth = {one: share * float(apart[one.layer, one.index]) for one, share in shares.items()}
    found = [neuron for neuron, value in worth.items() if value > 0]
    return tuple(sorted(found, key=lambda neuron: (-worth[neuron], neuron)))


def _wide(coefficients: Tensor) -> Tensor:
    """In float32 at least: the squares of 16-bit numbers leave their range."""
    return coefficients.to(torch.promote_types(coefficients.dtype, torch.float32))


def _less_elsewhere(level: Tensor, others: Tensor) -> Tensor:
    """max(0, 1 - rms(coefficient elsewhere) / level) of every neuron, (layers, d_ff)."""
    level = level.clamp_min(torch.finfo(level.dtype).tiny)
    return (1 - others.square().mean(0).sqrt() / level).clamp_min(0)


def as_many_elsewhere(neurons: Sequence[NeuronId], d_ff: int, draw: Random) -> Neurons:
    """As many random neurons of the same layers, none of them among these: a control.

    Fewer where a layer has no more.
    """
    taken = set(neurons)
    left = {neuron.layer: d_ff for neuron in taken}
    for neuron in taken:
        left[neuron.layer] -= 1
    for neuron in sorted(set(neurons)):
        if not left[neuron.layer]:
            continue
        other = neuron
        while other in taken:
            other = NeuronId(neuron.layer, draw.randrange(d_ff))
        taken.add(other)
        left[neuron.layer] -= 1
    return frozenset(taken - set(neurons))
