"""How many rows a pass may have: what a row keeps until the backward pass, in bytes.

Measured once per model on two tiny passes, because families keep different things. The rest is
counted: what grows with the prompt, and what a layer and the head need while they run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from kn_edit.models.attention import KeysTaken, attending, packed_attention, take_keys
from kn_edit.models.clean import CleanRun
from kn_edit.models.head import PIECE_BYTES
from kn_edit.models.memory import free_for_work
from kn_edit.models.model import Model
from kn_edit.models.trace import run_layer
from kn_edit.neurons.passes import Pass, Request

MEMORY = 600_000_000  # bytes over the loaded model, on the CPU
GPU_SHARE = 0.5  # of a GPU's free memory
# Pieces of the head, scratch of the matrix products, what the rules of twelve prompts keep.
FIXED = 12 * PIECE_BYTES
ROWS_SHARE = 0.9  # of the budget: an allocator cannot use every hole
PROBE_ROWS = (2, 6)
TRANSIENT = 4  # vectors of d_ff numbers per token that a layer holds while it runs


@dataclass(frozen=True)
class Traits:
    """What passes need to know of a model."""

    packed: bool  # whether rows of many prompts go through its layers in one call
    token_bytes: float  # kept for the backward pass by a token in a layer, without attention shares


_traits: WeakKeyDictionary[Model, Traits] = WeakKeyDictionary()


def traits(model: Model, run: CleanRun) -> Traits:
    """Measure a model, once. run: any prompt."""
    if model not in _traits:
        packed = _packs(model, run)
        totals = [_kept_bytes(model, run, rows, packed=packed) for rows in PROBE_ROWS]
        (more_rows,) = [second - first for first, second in pairwise(PROBE_ROWS)]
        per_row = (totals[1] - totals[0]) / more_rows
        layers = max(model.n_layers - 1, 1)
        shares = _share_bytes(model, run, packed=packed)
        _traits[model] = Traits(packed, max(per_row / layers - shares, 0) / run.tokens)
    return _traits[model]


def room(model: Model, runs: Sequence[CleanRun]) -> float:
    """Bytes for the rows of one pass: the model's budget, less what the prompts hold."""
    held = FIXED + sum(run.held_bytes for run in runs)
    budget = _budget(model)
    return max(ROWS_SHARE * (budget - held), budget / 4)


def _budget(model: Model) -> float:
    if model.memory is not None:
        return model.memory
    free = free_for_work(model) if "cuda" in model.device_kinds else None
    return MEMORY if free is None else GPU_SHARE * free


def row_bytes(model: Model, run: CleanRun, layer: int) -> float:
    """Bytes of one row that joins at a layer."""
    measured = traits(model, run)
    above = model.n_layers - 1 - layer
    layer_bytes = run.tokens * measured.token_bytes + _share_bytes(
        model, run, packed=measured.packed
    )
    size = model.dtype.itemsize
    running = TRANSIENT * run.tokens * (model.d_ff + model.d_model) * size
    return above * layer_bytes + running + 3 * model.d_ff * size


def _share_bytes(model: Model, run: CleanRun, *, packed: bool) -> float:
    """What a row keeps in a layer for each token that it attends to, in all."""
    if not model.causal:
        return 0  # attention within rows keeps no shares
    heads = model.net.config.num_attention_heads
    copied = 0 if packed else 2 * model.d_model  # keys and values
    return float((heads + copied) * run.length * model.dtype.itemsize)


def _packs(model: Model, run: CleanRun) -> bool:
    """Whether packed rows give what the network gives, in every layer."""
    if not all(_asks_for_attention(model, run, layer) for layer in range(model.n_layers)):
        return False
    request = Request(run=run, token=0, nodes={0: [1.0, 1.0]})
    with torch.no_grad():
        hidden = Pass(model, [request], packed=True).climb()
    clean = run.output[0, run.position]
    exact = math.sqrt(torch.finfo(model.dtype).eps)
    return bool(((hidden - clean).abs().max() <= 8 * exact * clean.abs().max()).item())


def _asks_for_attention(model: Model, run: CleanRun, layer: int) -> bool:
    """Whether a layer attends by the function that the configuration names."""
    try:
        with torch.no_grad(), packed_attention(model), attending(take_keys):
            run_layer(model, layer, run.inputs[layer], run.calls[layer])
    except KeysTaken:
        return True
    return False


def _kept_bytes(model: Model, run: CleanRun, rows: int, *, packed: bool) -> int:
    """Bytes that rows of layer 0 keep for the backward pass."""
    storages: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    request = Request(run=run, token=0, nodes={0: [1.0] * rows})
    hooks: Any = torch.autograd.graph.saved_tensors_hooks
    with torch.enable_grad(), hooks(keep, lambda tensor: tensor):
        hidden = Pass(model, [request], packed=packed).climb()
    assert hidden.requires_grad  # the graph has held all storages until here
    return sum(storages.values())


def plan(requests: Sequence[Request], room: float) -> list[list[Request]]:
    """Share nodes out over passes that have room for them.

    Layers climb together, so each pass takes an equal part of every layer's nodes.
    """
    places = [
        (layer, number, alpha)
        for number, request in enumerate(requests)
        for layer, alphas in request.nodes.items()
        for alpha in alphas
    ]
    by_layer: dict[int, list[tuple[int, float]]] = {}
    for layer, number, alpha in places:
        by_layer.setdefault(layer, []).append((number, alpha))
    costs = {
        (layer, number): row_bytes(request.run.model, request.run, layer)
        for number, request in enumerate(requests)
        for layer in request.nodes
    }
    total = sum(costs[layer, number] for layer, number, _ in places)
    most = max(map(len, by_layer.values()), default=0)
    passes = min(math.ceil(total / room), most)
    while passes < most and _largest(by_layer, costs, passes) > room:
        passes += 1
    return [_part(requests, by_layer, part, passes) for part in range(passes)]


def _slice(length: int, part: int, parts: int) -> slice:
    return slice(part * length // parts, (part + 1) * length // parts)


def _largest(
    by_layer: dict[int, list[tuple[int, float]]], costs: dict[tuple[int, int], float], passes: int
) -> float:
    """The bytes of the largest pass."""
    return max(
        sum(
            costs[layer, number]
            for layer, nodes in by_layer.items()
            for number, _ in nodes[_slice(len(nodes), part, passes)]
        )
        for part in range(passes)
    )


def _part(
    requests: Sequence[Request],
    by_layer: dict[int, list[tuple[int, float]]],
    part: int,
    passes: int,
) -> list[Request]:
    """What one pass is asked: every request, some with no nodes."""
    nodes: list[dict[int, list[float]]] = [{} for _ in requests]
    for layer, all_nodes in by_layer.items():
        for number, alpha in all_nodes[_slice(len(all_nodes), part, passes)]:
            nodes[number].setdefault(layer, []).append(alpha)
    return [
        Request(run=request.run, token=request.token, nodes=part_nodes)
        for request, part_nodes in zip(requests, nodes, strict=True)
    ]
