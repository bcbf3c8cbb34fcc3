"""A joint update: the one change of weights that a set of facts comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from kn_edit.editing.joint_base import JointBase
from kn_edit.editing.joint_held import JointSurroundings
from kn_edit.editing.updating import LowRankShifts
from kn_edit.edits.joint import JointTask, solve_jointly
from kn_edit.edits.members import Member
from kn_edit.neuron import NeuronId

RECORDED_SLOTS = 20  # slots that the record names, the best


def joint_shifts(surroundings: JointSurroundings) -> LowRankShifts:
    """Shifts of a layer's value slots that say the new answers of a set of facts.

    A function of the set: the order in which the facts come changes no bit. Raises NotFinite.
    """
    base, ordered = surroundings.base, surroundings.members
    held = surroundings.held()
    base.progress("solving", 0, 0)
    solution = solve_jointly(_task(base, ordered, held), base.settings)
    best = _best(base.layer, solution.u, solution.v)
    provenance: dict[str, Any] = {
        "method": "joint",
        "layer": base.layer,
        "settings": asdict(base.settings),
        "targets": sum(len(member.targets) for member in ordered),
        "places": sum(len(member.places) for member in ordered),
        "held_places": len(held),
        "share": float(solution.shares.mean()),
        "reach": solution.reach,
        "neurons": [
            {"layer": neuron.layer, "index": neuron.index, "score": part} for neuron, part in best
        ],
    }
    return LowRankShifts({base.layer: (solution.u, solution.v)}, provenance, best)


def _task(base: JointBase, members: Sequence[Member], held: Tensor) -> JointTask:
    """The keys and targets of all members one below the other."""
    target_of: list[int] = []
    first = 0
    for member in members:
        target_of += [first + target for target in member.target_of]
        first += len(member.targets)
    device = held.device
    return JointTask(
        keys=torch.cat([torch.from_numpy(member.keys) for member in members]).to(device),
        target_of=torch.tensor(target_of, device=device),
        targets=torch.cat([torch.from_numpy(member.targets) for member in members]).to(device),
        held=held,
        moment=base.moment,
    )


def _best(layer: int, u: Tensor, v: Tensor) -> tuple[tuple[NeuronId, float], ...]:
    """The neurons whose slots are changed most, sorted, each with its share of all changes."""
    sizes = ((u.T @ (v @ v.T)) * u.T).sum(1).clamp_min(0).sqrt()  # (d_ff,)
    parts = sizes / sizes.sum().clamp_min(torch.finfo(sizes.dtype).tiny)
    top: list[int] = parts.argsort(descending=True, stable=True)[:RECORDED_SLOTS].tolist()
    return tuple(sorted((NeuronId(layer, index), float(parts[index])) for index in top))
