"""What a model answers to questions, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from kn_edit.models.batching import side_by_side, windows
from kn_edit.models.coefficients import Change, replaced
from kn_edit.models.finite import first_non_finite
from kn_edit.models.model import Model
from kn_edit.models.questions import Batch, Question, batched
from kn_edit.models.trace import trace

BATCH = 32  # questions whose logits are in memory together
NO_TOKEN = -1  # in place of a token, where a model's answer is NaN

Changing = Callable[[Batch], Mapping[int, Change]]  # changes of coefficients, by layer


def _unchanged(_: Batch) -> Mapping[int, Change]:
    return {}


def log_p(
    model: Model,
    questions: Sequence[Question],
    changing: Changing = _unchanged,
    *,
    finite: bool = True,
) -> Iterator[Tensor]:
    """Log-probabilities over the vocabulary at each answer position, one (vocabulary,) each.

    In the order given; computed a window at a time, so a long list stays small in memory.
    changing: what to do to the coefficients of a batch on their way
    finite: raise NotFinite where a row is NaN; else the caller must look, for NaN is larger than
    every number to `argmax` and `topk`, and smaller than none to `>`
    """
    for window in windows(questions, 4 * model.n_tokens):
        if changing is _unchanged:
            groups = side_by_side(model, window)
        else:
            places = range(len(window))
            groups = [[*places[start : start + BATCH]] for start in places[::BATCH]]
        rows: dict[int, Tensor] = {}
        for group in groups:
            batch = batched(
                model,
                [window[place] for place in group],
                separate_rows=changing is not _unchanged,
            )
            rows |= zip(group, _log_p(model, batch, changing(batch), finite=finite), strict=True)
        yield from (rows.pop(place) for place in range(len(window)))


def _log_p(
    model: Model, batch: Batch, changes: Mapping[int, Change], *, finite: bool
) -> Iterator[Tensor]:
    """The rows of one batch. Raises NotFinite where they are to be finite."""
    with torch.no_grad(), replaced(model, changes):
        output = trace(model, batch.ids, mask=batch.mask).output
        assert output is not None
        answers = batch.at_answer(output)
    for part in torch.split(answers, BATCH):
        with torch.no_grad():
            rows = model.logits(part).float().log_softmax(-1)
        if finite and bool(rows.isnan().any()):
            raise first_non_finite(model, batch, changes)
        yield from rows


def first_tokens(model: Model, questions: Sequence[Question], *, finite: bool = True) -> list[int]:
    """The most probable token at each answer position. Raises NotFinite.

    finite: False gives NO_TOKEN where the answer is NaN, instead of raising
    """
    rows = log_p(model, questions, finite=finite)
    return [NO_TOKEN if not finite and is_nan(row) else int(row.argmax()) for row in rows]


def is_nan(row: Tensor) -> bool:
    """Whether a row of log-probabilities is no numbers."""
    return bool(row.isnan().any())


def lead(log_p: Tensor, wanted: Tensor) -> Tensor:
    """The margin of the wanted token over every other, in log-probability, (rows,)."""
    answer_log_p = log_p.gather(1, wanted[:, None]).squeeze(1)
    runner_up = log_p.scatter(1, wanted[:, None], -torch.inf).max(-1).values
    return answer_log_p - runner_up


def coefficients(model: Model, questions: Sequence[Question]) -> Tensor:
    """Coefficients of every neuron at each answer position, (questions, layers, d_ff).

    Raises NotFinite.
    """
    none = torch.empty(0, model.n_layers, model.d_ff, dtype=model.dtype, device=model.device)
    return torch.cat([none, *coefficients_in_batches(model, questions)])


def coefficients_in_batches(model: Model, questions: Sequence[Question]) -> Iterator[Tensor]:
    """Coefficients of a long list, (batch, layers, d_ff) at a time, to fit in memory.

    Raises NotFinite.
    """
    size = model.n_layers * model.d_ff
    for window in windows(questions, size * model.dtype.itemsize):
        rows = torch.empty(
            len(window), model.n_layers, model.d_ff, dtype=model.dtype, device=model.device
        )
        for group in side_by_side(model, window):
            batch = batched(model, [window[place] for place in group])
            with torch.no_grad():
                by_layer = trace(model, batch.ids, mask=batch.mask, answers=batch).coefficients
            for layer, coefficients in by_layer.items():
                rows[group, layer] = coefficients[:, 0].to(model.device)
            if not bool(rows[group].isfinite().all()):
                raise first_non_finite(model, batch)
        yield rows


def written(model: Model, coefficients: Tensor) -> Tensor:
    """|FFN output|^2 of every layer, biases aside, (questions, layers).

    coefficients: of every neuron, (questions, layers, d_ff)
    """
    exact = coefficients.float()
    squares = [
        (exact[:, layer].to(model.device_of(layer)) @ model.slots(layer).float()).square().sum(1)
        for layer in range(model.n_layers)
    ]
    return torch.stack([square.to(model.device) for square in squares], 1)
