"""What is asked of the head while something is looked for: p(answer), or an answer's lead.

d p_t / d logits = p_t (1_t - p), so the gradient needs one more product with the output embedding,
and no second softmax. Both products go over the vocabulary in pieces that stay in the processor's
cache, with a running maximum, and the gradient is there when p is.

A lead is the difference of two logits, as the softmax takes the same from both: its gradient needs
two rows of the output embedding, and no product with all of it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from kn_edit.models.model import Model

PIECE_BYTES = 8 << 20  # of one piece of logits in float32, on the CPU
LEADING = -1  # in place of a token: whichever leads
GPU_PIECE_BYTES = 256 << 20  # a GPU has no use for small products
LEAST_WORDS = 1024  # of a piece: with fewer, products are slow


class _Stop(Exception):
    """Leaves the head in front of the output embedding."""

    def __init__(self, features: Tensor) -> None:
        self.features = features


def p_of(model: Model, hidden: Tensor, tokens: Tensor) -> Tensor:
    """p(token) of each row, (rows,), float32 at least; differentiable by the hidden states.

    hidden: the last layer's output, (rows, d_model); tokens: (rows,)
    """
    embedded = _embedded(model, hidden)
    if embedded is None:
        logits = model.logits(hidden)
        exact = torch.promote_types(logits.dtype, torch.float32)
        p = logits.softmax(-1, dtype=exact)
        return p.gather(-1, tokens.to(p.device)[:, None])[:, 0]
    embedding, features = embedded
    weight = embedding.weight
    apply: Any = _Answer.apply
    p = apply(features, tokens.to(weight.device), weight, embedding.bias, model.softcap)
    return torch.as_tensor(p)


def leads_of(model: Model, hidden: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """By how much the token of each row leads over every other, in log-probability, and the tokens.

    Both (rows,), the leads float32 at least; differentiable by the hidden states.
    hidden: the last layer's output, (rows, d_model); tokens: (rows,), LEADING for whichever leads
    """
    embedded = _embedded(model, hidden)
    if embedded is None:
        logits = model.logits(hidden)
        pairs = _with_rivals(logits.detach(), tokens)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        of_pairs = logits.gather(1, pairs)
    else:
        embedding, features = embedded
        weight, bias = embedding.weight.detach(), embedding.bias
        with torch.no_grad():
            pairs = _with_rivals(torch.nn.functional.linear(features, weight, bias), tokens)
        exact = torch.promote_types(features.dtype, torch.float32)
        of_pairs = (weight[pairs].to(exact) * features.to(exact)[:, None]).sum(2)
        if bias is not None:
            of_pairs = of_pairs + bias.detach()[pairs]
        if model.softcap is not None:
            of_pairs = torch.tanh(of_pairs / model.softcap) * model.softcap
    return of_pairs[:, 0] - of_pairs[:, 1], pairs[:, 0]


def _with_rivals(logits: Tensor, tokens: Tensor) -> Tensor:
    """The token of each row, and the likeliest other one, (rows, 2)."""
    tokens = tokens.to(logits.device)
    tokens = torch.where(tokens == LEADING, logits.argmax(1), tokens)
    rivals = logits.scatter(1, tokens[:, None], -torch.inf).argmax(1)
    return torch.stack([tokens, rivals], 1)


def _embedded(model: Model, hidden: Tensor) -> tuple[torch.nn.Linear, Tensor] | None:
    """The output embedding, and what it multiplies, (rows, width), on its device.

    None where the head does without a plain one.
    """
    embedding = model.net.get_output_embeddings()
    if type(embedding) is not torch.nn.Linear or embedding.weight.device.type == "meta":
        return None
    features = _features(model, embedding, hidden)
    return None if features is None else (embedding, features.to(embedding.weight.device))


def _features(model: Model, embedding: torch.nn.Linear, hidden: Tensor) -> Tensor | None:
    """What the output embedding multiplies, (rows, width); None where the head does without it."""

    def stop(_module: Any, inputs: tuple[Tensor, ...]) -> None:
        raise _Stop(inputs[0])

    handle = embedding.register_forward_pre_hook(stop)
    try:
        model.logits(hidden)
    except _Stop as reached:
        return reached.features
    finally:
        handle.remove()
    return None


class _Answer(torch.autograd.Function):
    """p(token) of rows of features, and its gradient in the same go."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,  # (rows, width)
        tokens: Tensor,  # (rows,)
        weight: Tensor,  # (vocabulary, width)
        bias: Tensor | None,  # (vocabulary,)
        softcap: float | None,
    ) -> Tensor:
        differentiable = ctx.needs_input_grad[0]
        exact = torch.promote_types(features.dtype, torch.float32)
        rows, width = features.shape
        largest = features.new_full((rows, 1), -torch.inf, dtype=exact)
        total = features.new_zeros((rows, 1), dtype=exact)
        mean = features.new_zeros((rows, width if differentiable else 0), dtype=exact)
        answer = features.new_zeros((rows, 1), dtype=exact)
        slope = torch.ones_like(answer)  # of the soft cap, at the answer's logit
        piece_bytes = PIECE_BYTES if weight.device.type == "cpu" else GPU_PIECE_BYTES
        words = max(LEAST_WORDS, piece_bytes // (4 * rows))
        for start in range(0, len(weight), words):
            piece = weight[start : start + words]
            logits = torch.nn.functional.linear(
                features, piece, None if bias is None else bias[start : start + words]
            ).to(exact)
            steep = None
            if softcap is not None:
                capped = logits.div_(softcap).tanh_()
                steep = 1 - capped * capped
                logits = capped * softcap
            inside = ((tokens >= start) & (tokens < start + len(piece)))[:, None]
            place = (tokens - start).clamp(0, len(piece) - 1)[:, None]
            answer = torch.where(inside, logits.gather(1, place), answer)
            if steep is not None:
                slope = torch.where(inside, steep.gather(1, place), slope)
            higher = torch.maximum(largest, logits.amax(1, keepdim=True))
            fading = (largest - higher).exp_()
            masses = logits.sub_(higher).exp_()  # (rows, words)
            total = total * fading + masses.sum(1, keepdim=True)
            if differentiable:
                weighted = masses if steep is None else masses * steep
                mean = mean * fading + (weighted.to(piece.dtype) @ piece)
            largest = higher
        p = ((answer - largest).exp_() / total).clamp_(max=1.0)
        if differentiable:
            gradient = p * (slope * weight[tokens].to(exact) - mean / total)
            ctx.save_for_backward(gradient.to(features.dtype))
        return p[:, 0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0][:, None].to(gradient.dtype), None, None, None, None
