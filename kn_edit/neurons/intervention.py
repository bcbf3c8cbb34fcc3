"""Suppress and amplify: what a model answers while some coefficients are scaled. No weight changes.

Only the coefficients at the answer position are scaled, as in Dai et al. (2022), section 4.4.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from kn_edit.errors import NotFinite, ScaledOutOfRange, require_number
from kn_edit.models.coefficients import Change
from kn_edit.models.model import Model
from kn_edit.models.predict import log_p
from kn_edit.models.questions import Batch, Chain
from kn_edit.neuron import NeuronId


def p_when_scaled(
    model: Model, chains: Sequence[Chain], neurons: Collection[NeuronId], factor: float
) -> list[float]:
    """p(answer) of each chain with the neurons' coefficients times a factor; 1 changes nothing.

    Raises BadSetting for a factor that is not finite, ScaledOutOfRange for one that is too large,
    and NotFinite where the model's answers are NaN anyway.
    """
    require_number("the factor", factor)
    questions = [question for chain in chains for question in chain.questions]
    rows = log_p(model, questions, lambda batch: _scaling(batch, neurons, factor))
    try:
        logs = [float(row[question.token]) for question, row in zip(questions, rows, strict=True)]
    except NotFinite as error:
        if factor == 1:
            raise
        raise ScaledOutOfRange(factor, error.where) from error
    values = iter(logs)
    return [math.exp(sum(next(values) for _ in chain.questions)) for chain in chains]


def _scaling(batch: Batch, neurons: Collection[NeuronId], factor: float) -> Mapping[int, Change]:
    by_layer: dict[int, list[int]] = defaultdict(list)
    for neuron in sorted(neurons):
        by_layer[neuron.layer].append(neuron.index)
    return {layer: _times(batch, index, factor) for layer, index in by_layer.items()}


def _times(batch: Batch, index: list[int], factor: float) -> Change:
    rows, places = batch.rows[:, None], batch.positions[:, None]  # (questions, 1)

    def scale(coefficients: Tensor) -> Tensor:
        changed = coefficients.clone()
        view = changed.view(*batch.ids.shape, -1)  # (rows, tokens, d_ff), also in OPT
        where = rows.to(view.device), places.to(view.device), index
        view[where] = view[where] * factor
        return changed

    return scale
