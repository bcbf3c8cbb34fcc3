"""Prompts, run once as they are, with all that is needed to climb from any of their layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from kn_edit.models.attention import Prefix
from kn_edit.models.model import Model
from kn_edit.models.questions import Batch, Question, batched, grouped_by_length
from kn_edit.models.replay import Outputs, of_question, recorded
from kn_edit.models.trace import LayerCall, SharedPrefix, Trace, trace, trace_last_token

MASK = "attention_mask"
TOGETHER = 512  # tokens of one batch, or a single prompt


@dataclass(frozen=True, eq=False)
class CleanRun:
    """One question as the network runs it.

    A row of a pass is the last token of a causal LM's prompt, or the whole prompt of a masked LM;
    `tokens` is the length of a row.
    """

    model: Model
    ids: Tensor  # up to the answer in a causal LM, (1, prompt)
    position: int  # of the answer in a row
    inputs: dict[int, Tensor]  # layer -> (1, tokens, d_model)
    output: Tensor  # of the last layer, (1, tokens, d_model)
    coefficients: dict[int, Tensor]  # at the answer, layer -> (d_ff,)
    outputs: dict[int, Outputs]  # of modules in front of the coefficients, at the answer
    calls: dict[int, LayerCall]  # at the answer, without mask and prefix: attention knows them
    prefixes: dict[int, Prefix | None]  # of a causal LM's layers

    @property
    def tokens(self) -> int:
        return self.output.shape[1]

    @property
    def length(self) -> int:
        """Tokens of the prompt, up to the answer in a causal LM."""
        return self.ids.shape[1]

    def behind(self, layer: int) -> Tensor:
        """The layer's output, (1, tokens, d_model)."""
        return self.inputs.get(layer + 1, self.output)

    @cached_property
    def single_calls(self) -> dict[int, LayerCall]:
        """The layers' calls for rows of this prompt alone, in the layers' own attention."""
        with torch.no_grad():
            noted = trace_last_token if self.model.causal else trace
            return noted(self.model, self.ids).calls

    @property
    def held_bytes(self) -> int:
        """Bytes of the prefix's keys and values."""
        prefixes = [prefix for prefix in self.prefixes.values() if prefix is not None]
        return sum(part.nbytes for prefix in prefixes for part in (prefix.keys, prefix.values))


