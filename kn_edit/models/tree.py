"""Texts of a causal LM as a tree: each beginning that texts share runs once, and nothing is padded.

All tokens lie side by side in one call of a layer, where each attends to itself and to the tokens
that it follows. In the last layer only the tokens that are asked about make more than keys and
values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from kn_edit.models.attention import (
    Attend,
    KeysTaken,
    attending,
    packed_attention,
    take_keys,
    with_keys,
)
from kn_edit.models.clean import mask_of
from kn_edit.models.model import Model
from kn_edit.models.questions import Question
from kn_edit.models.trace import LayerCall, Trace, run_layer, trace

Ids = tuple[int, ...]
MOST_TOKENS = 512  # of a tree, or one text; each token is compared with each
PROBE: tuple[Ids, ...] = ((0, 1, 2, 3), (0, 1, 4), (5, 1))  # texts by which a model is checked

_fit: WeakKeyDictionary[Model, bool] = WeakKeyDictionary()


def fits(model: Model, calls: Mapping[int, LayerCall]) -> bool:
    """Whether texts may run as a tree, with layers that are called like this.

    Measured once for a model; and each token has to see all of its text, where layers may have a
    window.
    """
    if model not in _fit:
        _fit[model] = model.causal and _gives_what_the_network_gives(model)
    return _fit[model] and all(_sees_all(mask_of(model, *pair)) for pair in calls.items())


def trees(texts: Iterable[Ids]) -> Iterator[list[Ids]]:
    """Put texts into groups of at most MOST_TOKENS tokens, or one text; like ones are together."""
    group: list[Ids] = []
    for text in sorted(texts):
        if group and sum(map(len, group)) + len(text) > MOST_TOKENS:
            yield group
            group = []
        group.append(text)
    if group:
        yield group


@dataclass(frozen=True, eq=False)
class TextTree:
    """Some texts of a model, and how its layers are called with them.

    places: of each beginning of a text among the tokens; depths: the position of each in its text
    visible: whether a token, row, attends to another, (tokens, tokens)
    calls: of the layers, with a text of `length` tokens
    """

    model: Model
    places: Mapping[Ids, int]
    depths: Tensor  # (tokens,)
    visible: Tensor
    calls: Mapping[int, LayerCall]
    length: int

    @classmethod
    def of(
        cls, model: Model, texts: Iterable[Ids], calls: Mapping[int, LayerCall], length: int
    ) -> TextTree:
        """The tree of texts, none of which is longer than `length`."""
        places: dict[Ids, int] = {}
        for text in texts:
            for end in range(1, len(text) + 1):
                places.setdefault(text[:end], len(places))
        visible = torch.eye(len(places), dtype=torch.bool)
        for beginning, place in places.items():
            if len(beginning) > 1:
                visible[place] |= visible[places[beginning[:-1]]]
        depths = torch.tensor([len(beginning) - 1 for beginning in places])
        return cls(
            model=model,
            places=places,
            depths=depths.to(model.device),
            visible=visible.to(model.device),
            calls=calls,
            length=length,
        )

    def of_text(self, ids: Ids) -> list[int]:
        """The places of a text's tokens."""
        return [self.places[ids[:end]] for end in range(1, len(ids) + 1)]

    def place(self, question: Question) -> int:
        """The place where a question asks."""
        return self.places[question.ids[: question.position + 1]]

    def run(self, hidden: Tensor, layer: int, queries: Sequence[int]) -> Tensor:
        """Run the layers from the input of one of them on: the output at some tokens.

        hidden: (tokens, d_model); queries: the tokens; their output is (queries, d_model)
        """
        model, last = self.model, self.model.n_layers - 1
        hidden = self.climb(hidden, layer, last)
        # Of its own, so that its gradients are added up by themselves, as those of a copy on
        # another device are: sums in another order are rounded otherwise.
        for_keys = hidden.view_as(hidden)
        with packed_attention(model):
            try:
                with attending(take_keys):
                    run_layer(model, last, for_keys, self._call(last, self.depths))
            except KeysTaken as taken:
                attend = with_keys(_attend(self.visible[list(queries)]), taken.key, taken.value)
            with attending(attend):
                call = self._call(last, self.depths[list(queries)])
                return run_layer(model, last, hidden[:, list(queries)], call)[0]

    def climb(self, hidden: Tensor, layer: int, stop_at: int) -> Tensor:
        """Run the layers from one of them up to another, without that: (1, tokens, d_model).

        hidden: (tokens, d_model)
        """
        hidden = hidden[None]
        with packed_attention(self.model), attending(_attend(self.visible)):
            for number in range(layer, stop_at):
                call = self._call(number, self.depths)
                hidden = run_layer(self.model, number, hidden, call)
        return hidden

    def _call(self, layer: int, depths: Tensor) -> LayerCall:
        """How a layer is called with tokens at these positions, each of them in its own text."""
        call = self.calls[layer]
        mask = mask_of(self.model, layer, call)

        def chosen(value: Any) -> Any:
            if value is mask:
                return None
            if isinstance(value, tuple | list):
                return type(value)(chosen(part) for part in value)
            if not isinstance(value, Tensor) or self.length not in value.shape[:2]:
                return value
            return value[depths] if value.ndim == 1 else value[:1, depths.to(value.device)]

        return LayerCall(
            tuple(chosen(value) for value in call.args),
            {name: chosen(value) for name, value in call.kwargs.items()},
        )


