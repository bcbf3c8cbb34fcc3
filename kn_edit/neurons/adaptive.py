"""The adaptive rule: nodes are added where p(answer) bends, until two rules agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.models.float64 import in_float64
from kn_edit.neurons.paths import Along, Paths
from kn_edit.neurons.quadrature import FEW, MANY, Grading, Panel
from kn_edit.neurons.rule import Attribution, completeness_gap

FIRST_LOOK = 0.3  # of the tolerance: three nodes that agree are weaker evidence than five
# Rounding steps of the model's numbers: p follows logits, which are larger than 1, and a gap is of
# two p.
NOISE = 8
MOST_BEND = 1 / 16  # a path that bends farther from 0 than this is left straight
# The gradient at 1/2 over that at 1, where a norm behind the FFN undoes alpha: 2.
SCALE_FREE = (1.9, 2.1)


@dataclass(frozen=True)
class Adaptive:
    """Panels are looked at more closely, in the layers that need it, until two rules agree.

    tolerance: of the difference between the two rules of a panel of five nodes, for any neuron,
    relative to the prompt's largest score. The error of the better rule is far below that
    difference (docs/attribution.md).
    gap: of what a panel's scores, or those of its left half, miss of the rise of p(answer),
    relative to p(answer).
    narrowest, most: the width of a panel and the nodes of a layer at which it ends.

    Neither limit is finer than the model's number format can tell, or a model in 16 bits would be
    followed down to its rounding noise.
    """

    tolerance: float = 0.01
    gap: float = 3e-3
    narrowest: float = 2**-12
    most: int = 400

    def walk(self, paths: Paths) -> AdaptiveWalk:
        """Begin to integrate one prompt's paths."""
        return AdaptiveWalk(paths, self)


@dataclass(frozen=True, eq=False)
class _Looks:
    """What the known nodes of some panels tell, in the order of the panels."""

    panels: list[Panel]
    scores: Tensor  # of every neuron on the panel, (panels, d_ff)
    doubts: list[float]  # largest difference of a neuron's score between the two rules
    gaps: list[float]  # what the scores miss of the rise of p(answer)


