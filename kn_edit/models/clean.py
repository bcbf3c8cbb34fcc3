"""One prompt, run once as it is, with all that is needed to climb from any of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from kn_edit.models.attention import Prefix
from kn_edit.models.model import Model
from kn_edit.models.replay import at_token, recorded
from kn_edit.models.trace import (
    LayerCall,
    SharedPrefix,
    prefix_cache,
    stored_keys,
    trace,
    trace_last_token,
)

MASK = "attention_mask"


@dataclass(frozen=True, eq=False)
class CleanRun:
    """A prompt as the network runs it: the last token of a causal LM, all of a masked one.

    Where the shapes say `tokens`, that is 1 for a causal LM.
    """

    position: int  # of the answer among the tokens
    inputs: dict[int, Tensor]  # layer -> (1, tokens, d_model)
    output: Tensor  # of the last layer, (1, tokens, d_model)
    calls: dict[int, LayerCall]  # as noted, with the prefix in place of the cache
    packed_calls: dict[int, LayerCall]  # without mask and prefix, which packed attention knows
    coefficients: dict[int, Tensor]  # at the answer, layer -> (d_ff,)
    outputs: dict[int, dict[str, Any]]  # of modules in front of the coefficients, at the answer
    prefixes: dict[int, Prefix | None]  # layer -> what stands in front of the last token
    length: int  # of the prompt up to the answer; of a masked LM's whole prompt

    @property
    def tokens(self) -> int:
        """Tokens of a row."""
        return self.output.shape[1]

    def behind(self, layer: int) -> Tensor:
        """The layer's output, (1, tokens, d_model)."""
        return self.inputs.get(layer + 1, self.output)


def clean_run(model: Model, ids: Tensor, position: int) -> CleanRun:
    """Run a prompt, (1, tokens), that is asked at a position. Raises what trace raises."""
    with torch.no_grad():
        if model.causal:
            ids = ids[:, : position + 1]
            cache = prefix_cache(model, ids)
            stored = stored_keys(cache)
            with recorded(model) as outputs:
                run = trace_last_token(model, ids, cache)
            position = 0
        else:
            stored = []
            with recorded(model) as outputs:
                run = trace(model, ids)
    assert run.output is not None
    bare = {layer: _bare(model, layer, call) for layer, call in run.calls.items()}
    return CleanRun(
        position=position,
        inputs=run.inputs,
        output=run.output,
        calls=run.calls,
        packed_calls={layer: call for layer, (call, _) in bare.items()},
        coefficients={layer: values[0, position] for layer, values in run.coefficients.items()},
        outputs={layer: at_token(parts, position) for layer, parts in outputs.items()},
        prefixes={
            layer: _prefix(stored, layer, mask, model.dtype) for layer, (_, mask) in bare.items()
        },
        length=ids.shape[1],
    )


def _bare(model: Model, layer: int, call: LayerCall) -> tuple[LayerCall, Tensor | None]:
    """A call without mask and prefix, and the mask that it had."""
    arguments = signature(model.layers[layer].forward).bind(None, *call.args, **call.kwargs)
    named = arguments.arguments if MASK in arguments.arguments else arguments.kwargs
    mask = named.get(MASK)
    stripped = LayerCall(
        tuple(_stripped(value, mask) for value in call.args),
        {name: _stripped(value, mask) for name, value in call.kwargs.items()},
    )
    return stripped, mask


def _stripped(value: Any, mask: Tensor | None) -> Any:
    if isinstance(value, SharedPrefix):
        return SharedPrefix([])
    return None if mask is not None and value is mask else value


def _prefix(
    stored: list[tuple[Tensor, Tensor]], layer: int, mask: Tensor | None, dtype: torch.dtype
) -> Prefix | None:
    """What the last token attends to, from keys and values (1, heads, tokens, width)."""
    if not stored:
        return None
    keys, values = stored[layer]
    return Prefix(keys[0], values[0], _bias(mask, keys.shape[2], dtype))


def _bias(mask: Tensor | None, length: int, dtype: torch.dtype) -> Tensor | None:
    """What a mask adds to the logits of the prefix, (length,); None where it hides nothing."""
    if mask is None:
        return None
    row = mask[0, 0, -1, : length + 1][:length]
    bias = (
        torch.zeros_like(row, dtype=dtype).masked_fill(~row, -torch.inf)
        if row.dtype == torch.bool
        else row
    )
    return bias if bool((bias != 0).any()) else None


def joined_call(calls: Sequence[LayerCall], rows: Sequence[int]) -> LayerCall:
    """One call for the rows of several prompts of a causal LM, packed along the token axis.

    What differs from prompt to prompt is what belongs to its one token, (1, 1, ...).
    """

    def joined(*values: Any) -> Any:
        first = values[0]
        if isinstance(first, Tensor) and first.ndim > 1 and first.shape[:2] == (1, 1):
            parts = zip(values, rows, strict=True)
            return torch.cat(
                [value.expand(-1, count, *value.shape[2:]) for value, count in parts], 1
            )
        if isinstance(first, tuple | list):
            return type(first)(joined(*parts) for parts in zip(*values, strict=True))
        return first

    return LayerCall(
        tuple(joined(*values) for values in zip(*(call.args for call in calls), strict=True)),
        {name: joined(*(call.kwargs[name] for call in calls)) for name in calls[0].kwargs},
    )
