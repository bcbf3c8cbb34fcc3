"""What is to come to a layer's output at some places, spread over the layers that write up to it.

From below, each layer writes an equal part of what then is missing (Meng et al., 2023, MEMIT,
algorithm 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.editing.joint_ends import EndStates
from kn_edit.edits.joint import JointSolution, JointTask, solve_jointly
from kn_edit.edits.members import Place
from kn_edit.edits.suffix import LowRankShift, Suffix
from kn_edit.models.model import Model


@dataclass(frozen=True, eq=False)
class Held:
    """Where nothing is to be written.

    keys: coefficients of the layers, float32, (layers, places, d_ff); weights: in units of a place
    where something is, (places,)
    """

    keys: Tensor
    weights: Tensor


@dataclass(frozen=True, eq=False)
class Targets:
    """What is to come to the output of the last layer that writes.

    target_of: which target each place has, (places,); shifts: of each target, (targets, d_model)
    """

    places: Sequence[Place]
    target_of: Tensor
    shifts: Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class SpreadTask:
    """What some layers are to write, and what holds them.

    layers: one above the other; moments: of each layer, (d_ff, d_ff); w_text: of them, in units of
    a row for each neuron of a layer; share: of the targets, that is to come
    texts: of the targets' places at the first layer, where they ran up to it before
    """

    targets: Targets
    layers: Sequence[int]
    held: Held
    moments: Mapping[int, Tensor]
    w_text: float
    share: float = 1.0
    texts: Suffix | None = None


@dataclass(frozen=True, eq=False)
class Spread:
    """What the layers write, by layer. share: of what was wanted, that came, in the mean"""

    solutions: Mapping[int, JointSolution]
    share: float

    @property
    def factors(self) -> dict[int, tuple[Tensor, Tensor]]:
        """Of each layer's shifts u^T v: u, (r, d_ff), and v, (r, d_model)."""
        return {layer: (solved.u, solved.v) for layer, solved in self.solutions.items()}

    @property
    def reach(self) -> dict[str, float]:
        """What is written at held places, in units of that at the others, by layer."""
        return {str(layer): solution.reach for layer, solution in self.solutions.items()}


def spread(model: Model, task: SpreadTask) -> Spread:
    """Shifts of the layers' slots by which all targets come, as far as what is held lets them."""
    layers, held, targets = task.layers, task.held, task.targets
    target_of, shifts = targets.target_of, targets.shifts
    ends = EndStates.of(model, targets.places, layers, task.texts)
    states = before = ends.at_top()
    wanted = ends.at_top(shifts[target_of]) - before
    goals = before + task.share * wanted
    solutions: dict[int, JointSolution] = {}
    for number, layer in enumerate(layers):
        writes = ends.writes((goals - states) / (len(layers) - number))
        task_of_layer = JointTask(
            keys=ends.keys(),
            target_of=target_of,
            targets=_means(writes, target_of, len(shifts)),
            held=held.keys[number],
            weights=held.weights.to(model.device),
            moment=task.moments[layer],
            w_text=task.w_text * model.d_ff,
        )
        solution = solutions[layer] = solve_jointly(task_of_layer)
        ends = ends.behind(LowRankShift(solution.u, solution.v))
        states = ends.at_top()
    return Spread(solutions, _share(states - before, wanted))


def _means(rows: Tensor, target_of: Tensor, targets: int) -> Tensor:
    """The mean of each target's rows, (targets, d_model)."""
    counts = torch.bincount(target_of, minlength=targets).clamp_min(1)
    sums = rows.new_zeros(targets, rows.shape[1]).index_add_(0, target_of, rows)
    return sums / counts[:, None]


def _share(came: Tensor, wanted: Tensor) -> float:
    """How much of its shift came to each place along it, in the mean; of (places, d_model)."""
    sizes = wanted.square().sum(1)
    moved = sizes > 0
    if not bool(moved.any()):
        return 0.0
    along = (came * wanted).sum(1)[moved]
    return float((along / sizes[moved].clamp_min(1e-12)).mean())
