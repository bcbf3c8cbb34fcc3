"""p(answer) along the integration paths: each layer's coefficients scaled from 0 to their value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kn_edit.models.clean import clean_run
from kn_edit.models.finite import first_non_finite
from kn_edit.models.head import p_of
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, batched
from kn_edit.neurons.passes import Along, Pass, Request

__all__ = ["Along", "Paths", "evaluate_many"]


class Paths:
    """The integration paths of one question, all layers.

    Raises NotFinite where p(answer) or a gradient of it is not a number.
    """

    def __init__(self, model: Model, question: Question) -> None:
        self.model, self.token = model, question.token
        ids = torch.tensor([question.ids], device=model.device)
        self.run = clean_run(model, ids, question.position)
        with torch.no_grad():
            answer = self.run.output[:, self.run.position]
            self.p = float(p_of(model, answer, torch.tensor([question.token])))
        if not math.isfinite(self.p):
            raise first_non_finite(model, batched(model, [question]))
        self.n_layers, self.d_ff = model.n_layers, model.d_ff
        self.epsilon = torch.finfo(model.dtype).eps  # of the numbers that it computes with

    def coefficients_of(self, layer: int) -> Tensor:
        """The layer's coefficients at the answer position, float64 on the CPU, (d_ff,)."""
        return self.run.coefficients[layer].double().cpu()

    def evaluate(self, nodes: Mapping[int, Sequence[float]]) -> dict[int, Along]:
        """p(answer) and its gradient at nodes alpha of the named layers.

        nodes: layer -> places on its path, 0 for no activation and 1 for the layer's own.
        """
        return evaluate_many([(self, nodes)])[0]


def evaluate_many(
    requests: Sequence[tuple[Paths, Mapping[int, Sequence[float]]]],
) -> list[dict[int, Along]]:
    """Evaluate nodes of many prompts of one model; each answer is that of `Paths.evaluate`.

    requests: prompts, each with its nodes, layer -> places on its path.
    """
    model = requests[0][0].model
    asked = [Request(paths.run, paths.token, nodes) for paths, nodes in requests]
    return Pass(model, asked, packed=model.family.model_type != "gpt_neo").evaluate()
