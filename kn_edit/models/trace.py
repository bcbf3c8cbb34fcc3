"""Run a network once, note how it calls its layers, and call any layer again.

What a layer is given beside its hidden states (mask, positions, rotary tables, cache) differs from
family to family; noting it on the way spares a table of signatures. The noted arguments broadcast
over the batch, so a layer can be called again with more rows than the network was run with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from kn_edit.errors import PromptTooLong, TokenNotEmbedded
from kn_edit.models.coefficients import captured
from kn_edit.models.model import Model
from kn_edit.models.questions import Batch


@dataclass(frozen=True)
class LayerCall:
    """The arguments of one layer beside its hidden states."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def with_cache(self, old: object, new: object) -> LayerCall:
        """A copy of the call with one key-value cache exchanged for another."""
        return LayerCall(
            tuple(new if value is old else value for value in self.args),
            {name: new if value is old else value for name, value in self.kwargs.items()},
        )


@dataclass(frozen=True)
class Trace:
    """One run of a network: what went into each layer and came out of the last."""

    inputs: dict[int, Tensor]  # layer -> (batch, tokens, d_model)
    calls: dict[int, LayerCall]
    coefficients: dict[int, Tensor]  # layer -> (batch, tokens, d_ff)
    output: Tensor | None  # (batch, tokens, d_model), None when stopped before the last layer


class _Stop(Exception):
    """Leaves a forward pass whose rest is not needed."""


