"""Attention for many rows of many prompts, packed along the token axis of one layer call.

A layer treats its tokens one by one, but for attention. So rows of any prompts can lie side by side
in one call, (1, tokens, d_model), where attention keeps them apart. In a causal LM each row is one
token; it attends to itself and to its prompt's prefix, whose keys and values all rows share. In a
masked LM each row is a whole prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kn_edit.models.model import Model

NAME = "kn_edit_rows"  # of the attention function, as transformers knows it

# Queries, keys, values, (1, heads, tokens, width), scale and soft cap of the logits; gives
# (1, tokens, heads, width).
Attend = Callable[[Tensor, Tensor, Tensor, float, float | None], Tensor]

_attend: ContextVar[Attend | None] = ContextVar("_attend", default=None)


@dataclass(frozen=True)
class Prefix:
    """What the last token of a prompt attends to in one layer, itself left out."""

    keys: Tensor  # (key heads, tokens, width)
    values: Tensor  # (key heads, tokens, width)
    bias: Tensor | None  # added to the logits, (tokens,); None where all of it is seen


@dataclass(frozen=True)
class Span:
    """Rows of one prompt among the packed rows of a causal LM."""

    start: int
    end: int
    prefix: Prefix | None  # None for a prompt of one token


@contextmanager
def packed_attention(model: Model) -> Iterator[None]:
    """Let `attending` decide how layers attend inside the block."""
    _register()
    config = model.net.config
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


@contextmanager
def attending(attend: Attend) -> Iterator[None]:
    """Attend by a function inside the block, which stands in `packed_attention`."""
    token = _attend.set(attend)
    try:
        yield
    finally:
        _attend.reset(token)


def _register() -> None:
    from transformers import AttentionInterface

    if NAME not in AttentionInterface():
        AttentionInterface.register(NAME, _forward)


def _forward(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """The attention function that layers call."""
    attend = _attend.get()
    if attend is None:  # another thread runs the model meanwhile
        from transformers import AttentionInterface

        ordinary = AttentionInterface()["sdpa"]
        output, _ = ordinary(module, query, key, value, attention_mask, scaling=scaling, **rest)
        return torch.as_tensor(output), None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return attend(query, key, value, scale, softcap), None


def attend_to_prefixes(spans: Sequence[Span]) -> Attend:
    """Attention of rows of one token each, those of a prompt side by side, to their prefix."""

    def attend(
        query: Tensor, key: Tensor, value: Tensor, scale: float, softcap: float | None
    ) -> Tensor:
        apply: Any = _RowAttention.apply
        return torch.as_tensor(apply(query[0], key[0], value[0], _Logits(spans, scale, softcap)))

    return attend


@dataclass(frozen=True)
class _Logits:
    """How rows attend: to which prefixes, and with which logits."""

    spans: Sequence[Span]
    scale: float
    softcap: float | None


class _RowAttention(torch.autograd.Function):
    """Softmax attention to a shared prefix and to the row's own token.

    Rows of a prompt make one matrix product with its prefix, which is never copied.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,  # (heads, rows, width)
        key: Tensor,  # (key heads, rows, width)
        value: Tensor,  # (key heads, rows, width)
        to: _Logits,
    ) -> Tensor:
        spans = to.spans
        heads, rows, width = query.shape
        key_heads = key.shape[0]
        group = heads // key_heads  # query heads that share a key head
        # (key heads, rows, group, width): what shares keys lies together
        query = query.reshape(key_heads, group, rows, width).transpose(1, 2).contiguous()
        longest = max((0 if span.prefix is None else span.prefix.keys.shape[1]) for span in spans)
        logits = query.new_empty(key_heads, rows, group, longest + 1)
        torch.sum(query * key[:, :, None], -1, out=logits[..., longest])
        for span, prefix, length in _prefixes(spans):
            part = query[:, span.start : span.end].flatten(1, 2)  # (key heads, rows * group, width)
            product = torch.bmm(part, prefix.keys.transpose(1, 2))
            logits[:, span.start : span.end, :, :length] = product.view(
                key_heads, -1, group, length
            )
        logits *= to.scale
        capped = None
        if to.softcap is not None:
            capped = (logits / to.softcap).tanh_()
            logits = capped * to.softcap
        for span in spans:
            length = 0 if span.prefix is None else span.prefix.keys.shape[1]
            logits[:, span.start : span.end, :, length:longest] = -torch.inf
            if span.prefix is not None and span.prefix.bias is not None:
                logits[:, span.start : span.end, :, :length] += span.prefix.bias
        exact = torch.promote_types(logits.dtype, torch.float32)
        shares = logits.softmax(-1, dtype=exact).to(query.dtype)
        output = shares[..., longest:] * value[:, :, None]  # (key heads, rows, group, width)
        for span, prefix, length in _prefixes(spans):
            part = shares[:, span.start : span.end, :, :length].flatten(1, 2)
            output[:, span.start : span.end] += torch.bmm(part, prefix.values).view(
                key_heads, -1, group, value.shape[-1]
            )
        ctx.save_for_backward(query, key, value, shares, capped)
        ctx.spans, ctx.scale = spans, to.scale
        return output.transpose(0, 1).reshape(1, rows, heads, value.shape[-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, shares, capped = ctx.saved_tensors
        key_heads, rows, group, width = query.shape
        longest = shares.shape[-1] - 1
        d_output = gradients[0].reshape(rows, key_heads, group, -1).transpose(0, 1).contiguous()
        d_shares = torch.zeros_like(shares)
        torch.sum(d_output * value[:, :, None], -1, out=d_shares[..., longest])
        for span, prefix, length in _prefixes(ctx.spans):
            part = d_output[:, span.start : span.end].flatten(1, 2)
            product = torch.bmm(part, prefix.values.transpose(1, 2))
            d_shares[:, span.start : span.end, :, :length] = product.view(
                key_heads, -1, group, length
            )
        d_value = (shares[..., longest:] * d_output).sum(2)
        d_logits = d_shares.sub_((shares * d_shares).sum(-1, keepdim=True)).mul_(shares)
        if capped is not None:
            d_logits *= 1 - capped * capped
        d_logits *= ctx.scale
        d_self = d_logits[..., longest:]  # (key heads, rows, group, 1)
        d_query = d_self * key[:, :, None]
        for span, prefix, length in _prefixes(ctx.spans):
            part = d_logits[:, span.start : span.end, :, :length].flatten(1, 2)
            d_query[:, span.start : span.end] += torch.bmm(part, prefix.keys).view(
                key_heads, -1, group, width
            )
        d_key = (d_self * query).sum(2)
        d_query = d_query.transpose(1, 2).reshape(key_heads * group, rows, width)
        return d_query, d_key, d_value, None


def _prefixes(spans: Sequence[Span]) -> Iterator[tuple[Span, Prefix, int]]:
    """The spans that have a prefix, with it and its length."""
    for span in spans:
        if span.prefix is not None:
            yield span, span.prefix, span.prefix.keys.shape[1]


def attend_within_rows(sizes: Sequence[tuple[int, int]], queries: int | None = None) -> Attend:
    """Attention of whole rows, each to all of its own tokens.

    sizes: (rows, tokens in each row), in order; queries: query tokens of a row, where not
    all of its tokens
    """

    def attend(
        query: Tensor, key: Tensor, value: Tensor, scale: float, softcap: float | None
    ) -> Tensor:
        assert softcap is None  # no masked LM has one
        outputs = []
        lengths = [rows * tokens for rows, tokens in sizes]
        query_lengths = [rows * (queries or tokens) for rows, tokens in sizes]
        parts = zip(
            sizes,
            torch.split(query[0], query_lengths, dim=1),
            torch.split(key[0], lengths, dim=1),
            torch.split(value[0], lengths, dim=1),
            strict=True,
        )
        for (rows, _), *vectors in parts:
            q, k, v = (
                part.view(len(part), rows, -1, part.shape[-1]).transpose(0, 1) for part in vectors
            )
            output = torch.nn.functional.scaled_dot_product_attention(q, k, v, scale=scale)
            outputs.append(output.transpose(1, 2).flatten(0, 1))  # (rows * tokens, heads, width)
        return torch.cat(outputs)[None]

    return attend


class KeysTaken(Exception):
    """Leaves a layer once its keys and values are there."""

    def __init__(self, key: Tensor, value: Tensor) -> None:
        self.key, self.value = key, value


def take_keys(
    _query: Tensor, key: Tensor, value: Tensor, _scale: float, _softcap: float | None
) -> Tensor:
    """An attention that only hands out keys and values, as the exception KeysTaken."""
    raise KeysTaken(key, value)


def with_keys(attend: Attend, key: Tensor, value: Tensor) -> Attend:
    """An attention to other keys and values than those that the layer makes of its input."""

    def attend_elsewhere(
        query: Tensor, _key: Tensor, _value: Tensor, scale: float, softcap: float | None
    ) -> Tensor:
        return attend(query, key, value, scale, softcap)

    return attend_elsewhere
