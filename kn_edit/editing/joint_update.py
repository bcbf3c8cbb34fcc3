"""A joint update: the one change of weights that a set of facts comes to.

What facts' shifts do to an early layer's output where their subjects end is spread over the layers
up to it; what then is left to be said is written in late layers, where answers are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from kn_edit.editing.joint_answers import AnswersTask, answers_part
from kn_edit.editing.joint_held import JointSurroundings
from kn_edit.editing.joint_spread import Spread, SpreadTask, Targets, spread
from kn_edit.editing.updating import LowRankShifts
from kn_edit.edits.build import low_rank_delta
from kn_edit.edits.settings import JointSettings
from kn_edit.engine.engine import Engine
from kn_edit.neuron import NeuronId

RECORDED_SLOTS = 20  # slots that the record names, the best


@dataclass(frozen=True, eq=False)
class EndsPart:
    """What a set of facts writes where its subjects end, and what is to be asked again with it.

    places: where they end; held_places: where nothing is to be written
    """

    layers: tuple[int, ...]
    settings: JointSettings
    written: Spread
    places: int
    held_places: int
    answers: AnswersTask | None

    @classmethod
    def of(cls, surroundings: JointSurroundings, shifts: Mapping[str, Tensor]) -> EndsPart:
        """At the base. shifts: of each subject, (d_model,). Raises NotFinite."""
        base, task = surroundings.base, _ends_task(surroundings, shifts)
        return cls(
            layers=base.layers,
            settings=base.settings,
            written=spread(base.model, task),
            places=len(task.targets.places),
            held_places=len(task.held.weights),
            answers=AnswersTask.of(surroundings),
        )


def joint_shifts(engine: Engine, ends: EndsPart) -> LowRankShifts:
    """Shifts of value slots that say the new answers of a set of facts.

    A function of the set: the order in which the facts come changes no bit. Raises NotFinite.
    """
    at_ends = low_rank_delta(engine.place, ends.written.factors)
    answers = answers_part(engine, at_ends, ends.answers) if ends.answers else None
    factors = ends.written.factors | (answers.written.factors if answers else {})
    best = _best(factors)
    provenance: dict[str, Any] = {
        "method": "joint",
        "layers": list(ends.layers),
        "settings": asdict(ends.settings),
        "places": ends.places,
        "held_places": ends.held_places,
        "share": ends.written.share,
        "reach": ends.written.reach,
        "answers": answers.provenance if answers else None,
        "neurons": [
            {"layer": neuron.layer, "index": neuron.index, "score": part} for neuron, part in best
        ],
    }
    return LowRankShifts(factors, provenance, best)


def _ends_task(surroundings: JointSurroundings, shifts: Mapping[str, Tensor]) -> SpreadTask:
    """What is to be written where subjects end."""
    base, members = surroundings.base, surroundings.members
    held = surroundings.held()
    base.progress("solving", 0, 0)
    names = dict.fromkeys(member.subject for member in members)
    subjects = {name: number for number, name in enumerate(names)}
    numbers = [subjects[member.subject] for member in members for _ in member.ends]
    return SpreadTask(
        targets=Targets(
            places=[place for member in members for place in member.ends],
            target_of=torch.tensor(numbers, device=base.model.device),
            shifts=torch.stack([shifts[name] for name in names]).to(base.model.device),
        ),
        layers=base.layers,
        held=replace(held, weights=base.settings.w_held * held.weights),
        moments=base.end_moments,
        w_text=base.settings.w_text,
        share=base.settings.share,
    )


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
