"""Linear readouts of the hidden state at the answer position: is the right answer still there?

A classifier of answers cannot be judged on facts that it was not fitted to, where each fact has an
answer of its own. So the probe is a ridge regression from the last layer's hidden state to the
answer's output embedding: fitted to some facts of a relation, it is judged on the others, by how
the right answer ranks among all answers of the relation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

import torch
from torch import Tensor

from kn_edit.models.model import Model
from kn_edit.models.predict import log_p
from kn_edit.models.questions import Question, batched
from kn_edit.models.trace import trace

FOLDS = 5  # of the facts; each is ranked by a probe that was fitted to the others
RIDGE = 0.1  # times the mean of the squared hidden states' lengths
BATCH = 32

Figures: TypeAlias = dict[str, float]


@dataclass(frozen=True)
class Ranking:
    """How right answers rank among the answers of their relation.

    above: the mean share of other answers that score lower than the right one; 0.5 by chance
    first: the share of facts whose right answer scores highest
    """

    above: float
    first: float

    @classmethod
    def of(cls, scores: Tensor, right: Tensor) -> Ranking:
        """scores: (facts, answers); right: the place of each fact's answer, (facts,)"""
        answer_scores = scores.gather(1, right[:, None])  # (facts, 1)
        ties = (scores == answer_scores).sum(1) - 1
        below = (scores < answer_scores).sum(1) + ties / 2
        above = below / (scores.shape[1] - 1)
        first = (scores.argmax(1) == right).float()
        return cls(above=float(above.mean()), first=float(first.mean()))


def readouts(model: Model, questions: Sequence[Question], seed: int) -> dict[str, Figures]:
    """How the answers of a relation rank: by the model's own head, by a probe, and by chance.

    questions: the first token of one prompt of each fact. `shuffled` is the same probe fitted to
    answers that were dealt to other facts: what it gets right, it gets by frequent answers.
    """
    answers = sorted({question.token for question in questions})
    right = torch.tensor([answers.index(question.token) for question in questions])
    head = torch.stack([row[answers] for row in log_p(model, questions, finite=False)])
    states = hidden_states(model, questions)
    embeddings = torch.stack([model.output_embedding(token) for token in answers]).float()
    dealt = right.tolist()
    Random(seed).shuffle(dealt)
    rankings = {
        "head": Ranking.of(head.nan_to_num(), right),
        "probe": probe_ranking(states, embeddings, right, right, seed),
        "shuffled": probe_ranking(states, embeddings, right, torch.tensor(dealt), seed),
    }
    return {
        name: {"above": ranking.above, "first": ranking.first} for name, ranking in rankings.items()
    }


def probe_ranking(
    states: Tensor, embeddings: Tensor, right: Tensor, fitted_to: Tensor, seed: int
) -> Ranking:
    """Rank each fact's answer by a probe that has not seen the fact.

    states: (facts, width); embeddings: of the answers, (answers, width of the head)
    right, fitted_to: the place of each fact's answer; those that judge, and those that are learned
    """
    order = list(range(len(states)))
    Random(seed).shuffle(order)
    scores = torch.zeros(len(states), len(embeddings))
    for fold in range(FOLDS):
        judged = order[fold::FOLDS]
        fitted = [place for place in order if place not in set(judged)]
        if judged and fitted:
            targets = embeddings[fitted_to[fitted]]
            scores[judged] = (
                ridge_predictions(states[fitted], targets, states[judged]) @ embeddings.T
            )
    return Ranking.of(scores, right)


def ridge_predictions(states: Tensor, targets: Tensor, asked: Tensor) -> Tensor:
    """Fit targets, (facts, out), to states, (facts, width), and predict for `asked`, (n, width).

    Solved over facts, which are fewer than what a hidden state has numbers.
    """
    centre, mean = states.mean(0), targets.mean(0)
    inputs = states - centre
    gram = inputs @ inputs.T  # (facts, facts)
    damping = RIDGE * gram.diagonal().mean().clamp_min(1e-12)
    weights = torch.linalg.solve(gram + damping * torch.eye(len(gram)), targets - mean)
    return (asked - centre) @ inputs.T @ weights + mean


def hidden_states(model: Model, questions: Sequence[Question]) -> Tensor:
    """What the last layer puts out at each answer position, (questions, width), float32."""
    states = []
    for start in range(0, len(questions), BATCH):
        batch = batched(model, questions[start : start + BATCH])
        with torch.no_grad():
            output = trace(model, batch.ids, mask=batch.mask).output
        assert output is not None
        states.append(batch.at_answer(output).float().nan_to_num())
    return torch.cat(states)
