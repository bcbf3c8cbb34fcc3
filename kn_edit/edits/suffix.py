"""The part of a network above the lowest edited layer, run again and again with shifted slots."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from kn_edit.models.batching import packed
from kn_edit.models.coefficients import captured
from kn_edit.models.head import leads_of
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, batched, distinct_rows
from kn_edit.models.trace import LayerCall, run_from, trace
from kn_edit.models.tree import TextTree, fits, trees
from kn_edit.models.usage import Ids

Coefficients = dict[int, Tensor]  # of a text by layer, float32, (tokens, d_ff)
STEP = 4  # texts are padded to a multiple of so many tokens

# How the layers of a model are called with texts of a length: whatever the texts and weights are.
_calls: WeakKeyDictionary[Model, dict[int, Mapping[int, LayerCall]]] = WeakKeyDictionary()


class Addition(Protocol):
    """What is added to the value slots of one layer."""

    def written(self, coefficients: Tensor) -> Tensor:
        """What the layer writes more for it, (..., d_model); of coefficients (..., d_ff)."""
        ...


@dataclass(frozen=True, eq=False)
class Shift:
    """A shift b of some value slots of one layer."""

    index: Tensor  # (n,)
    b: Tensor  # (n, d_model)

    def written(self, coefficients: Tensor) -> Tensor:
        return coefficients[..., self.index.to(coefficients.device)] @ self.b.to(coefficients)


@dataclass(frozen=True, eq=False)
class LowRankShift:
    """A shift u^T v of all value slots of one layer, of low rank."""

    u: Tensor  # (r, d_ff)
    v: Tensor  # (r, d_model)

    def written(self, coefficients: Tensor) -> Tensor:
        return (coefficients @ self.u.T.to(coefficients)) @ self.v.to(coefficients)


@contextmanager
def shifted(model: Model, shifts: Mapping[int, Addition]) -> Iterator[None]:
    """Add shifts to value slots inside the block, differentiably and without touching weights.

    What a down-projection writes with slots v + b is what it writes with v, plus coefficients
    times b.
    """
    with ExitStack() as hooks:
        for layer, shift in shifts.items():
            handle = model.downs[layer].register_forward_hook(_adding(shift))
            hooks.callback(handle.remove)
        yield


def _adding(shift: Addition) -> Any:
    def hook(_module: Any, inputs: tuple[Tensor, ...], written: Tensor) -> Tensor:
        return written + shift.written(inputs[0]).to(written.dtype)

    return hook


@dataclass(frozen=True, eq=False)
class TextGroup:
    """Texts side by side, padded on the right, at the input of a layer."""

    texts: list[Ids]
    hidden: Tensor  # (texts, tokens, d_model)
    calls: Mapping[int, LayerCall]  # of the layers from there on

    def run(self, model: Model, stop_at: int | None = None) -> Tensor:
        """Run the layers to the output of the last one, (texts, tokens, d_model).

        stop_at: leave before this layer
        """
        bottom = min(self.calls, default=model.n_layers)
        return run_from(model, bottom, self.hidden, self.calls, stop_at)

    def rows(self, values: Tensor, number: int) -> Tensor:
        """What belongs to one of the texts, (tokens, width), of values at all places."""
        padded = values.view(*self.hidden.shape[:2], -1)
        return padded[number, : len(self.texts[number])]


@dataclass(frozen=True, eq=False)
class TreeGroup:
    """Texts as a tree, at the input of a layer."""

    texts: list[Ids]
    hidden: Tensor  # (tokens, d_model)
    tree: TextTree
    layer: int

    def run(self, model: Model, stop_at: int | None = None) -> Tensor:
        """Run the layers to the output of the last one, (1, tokens, d_model).

        stop_at: leave before this layer
        """
        return self.tree.climb(
            self.hidden, self.layer, model.n_layers if stop_at is None else stop_at
        )

    def rows(self, values: Tensor, number: int) -> Tensor:
        """What belongs to one of the texts, (tokens, width), of values at all places."""
        ids = self.texts[number]
        return values.flatten(0, -2)[self.tree.of_text(ids)]


class Suffix:
    """Texts from the input of a layer on; what lies below that layer ran once."""

    def __init__(self, model: Model, layer: int, texts: Iterable[Ids]) -> None:
        self._model, self._layer = model, layer
        self._hidden: dict[Ids, Tensor] = {}  # of each text, (tokens, d_model)
        known = list(dict.fromkeys(texts))
        if layer and known:
            bottom = Suffix(model, 0, ())
            if bottom._fits_tree(max(known, key=len)):
                bottom._hidden = _inputs(model, 0, known)
                self._hidden = bottom.above(layer, known)._hidden
                return
        self._hidden = _inputs(model, layer, known)

    @classmethod
    def from_inputs(cls, model: Model, layer: int, inputs: Mapping[Ids, Tensor]) -> Suffix:
        """Texts that ran up to a layer before. inputs: of the layer, each (tokens, d_model)"""
        suffix = cls(model, layer, ())
        suffix._hidden = {ids: hidden.to(model.device) for ids, hidden in inputs.items()}
        return suffix

    def input_of(self, text: Ids) -> Tensor:
        """The input of the layer, of one of the texts, (tokens, d_model)."""
        return self._hidden[text]

    def above(self, layer: int, texts: Iterable[Ids]) -> Suffix:
        """Some of the texts from the input of a higher layer on."""
        return self.climbed(layer, texts, ())[0]

    def climbed(
        self, layer: int, texts: Iterable[Ids], below: Sequence[int]
    ) -> tuple[Suffix, dict[Ids, Coefficients]]:
        """Some of the texts from the input of a higher layer on, and coefficients of each.

        below: the layers of these, lower ones than that
        """
        higher = Suffix(self._model, layer, ())
        coefficients: dict[Ids, Coefficients] = {}
        for group in self.groups(texts):
            hidden, of_texts = self._climb(group, layer, below)
            coefficients |= of_texts
            for number, ids in enumerate(group.texts):
                higher._hidden[ids] = group.rows(hidden, number)
        return higher, coefficients

    def _climb(
        self, group: TextGroup | TreeGroup, stop_at: int, layers: Sequence[int]
    ) -> tuple[Tensor, dict[Ids, Coefficients]]:
        """The input of a layer, of all texts of a group, and coefficients of layers below it."""
        model = self._model
        with torch.no_grad(), captured(model, layers=layers) as by_layer:
            hidden = group.run(model, stop_at=stop_at)
        values = {layer: by_layer[layer].to(model.device).float() for layer in layers}
        return hidden, {
            ids: {layer: group.rows(values[layer], number) for layer in layers}
            for number, ids in enumerate(group.texts)
        }

    def groups(self, texts: Iterable[Ids]) -> Iterator[TextGroup | TreeGroup]:
        """Put texts into groups that run together: as trees, or padded, the shorter ones first."""
        every = list(dict.fromkeys(texts))
        if every and self._fits_tree(max(every, key=len)):
            yield from map(self._as_tree, trees(every))
            return
        for group in packed(every, padded=self._model.causal):
            length = self._padded_length(len(group[-1]))
            hidden = self._hidden[group[-1]].new_zeros(len(group), length, self._model.d_model)
            for row, ids in enumerate(group):
                hidden[row, : len(ids)] = self._hidden[ids]
            yield TextGroup(texts=group, hidden=hidden, calls=self._calls_of(group[-1], length))

    def _as_tree(self, texts: list[Ids]) -> TreeGroup:
        longest = max(texts, key=len)
        length = self._padded_length(len(longest))
        tree = TextTree.of(self._model, texts, self._calls_of(longest, length), length)
        hidden = self._hidden[longest].new_empty(len(tree.places), self._model.d_model)
        for ids in texts:
            hidden[tree.of_text(ids)] = self._hidden[ids]
        return TreeGroup(texts=texts, hidden=hidden, tree=tree, layer=self._layer)

    def log_p(self, questions: Sequence[Question]) -> Tensor:
        """Log-probabilities at each question, float32, (questions, vocabulary).

        The questions are about texts of the suffix, or beginnings of them in a causal LM.
        """
        model = self._model
        if not questions:
            return torch.empty(0, model.n_tokens, device=model.device)
        return self._of_each(
            questions, lambda _, hidden: model.logits(hidden).float().log_softmax(-1)
        )

    def leads(self, questions: Sequence[Question]) -> Tensor:
        """By how much the token of each question leads, in log-probability, float32, (questions,).

        The questions are about texts of the suffix, or beginnings of them in a causal LM.
        """
        model = self._model
        if not questions:
            return torch.empty(0, device=model.device)
        tokens = torch.tensor([question.token for question in questions])

        def of_some(indices: list[int], hidden: Tensor) -> Tensor:
            return leads_of(model, hidden, tokens[indices])[0].float().to(model.device)

        with torch.no_grad():
            return self._of_each(questions, of_some)

    def _of_each(
        self, questions: Sequence[Question], of_some: Callable[[list[int], Tensor], Tensor]
    ) -> Tensor:
        """A row of each question, in their order, (questions, ...).

        of_some: gives those of some indices, by the last layer's output there, (indices, d_model)
        """
        parts: list[Tensor] = []
        order: list[int] = []
        for indices, hidden in self._at_questions(questions):
            parts.append(of_some(indices, hidden))
            order += indices
        places = torch.tensor(order, dtype=torch.long).argsort()
        return torch.cat(parts)[places.to(self._model.device)]

    def _at_questions(self, questions: Sequence[Question]) -> Iterator[tuple[list[int], Tensor]]:
        """Indices of some questions, and the last layer's output there, (questions, d_model)."""
        asked: dict[Ids, list[int]] = {}
        texts, rows = distinct_rows(
            [question.ids for question in questions], within=self._model.causal
        )
        for index, row in enumerate(rows):
            asked.setdefault(texts[row], []).append(index)
        for group in self.groups(asked):
            pairs = [(row, index) for row, ids in enumerate(group.texts) for index in asked[ids]]
            indices = [index for _, index in pairs]
            if isinstance(group, TreeGroup):
                places = [group.tree.place(questions[index]) for index in indices]
                yield indices, group.tree.run(group.hidden, self._layer, places)
            else:
                positions = [questions[index].position for index in indices]
                yield indices, group.run(self._model)[[row for row, _ in pairs], positions]

    def _fits_tree(self, longest: Ids) -> bool:
        calls = self._calls_of(longest, self._padded_length(len(longest)))
        return self._model.causal and fits(self._model, calls)

    def coefficients(
        self, texts: Iterable[Ids], layers: Sequence[int]
    ) -> Iterator[tuple[Ids, Coefficients]]:
        """Each text once with its coefficients of each layer. No layer above these is run."""
        for group in self.groups(texts):
            yield from self._climb(group, max(layers) + 1, layers)[1].items()

    def _padded_length(self, length: int) -> int:
        """The length that texts are padded to, so that there are few lengths to make calls of."""
        if not self._model.causal:
            return length  # padding would be seen
        most = self._model.max_length or math.inf
        return int(min(-(-length // STEP) * STEP, max(most, length)))

    def _calls_of(self, text: Ids, length: int) -> Mapping[int, LayerCall]:
        """How the layers are called with texts of a length, for as many of them as wished."""
        of_model = _calls.setdefault(self._model, {})
        if length not in of_model:
            ids = (*text, *text[:1] * (length - len(text)))
            # Kept, so a caller that works in inference mode must not leave others such tensors.
            with torch.inference_mode(False), torch.no_grad():
                run = trace(self._model, torch.tensor([ids], device=self._model.device))
            of_model[length] = run.calls
        calls = of_model[length]
        return {layer: call for layer, call in calls.items() if layer >= self._layer}


def _inputs(model: Model, layer: int, texts: Sequence[Ids]) -> dict[Ids, Tensor]:
    """What texts come to at the input of a layer, each (tokens, d_model)."""
    hidden: dict[Ids, Tensor] = {}
    longest, rows = distinct_rows(texts, within=model.causal)
    for group in packed(longest, padded=model.causal):
        batch = batched(model, [Question(ids, len(ids) - 1, 0) for ids in group])
        with torch.no_grad():
            inputs = trace(model, batch.ids, mask=batch.mask, stop_at=layer).inputs[layer]
        for ids, row in zip(group, batch.rows.tolist(), strict=True):
            hidden[ids] = inputs[row, : len(ids)].clone()
    for ids, row in zip(texts, rows, strict=True):
        hidden[ids] = hidden[longest[row]][: len(ids)]
    return hidden
