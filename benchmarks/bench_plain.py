"""The rule of the paper's code as plain loops: what kn-edit's passes are measured against.

Written from the paper (left Riemann sum of m points, all coefficients of a layer at the answer
position scaled together, gradient of p(answer)), with hooks of torch and none of kn-edit's passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from kn_edit.models.model import Model
from kn_edit.models.questions import Question

M = 20


@dataclass(frozen=True)
class LayerCall:
    """How the network called a layer: what it got, and the layer's coefficients."""

    hidden: Tensor  # (1, tokens, d_model)
    others: tuple[Any, ...]
    named: dict[str, Any]
    coefficients: Tensor  # at the answer position, (d_ff,)


def cached_prefix_loop(model: Model, question: Question, m: int = M) -> Tensor:
    """Scores by a loop over layers; what lies below a layer runs once. (layers, d_ff)"""
    calls = layer_calls(model, question)
    return torch.stack([_above(model, question, calls, layer, m) for layer in range(len(calls))])


def full_pass_loop(
    model: Model, question: Question, m: int = M, pad_to: int | None = None, layers: Any = None
) -> Tensor:
    """Scores by a loop over layers; the whole network runs for each, all m rows together.

    pad_to: pad the prompt to so many tokens, as the paper's code does
    layers: which of the layers, all where it is None. Gives (layers, d_ff)
    """
    ids = torch.tensor([question.ids], device=model.device)
    mask = torch.ones_like(ids)
    if pad_to is not None:
        room = (0, pad_to - ids.shape[1])
        ids, mask = nn.functional.pad(ids, room), nn.functional.pad(mask, room)
    rows = {"input_ids": ids.expand(m, -1), "attention_mask": mask.expand(m, -1)}
    calls = layer_calls(model, question)
    scores = []
    for layer in range(model.n_layers) if layers is None else layers:
        leaf = _leaf(calls[layer], m)
        with scaled(model.downs[layer], leaf, question.position, ids.shape[1]):
            logits = model.net(**rows, use_cache=False).logits[:, question.position]
        scores.append(_scores(logits, leaf, calls[layer], question.token))
    return torch.stack(scores)


def layer_calls(model: Model, question: Question) -> list[LayerCall]:
    """Run the network once, and note how it calls its layers."""
    seen: list[tuple[Tensor, tuple[Any, ...], dict[str, Any]]] = []
    coefficients: list[Tensor] = []
    handles = [
        layer.register_forward_pre_hook(
            lambda _, given, named: seen.append((given[0], given[1:], named)), with_kwargs=True
        )
        for layer in model.layers
    ]
    handles += [
        down.register_forward_pre_hook(
            lambda _, given: coefficients.append(
                given[0].reshape(len(question.ids), -1)[question.position]
            )
        )
        for down in model.downs
    ]
    try:
        with torch.no_grad():
            model.net(input_ids=torch.tensor([question.ids], device=model.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return [LayerCall(*call, own) for call, own in zip(seen, coefficients, strict=True)]


@contextmanager
def scaled(down: nn.Module, leaf: Tensor, position: int, tokens: int) -> Iterator[None]:
    """Let a down-projection see these coefficients at the answer position, (rows, d_ff)."""

    def put(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        rows = given[0].reshape(len(leaf), tokens, -1)
        parts = [rows[:, :position], leaf[:, None], rows[:, position + 1 :]]
        return (torch.cat(parts, dim=1).view(given[0].shape), *given[1:])

    handle = down.register_forward_pre_hook(put)
    try:
        yield
    finally:
        handle.remove()


def _above(model: Model, question: Question, calls: list[LayerCall], layer: int, m: int) -> Tensor:
    leaf = _leaf(calls[layer], m)
    hidden = calls[layer].hidden.expand(m, -1, -1)
    with scaled(model.downs[layer], leaf, question.position, hidden.shape[1]):
        for run, call in zip(model.layers[layer:], calls[layer:], strict=True):
            hidden = _first(run(hidden, *call.others, **call.named))
    logits = model.logits(hidden[:, question.position])
    return _scores(logits, leaf, calls[layer], question.token)


def _leaf(call: LayerCall, m: int) -> Tensor:
    nodes = torch.arange(m, dtype=call.coefficients.dtype, device=call.coefficients.device) / m
    return (nodes[:, None] * call.coefficients).requires_grad_()


def _scores(logits: Tensor, leaf: Tensor, call: LayerCall, token: int) -> Tensor:
    p = logits.float().softmax(-1)[:, token]
    (gradient,) = torch.autograd.grad(p.sum(), leaf)
    return gradient.double().mean(0) * call.coefficients


def _first(output: Any) -> Tensor:
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


Loop = Callable[[Model, Question], Tensor]
