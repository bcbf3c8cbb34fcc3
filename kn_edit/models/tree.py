"""Texts of a causal LM as a tree: each beginning that texts share runs once, and nothing is padded.

All tokens lie side by side in one call of a layer, where each attends to itself and to the tokens
that it follows. In the last layer only the tokens that are asked about make more than keys and
values. Where only the ends of texts run again, these are branches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
KeysAndValues = tuple[Tensor, Tensor]  # of one layer, each (1, key heads, tokens, width)
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


@dataclass(frozen=True, eq=False, kw_only=True)
class PackedTokens:
    """Tokens of some texts of a model side by side, and how its layers are called with them.

    depths: the position of each in its text; visible: whether a token, row, attends to another;
    tokens that do not run again come first, (tokens, tokens that do not + tokens)
    calls: of the layers, with a text of `length` tokens
    lent: keys and values of tokens that do not run again, by layer
    """

    model: Model
    depths: Tensor  # (tokens,)
    visible: Tensor
    calls: Mapping[int, LayerCall]
    length: int
    lent: Mapping[int, KeysAndValues] = field(default_factory=dict)

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
            keys = self._keys(last, for_keys)
            attend = self._attend(last, self.visible[list(queries)])
            with attending(with_keys(attend, *keys)):
                call = self._call(last, self.depths[list(queries)])
                return run_layer(model, last, hidden[:, list(queries)], call)[0]

    def climb(self, hidden: Tensor, layer: int, stop_at: int) -> Tensor:
        """Run the layers from one of them up to another, without that: (1, tokens, d_model).

        hidden: (tokens, d_model)
        """
        hidden = hidden[None]
        with packed_attention(self.model):
            for number in range(layer, stop_at):
                call = self._call(number, self.depths)
                with attending(self._attend(number, self.visible)):
                    hidden = run_layer(self.model, number, hidden, call)
        return hidden

    def lending(
        self, hidden: Tensor, layer: int, stop_at: int | None = None
    ) -> dict[int, KeysAndValues]:
        """Keys and values of all tokens in each layer from one up to another, without that.

        hidden: (tokens, d_model); stop_at: None takes all layers
        """
        pairs: dict[int, KeysAndValues] = {}
        with torch.no_grad():
            for number in range(layer, self.model.n_layers if stop_at is None else stop_at):
                if number > layer:
                    hidden = self.climb(hidden, number - 1, number)[0]
                with packed_attention(self.model):
                    pairs[number] = self._keys(number, hidden[None])
        return pairs

    def _keys(self, layer: int, hidden: Tensor) -> KeysAndValues:
        """What a layer makes of its input, inside of `packed_attention`: (1, tokens, d_model)."""
        try:
            with attending(take_keys):
                run_layer(self.model, layer, hidden, self._call(layer, self.depths))
        except KeysTaken as taken:
            return taken.key, taken.value
        raise AssertionError("a layer of packed tokens attends by the function that is set")

    def _attend(self, layer: int, visible: Tensor) -> Attend:
        """Attention of tokens to those that they see, lent ones among them."""
        if layer not in self.lent:
            return _attend(visible)
        attend, (lent_keys, lent_values) = _attend(visible), self.lent[layer]

        def attend_to_all(
            query: Tensor, key: Tensor, value: Tensor, scale: float, softcap: float | None
        ) -> Tensor:
            keys, values = torch.cat([lent_keys, key], 2), torch.cat([lent_values, value], 2)
            return attend(query, keys, values, scale, softcap)

        return attend_to_all

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


@dataclass(frozen=True)
class Branch:
    """A text whose tokens from one on run for themselves, whatever other texts share with it."""

    ids: Ids
    start: int


@dataclass(frozen=True, eq=False, kw_only=True)
class TextTree(PackedTokens):
    """Some texts of a model as a tree. places: of each beginning of a text among the tokens"""

    places: Mapping[Ids, int]

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

    def branches(
        self, hidden: Tensor, layer: int, branches: Sequence[Branch], stop_at: int | None = None
    ) -> tuple[PackedTokens, list[int]]:
        """The tokens of branches one behind the other, and which of the tree each of them is.

        What stands in front of them runs once, from the input of a layer on, and is lent to them.
        hidden: (tokens of the tree, d_model) at that input; stop_at: they run up to this layer
        """
        fronts = [set(self.of_text(branch.ids[: branch.start])) for branch in branches]
        front = sorted(set().union(*fronts))
        order, lent, block = list[int](), list[list[bool]](), list[int]()
        for number, (branch, in_front) in enumerate(zip(branches, fronts, strict=True)):
            places = self.of_text(branch.ids)[branch.start :]
            order += places
            lent += [[place in in_front for place in front]] * len(places)
            block += [number] * len(places)
        blocks = torch.tensor(block)
        within = self.visible[order][:, order] & (blocks[:, None] == blocks).to(self.visible.device)
        to_lent = torch.tensor(lent, dtype=torch.bool).view(len(order), len(front))
        tokens = PackedTokens(
            model=self.model,
            depths=self.depths[order],
            visible=torch.cat([to_lent.to(within.device), within], 1),
            calls=self.calls,
            length=self.length,
            lent=self._part(front).lending(hidden[front], layer, stop_at) if front else {},
        )
        return tokens, order

    def _part(self, tokens: Sequence[int]) -> PackedTokens:
        """Some tokens, all of which that stand in front of others are among them."""
        return PackedTokens(
            model=self.model,
            depths=self.depths[list(tokens)],
            visible=self.visible[list(tokens)][:, list(tokens)],
            calls=self.calls,
            length=self.length,
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