class AdaptiveWalk:
    """One prompt's integration under way: it asks for nodes, and judges what they tell.

    What it finds depends on the prompt alone, not on what is integrated beside it.
    """

    def __init__(self, paths: Paths, rule: Adaptive) -> None:
        self.paths = paths
        self._tolerance = {
            FEW: max(FIRST_LOOK * rule.tolerance, NOISE * paths.epsilon),
            MANY: max(rule.tolerance, NOISE * paths.epsilon),
        }
        self._widest_gap = max(rule.gap, NOISE * paths.epsilon) * paths.p
        self._rule = rule
        layers = range(paths.n_layers)
        self._gradings = [Grading() for _ in layers]
        self._pending = [Panel(layer, 0.0, 1.0) for layer in layers]
        self._p: dict[tuple[int, float], float] = {}  # (layer, t) -> p(answer)
        self._gradients: dict[tuple[int, float], Tensor] = {}  # (layer, t) -> (d_ff,)
        coefficients = torch.stack([paths.coefficients[layer] for layer in layers])
        self._coefficients = in_float64(coefficients)  # (layers, d_ff)
        self._scores = torch.zeros_like(self._coefficients)
        self._spent = [0 for _ in layers]
        self._wanted: dict[int, list[float]] = {}  # layer -> the t of the wanted nodes
        self._reached = True

    @property
    def done(self) -> bool:
        """Whether every panel is settled."""
        return not self._pending

    def wanted(self) -> dict[int, list[float]]:
        """The nodes to evaluate next: layer -> places alpha on its path, none of them known."""
        wanted: dict[int, dict[float, None]] = defaultdict(dict)
        for panel in self._pending:
            wanted[panel.layer].update((t, None) for t in self._unknown(panel))
        self._wanted = {layer: list(places) for layer, places in wanted.items()}
        return {
            layer: [self._gradings[layer].alpha(t) for t in places]
            for layer, places in self._wanted.items()
        }

    def take(self, along: Mapping[int, Along]) -> None:
        """Take in what the wanted nodes tell; settle panels, or look at them more closely."""
        first = not self._p
        for layer, places in self._wanted.items():
            self._spent[layer] += len(places)
            for t, p, gradient in zip(
                places, along[layer].p.tolist(), along[layer].gradients, strict=True
            ):
                self._p[layer, t], self._gradients[layer, t] = p, gradient
        if first:
            self._grade()
        self._judge()

    def attribution(self) -> Attribution:
        """The scores, once it is done."""
        scores = self._scores.cpu()
        zeros = [self._p[layer, 0.0] for layer in range(self.paths.n_layers)]
        return Attribution(
            scores=scores,
            gap=completeness_gap(scores, self.paths.p, zeros),
            nodes=torch.tensor(self._spent, dtype=torch.long, device="cpu"),
            p=self.paths.p,
            reached=self._reached,
        )

    def _unknown(self, panel: Panel) -> list[float]:
        return [t for t in panel.nodes if (panel.layer, t) not in self._p]

    def _grade(self) -> None:
        """Go over to a variable in which the path is smooth where a norm follows the FFN.

        Such a norm gives what the FFN writes the same length whatever alpha is. So the gradient at
        alpha is that at 1, divided by alpha, down to where the norm's epsilon counts.
        """
        places = [(layer, t) for layer in self._wanted for t in (0.0, 0.5, 1.0)]
        gradients = self._gradients_at(places)
        sizes = gradients.norm(dim=1).view(-1, 3).tolist()
        low, high = SCALE_FREE
        for layer, (start, middle, end) in zip(self._wanted, sizes, strict=True):
            if end < MOST_BEND * start and low * end < middle < high * end:
                self._gradings[layer] = Grading(end / start)
                del (
                    self._p[layer, 0.5],
                    self._gradients[layer, 0.5],
                )  # now the name of another place

    def _gradients_at(self, places: Sequence[tuple[int, float]]) -> Tensor:
        """The gradients at known places (layer, t), float64, (places, d_ff)."""
        return in_float64(torch.stack([self._gradients[place] for place in places]))

    def _judge(self) -> None:
        """Settle the panels whose nodes are known, or replace them by closer looks."""
        ready, ahead = self._by_readiness(self._pending)
        largest = None
        while ready:
            looks = self._look(ready)
            largest = self._largest(looks) if largest is None else largest
            settled, closer = self._sorted_out(looks, largest)
            self._scores.index_add_(
                0, self._indices(ready[index].layer for index in settled), looks.scores[settled]
            )
            ready, unready = self._by_readiness(closer)
            ahead += unready
        self._pending = ahead

    def _by_readiness(self, panels: Sequence[Panel]) -> tuple[list[Panel], list[Panel]]:
        """Panels whose nodes are all known, and the others."""
        ready: list[Panel] = []
        unready: list[Panel] = []
        for panel in panels:
            (unready if self._unknown(panel) else ready).append(panel)
        return ready, unready

    def _sorted_out(self, looks: _Looks, largest: float) -> tuple[list[int], list[Panel]]:
        """The places of panels that are settled, and the panels to look at next."""
        settled: list[int] = []
        closer: list[Panel] = []
        for index, panel in enumerate(looks.panels):
            agreed = (
                looks.doubts[index] <= self._tolerance[panel.count] * largest
                and looks.gaps[index] <= self._widest_gap
            )
            room = panel.width > self._rule.narrowest and self._spent[panel.layer] < self._rule.most
            if room and not agreed:
                closer += panel.closer()
            else:
                settled.append(index)
                self._reached = self._reached and agreed
        return settled, closer

    def _largest(self, looks: _Looks) -> float:
        """What the prompt's largest score is at least, as far as can be told."""
        sums = self._scores.clone()
        layers = [panel.layer for panel in looks.panels]
        sums.index_add_(0, self._indices(layers), looks.scores)
        largest: list[float] = sums.amax(1).tolist()
        for layer, doubt in zip(layers, looks.doubts, strict=True):
            largest[layer] -= doubt
        return max(0.0, *largest)

    def _indices(self, layers: Iterable[int]) -> Tensor:
        return torch.tensor(list(layers), dtype=torch.long, device=self._scores.device)

    def _look(self, panels: list[Panel]) -> _Looks:
        """Scores, doubts and gaps of panels whose nodes are known."""
        scores = self._scores.new_empty(len(panels), self.paths.d_ff)
        doubts, gaps = [0.0] * len(panels), [0.0] * len(panels)
        for count in {panel.count for panel in panels}:
            places = [index for index, panel in enumerate(panels) if panel.count == count]
            looks = self._look_alike([panels[index] for index in places], count)
            scores[places] = looks.scores
            for index, doubt, gap in zip(places, looks.doubts, looks.gaps, strict=True):
                doubts[index], gaps[index] = doubt, gap
        return _Looks(panels, scores, doubts, gaps)

    def _look_alike(self, panels: list[Panel], count: int) -> _Looks:
        """The same of panels that have equally many nodes."""
        weights = [self._gradings[panel.layer].weights(panel) for panel in panels]
        rules = self._scores.new_tensor(
            [[panel.integral, panel.opinion, panel.first_half] for panel in weights]
        )  # (panels, 3, count)
        places = [(panel.layer, t) for panel in panels for t in panel.nodes]
        gradients = self._gradients_at(places).view(len(panels), count, -1)  # (panels, count, d_ff)
        layers = [panel.layer for panel in panels]
        sums = rules @ gradients * self._coefficients[layers][:, None]
        scores, opinion, first_half = sums.unbind(1)  # (panels, d_ff) each
        doubts = (scores - opinion).abs().amax(1).tolist()
        totals = torch.stack([first_half.sum(1), scores.sum(1)], dim=1).tolist()
        gaps = []
        for panel, parts in zip(panels, totals, strict=True):
            start, middle, end = (self._p[panel.layer, t] for t in panel.nodes[:: count // 2])
            rises = (middle - start, end - start)
            gaps.append(max(abs(part - rise) for part, rise in zip(parts, rises, strict=True)))
        return _Looks(panels, scores, doubts, gaps)
