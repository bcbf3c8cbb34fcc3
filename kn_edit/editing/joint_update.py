"""A joint update: the one change of weights that a set of facts comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kn_edit.editing.joint_base import JointBase
from kn_edit.editing.joint_held import JointSurroundings
from kn_edit.editing.updating import LowRankShifts
from kn_edit.edits.joint import JointSolution, JointTask, solve_jointly
from kn_edit.edits.members import Member
from kn_edit.neuron import NeuronId

RECORDED_SLOTS = 20  # slots that the record names, the best


def joint_shifts(surroundings: JointSurroundings) -> LowRankShifts:
    """Shifts of value slots that say the new answers of a set of facts.

    A function of the set: the order in which the facts come changes no bit. Raises NotFinite.
    """
    base, ordered = surroundings.base, surroundings.members
    held = surroundings.held()
    base.progress("solving", 0, 0)
    solutions = _where_subjects_end(surroundings)
    task = _at_answers(base, ordered, held)
    if task is not None:
        solutions[base.layer] = solve_jointly(task)
    factors = {layer: (solution.u, solution.v) for layer, solution in solutions.items()}
    best = _best(factors)
    provenance: dict[str, Any] = {
        "method": "joint",
        "layer": base.layer,
        "subject_layer": base.subject_layer,
        "settings": asdict(base.settings),
        "targets": sum(len(member.targets) for member in ordered),
        "places": sum(len(member.places) for member in ordered),
        "held_places": len(held),
        "share": {str(layer): float(solved.shares.mean()) for layer, solved in solutions.items()},
        "reach": {str(layer): solved.reach for layer, solved in solutions.items()},
        "neurons": [
            {"layer": neuron.layer, "index": neuron.index, "score": part} for neuron, part in best
        ],
    }
    return LowRankShifts(factors, provenance, best)


def _at_answers(base: JointBase, members: Sequence[Member], held: Tensor) -> JointTask | None:
    """The keys and targets of all members, one below the other, where answers are said.

    A token that needs no target has no rows: it would stand in the way of those beside it that
    need one. None where none needs one.
    """
    target_of: list[int] = []
    rows: list[Tensor] = []
    targets: list[Tensor] = []
    for member in members:
        wanted = np.flatnonzero(np.abs(member.targets).max(axis=1))
        number = {int(target): len(targets) + place for place, target in enumerate(wanted)}
        rows_wanted = [row for row, target in enumerate(member.target_of) if target in number]
        target_of += [number[member.target_of[row]] for row in rows_wanted]
        rows.append(torch.from_numpy(member.keys[rows_wanted]))
        targets += torch.from_numpy(member.targets[wanted])
    if not targets:
        return None
    settings, device = base.settings, held.device
    return JointTask(
        keys=torch.cat(rows).to(device),
        target_of=torch.tensor(target_of, device=device),
        targets=torch.stack(targets).to(device),
        held=held,
        weights=torch.full((len(held),), settings.w_held, device=device),
        moment=base.moment,
        w_text=settings.w_text,
        stretch=settings.stretch,
    )


def _where_subjects_end(surroundings: JointSurroundings) -> dict[int, JointSolution]:
    """What a lower layer writes where subjects end, by that layer; nothing where it has none."""
    base, settings = surroundings.base, surroundings.base.settings
    shifted = [member for member in surroundings.members if member.ends and member.shift.any()]
    if base.subject_layer is None or not shifted:
        return {}
    keys = torch.cat([base.subject_keys(member.ends) for member in shifted])
    counts = torch.tensor([len(member.ends) for member in shifted], device=keys.device)
    shifts = torch.stack([torch.from_numpy(member.shift) for member in shifted])
    held = surroundings.subject_held()
    task = JointTask(
        keys=keys,
        target_of=torch.arange(len(shifted), device=keys.device).repeat_interleave(counts),
        targets=shifts.to(keys.device),
        held=held.keys,
        weights=held.weights.to(keys.device),
        moment=base.subject_moment,
        w_text=settings.w_subject_text,
        stretch=keys.new_tensor([settings.shares(pack=member.pack)[1] for member in shifted]),
    )
    return {base.subject_layer: solve_jointly(task)}


def _best(
    factors: Mapping[int, tuple[Tensor, Tensor]],
) -> tuple[tuple[NeuronId, float], ...]:
    """The neurons whose slots are changed most, sorted, each with its share of all changes."""
    sizes = {
        layer: ((u.T @ (v @ v.T)) * u.T).sum(1).clamp_min(0).sqrt()  # (d_ff,)
        for layer, (u, v) in factors.items()
    }
    total = sum(float(of_layer.sum()) for of_layer in sizes.values()) or 1.0
    parts = [
        (-float(of_layer[index]) / total, NeuronId(layer, index))
        for layer, of_layer in sizes.items()
        for index in of_layer.argsort(descending=True, stable=True)[:RECORDED_SLOTS].tolist()
    ]
    top = sorted(parts)[:RECORDED_SLOTS]
    return tuple(sorted((neuron, -part) for part, neuron in top))