def _attend(visible: Tensor) -> Attend:
    """Attention of tokens to those that they see, (queries, keys)."""

    def attend(
        query: Tensor, key: Tensor, value: Tensor, scale: float, softcap: float | None
    ) -> Tensor:
        mask = visible.to(query.device)
        if softcap is None:
            output = torch.nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, scale=scale, enable_gqa=True
            )
            return output.transpose(1, 2)
        group = query.shape[1] // key.shape[1]
        key, value = (part.repeat_interleave(group, 1) for part in (key, value))
        logits = torch.tanh(query @ key.transpose(2, 3) * scale / softcap) * softcap
        shares = logits.float().masked_fill(~mask, -torch.inf).softmax(-1).to(value.dtype)
        return (shares @ value).transpose(1, 2)

    return attend


def _gives_what_the_network_gives(model: Model) -> bool:
    """Whether the ends of a few texts come out of a tree as out of the network."""
    probe = [tuple(min(token, model.n_tokens - 1) for token in text) for text in PROBE]
    with torch.no_grad():
        runs = [trace(model, torch.tensor([text], device=model.device)) for text in probe]
        if not all(_asks_for_attention(model, layer, runs[0]) for layer in range(model.n_layers)):
            return False
        tree = TextTree.of(model, probe, runs[0].calls, len(probe[0]))
        hidden = runs[0].inputs[0].new_empty(len(tree.places), model.d_model)
        for text, run in zip(probe, runs, strict=True):
            for place in range(len(text)):
                hidden[tree.places[text[: place + 1]]] = run.inputs[0][0, place]
        ends = tree.run(hidden, 0, [tree.places[text] for text in probe])
    outputs = [run.output for run in runs if run.output is not None]
    expected = torch.cat([output[:, -1] for output in outputs])
    exact = 8 * math.sqrt(torch.finfo(model.dtype).eps)
    return bool((ends - expected).abs().max() <= exact * expected.abs().max())


def _asks_for_attention(model: Model, layer: int, run: Trace) -> bool:
    """Whether a layer attends by the function that the configuration names."""
    try:
        with packed_attention(model), attending(take_keys):
            run_layer(model, layer, run.inputs[layer], run.calls[layer])
    except KeysTaken:
        return True
    return False


def _sees_all(mask: Tensor | None) -> bool:
    """Whether every token sees all in front of it, (rows, 1, tokens, tokens)."""
    if mask is None:
        return True
    tokens = mask.shape[-1]
    before = torch.ones(tokens, tokens, dtype=torch.bool, device=mask.device).tril()
    part = mask[..., before]
    return bool((part if mask.dtype == torch.bool else part == 0).all())