def clean_runs(model: Model, questions: Sequence[Question]) -> list[CleanRun]:
    """Run questions, those of similar length side by side. Raises what trace raises."""
    runs: dict[int, CleanRun] = {}
    places = range(len(questions))
    for group in grouped_by_length(places, lambda place: len(_read(model, questions[place]))):
        longest = len(_read(model, questions[group[-1]]))
        together = max(TOGETHER // longest, 1)
        for start in range(0, len(group), together):
            part = group[start : start + together]
            with torch.no_grad():
                batch_runs = _run_together(model, [questions[place] for place in part])
            runs |= zip(part, batch_runs, strict=True)
    return [runs[place] for place in places]


def _read(model: Model, question: Question) -> tuple[int, ...]:
    """What the model reads before it answers."""
    return question.ids[: question.position + 1] if model.causal else question.ids


@dataclass(frozen=True, eq=False)
class _BatchRun:
    """A batch of questions, run."""

    model: Model
    batch: Batch
    trace: Trace
    outputs: dict[int, dict[str, Any]]
    cache: Any  # of all tokens of a causal LM

    def question(self, number: int, ids: tuple[int, ...]) -> CleanRun:
        """What belongs to one question."""
        model, trace = self.model, self.trace
        row, position = int(self.batch.rows[number]), int(self.batch.positions[number])
        causal = model.causal
        part = slice(number, number + 1) if causal else slice(row, row + 1)
        tokens = 1 if causal else len(ids)
        assert trace.output is not None
        return CleanRun(
            model=model,
            ids=torch.tensor([ids], device=model.device),
            position=0 if causal else position,
            inputs={layer: hidden[part, :tokens] for layer, hidden in trace.inputs.items()},
            output=trace.output[part, :tokens],
            coefficients={layer: values[number, 0] for layer, values in trace.coefficients.items()},
            outputs={layer: of_question(parts, number) for layer, parts in self.outputs.items()},
            calls={layer: self._call(layer, row, position) for layer in trace.calls},
            prefixes={
                layer: self._prefix(layer, row, position) if causal and position else None
                for layer in trace.calls
            },
        )

    @cached_property
    def _masks(self) -> dict[int, Tensor | None]:
        return {layer: mask_of(self.model, layer, call) for layer, call in self.trace.calls.items()}

    def _call(self, layer: int, row: int, position: int) -> LayerCall:
        call, mask = self.trace.calls[layer], self._masks[layer]

        def cut(value: Any) -> Any:
            if value is mask:
                return None
            if value is self.cache and value is not None:
                return SharedPrefix([])
            if isinstance(value, tuple | list):
                return type(value)(cut(part) for part in value)
            return self._at_token(value, row, position) if isinstance(value, Tensor) else value

        return LayerCall(
            tuple(cut(value) for value in call.args),
            {name: cut(value) for name, value in call.kwargs.items()},
        )

    def _at_token(self, value: Tensor, row: int, position: int) -> Tensor:
        """What belongs to one token, of an argument that has a value for each: (1, 1, ...)."""
        tokens = self.batch.ids.shape[1]
        if not self.model.causal or tokens not in value.shape[:2]:
            return value
        if value.ndim == 1:
            return value[position : position + 1]
        row = min(row, len(value) - 1)  # one row stands for all
        return value[row : row + 1, position : position + 1]

    def _prefix(self, layer: int, row: int, position: int) -> Prefix:
        keys, values = (part[row] for part in self.cache.of(layer))
        bias = _bias(self._masks[layer], row, position, self.model.dtype)
        return Prefix(keys=keys[:, :position], values=values[:, :position], bias=bias)


def _run_together(model: Model, questions: Sequence[Question]) -> list[CleanRun]:
    read = [replace(question, ids=_read(model, question)) for question in questions]
    batch = batched(model, read)
    cache = _new_cache(model) if model.causal else None
    with recorded(model, batch) as outputs:
        run = trace(model, batch.ids, mask=batch.mask, cache=cache, answers=batch)
    run_batch = _BatchRun(model=model, batch=batch, trace=run, outputs=outputs, cache=cache)
    return [run_batch.question(number, question.ids) for number, question in enumerate(read)]


def _new_cache(model: Model) -> Any:
    """A cache that keeps keys and values of all tokens, whatever window a layer looks at.

    Those of all layers of a device lie in one piece of memory each: pieces between what a layer
    allocates and frees would keep it from being used again.
    """
    from transformers import DynamicCache

    devices = [model.device_of(layer) for layer in range(model.n_layers)]
    counts = Counter(devices)

    class WholeCache(DynamicCache):  # type: ignore[misc]
        """Is empty to the network, and notes what it is given."""

        def __init__(self) -> None:
            super().__init__()
            self._pieces: dict[torch.device, tuple[Tensor, Tensor]] = {}

        def update(
            self, keys: Tensor, values: Tensor, layer: int, *_: Any, **_named: Any
        ) -> tuple[Tensor, Tensor]:
            device = devices[layer]
            if device not in self._pieces:
                shapes = [(counts[device], *part.shape) for part in (keys, values)]
                self._pieces[device] = (keys.new_empty(shapes[0]), values.new_empty(shapes[1]))
            for stored, part in zip(self.of(layer), (keys, values), strict=True):
                stored.copy_(part)
            return keys, values

        def of(self, layer: int) -> tuple[Tensor, Tensor]:
            """Keys and values of a layer, (rows, heads, tokens, width) each."""
            device = devices[layer]
            keys, values = self._pieces[device]
            place = devices[:layer].count(device)
            return keys[place], values[place]

    return WholeCache()


def mask_of(model: Model, layer: int, call: LayerCall) -> Tensor | None:
    """The attention mask of a call, wherever it stands among the arguments."""
    bound = signature(model.layers[layer].forward).bind(None, *call.args, **call.kwargs)
    mask = bound.arguments.get(MASK, call.kwargs.get(MASK))
    return mask if isinstance(mask, Tensor) else None


def _bias(mask: Tensor | None, row: int, position: int, dtype: torch.dtype) -> Tensor | None:
    """What a mask, (rows or 1, 1, tokens, tokens), adds to the logits of the prefix, (position,).

    None where nothing is hidden.
    """
    if mask is None:
        return None
    bias = mask[min(row, len(mask) - 1), 0, position, :position]
    if bias.dtype == torch.bool:
        bias = torch.zeros_like(bias, dtype=dtype).masked_fill(~bias, -torch.inf)
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
