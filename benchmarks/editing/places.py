"""Prompts of facts as tokens, and the places where their subjects end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

from benchmarks.editing.facts import EditFact
from kn_edit.editing.neutral import SEEN_TEXTS
from kn_edit.facts import (
    Prompt,
    bundled,
    load_relation,
    neutral_sentences,
    ordinary_sentences,
)
from kn_edit.models.encoding import text_ids
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, ask, word_places
from kn_edit.models.trace import Trace, trace
from kn_edit.models.usage import Ids, coefficients_by_text
from kn_edit.seeds import USUAL

PREFIXES = 1  # beginnings of neutral sentences, behind which the first prompt is asked again
PREFIX_WORDS = 6
ROWS = 32  # that run side by side
STATEMENTS = 700  # of bundled facts, among ordinary text


@dataclass(frozen=True)
class Place:
    """A text, and where in it the subject ends. questions: tokens that are asked there, if any"""

    ids: Ids
    end: int
    chain: Chain | None = None


def behind(prompt: Prompt, text: str) -> Prompt:
    """A prompt that a text stands in front of."""
    front = text.replace("[", "(").replace("]", ")")
    return replace(
        prompt, template=replace(prompt.template, text=f"{front} {prompt.template.text}")
    )


def contexts(model: Model, fact: EditFact) -> list[Place]:
    """A fact's own prompts, the first also behind other text, each with the new answer."""
    prompts = fact.prompts(model)
    texts = [" ".join(text.split()[:PREFIX_WORDS]) for text in neutral_sentences()[:PREFIXES]]
    return [
        asked(model, prompt, fact)
        for prompt in (*prompts, *(behind(prompts[0], f"{text}.") for text in texts))
    ]


def asked(model: Model, prompt: Prompt, fact: EditFact) -> Place:
    """A prompt asked for the new answer; where it does not name its subject, all of it does."""
    chain = ask(model, prompt, fact.to)
    inside = word_places(model, chain, fact.case.fact.subject)
    first = chain.questions[0].position
    return Place(chain.questions[-1].ids, min(inside[-1], first) if inside else first, chain)


def essence(model: Model, fact: EditFact) -> Place:
    """`SUBJECT is a`, behind which predictions are to stay (Meng et al., 2022)."""
    subject = fact.case.fact.subject
    ids = text_ids(model, f"{subject} is a")
    end = max(len(text_ids(model, subject)) - 1, 1)
    return Place(ids, min(end, len(ids) - 1))


def at_ends(
    model: Model, places: Sequence[Place], layers: Sequence[int]
) -> tuple[Mapping[int, Tensor], Tensor]:
    """Coefficients of layers where subjects end, (places, d_ff) each, and the state behind them.

    The state is that behind the last of these layers, (places, d_model).
    """
    last = max(layers)
    keys = {layer: torch.empty(len(places), model.d_ff) for layer in layers}
    states = torch.empty(len(places), model.d_model)
    for numbers, run in _runs(model, places, last):
        rows = torch.arange(len(numbers))
        ends = torch.tensor([places[number].end for number in numbers])
        for layer in layers:
            keys[layer][numbers] = run.coefficients[layer][rows, ends].float()
        after = run.output if last + 1 == model.n_layers else run.inputs[last + 1]
        assert after is not None
        states[numbers] = after[rows, ends].float()
    return keys, states


def _runs(model: Model, places: Sequence[Place], last: int) -> Iterator[tuple[list[int], Trace]]:
    """Places side by side, run up to the layer behind the last one that is looked at."""
    stop = last + 1 if last + 1 < model.n_layers else None
    order = sorted(range(len(places)), key=lambda number: places[number].end)
    for start in range(0, len(order), ROWS):
        numbers = order[start : start + ROWS]
        ids = padded([places[number].ids[: places[number].end + 1] for number in numbers])
        with torch.no_grad():
            yield numbers, trace(model, ids.to(model.device), stop_at=stop)


def padded(texts: Sequence[Ids]) -> Tensor:
    """Texts of a causal LM side by side, (texts, tokens), filled up at their ends."""
    longest = max(map(len, texts))
    return torch.tensor([(*ids, *ids[-1:] * (longest - len(ids))) for ids in texts])


def second_moments(model: Model, layers: Sequence[int]) -> tuple[dict[int, Tensor], int]:
    """E[k k^T] of coefficients at every token of ordinary text, (d_ff, d_ff) float64, and tokens.

    The papers take 100,000 texts of Wikipedia; here it is the bundled ordinary sentences, the
    neutral ones that solvers see, and statements of bundled facts.
    """
    texts = [text_ids(model, text) for text in _ordinary()]
    sums = {layer: torch.zeros(model.d_ff, model.d_ff, dtype=torch.float64) for layer in layers}
    tokens = 0
    for _, by_layer in coefficients_by_text(model, texts, layers):
        tokens += len(by_layer[layers[0]])
        for layer, keys in by_layer.items():
            sums[layer] += (keys.T @ keys).double().cpu()
    return {layer: total / tokens for layer, total in sums.items()}, tokens


def _ordinary() -> list[str]:
    statements = [
        f"{prompt.before}{fact.answer}{prompt.after}"
        for relation in map(load_relation, bundled())
        for fact in relation.facts
        for prompt in relation.prompts(fact)
    ]
    drawn = Random(USUAL).sample(statements, STATEMENTS)
    return [*ordinary_sentences(), *neutral_sentences()[:SEEN_TEXTS], *drawn]
