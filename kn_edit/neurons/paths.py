"""p(answer) along the integration paths: each layer's coefficients scaled from 0 to their value.

The plain way runs the whole network once per layer and node. Here one forward and one backward
pass serve all layers and nodes at once:

- the part below a layer is the same for every node, so it runs once, without gradients;
- at layer l that layer's nodes join as new rows, and all rows climb on together;
- in a causal LM only the last token runs, against the cached keys and values of the prompt;
- only the answer position enters the head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.errors import NotFinite
from kn_edit.models.coefficients import replaced
from kn_edit.models.finite import first_non_finite
from kn_edit.models.model import Model
from kn_edit.models.placement import dtype_name
from kn_edit.models.questions import Question, batched
from kn_edit.models.trace import run_layer, trace, trace_last_token

TOKENS_AT_ONCE = 512  # rows times tokens in one pass; bounds the memory of a pass


@dataclass(frozen=True)
class Along:
    """What one layer's path looks like at some nodes."""

    p: Tensor  # p(answer), (nodes,)
    gradients: Tensor  # d p(answer) / d coefficient, (nodes, d_ff)


class Paths:
    """The integration paths of one question, all layers.

    Raises NotFinite where p(answer) or a gradient of it is not a number.
    """

    def __init__(self, model: Model, question: Question) -> None:
        self._model = model
        self._token = question.token
        ids = torch.tensor([question.ids], device=model.device)
        with torch.no_grad():
            if model.causal:
                prefix = ids[:, : question.position + 1]
                run, self._position = trace_last_token(model, prefix), 0
            else:
                run, self._position = trace(model, ids), question.position
            assert run.output is not None
            self._inputs, self._calls = run.inputs, run.calls
            self.coefficients: dict[int, Tensor] = {
                layer: values[0, self._position] for layer, values in run.coefficients.items()
            }  # layer -> (d_ff,)
            self.p = float(self._p(run.output))
        if not math.isfinite(self.p):
            raise first_non_finite(model, batched(model, [question]))
        self.n_layers, self.d_ff = model.n_layers, model.d_ff
        self.epsilon = torch.finfo(model.dtype).eps  # of the numbers that it computes with

    def coefficients_of(self, layer: int) -> Tensor:
        """The layer's coefficients at the answer position, float64 on the CPU, (d_ff,)."""
        return self.coefficients[layer].double().cpu()

    def evaluate(self, nodes: Mapping[int, Sequence[float]]) -> dict[int, Along]:
        """p(answer) and its gradient at nodes alpha of the named layers.

        nodes: layer -> places on its path, 0 for no activation and 1 for the layer's own.
        """
        tokens = next(iter(self._inputs.values())).shape[1]
        pieces = _split(nodes, TOKENS_AT_ONCE // tokens)
        done = [self._pass(piece) for piece in pieces]
        return {
            layer: Along(
                torch.cat([piece[layer].p for piece in done if layer in piece]),
                torch.cat([piece[layer].gradients for piece in done if layer in piece]),
            )
            for layer, alphas in nodes.items()
            if len(alphas)
        }

    def _pass(self, nodes: Mapping[int, Sequence[float]]) -> dict[int, Along]:
        """One forward and one backward pass over a growing batch."""
        leaves: dict[int, Tensor] = {}
        rows: Tensor | None = None
        with torch.enable_grad():
            for layer in range(min(nodes), self._model.n_layers):
                alphas = nodes.get(layer, ())
                if len(alphas):
                    clean = self._inputs[layer].expand(len(alphas), -1, -1)
                    rows = clean if rows is None else torch.cat([rows, clean])
                    leaves[layer] = self._scaled(layer, alphas)
                assert rows is not None
                rows = self._run(layer, rows, leaves.get(layer))  # (rows, tokens, d_model)
            assert rows is not None
            p = self._p(rows)  # (rows,)
            gradients = torch.autograd.grad(p.sum(), list(leaves.values()))
        parts = torch.split(p.detach(), [len(leaf) for leaf in leaves.values()])
        for layer, part, gradient in zip(leaves, parts, gradients, strict=True):
            if not bool(part.isfinite().all() and gradient.isfinite().all()):
                dtype = dtype_name(self._model.dtype)
                raise NotFinite(f"layer {layer} (its integration path)", dtype)
        return {
            layer: Along(part, gradient)
            for layer, part, gradient in zip(leaves, parts, gradients, strict=True)
        }

    def _scaled(self, layer: int, alphas: Sequence[float]) -> Tensor:
        coefficients = self.coefficients[layer]
        scale = torch.tensor(alphas, dtype=coefficients.dtype, device=coefficients.device)
        return (scale[:, None] * coefficients).requires_grad_()  # (nodes, d_ff)

    def _run(self, layer: int, rows: Tensor, leaf: Tensor | None) -> Tensor:
        """Run one layer; its new rows, the last ones, take the leaf's coefficients."""
        call = self._calls[layer]
        if leaf is None:
            return run_layer(self._model, layer, rows, call)

        def exchange(coefficients: Tensor) -> Tensor:
            view = coefficients.view(*rows.shape[:2], -1)  # (rows, tokens, d_ff)
            old, new = view[: -len(leaf)], view[-len(leaf) :]
            before, after = new[:, : self._position], new[:, self._position + 1 :]
            new = torch.cat([before, leaf[:, None], after], dim=1)
            return torch.cat([old, new]).view(coefficients.shape)

        with replaced(self._model, {layer: exchange}):
            return run_layer(self._model, layer, rows, call)

    def _p(self, hidden: Tensor) -> Tensor:
        logits = self._model.logits(hidden[:, self._position])  # (rows, vocabulary)
        # In 16 bits p would have two or three digits.
        exact = torch.promote_types(logits.dtype, torch.float32)
        return logits.softmax(-1, dtype=exact)[:, self._token]


def evaluate_many(
    requests: Sequence[tuple[Paths, Mapping[int, Sequence[float]]]],
) -> list[dict[int, Along]]:
    """Evaluate nodes of many prompts of one model; each answer is that of `Paths.evaluate`.

    requests: prompts, each with its nodes, layer -> places on its path.
    """
    return [
        paths.evaluate(nodes) if any(map(len, nodes.values())) else {} for paths, nodes in requests
    ]


def _split(nodes: Mapping[int, Sequence[float]], most: int) -> list[dict[int, Sequence[float]]]:
    """Share nodes out over passes of at most `most` rows, but a node of every layer in each.

    Layers climb together, so each pass takes an equal part of every layer's nodes.
    """
    size = max(map(len, nodes.values()))  # nodes of one layer in a pass
    while size > 1 and sum(min(size, len(alphas)) for alphas in nodes.values()) > most:
        size -= 1
    pieces: list[dict[int, Sequence[float]]] = []
    for start in range(0, max(map(len, nodes.values())), size):
        piece = {layer: alphas[start : start + size] for layer, alphas in nodes.items()}
        pieces.append({layer: alphas for layer, alphas in piece.items() if len(alphas)})
    return pieces
