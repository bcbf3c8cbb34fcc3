"""How strongly neurons fire at every token of some texts, wherever nobody asks for a fact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from kn_edit.models.model import Model
from kn_edit.models.predict import written
from kn_edit.models.questions import Question, batched
from kn_edit.models.trace import trace

BATCH = 16

Ids = tuple[int, ...]


def coefficients_in(model: Model, texts: Sequence[Ids], layers: Sequence[int]) -> dict[int, Tensor]:
    """Every neuron's coefficient at every token of texts, float32, (places, d_ff), of each layer.

    With a text's first token, where causal LMs keep coefficients a thousand times as large for
    other places to look at: a shift that is heard there ruins everything that is said.
    """
    parts: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for seen, inside in _runs(model, texts, max(layers) + 1):
        for layer in layers:
            parts[layer].append(seen[layer][inside].float())
    return {
        layer: torch.cat(rows) if rows else torch.empty(0, model.d_ff, device=model.device)
        for layer, rows in parts.items()
    }


def usual_sizes(model: Model, texts: Sequence[Ids]) -> Tensor:
    """|what a layer's FFN writes|, biases aside, at the median token of texts, (layers,)."""
    sizes = []
    for seen, inside in _runs(model, texts, model.n_layers):
        rows = torch.stack([seen[layer][inside] for layer in range(model.n_layers)], 1)
        sizes.append(written(model, rows).sqrt())
    return torch.cat(sizes).median(0).values


def _runs(
    model: Model, texts: Sequence[Ids], depth: int
) -> Iterator[tuple[dict[int, Tensor], Tensor]]:
    """Coefficients of the first layers in some texts at a time, (rows, tokens, d_ff), and which of
    these tokens are a text's and no padding, (rows, tokens)."""
    ordered = sorted(set(texts), key=len)
    for start in range(0, len(ordered), BATCH):
        some = ordered[start : start + BATCH]
        batch = batched(model, [Question(ids, len(ids) - 1, 0) for ids in some])
        with torch.no_grad():
            seen = trace(model, batch.ids, mask=batch.mask, stop_at=depth).coefficients
        # Rows are ordered by `batched`; each question's position is its text's last token.
        ends = torch.zeros(len(batch.ids), dtype=torch.long, device=model.device)
        ends.scatter_reduce_(0, batch.rows, batch.positions, "amax")
        at = torch.arange(batch.ids.shape[1], device=model.device)
        yield seen, at[None, :] <= ends[:, None]
