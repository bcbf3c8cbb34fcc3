"""A few steps of ordinary fine-tuning on facts of other relations, taken back afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import torch
from torch import nn

from kn_edit.editing.locating import chains_for
from kn_edit.errors import CannotAsk, NothingToAsk
from kn_edit.facts import Fact, Relation, bundled, load_relation
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, batched
from kn_edit.seeds import generator

STEPS, BATCH = 20, 16


@contextmanager
def fine_tuned(model: Model, questions: Sequence[Question], rate: float) -> Iterator[Model]:
    """The model after a step of Adam for each BATCH of questions; after the block as it was.

    All weights are trained, in float32, and rounded to the number format that they had.
    questions: tokens of answers, with those before them fed in
    """
    parameters = list(model.net.parameters())
    before = [parameter.data for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.data = parameter.data.float().clone()
        _train(model, parameters, questions, rate)
        for parameter, data in zip(parameters, before, strict=True):
            parameter.requires_grad_(False)
            parameter.grad = None
            parameter.data = parameter.data.to(data.dtype)
        yield model
    finally:
        for parameter, data in zip(parameters, before, strict=True):
            parameter.requires_grad_(False)
            parameter.grad = None
            parameter.data = data


def _train(
    model: Model, parameters: Sequence[nn.Parameter], questions: Sequence[Question], rate: float
) -> None:
    for parameter in parameters:
        parameter.requires_grad_(True)
    optimizer = torch.optim.Adam(parameters, lr=rate)
    with torch.enable_grad():
        for start in range(0, len(questions), BATCH):
            batch = batched(model, questions[start : start + BATCH])
            logits = model.net(input_ids=batch.ids, attention_mask=batch.mask).logits
            answers = batch.at_answer(logits).float()  # (questions, vocabulary)
            optimizer.zero_grad()
            nn.functional.cross_entropy(answers, batch.tokens).backward()
            optimizer.step()


def other_facts(
    model: Model, relation: Relation, seed: int, names: Sequence[str] = ()
) -> list[Question]:
    """Questions about facts of other relations, STEPS * BATCH of them if there are so many.

    names: of the relations that are taken, by default all that ship. A fact that links a subject of
    the relation with its answer, in whatever order, is left out.
    """
    pairs = {frozenset({fact.subject, fact.answer}) for fact in relation.facts}
    facts = [
        (other, fact)
        for other in map(load_relation, names or bundled())
        if other.name != relation.name
        for fact in other.facts
        if frozenset({fact.subject, fact.answer}) not in pairs
    ]
    draw = generator(seed, f"fine-tuning beside {relation.name}")
    draw.shuffle(facts)
    questions: list[Question] = []
    for other, fact in facts:
        if len(questions) >= STEPS * BATCH:
            break
        questions += _prompt(model, other, fact, draw.random())
    return questions[: STEPS * BATCH]


def _prompt(model: Model, relation: Relation, fact: Fact, place: float) -> list[Question]:
    """One prompt of a fact, each token of its answer; nothing where it cannot be asked."""
    with suppress(CannotAsk, NothingToAsk):
        chains = chains_for(model, relation, fact)
        return list(chains[int(place * len(chains))].questions)
    return []