def trace(
    model: Model,
    ids: Tensor,
    *,
    mask: Tensor | None = None,
    cache: Any = None,
    stop_at: int | None = None,
    answers: Batch | None = None,
) -> Trace:
    """Run the network on token ids, (batch, tokens), without its head.

    mask: 1 for tokens, 0 for padding; stop_at: leave before this layer's work, its input noted;
    answers: questions about these ids, at whose answers alone coefficients are noted, and in a
    causal LM hidden states too: (questions, 1, width) each. Raises TokenNotEmbedded, PromptTooLong.
    """
    _check_ids(model, ids, cache)
    at_answer = _selection(answers, ids)
    of_hidden = at_answer if model.causal else _everything
    inputs: dict[int, Tensor] = {}
    calls: dict[int, LayerCall] = {}
    output: list[Tensor] = []

    def before(layer: int) -> Any:
        def hook(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            rest = dict(kwargs)
            inputs[layer] = of_hidden(args[0] if args else rest.pop("hidden_states"))
            calls[layer] = LayerCall(args[1:], rest)
            if layer == stop_at:
                raise _Stop

        return hook

    def after(_module: Any, _args: Any, result: Any) -> None:
        output.append(of_hidden(_hidden(result)))
        raise _Stop

    handles = [
        layer.register_forward_pre_hook(before(number), with_kwargs=True)
        for number, layer in enumerate(model.layers)
    ]
    handles.append(model.layers[-1].register_forward_hook(after))
    try:
        with captured(model, at_answer) as coefficients:
            model.net(**network_arguments(model, ids, mask, cache))
    except _Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()
    shape = ids.shape if answers is None else (len(answers.tokens), 1)
    shaped = {layer: values.view(*shape, -1) for layer, values in coefficients.items()}
    return Trace(
        inputs=inputs, calls=calls, coefficients=shaped, output=output[0] if output else None
    )


def _everything(values: Tensor) -> Tensor:
    return values


def _selection(answers: Batch | None, ids: Tensor) -> Callable[[Tensor], Tensor]:
    """How values of all tokens, also flattened, are cut down to those at answers."""
    if answers is None:
        return _everything
    return lambda values: answers.at_answer(values.view(*ids.shape, -1))[:, None]


def network_arguments(model: Model, ids: Tensor, mask: Tensor | None, cache: Any) -> dict[str, Any]:
    """What the network is called with. ids: (batch, tokens); cache: of transformers, or None"""
    arguments: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    if model.causal:
        arguments["use_cache"] = cache is not None
    if cache is not None:
        arguments[_cache_argument(model)] = cache
    return arguments


def _check_ids(model: Model, ids: Tensor, cache: Any) -> None:
    """Refuse ids that the network has no embedding or no position for; it would only say where."""
    highest = int(ids.max())
    if highest >= model.n_tokens:
        token = str(model.tokenizer.convert_ids_to_tokens(highest))
        raise TokenNotEmbedded(token, highest, model.n_tokens)
    length = ids.shape[1] + (cache.get_seq_length() if cache is not None else 0)
    if model.max_length is not None and length > model.max_length:
        raise PromptTooLong(length, model.max_length)


def _cache_argument(model: Model) -> str:
    """The name under which the network takes a cache; transformers 5.24 renamed it."""
    return "cache" if "cache" in signature(model.net.forward).parameters else "past_key_values"


def run_layer(model: Model, layer: int, hidden: Tensor, call: LayerCall) -> Tensor:
    """Call one layer again, with as many rows as wished: (rows, tokens, d_model) both ways."""
    return _hidden(model.layers[layer](hidden, *call.args, **call.kwargs))


def run_from(
    model: Model,
    layer: int,
    hidden: Tensor,
    calls: Mapping[int, LayerCall],
    stop_at: int | None = None,
) -> Tensor:
    """Run the layers from the input of `layer` to the output of the last one.

    stop_at: leave before this layer
    """
    for number in range(layer, model.n_layers if stop_at is None else stop_at):
        hidden = run_layer(model, number, hidden, calls[number])
    return hidden


def _hidden(result: Any) -> Tensor:
    return torch.as_tensor(result[0] if isinstance(result, tuple) else result)


class SharedPrefix:
    """Keys and values of a prompt's first tokens, lent to any number of rows.

    Stands in for a transformers cache inside the layers; it never grows.
    """

    def __init__(self, keys_values: list[tuple[Tensor, Tensor]]) -> None:
        self._keys_values = keys_values

    def update(
        self, keys: Tensor, values: Tensor, layer: int, *_: Any, **_named: Any
    ) -> tuple[Tensor, Tensor]:
        """The prefix followed by the rows' own keys and values, (rows, heads, tokens, width)."""
        if not self._keys_values:
            return keys, values
        rows = keys.shape[0]
        old_keys, old_values = self._keys_values[layer]
        return (
            torch.cat([old_keys.expand(rows, -1, -1, -1), keys], dim=2),
            torch.cat([old_values.expand(rows, -1, -1, -1), values], dim=2),
        )


def prefix_cache(model: Model, ids: Tensor) -> Any:
    """Run a causal LM on all tokens of a prompt, (1, tokens), but its last: a transformers cache.

    Nothing else of that run is kept. Raises what trace raises.
    """
    from transformers import DynamicCache

    cache = DynamicCache(config=model.net.config)
    if ids.shape[1] > 1:
        _check_ids(model, ids[:, :-1], cache)
        handle = model.layers[-1].register_forward_hook(_leave)
        try:
            model.net(**network_arguments(model, ids[:, :-1], None, cache))
        except _Stop:
            pass
        finally:
            handle.remove()
    return cache


def _leave(*_: Any) -> None:
    raise _Stop


def trace_last_token(model: Model, ids: Tensor, cache: Any = None) -> Trace:
    """Trace the last token of a causal LM's prompt, (1, tokens), against its cached prefix.

    The calls hold a SharedPrefix, so a layer can be called again with one token per row.
    cache: of the prompt's prefix, where it is there
    """
    cache = prefix_cache(model, ids) if cache is None else cache
    shared = SharedPrefix(stored_keys(cache))
    run = trace(model, ids[:, -1:], cache=cache)
    calls = {number: call.with_cache(cache, shared) for number, call in run.calls.items()}
    return Trace(inputs=run.inputs, calls=calls, coefficients=run.coefficients, output=run.output)


def stored_keys(cache: Any) -> list[tuple[Tensor, Tensor]]:
    """Keys and values of each layer in a transformers cache; none where nothing ran."""
    return [(layer.keys, layer.values) for layer in cache.layers if layer.keys is not None]
