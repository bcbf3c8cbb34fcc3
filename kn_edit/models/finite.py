"""Where in a model numbers end: the first part whose output holds NaN or infinity."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from kn_edit.errors import NotFinite
from kn_edit.models.coefficients import Change, replaced
from kn_edit.models.model import Model
from kn_edit.models.placement import dtype_name
from kn_edit.models.questions import Batch
from kn_edit.models.trace import trace

_NOTHING: Mapping[int, Change] = {}


def first_non_finite(
    model: Model, batch: Batch, changes: Mapping[int, Change] = _NOTHING
) -> NotFinite:
    """The error that says where the answers of a batch stop being numbers.

    batch: its answers are NaN; changes: of coefficients, with which it was asked
    """
    with torch.no_grad(), replaced(model, changes):
        run = trace(model, batch.ids, mask=batch.mask)
    dtype = dtype_name(model.dtype)
    if not _finite(run.inputs[0], batch):
        return NotFinite("the embeddings", dtype, _bad_outside(model))
    outputs = [run.inputs[layer] for layer in range(1, model.n_layers)]
    assert run.output is not None
    for layer, output in enumerate([*outputs, run.output]):
        if not _finite(output, batch):
            weight = _bad_weight(model.layers[layer])
            prefix = f"{model.family.layers}.{layer}"
            return NotFinite(f"layer {layer}", dtype, weight and f"{prefix}.{weight}")
    return NotFinite("the head", dtype, _bad_outside(model))


def _finite(hidden: Tensor, batch: Batch) -> bool:
    """Whether hidden states, (rows, tokens, width), are finite at every token but the padding."""
    unpadded = hidden if batch.mask is None else hidden[batch.mask.bool().to(hidden.device)]
    return bool(unpadded.isfinite().all())


def _bad_weight(part: nn.Module) -> str | None:
    """The first weight of a layer that holds NaN or infinity."""
    return next(
        (name for name, weight in part.named_parameters() if not weight.isfinite().all()), None
    )


def _bad_outside(model: Model) -> str | None:
    """The first weight outside of the layers that holds NaN or infinity."""
    inside = f"{model.family.layers}."
    return next(
        (
            name
            for name, weight in model.net.named_parameters()
            if not name.startswith(inside) and not weight.isfinite().all()
        ),
        None,
    )
