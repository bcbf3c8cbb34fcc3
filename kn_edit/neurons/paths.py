"""p(answer) along the integration paths: each layer's coefficients scaled from 0 to their value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kn_edit.models.clean import CleanRun, clean_runs
from kn_edit.models.finite import first_non_finite
from kn_edit.models.float64 import in_float64
from kn_edit.models.head import p_of
from kn_edit.models.heap import return_large_blocks
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, batched, grouped_by_length
from kn_edit.neurons.budget import plan, room, traits
from kn_edit.neurons.ends import asks_for_ends, ends_of, with_ends, without_ends
from kn_edit.neurons.passes import Along, Pass, Request, joined

__all__ = ["Along", "Paths", "evaluate_many"]


class Paths:
    """The integration paths of one question, all layers; made by `of` and `of_one`.

    NotFinite is raised where p(answer) or a gradient of it is not a number.
    """

    def __init__(self, run: CleanRun, token: int, p: float) -> None:
        """run: the prompt as the network runs it; token: the answer; p: p(answer)"""
        self.run, self.token, self.p = run, token, p
        model = run.model
        self.coefficients = {  # at the answer, layer -> (d_ff,)
            layer: values.to(model.device) for layer, values in run.coefficients.items()
        }
        self.n_layers, self.d_ff = model.n_layers, model.d_ff
        self.epsilon = torch.finfo(model.dtype).eps  # of the numbers that it computes with

    @classmethod
    def of(cls, model: Model, questions: Sequence[Question]) -> list[Paths]:
        """The paths of many questions, which run together. Raises NotFinite."""
        if not questions:
            return []
        return_large_blocks()
        runs = clean_runs(model, questions)
        parts = zip(questions, runs, _probabilities(model, questions, runs), strict=True)
        return [cls(run, question.token, p) for question, run, p in parts]

    @classmethod
    def of_one(cls, model: Model, question: Question) -> Paths:
        """The paths of one question. Raises NotFinite."""
        return cls.of(model, [question])[0]

    def coefficients_of(self, layer: int) -> Tensor:
        """The layer's coefficients at the answer position, float64 on the CPU, (d_ff,)."""
        return in_float64(self.coefficients[layer].cpu())

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
    batch = [Request(run=paths.run, token=paths.token, nodes=nodes) for paths, nodes in requests]
    groups = grouped_by_length(range(len(batch)), lambda number: batch[number].run.length)
    answers: list[dict[int, Along]] = [{} for _ in batch]
    for group in groups:
        for number, along in zip(
            group, _evaluate([batch[member] for member in group]), strict=True
        ):
            answers[number] = along
    return answers


def _evaluate(requests: Sequence[Request]) -> list[dict[int, Along]]:
    """The answers to requests of similar length, in as few passes as their memory allows."""
    runs = [request.run for request in requests]
    model = runs[0].model
    packed = traits(model, runs[0]).packed
    ending = [number for number, request in enumerate(requests) if asks_for_ends(request)]
    ends = ends_of(model, [requests[number] for number in ending], packed=packed)
    inner = list(requests)
    for number in ending:
        inner[number] = without_ends(requests[number])
    pieces = [
        Pass(model, part, packed=packed).evaluate() for part in plan(inner, room(model, runs))
    ]
    answers = [
        {
            layer: joined([piece[number][layer] for piece in pieces if layer in piece[number]])
            for layer, alphas in request.nodes.items()
            if len(alphas)
        }
        for number, request in enumerate(inner)
    ]
    for number, end in zip(ending, ends, strict=True):
        answers[number] = with_ends(requests[number], answers[number], end)
    return answers


def _probabilities(
    model: Model, questions: Sequence[Question], runs: Sequence[CleanRun]
) -> list[float]:
    """p(answer) of each question. Raises NotFinite."""
    tokens = torch.tensor([question.token for question in questions])
    with torch.no_grad():
        answers = torch.cat([run.output[:, run.position] for run in runs])
        p: list[float] = p_of(model, answers, tokens).tolist()
    for question, value in zip(questions, p, strict=True):
        if not math.isfinite(value):
            raise first_non_finite(model, batched(model, [question]))
    return p
