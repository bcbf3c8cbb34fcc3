"""The part of a network above the lowest edited layer, run again and again with shifted slots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from kn_edit.models.model import Model
from kn_edit.models.questions import Batch
from kn_edit.models.trace import run_from, trace


class Addition(Protocol):
    """What is added to the value slots of one layer."""

    def written(self, coefficients: Tensor) -> Tensor:
        """What the layer writes more for it, (..., d_model); of coefficients (..., d_ff)."""
        ...


@dataclass(frozen=True, eq=False)
class Shift:
    """A shift b of some value slots of one layer."""

    index: Tensor  # (n,)
    b: Tensor  # (n, d_model)

    def written(self, coefficients: Tensor) -> Tensor:
        return coefficients[..., self.index] @ self.b.to(coefficients.dtype)


@dataclass(frozen=True, eq=False)
class LowRankShift:
    """A shift u^T v of all value slots of one layer, of low rank."""

    u: Tensor  # (r, d_ff)
    v: Tensor  # (r, d_model)

    def written(self, coefficients: Tensor) -> Tensor:
        dtype = coefficients.dtype
        return (coefficients @ self.u.T.to(dtype)) @ self.v.to(dtype)


@contextmanager
def shifted(model: Model, shifts: Mapping[int, Addition]) -> Iterator[None]:
    """Add shifts to value slots inside the block, differentiably and without touching weights.

    What a down-projection writes with slots v + b is what it writes with v, plus coefficients
    times b.
    """
    with ExitStack() as hooks:
        for layer, shift in shifts.items():
            handle = model.downs[layer].register_forward_hook(_adding(shift))
            hooks.callback(handle.remove)
        yield


def _adding(shift: Addition) -> Any:
    def hook(_module: Any, inputs: tuple[Tensor, ...], written: Tensor) -> Tensor:
        return written + shift.written(inputs[0]).to(written.dtype)

    return hook


class Suffix:
    """One batch from the input of a layer on; what lies below ran once."""

    def __init__(self, model: Model, layer: int, batch: Batch) -> None:
        self._model, self._layer, self._batch = model, layer, batch
        with torch.no_grad():
            run = trace(model, batch.ids, mask=batch.mask)
        self._hidden = run.inputs[layer]
        self._calls = {index: call for index, call in run.calls.items() if index >= layer}

    def log_p(self) -> Tensor:
        """Log-probabilities at every row's answer position, float32, (batch, vocabulary)."""
        hidden = run_from(self._model, self._layer, self._hidden, self._calls)
        return self._model.logits(self._batch.at_answer(hidden)).float().log_softmax(-1)
