"""A joint update: the one change of weights that a set of facts comes to.

What a fact's shift does to the top layer's output is spread over the layers that write, from below:
each writes an equal part of what then is missing (Meng et al., 2023, MEMIT, algorithm 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from kn_edit.editing.joint_base import JointBase
from kn_edit.editing.joint_ends import EndStates
from kn_edit.editing.joint_held import JointSurroundings
from kn_edit.editing.updating import LowRankShifts
from kn_edit.edits.joint import JointSolution, JointTask, solve_jointly
from kn_edit.edits.members import STAYS, Member, ShiftRow
from kn_edit.edits.suffix import LowRankShift
from kn_edit.neuron import NeuronId

RECORDED_SLOTS = 20  # slots that the record names, the best


def joint_shifts(surroundings: JointSurroundings) -> LowRankShifts:
    """Shifts of value slots that say the new answers of a set of facts.

    A function of the set: the order in which the facts come changes no bit. Raises NotFinite.
    """
    base, members = surroundings.base, surroundings.members
    model, settings, layers = base.model, base.settings, base.layers
    held = surroundings.held()
    base.progress("solving", 0, 0)
    places = [place for member in members for place in member.ends]
    names = dict.fromkeys(member.subject for member in members)
    subjects = {name: number for number, name in enumerate(names)}
    numbers = [subjects[member.subject] for member in members for _ in member.ends]
    subject_of = torch.tensor(numbers, device=model.device)
    shifts = _shifts_of(base, members, names)
    ends = EndStates.of(model, places, layers)
    states = before = ends.at_top()
    wanted = ends.at_top(shifts[subject_of]) - before
    goals = before + settings.share * wanted
    solutions: dict[int, JointSolution] = {}
    for number, layer in enumerate(layers):
        writes = ends.writes((goals - states) / (len(layers) - number))
        task = JointTask(
            keys=ends.keys(),
            target_of=subject_of,
            targets=_means(writes, subject_of, len(subjects)),
            held=held.keys[number],
            weights=(settings.w_held * held.weights).to(model.device),
            moment=base.moments[layer],
            w_text=settings.w_text * model.d_ff,
        )
        solution = solutions[layer] = solve_jointly(task)
        ends = ends.behind(LowRankShift(solution.u, solution.v))
        states = ends.at_top()
    factors = {layer: (solution.u, solution.v) for layer, solution in solutions.items()}
    best = _best(factors)
    provenance: dict[str, Any] = {
        "method": "joint",
        "layers": list(layers),
        "settings": asdict(settings),
        "places": len(places),
        "held_places": held.keys.shape[1],
        "share": _share(states - before, wanted),
        "reach": {str(layer): solved.reach for layer, solved in solutions.items()},
        "neurons": [
            {"layer": neuron.layer, "index": neuron.index, "score": part} for neuron, part in best
        ],
    }
    return LowRankShifts(factors, provenance, best)


def _shifts_of(base: JointBase, members: Sequence[Member], subjects: Iterable[str]) -> Tensor:
    """What each subject's facts take together, (subjects, d_model).

    Several facts about one subject are written at the same places, so one shift is to do for all:
    each alone would be what the others are not to be.
    """
    facts: dict[str, list[Member]] = {subject: [] for subject in subjects}
    for member in members:
        facts[member.subject].append(member)
    shifts = [
        base.shift(_together(of_subject), len(of_subject))
        if len(of_subject) > 1
        else torch.tensor(of_subject[0].shift)
        for of_subject in facts.values()
    ]
    return torch.stack([shift.to(base.model.device) for shift in shifts])


def _together(members: Sequence[Member]) -> list[ShiftRow]:
    """The rows of facts about one subject: what one of them answers anew, no other one keeps."""
    rows = dict.fromkeys(row for member in members for row in member.rows)
    anew = {row.place for row in rows if row.token != STAYS}
    return [row for row in rows if row.token != STAYS or row.place not in anew]


def _means(rows: Tensor, subject_of: Tensor, subjects: int) -> Tensor:
    """The mean of each subject's rows, (subjects, d_model)."""
    counts = torch.bincount(subject_of, minlength=subjects).clamp_min(1)
    sums = rows.new_zeros(subjects, rows.shape[1]).index_add_(0, subject_of, rows)
    return sums / counts[:, None]


def _share(came: Tensor, wanted: Tensor) -> float:
    """How much of its shift came to each place along it, in the mean; of (places, d_model)."""
    along = (came * wanted).sum(1)
    return float((along / wanted.square().sum(1).clamp_min(1e-12)).mean())


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
