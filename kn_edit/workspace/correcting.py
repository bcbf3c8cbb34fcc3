"""Propose a correction: where a model does not know a fact, no neuron carries it yet.

Slots are chosen by what a shift of theirs would say against what it would spill, and solved for on
the user's prompts and rewordings of them (decision 0020).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from kn_edit.edits.calibrate import Tick
from kn_edit.edits.correct import Asked, CorrectionSettings, Lesson, corrected
from kn_edit.facts import Case, Template, neutral_sentences
from kn_edit.facts.paraphrases import Rewording, for_solver
from kn_edit.facts.shortening import shortened_templates
from kn_edit.models.encoding import text_ids
from kn_edit.models.greedy import along, greedy
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question, ask, ask_place
from kn_edit.models.usage import Ids, coefficients_of, mean_squares, usual_sizes
from kn_edit.neuron import NeuronId
from kn_edit.neurons.writable import writable
from kn_edit.workspace.locating import prompts_for
from kn_edit.workspace.neighbours import Neighbours
from kn_edit.workspace.neutral import SEEN_TEXTS
from kn_edit.workspace.paraphrasing import less_own_words, reworded

SEED = 0
REWORDED = 6  # rewordings of the prompts, frames around them
SHORTENED = 6  # and prompts with words left out
CONTINUED = 3  # tokens that another subject's prompt goes on for, all held
TEXT_TOKENS = 16  # of a neutral sentence
TEXT_PLACES = 5  # held in it
DRAWN_TEXTS = 60  # of random tokens, which hold words that no sentence here has
DRAWN_TOKENS = 16
FEW = 4  # of a tiny model's neurons, one in so many is written at most
TOLD = 20  # slots that the record names, the best


@dataclass(frozen=True, eq=False)
class Correction:
    """Shifts that make a model say something new, and how they were found."""

    neurons: tuple[NeuronId, ...]
    b: Tensor  # (n, d_model)
    scores: dict[NeuronId, float]
    story: dict[str, Any]


def correction(
    model: Model,
    case: Case,
    to: str,
    chains: Sequence[Chain],
    others: Neighbours,
    settings: CorrectionSettings,
    *,
    earlier: Sequence[Question] = (),
    slots: Sequence[NeuronId] = (),
    tick: Tick = lambda step, margin: None,
) -> Correction:
    """Solve for a new answer to a case's prompts.

    chains: the user's prompts, asked for the new answer; earlier: what earlier edits say, to be
    held; slots: write these, instead of the best. Raises NotFinite.
    """
    own = [chain.questions for chain in chains]
    more = other_words(model, case, to, chains)
    near = _continuations(model, [*others.named, *others.near])
    same = _continuations(model, others.same)
    neutral = _neutral(model)
    text = [*_places_in_text(model, neutral), *((q,) for q in (*others.elsewhere, *earlier))]
    ordinary = [*neutral, *_random_texts(model)]
    around = [*dict.fromkeys(asked[-1].ids for asked in (*near, *same))]
    noise = mean_squares(model, ordinary)
    if around:
        noise = noise + mean_squares(model, around)
    ranking = tuple((neuron, 0.0) for neuron in slots) or writable(
        model,
        [*own, *more],
        noise,
        margin=settings.margin,
        most=min(settings.slots, model.n_layers * model.d_ff // FEW),
    )
    neurons = sorted(neuron for neuron, _ in ranking)
    asked = [*dict.fromkeys(chain[-1].ids for chain in (*own, *more))]
    usual = usual_sizes(model, neutral)
    lesson = Lesson(
        own=own,
        reworded=more,
        near=near,
        same=same,
        text=text,
        elsewhere=_side_by_side(
            [coefficients_of(model, texts, neurons) for texts in (ordinary, around) if texts]
        ),
        largest=coefficients_of(model, asked, neurons).abs().amax(0),
        usual=usual[[neuron.layer for neuron in neurons]].clamp_min(
            torch.finfo(torch.float32).tiny
        ),
    )
    solution = corrected(model, lesson, neurons, settings, tick=tick)
    return Correction(
        solution.neurons,
        solution.b,
        dict(ranking),
        {
            "method": "writable",
            "neurons": [
                {"layer": neuron.layer, "index": neuron.index, "score": score}
                for neuron, score in ranking[:TOLD]
            ],
            **solution.told(),
            "added": 0,  # to knowledge neurons: there are none
            "why": "",
        },
    )


def other_words(model: Model, case: Case, to: str, chains: Sequence[Chain]) -> list[Asked]:
    """The prompts in other words, asked for the new answer."""
    if not model.causal:
        return [(question,) for question in less_own_words(model, chains)]
    draw = Random(SEED)
    prompts = prompts_for(model, case.relation, case.fact)
    framed = reworded(model, prompts, to, for_solver, REWORDED)
    each = -(-SHORTENED // len(prompts))
    short = reworded(
        model,
        prompts,
        to,
        lambda template, _: _as_rewordings(shortened_templates(template, each, draw)),
        SHORTENED,
    )
    return [ask(model, prompt, to).questions for prompt in (*framed, *short)]


def _as_rewordings(templates: Sequence[Template]) -> tuple[Rewording, ...]:
    return tuple(Rewording("words left out", template) for template in templates)


def _continuations(model: Model, questions: Sequence[Question]) -> list[Asked]:
    """The places of what a model says to prompts now, the first few tokens of each."""
    texts = greedy(model, questions, [CONTINUED] * len(questions))
    return [tuple(along(model, text.question, tuple(text.tokens))) for text in texts if text.tokens]


def _places_in_text(model: Model, texts: Sequence[Ids]) -> list[Asked]:
    """Places of texts, drawn; in a masked LM each is masked, so each is a text."""
    draw = Random(SEED)
    found: list[Asked] = []
    for ids in texts:
        inner = range(1, len(ids) - 1)
        places = sorted(draw.sample(inner, min(TEXT_PLACES, len(inner))))
        asked = [ask_place(model, ids, place) for place in places]
        found += [tuple(asked)] if model.causal else [(one,) for one in asked]
    return [asked for asked in found if asked]


def _neutral(model: Model) -> list[Ids]:
    """The beginnings of neutral sentences that solvers may see."""
    texts = (tuple(text_ids(model, text)) for text in neutral_sentences()[:SEEN_TEXTS])
    return [ids[: TEXT_TOKENS if model.causal else None] for ids in texts if len(ids) > 2]


def _random_texts(model: Model) -> list[Ids]:
    """Random tokens: words that no sentence here holds."""
    draw = Random(SEED)
    special = set(model.tokenizer.all_special_ids)
    count = min(len(model.tokenizer), model.n_tokens)
    words = [token for token in range(count) if token not in special]
    return [tuple(draw.choices(words, k=DRAWN_TOKENS)) for _ in range(DRAWN_TEXTS)]


def _side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Coefficients at places of several kinds, each kind of the same weight, (places, n)."""
    total = sum(map(len, parts))
    return torch.cat([part * math.sqrt(total / (len(parts) * len(part))) for part in parts])
