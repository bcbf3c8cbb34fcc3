"""A text that a causal LM goes on to say, a token at a time, as transformers' `generate` does.

Each text has a key-value cache of its own, so that several can take turns on one network, which
may hold other weights between two turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from random import Random
from typing import Any

import torch
from torch import Tensor

from kn_edit.models.finite import first_non_finite
from kn_edit.models.greedy import ending_tokens
from kn_edit.models.model import Model
from kn_edit.models.predict import is_nan
from kn_edit.models.questions import Question, batched
from kn_edit.models.trace import network_arguments
from kn_edit.seeds import generator


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    temperature: of the softmax; 0 always takes the likeliest token, as greedy search does
    top_p: only the likeliest tokens that together have this probability are drawn from
    seed: of what is drawn; likeliest: how many of the likeliest tokens are told beside each
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    likeliest: int = 0


GREEDY = Sampling()


@dataclass(frozen=True)
class SaidToken:
    """A token that was said. Log-probabilities are the model's own, before any temperature.

    likeliest: the likeliest tokens in its place, likeliest first
    """

    id: int
    log_p: float
    likeliest: tuple[tuple[int, float], ...] = ()


class Generation:
    """A prompt and what the model says behind it.

    ids: the prompt's tokens, at least one, of which the model has embeddings
    """

    def __init__(self, model: Model, ids: Sequence[int], sampling: Sampling = GREEDY) -> None:
        from transformers import DynamicCache

        self.prompt = tuple(ids)
        self.tokens: list[int] = []
        self._model, self._sampling = model, sampling
        self._ends = ending_tokens(model)
        self._cache: Any = DynamicCache(config=model.net.config)
        self._unread = self.prompt  # tokens that are not in the cache yet
        self._drawing = generator(sampling.seed, "sampling")

    @property
    def ended(self) -> bool:
        """Whether the model has ended the text."""
        return not self._ends.isdisjoint(self.tokens[-1:])

    def next_token(self) -> SaidToken:
        """Let the model say one more token, with the weights that it holds now. Raises NotFinite.

        The first call reads the whole prompt.
        """
        logits = self._logits()
        log_p = logits.log_softmax(-1)  # (vocabulary,)
        token = chosen_token(logits, self._sampling, self._drawing)
        self.tokens.append(token)
        self._unread = (token,)
        return SaidToken(token, float(log_p[token]), _likeliest(log_p, self._sampling.likeliest))

    def _logits(self) -> Tensor:
        """The logits of the next token in float32 on the CPU, (vocabulary,)."""
        model = self._model
        ids = torch.tensor([self._unread], device=model.device)
        arguments = network_arguments(model, ids, None, self._cache)
        if "logits_to_keep" in signature(model.net.forward).parameters:
            arguments["logits_to_keep"] = 1
        with torch.no_grad():
            row = model.net(**arguments).logits[0, -1].float().cpu()
        if is_nan(row):
            text = (*self.prompt, *self.tokens)
            raise first_non_finite(model, batched(model, [Question(text, len(text) - 1, 0)]))
        return torch.as_tensor(row)


def chosen_token(logits: Tensor, sampling: Sampling, drawing: Random) -> int:
    """Choose the next token. logits: on the CPU, (vocabulary,)"""
    if sampling.temperature == 0:
        return int(logits.argmax())
    below = (logits - logits.max()).double()  # divided by any temperature, the likeliest is 0
    p = (below / sampling.temperature).softmax(-1)
    sorted_p, order = p.sort(descending=True, stable=True)
    before = sorted_p.cumsum(-1) - sorted_p  # the probability of all that is likelier
    sorted_p[(before >= sampling.top_p).index_fill(0, torch.tensor([0]), False)] = 0
    up_to = sorted_p.cumsum(-1)  # the likeliest is always among those that are left
    place = torch.searchsorted(up_to, drawing.random() * float(up_to[-1]), right=True)
    return int(order[min(int(place), int(sorted_p.count_nonzero()) - 1)])


def _likeliest(log_p: Tensor, count: int) -> tuple[tuple[int, float], ...]:
    if not count:
        return ()
    values, tokens = log_p.topk(min(count, len(log_p)))
    return tuple(zip(tokens.tolist(), values.tolist(), strict=True))
