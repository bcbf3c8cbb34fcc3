"""What a causal LM replies to a prompt: several texts side by side, each until it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from torch import Tensor

from kn_edit.models.generation import Sampling, chosen_token
from kn_edit.models.greedy import ending_tokens
from kn_edit.models.model import Model
from kn_edit.models.predict import is_nan
from kn_edit.models.trace import trace
from kn_edit.seeds import generator


@dataclass
class Reply:
    """One text behind a prompt.

    tokens: up to where the model ends the text, or so many as it may say
    further: the same, and where the text ends early what the model says when it may not end it;
        with texts of one length their entropy can be compared
    """

    tokens: list[int] = field(default_factory=list)
    further: list[int] = field(default_factory=list)
    ended: bool = False  # by the model
    broken: bool = False  # what comes next is NaN, or the model has no place for more

    def add(self, token: int) -> None:
        """Go on by a token."""
        self.further.append(token)
        if not self.ended:
            self.tokens.append(token)


def replies(
    model: Model,
    ids: Sequence[int],
    samplings: Sequence[Sampling],
    most: int,
    *,
    past_end: bool = False,
) -> list[Reply]:
    """Let a causal LM reply to a prompt, once for each way of choosing tokens, `most` at most.

    What is drawn depends on the seed of each way and on its place. A mark of the tokenizer ends a
    text as the token for its end does. A text breaks off in front of what is NaN.
    past_end: go on where the model would end a text, with a token that does not end it
    """
    from transformers import DynamicCache

    ends = sorted(ending_tokens(model) | set(model.tokenizer.all_special_ids))
    rows = [Reply() for _ in samplings]
    drawings = [
        generator(sampling.seed, f"reply {place}", usual=f"reply {place}")
        for place, sampling in enumerate(samplings)
    ]
    if model.max_length is not None:
        most = min(most, model.max_length + 1 - len(ids))
    cache = DynamicCache(config=model.net.config)
    unread = torch.tensor([list(ids)] * len(rows), device=model.device)
    for _ in range(most):
        with torch.no_grad():
            output = trace(model, unread, cache=cache).output
            assert output is not None
            logits = model.logits(output[:, -1]).float().cpu()  # (rows, vocabulary)
        tokens = [
            _next_token(*way, ends, past_end=past_end)
            for way in zip(rows, logits, samplings, drawings, strict=True)
        ]
        if all(reply.broken or (reply.ended and not past_end) for reply in rows):
            break
        unread = torch.tensor(tokens, device=model.device)[:, None]
    return rows


def _next_token(
    reply: Reply,
    logits: Tensor,
    sampling: Sampling,
    drawing: Random,
    ends: Sequence[int],
    *,
    past_end: bool,
) -> int:
    """Go on with one reply; gives the token to read next. logits: (vocabulary,)"""
    reply.broken = reply.broken or is_nan(logits)
    if reply.broken or (reply.ended and not past_end):
        return 0  # of a text that is over, nothing counts
    endings = torch.tensor([token for token in ends if token < len(logits)], dtype=torch.long)
    token = None if reply.ended else chosen_token(logits, sampling, drawing)
    if token in ends:
        reply.ended, token = True, None
    if token is None:
        if not past_end:
            return 0
        token = chosen_token(logits.index_fill(0, endings, -torch.inf), sampling, drawing)
    reply.add(token)
    return token
