"""See and replace the coefficients of FFN neurons: a hook in front of each down-projection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from kn_edit.models.model import Model

Change = Callable[[Tensor], Tensor]


@contextmanager
def captured(
    model: Model, of: Change | None = None, layers: Iterable[int] | None = None
) -> Iterator[dict[int, Tensor]]:
    """Collect the coefficients of every layer that runs inside the block, {layer: (..., d_ff)}.

    The leading axes are those that the network uses: (batch, tokens), or their product in OPT.
    of: what is kept of them; layers: that are looked at, None: all
    """
    by_layer: dict[int, Tensor] = {}

    def keep(layer: int) -> Change:
        def look(coefficients: Tensor) -> Tensor:
            by_layer[layer] = coefficients if of is None else of(coefficients)
            return coefficients

        return look

    looked_at = range(model.n_layers) if layers is None else layers
    with replaced(model, {layer: keep(layer) for layer in looked_at}):
        yield by_layer


@contextmanager
def preactivations(model: Model, layer: int) -> Iterator[list[Tensor]]:
    """Collect what goes into the activation function of a layer, run inside the block once.

    (..., d_ff) each: where the coefficient is a gated product, the gate's and the other factor's.
    """
    factors: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Tensor) -> None:
        factors.extend(torch.split(output, model.d_ff, dim=-1))

    with ExitStack() as hooks:
        for projection in model.ups[layer]:
            hooks.callback(projection.register_forward_hook(keep).remove)
        yield factors


@contextmanager
def replaced(model: Model, changes: Mapping[int, Change]) -> Iterator[None]:
    """Pass the coefficients of each named layer through a function inside the block."""
    with ExitStack() as hooks:
        for layer, change in changes.items():
            handle = model.downs[layer].register_forward_pre_hook(_pre_hook(change))
            hooks.callback(handle.remove)
        yield


def _pre_hook(change: Change) -> Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]:
    def hook(_module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (change(inputs[0]), *inputs[1:])

    return hook
