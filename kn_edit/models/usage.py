"""How strongly neurons fire at every token of some texts, wherever nobody asks for a fact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from kn_edit.models.model import Model
from kn_edit.models.predict import written
from kn_edit.models.questions import Question, batched
from kn_edit.models.trace import trace
from kn_edit.neuron import NeuronId

BATCH = 16

Ids = tuple[int, ...]


def mean_squares(model: Model, texts: Sequence[Ids]) -> Tensor:
    """The mean square of every neuron's coefficient over the tokens of texts, (layers, d_ff).

    With a text's first token, where causal LMs keep coefficients a thousand times as large for
    other places to look at: a shift that is heard there ruins everything that is said. float32.
    """
    total = torch.zeros(model.n_layers, model.d_ff, device=model.device)
    count = 0
    for seen, inside in _runs(model, texts):
        rows = [seen[layer][inside].float().square().sum(0) for layer in range(model.n_layers)]
        total += torch.stack(rows)
        count += int(inside.sum())
    return total / max(count, 1)


def coefficients_of(model: Model, texts: Sequence[Ids], neurons: Sequence[NeuronId]) -> Tensor:
    """Coefficients of some neurons at every token of texts, (places, n)."""
    layers = sorted({neuron.layer for neuron in neurons})
    columns = {
        layer: [at for at, neuron in enumerate(neurons) if neuron.layer == layer]
        for layer in layers
    }
    parts = [torch.empty(0, len(neurons), device=model.device)]
    for seen, inside in _runs(model, texts):
        part = torch.empty(int(inside.sum()), len(neurons), device=model.device)
        for layer, at in columns.items():
            part[:, at] = seen[layer][inside][:, [neurons[one].index for one in at]].float()
        parts.append(part)
    return torch.cat(parts)


def usual_sizes(model: Model, texts: Sequence[Ids]) -> Tensor:
    """|what a layer's FFN writes|, biases aside, at the median token of texts, (layers,)."""
    sizes = []
    for seen, inside in _runs(model, texts):
        rows = torch.stack([seen[layer][inside] for layer in range(model.n_layers)], 1)
        sizes.append(written(model, rows).sqrt())
    return torch.cat(sizes).median(0).values


def _runs(model: Model, texts: Sequence[Ids]) -> Iterator[tuple[dict[int, Tensor], Tensor]]:
    """Coefficients of every layer in some texts at a time, (rows, tokens, d_ff), and which of
    these tokens are a text's and no padding, (rows, tokens)."""
    ordered = sorted(set(texts), key=len)
    for start in range(0, len(ordered), BATCH):
        some = ordered[start : start + BATCH]
        batch = batched(model, [Question(ids, len(ids) - 1, 0) for ids in some])
        with torch.no_grad():
            seen = trace(model, batch.ids, mask=batch.mask).coefficients
        # Rows are ordered by `batched`; each question's position is its text's last token.
        ends = torch.zeros(len(batch.ids), dtype=torch.long, device=model.device)
        ends.scatter_reduce_(0, batch.rows, batch.positions, "amax")
        at = torch.arange(batch.ids.shape[1], device=model.device)
        yield seen, at[None, :] <= ends[:, None]
