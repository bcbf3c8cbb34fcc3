"""How strongly neurons fire at every token of some texts, wherever nobody asks for a fact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from kn_edit.models.model import Model
from kn_edit.models.questions import Question, batched
from kn_edit.models.trace import trace

BATCH = 16

Ids = tuple[int, ...]


def coefficients_in(model: Model, texts: Sequence[Ids], layers: Sequence[int]) -> dict[int, Tensor]:
    """Every neuron's coefficient at every token of texts, float32, (places, d_ff), of each layer.

    With a text's first token, where causal LMs keep coefficients a thousand times as large for
    other places to look at: a shift that is heard there ruins everything that is said.
    """
    return joined(
        model, [by_layer for _, by_layer in coefficients_by_text(model, texts, layers)], layers
    )


def coefficients_by_text(
    model: Model, texts: Sequence[Ids], layers: Sequence[int]
) -> Iterator[tuple[Ids, dict[int, Tensor]]]:
    """Each text once, shorter ones first, with its coefficients, float32, (tokens, d_ff), of each
    layer. No layer above these is run."""
    ordered = sorted(dict.fromkeys(texts), key=len)
    for start in range(0, len(ordered), BATCH):
        chunk = ordered[start : start + BATCH]
        batch = batched(model, [Question(ids, len(ids) - 1, 0) for ids in chunk])
        with torch.no_grad():
            by_layer = trace(
                model, batch.ids, mask=batch.mask, stop_at=max(layers) + 1
            ).coefficients
        for ids, row in zip(chunk, batch.rows.tolist(), strict=True):
            rows = {layer: by_layer[layer][row, : len(ids)] for layer in layers}
            yield ids, {layer: part.to(model.device).float() for layer, part in rows.items()}


def joined(
    model: Model, parts: Sequence[Mapping[int, Tensor]], layers: Sequence[int]
) -> dict[int, Tensor]:
    """The rows of some parts one below the other, (rows, d_ff), of each layer."""
    nothing = torch.empty(0, model.d_ff, device=model.device)
    return {layer: torch.cat([nothing, *(part[layer] for part in parts)]) for layer in layers}


def usual_sizes(model: Model, texts: Sequence[Ids], layers: Sequence[int] | None = None) -> Tensor:
    """|what a layer's FFN writes|, biases aside, at the median token of texts, (layers,).

    layers: of these, in their order; None: of all
    """
    wanted = range(model.n_layers) if layers is None else layers
    sizes: dict[int, list[Tensor]] = {layer: [] for layer in wanted}
    for _, by_layer in coefficients_by_text(model, texts, wanted):
        for layer in wanted:
            coefficients = by_layer[layer].to(model.device_of(layer))
            sizes[layer].append((coefficients @ model.slots(layer).float()).norm(dim=1))
    return torch.stack([torch.cat(sizes[layer]).median().to(model.device) for layer in wanted])
