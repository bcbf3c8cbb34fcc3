"""Which value slots can say something new: a fact that a model does not know has no neuron yet.

A shift b of neuron n's slot adds c b to what its FFN writes at every token, c the coefficient
there. So the slot's gradient is G = sum over tokens of c dL/dy, y what the FFN writes, and shifts
of equal spill, of the length 1 / rms(c elsewhere), change the loss by |G| / rms(c): what the answer
gains against what everybody else hears.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from kn_edit.models.model import Model
from kn_edit.models.predict import lead
from kn_edit.models.questions import Question, batched
from kn_edit.models.trace import trace
from kn_edit.neuron import NeuronId

FLOOR = 1e-3  # of the layer's mean noise; what was never seen to fire elsewhere may still do so
LOWEST = 0.1  # of the layers, from the first one, are left alone (decision 0020)
Asked = Sequence[Question]  # about one text


def writable(
    model: Model, asked: Sequence[Asked], noise: Tensor, *, margin: float, most: int
) -> tuple[tuple[NeuronId, float], ...]:
    """The slots whose shifts raise the questions' tokens most for what they spill, best first.

    None of the lowest layers: neurons there fire for a token whatever it is about, and a shift is
    heard wherever the subject's words stand.

    asked: the tokens that are to come first by a margin; noise: the mean square of every neuron's
    coefficient where nothing may change, (layers, d_ff); score: |G| / rms(c)
    """
    gradients = slot_gradients(model, asked, margin)
    level = noise.mean(1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    scores = gradients / (noise + FLOOR * level).sqrt()
    scores[: int(LOWEST * model.n_layers)] = 0
    values, places = scores.flatten().topk(min(most, scores.numel()))
    return tuple(
        (NeuronId(place // model.d_ff, place % model.d_ff), value)
        for place, value in zip(places.tolist(), values.tolist(), strict=True)
        if value > 0
    )


def slot_gradients(model: Model, asked: Sequence[Asked], margin: float) -> Tensor:
    """The norm of each value slot's gradient, (layers, d_ff), float32.

    Of the mean over questions of max(0, margin - lead), lead the log-probability of a question's
    token minus that of the likeliest other.
    """
    norms = torch.zeros(model.n_layers, model.d_ff, device=model.device)
    questions = [question for some in asked for question in some]
    batch = batched(model, questions)
    with torch.inference_mode(False), torch.enable_grad(), _probed(model) as probes:
        run = trace(model, batch.ids, mask=batch.mask)
        assert run.output is not None
        log_p = model.logits(batch.at_answer(run.output)).float().log_softmax(-1)
        loss = (margin - lead(log_p, batch.tokens)).relu().mean()
        loss.backward()  # type: ignore[no-untyped-call]
    for layer in range(model.n_layers):
        written = probes[layer].grad
        assert written is not None
        seen = run.coefficients[layer].detach().flatten(0, -2).float()  # (tokens, d_ff)
        norms[layer] = (seen.T @ written.flatten(0, -2).float()).norm(dim=1)
    return norms


@contextmanager
def _probed(model: Model) -> Iterator[dict[int, Tensor]]:
    """Zeros added to what each down-projection writes, whose gradient is that of the output."""
    probes: dict[int, Tensor] = {}

    def adding(layer: int) -> Any:
        def hook(_module: Any, _inputs: Any, written: Tensor) -> Tensor:
            probes[layer] = torch.zeros_like(written, requires_grad=True)
            return written + probes[layer]

        return hook

    with ExitStack() as hooks:
        for layer, down in enumerate(model.downs):
            hooks.callback(down.register_forward_hook(adding(layer)).remove)
        yield probes
