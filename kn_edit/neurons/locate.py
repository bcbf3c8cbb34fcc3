"""Locate: from a fact's prompts to its knowledge neurons."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from kn_edit.errors import NotFinite, require_known
from kn_edit.facts import Fact
from kn_edit.models.model import Model
from kn_edit.models.placement import dtype_name
from kn_edit.models.questions import Chain
from kn_edit.neuron import NeuronId
from kn_edit.neurons.adaptive import Adaptive
from kn_edit.neurons.assess import assess
from kn_edit.neurons.attribution import Riemann, activations, attribute_chains
from kn_edit.neurons.selection import Neurons, Thresholds, coarse, refined
from kn_edit.seeds import USUAL

KEPT = 512  # best neurons of a prompt that are kept; coarse sets are smaller
METHODS = ("adaptive", "riemann", "activation")
# The adaptive rule with wider limits, where it only matters which neurons pass a threshold on most
# prompts (decision 0052). Nobody chooses it.
ROUGH = "rough"
_RULES = {"adaptive": Adaptive(), ROUGH: Adaptive(tolerance=0.08, gap=0.03)}


@dataclass(frozen=True)
class PromptScores:
    """The best neurons of one prompt, best first, and how far their scores can be trusted."""

    prompt: str
    p: float
    neurons: tuple[tuple[NeuronId, float], ...]
    gap: tuple[float, ...]  # completeness gap by layer; empty for the activation baseline
    nodes: float  # mean evaluations per layer
    reached: bool  # the tolerance

    def __post_init__(self) -> None:
        # Also of a cache that an older kn-edit wrote: NaN would lead every ranking.
        numbers = (self.p, self.nodes, *self.gap, *(score for _, score in self.neurons))
        if not all(map(math.isfinite, numbers)):
            raise ValueError("scores that are not numbers")

    def coarse(self, threshold: float) -> Neurons:
        """Neurons that reach a share of the largest score."""
        return coarse(self.neurons, threshold)


@dataclass(frozen=True)
class Located:
    """The knowledge neurons of a fact."""

    fact: Fact
    neurons: tuple[tuple[NeuronId, float], ...]  # refined, with mean score over prompts, best first
    dropped: tuple[NeuronId, ...]  # refined, but shared by too many of the relation's other facts
    ranking: tuple[tuple[NeuronId, float], ...]  # candidates, without those of the relation, by
    # their mean share of a prompt's largest score
    share: float  # of prompts that a refined neuron is coarse for
    prompts: tuple[PromptScores, ...]
    seed: int = USUAL  # of the relation's other facts that were asked

    @property
    def gap(self) -> tuple[float, ...]:
        """The largest completeness gap of each layer over the prompts."""
        gaps = [prompt.gap for prompt in self.prompts if prompt.gap]
        return tuple(max(map(abs, layer)) for layer in zip(*gaps, strict=True))

    @property
    def reached(self) -> bool:
        return all(prompt.reached for prompt in self.prompts)


def score_prompts(
    model: Model, chains: Sequence[Chain], method: str, m: int = 20
) -> Iterator[tuple[int, PromptScores]]:
    """Score every neuron for many prompts by one of METHODS, each with its place in `chains`.

    A prompt is yielded as soon as it is known, so not in their order. method: also ROUGH; m: points
    of the Riemann rule. Raises NotFinite, BadSetting.
    """
    if method != ROUGH:
        require_known("the rule", method, METHODS)
    if method == "activation":
        for place, chain in enumerate(chains):
            yield place, _activation_scores(model, chain)
        return
    rule = Riemann(m) if method == "riemann" else _RULES[method]
    for place, attribution in attribute_chains(model, chains, rule):
        yield (
            place,
            PromptScores(
                prompt=chains[place].prompt.cloze,
                p=attribution.p,
                neurons=_best(model, attribution.scores),
                gap=tuple(attribution.gap.tolist()),
                nodes=float(attribution.nodes.float().mean()),
                reached=attribution.reached,
            ),
        )


def score_prompt(model: Model, chain: Chain, method: str, m: int = 20) -> PromptScores:
    """Score every neuron for one prompt, by one of METHODS. m: points of the Riemann rule.

    Raises NotFinite, BadSetting.
    """
    ((_, scores),) = score_prompts(model, [chain], method, m)
    return scores


def _activation_scores(model: Model, chain: Chain) -> PromptScores:
    return PromptScores(
        prompt=chain.prompt.cloze,
        p=assess(model, [chain])[0].p,
        neurons=_best(model, activations(model, chain)),
        gap=(),
        nodes=1.0,
        reached=True,
    )


def _best(model: Model, scores: Tensor) -> tuple[tuple[NeuronId, float], ...]:
    """The KEPT best neurons, best first. Raises NotFinite.

    scores: of one prompt, (layers, d_ff)
    """
    if not bool(scores.isfinite().all()):
        layer = int((~scores.isfinite()).any(1).nonzero()[0])
        raise NotFinite(f"layer {layer} (its scores)", dtype_name(model.dtype))
    best = scores.flatten().topk(min(KEPT, scores.numel()))
    width = scores.shape[1]
    return tuple(
        (NeuronId(place // width, place % width), score)
        for place, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )


def fact_neurons(prompts: Sequence[PromptScores], thresholds: Thresholds, share: float) -> Neurons:
    """The refined neurons of one fact."""
    return refined(
        [prompt.coarse(thresholds.coarse) for prompt in prompts], share, thresholds.least
    )


def located(
    fact: Fact,
    prompts: Sequence[PromptScores],
    common: Neurons,
    thresholds: Thresholds,
    share: float,
    *,
    seed: int = USUAL,
) -> Located:
    """Combine a fact's prompt scores into its knowledge neurons.

    common: neurons of the relation, which are left out; seed: by which they were found
    """
    refined_neurons = fact_neurons(prompts, thresholds, share)
    means = _means(prompts)
    order = sorted(means, key=lambda neuron: (-means[neuron][1], neuron))
    return Located(
        fact=fact,
        neurons=tuple(
            (neuron, means[neuron][0]) for neuron in order if neuron in refined_neurons - common
        ),
        dropped=tuple(sorted(refined_neurons & common)),
        ranking=tuple((neuron, means[neuron][1]) for neuron in order if neuron not in common),
        share=share,
        prompts=tuple(prompts),
        seed=seed,
    )


def mean_shares(prompts: Sequence[PromptScores]) -> dict[NeuronId, float]:
    """Each neuron's share of the prompt's largest score, the mean over the prompts."""
    return {neuron: relative for neuron, (_, relative) in _means(prompts).items()}


def _means(prompts: Sequence[PromptScores]) -> dict[NeuronId, tuple[float, float]]:
    """Each neuron's mean score, and mean share of the prompt's largest score, over the prompts."""
    sums: dict[NeuronId, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for prompt in prompts:
        largest = prompt.neurons[0][1] if prompt.neurons else 0.0
        for neuron, score in prompt.neurons:
            sums[neuron][0] += score / len(prompts)
            sums[neuron][1] += score / largest / len(prompts) if largest > 0 else 0.0
    return {neuron: (raw, relative) for neuron, (raw, relative) in sums.items()}
