"""Keys and targets of one fact of a joint update: what a layer hears, and what it is to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from kn_edit.edits.settings import JointSettings
from kn_edit.models.clean import RunsIn, clean_runs
from kn_edit.models.finite import first_non_finite
from kn_edit.models.model import Model
from kn_edit.models.predict import lead
from kn_edit.models.questions import Question, batched
from kn_edit.neurons.budget import traits
from kn_edit.neurons.passes import Pass, Request

FARTHEST = 4.0  # times the found target, the smallest one of its direction is looked for


@dataclass(frozen=True)
class TargetRow:
    """A place where a token of a new answer is asked. target: the number of its target"""

    question: Question
    target: int


@dataclass(frozen=True, eq=False)
class RowsAtLayer:
    """The rows of a fact, run once up to a layer; from there on only their answers run again."""

    model: Model
    layer: int
    requests: tuple[Request, ...]
    target_of: Tensor  # the number of each row's target, (rows,)
    packed: bool

    @classmethod
    def of(
        cls, model: Model, rows: Sequence[TargetRow], layer: int, within: RunsIn | None = None
    ) -> RowsAtLayer:
        """Run the rows. within: what each batch of them runs in. Raises NotFinite."""
        questions = [row.question for row in rows]
        runs = clean_runs(model, questions, within)
        if not all(bool(run.coefficients[layer].isfinite().all()) for run in runs):
            raise first_non_finite(model, batched(model, questions))
        requests = (
            Request(run=run, token=question.token, nodes={layer: (1.0,)})
            for run, question in zip(runs, questions, strict=True)
        )
        return cls(
            model=model,
            layer=layer,
            requests=tuple(requests),
            target_of=torch.tensor([row.target for row in rows], device=model.device),
            packed=traits(model, runs[0]).packed,
        )

    @classmethod
    def joined(cls, states: Sequence[RowsAtLayer]) -> RowsAtLayer:
        """The same rows in several states of what lies below, to be served by one target each."""
        return replace(
            states[0],
            requests=tuple(request for state in states for request in state.requests),
            target_of=torch.cat([state.target_of for state in states]),
        )

    @property
    def keys(self) -> Tensor:
        """The layer's coefficients at the answers, float32, (rows, d_ff)."""
        parts = [request.run.coefficients[self.layer] for request in self.requests]
        return torch.stack(parts).float()

    def leads(self, targets: Tensor) -> Tensor:
        """By how much each row's token leads where the layer also writes its target, (rows,)."""
        shifts = targets[self.target_of]

        def adding(_module: Any, _inputs: Any, written: Tensor) -> Tensor:
            return written + shifts.to(written).view(written.shape)

        handle = self.model.downs[self.layer].register_forward_hook(adding)
        try:
            hidden = Pass(self.model, self.requests, packed=self.packed).climb()
        finally:
            handle.remove()
        tokens = torch.tensor([request.token for request in self.requests], device=hidden.device)
        return lead(self.model.logits(hidden).float().log_softmax(-1), tokens)


def targets_of(rows: RowsAtLayer, settings: JointSettings, usual: float) -> Tensor:
    """The smallest shifts of what a layer writes that bring each token to the front, (t, d_model).

    A direction is found by Adam on a squared hinge over all wordings; then the smallest multiple
    of it is taken by which the token leads everywhere by its margin. A target's number is the place
    of its token in the answer. usual: the length of what the layer writes usually
    """
    model = rows.model
    count = int(rows.target_of.max()) + 1
    targets = torch.zeros(count, model.d_model, device=model.device, requires_grad=True)
    optimizer = torch.optim.Adam([targets], lr=settings.rate * usual / model.d_model**0.5)
    # A later token that leads by little has no target, and what others write takes its place.
    margins = torch.full_like(rows.target_of, settings.margin, dtype=torch.float32)
    margins[rows.target_of > 0] = settings.later_margin
    for _ in range(settings.steps):
        missing = (margins - rows.leads(targets)).clamp_min(0)
        if not missing.any():
            break
        targets.grad = torch.autograd.grad(missing.square().sum(), targets)[0]
        optimizer.step()
    directions = targets.detach()
    low = directions.new_zeros(count)
    high = directions.new_full((count,), FARTHEST)
    for _ in range(settings.bisections):
        middle = (low + high) / 2
        least = directions.new_full((count,), torch.inf)
        with torch.no_grad():
            above = rows.leads(directions * middle[:, None]) - margins
        enough = least.scatter_reduce(0, rows.target_of, above, "amin") >= 0
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return directions * high[:, None]
