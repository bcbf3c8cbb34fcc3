"""The ends of all paths of a prompt in one row: at alpha = 1 each of them is the prompt itself.

So one row through the network, with its gradients by the coefficients of every layer, stands for a
row of each layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from kn_edit.models.coefficients import captured
from kn_edit.models.head import p_of
from kn_edit.models.model import Model
from kn_edit.neurons.passes import Along, Pass, Request, joined

END = 1.0


def asks_for_ends(request: Request) -> bool:
    """Whether the ends of several layers are asked for."""
    return sum(END in alphas for alphas in request.nodes.values()) > 1


def without_ends(request: Request) -> Request:
    """The request for the other nodes."""
    nodes = {
        layer: [alpha for alpha in alphas if alpha != END]
        for layer, alphas in request.nodes.items()
    }
    return replace(request, nodes={layer: alphas for layer, alphas in nodes.items() if alphas})


def with_ends(
    request: Request, inner: Mapping[int, Along], ends: Mapping[int, Along]
) -> dict[int, Along]:
    """The answer to a request, from its inner nodes and the ends of all layers."""
    along = {}
    for layer, alphas in request.nodes.items():
        merged = joined([ends[layer], *([inner[layer]] if layer in inner else [])])
        inner_places = iter(range(1, len(merged.p)))
        order = [0 if alpha == END else next(inner_places) for alpha in alphas]
        along[layer] = Along(p=merged.p[order], gradients=merged.gradients[order])
    return along


def ends_of(model: Model, requests: Sequence[Request], *, packed: bool) -> list[dict[int, Along]]:
    """What the ends of all layers tell, for each of several prompts of similar length."""
    if packed and requests:
        return _ends(model, requests, packed=True)
    return [_ends(model, [request], packed=False)[0] for request in requests]


def _ends(model: Model, requests: Sequence[Request], *, packed: bool) -> list[dict[int, Along]]:
    """The ends in one pass, which holds several prompts only where it is packed."""
    end_requests = [replace(request, nodes={0: [END]}) for request in requests]
    tokens = torch.tensor([request.token for request in requests])
    with torch.enable_grad():
        climbing = Pass(model, end_requests, packed=packed)
        with captured(model) as coefficients:
            hidden = climbing.climb()
        coefficients[0] = climbing.leaves[0]
        layers = sorted(coefficients)
        p = p_of(model, hidden, tokens)
        gradients = torch.autograd.grad(p.sum(), [coefficients[layer] for layer in layers])
    p = p.detach()
    by_layer = {}
    for layer, gradient in zip(layers, gradients, strict=True):
        by_layer[layer] = _at_answers(gradient.flatten(0, -2), requests).to(p.device)
        climbing.check(layer, p, by_layer[layer])
    return [
        {
            layer: Along(p=p[number, None], gradients=gradient[number, None])
            for layer, gradient in by_layer.items()
        }
        for number in range(len(requests))
    ]


def _at_answers(gradient: Tensor, requests: Sequence[Request]) -> Tensor:
    """The rows of the answer positions, (prompts, d_ff), where a layer ran on more than these.

    gradient: of all tokens that the layer ran on, (tokens, d_ff)
    """
    if len(gradient) == len(requests):
        return gradient
    places, start = [], 0
    for request in requests:
        places.append(start + request.run.position)
        start += request.run.tokens
    return gradient[places]
