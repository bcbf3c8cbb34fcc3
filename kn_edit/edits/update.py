"""Update a fact: shifts of its neurons' value slots, in closed form or solved for.

Both compute and change nothing; `kn_edit.edits.live` applies a delta to a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.edits.calibrate import Aims, Solution, Tick, slot_norms, solve
from kn_edit.edits.settings import Settings
from kn_edit.errors import ChangeOutOfRange, EmbeddingWidthDiffers, NoNeurons
from kn_edit.models.model import Model
from kn_edit.neuron import NeuronId


def closed_form(
    model: Model, neurons: Sequence[NeuronId], old: int, new: int, scale: tuple[float, float]
) -> Tensor:
    """The paper's shifts: -l1 (|v|/|E_t|) E_t + l2 (|v|/|E_t'|) E_t', (n, d_model).

    old, new: the tokens t and t'; scale: (l1, l2), (1, 8) in the paper (Dai et al., section 5.1).
    Norms are taken per slot. Raises EmbeddingWidthDiffers, ChangeOutOfRange.
    """
    directions = [model.output_embedding(token).float() for token in (old, new)]
    for direction in directions:
        if len(direction) != model.d_model:
            raise EmbeddingWidthDiffers(len(direction), model.d_model)
    old_unit, new_unit = (direction / direction.norm() for direction in directions)
    shift: Tensor = scale[1] * new_unit - scale[0] * old_unit  # (d_model,)
    shifts = (slot_norms(model, neurons) * shift).cpu()
    if not all(float(direction.norm()) > 0 for direction in directions):
        raise ChangeOutOfRange(
            len(neurons),
            "has no direction (an answer's word embedding is zero)",
            "use the calibrated method",
        )
    return shifts


@dataclass(frozen=True)
class Calibrated:
    """A solved update, and why it took more neurons than it began with."""

    solution: Solution
    why: str  # empty when the first ones sufficed


def calibrated(
    model: Model,
    aims: Aims,
    ranking: Sequence[NeuronId],
    settings: Settings,
    *,
    tick: Tick = lambda step, margin: None,
) -> Calibrated:
    """Solve for the shifts; where the first neurons cannot carry the change, add the next.

    ranking: candidates, best first. Raises NoNeurons.
    """
    chosen, spare = list(ranking[: settings.fewest]), list(ranking[settings.fewest :])
    if not chosen:
        raise NoNeurons()
    stops = []
    solution = solve(model, aims, chosen, settings, tick=tick)
    while not solution.reached and spare and len(chosen) + settings.more <= settings.most_neurons:
        stops.append(
            f"{len(chosen)} stopped at a margin of {solution.margin:.2f}, "
            f"a divergence of {solution.kl:.3f} and "
            f"an off-target effect of {solution.off_target:.3f}"
        )
        added, spare = spare[: settings.more], spare[settings.more :]
        chosen += added
        unmoved = solution.b.new_zeros(len(added), model.d_model)
        start = torch.cat([solution.b, unmoved]).to(model.device)
        solution = solve(model, aims, chosen, settings, start=start, tick=tick)
    return Calibrated(solution, "; ".join(stops))
