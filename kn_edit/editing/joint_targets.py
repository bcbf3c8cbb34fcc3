"""Targets of one fact of a joint update: what a layer is to write for its answer to be said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kn_edit.edits.settings import JointSettings
from kn_edit.models.batching import side_by_side
from kn_edit.models.model import Model
from kn_edit.models.predict import lead
from kn_edit.models.questions import Question, batched
from kn_edit.models.trace import run_from, trace

FARTHEST = 4.0  # times the found target, the smallest one of its direction is looked for


@dataclass(frozen=True)
class TargetRow:
    """A place where a token of a new answer is asked. target: the number of its target"""

    question: Question
    target: int


def targets_of(
    model: Model, rows: Sequence[TargetRow], layer: int, settings: JointSettings, usual: float
) -> Tensor:
    """The smallest shifts of what a layer writes that bring each token to the front, (t, d_model).

    A direction is found by Adam on a squared hinge over all wordings; then the smallest multiple
    of it is taken by which the token leads everywhere by the margin. usual: the length of what the
    layer writes usually
    """
    groups = list(_groups(model, rows, layer))
    count = 1 + max(row.target for row in rows)
    targets = torch.zeros(count, model.d_model, device=model.device, requires_grad=True)
    optimizer = torch.optim.Adam([targets], lr=settings.rate * usual / model.d_model**0.5)
    for _ in range(settings.steps):
        gradient = torch.zeros_like(targets)
        for group in groups:
            missing = (settings.margin - _leads(model, group, targets, layer)).clamp_min(0)
            gradient += torch.autograd.grad(missing.square().sum(), targets)[0]
        targets.grad = gradient
        optimizer.step()
    directions = targets.detach()
    low = directions.new_zeros(count)
    high = directions.new_full((count,), FARTHEST)
    for _ in range(settings.bisections):
        middle = (low + high) / 2
        least = directions.new_full((count,), torch.inf)
        with torch.no_grad():
            for group in groups:
                leads = _leads(model, group, directions * middle[:, None], layer)
                least.scatter_reduce_(0, group.targets, leads, "amin")
        enough = least >= settings.margin
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return directions * high[:, None]


@dataclass(frozen=True, eq=False)
class _Group:
    """Rows that run side by side, from the input of the written layer on."""

    hidden: Tensor
    calls: dict[int, Any]
    places: tuple[Tensor, Tensor]  # (rows of `hidden`, positions)
    tokens: Tensor
    targets: Tensor  # the number of each one's target


def _groups(model: Model, rows: Sequence[TargetRow], layer: int) -> Iterator[_Group]:
    """The rows at the input of a layer, in batches."""
    questions = [row.question for row in rows]
    for places in side_by_side(model, questions):
        batch = batched(model, [questions[place] for place in places], separate_rows=True)
        with torch.no_grad():
            run = trace(model, batch.ids, mask=batch.mask)
        yield _Group(
            hidden=run.inputs[layer].detach(),
            calls={number: call for number, call in run.calls.items() if number >= layer},
            places=(batch.rows, batch.positions),
            tokens=batch.tokens,
            targets=torch.tensor([rows[place].target for place in places], device=model.device),
        )


def _leads(model: Model, group: _Group, targets: Tensor, layer: int) -> Tensor:
    """By how much each row's token leads where a layer also writes its target, (rows,)."""
    shifts = targets[group.targets]

    def adding(_module: Any, _inputs: Any, written: Tensor) -> Tensor:
        shape = group.hidden.shape
        addition = written.new_zeros(*shape[:2], shifts.shape[1])
        addition = addition.index_put(group.places, shifts.to(written))
        return written + addition.view(written.shape)

    handle = model.downs[layer].register_forward_hook(adding)
    try:
        output = run_from(model, layer, group.hidden, group.calls)
    finally:
        handle.remove()
    log_p = model.logits(output[group.places]).float().log_softmax(-1)
    return lead(log_p, group.tokens)
