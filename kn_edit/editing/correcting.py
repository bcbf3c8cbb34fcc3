"""Propose a correction: where a model does not know a fact, no neuron carries it yet.

A few layers' slots are written that hear the subject and little else, in the directions that tell
it apart; what is written is solved for on the user's prompts and rewordings of them (decision
0020).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import torch
from torch import Tensor

from kn_edit.editing.finding import Finder
from kn_edit.editing.locating import prompts_for
from kn_edit.editing.neighbours import Neighbours
from kn_edit.editing.neutral import SEEN_TEXTS
from kn_edit.editing.paraphrasing import less_own_words, reworded
from kn_edit.edits.calibrate import Tick
from kn_edit.edits.correct import Asked, CorrectionSettings, Lesson, corrected
from kn_edit.edits.keys import Keys, keys_of
from kn_edit.errors import CannotAsk
from kn_edit.facts import (
    Case,
    Prompt,
    Template,
    bundled,
    load_relation,
    neutral_sentences,
    ordinary_sentences,
)
from kn_edit.facts.paraphrases import Rewording, for_solver
from kn_edit.facts.subjects import look_alikes, other_subjects
from kn_edit.facts.varying import varied_templates
from kn_edit.models.encoding import text_ids
from kn_edit.models.greedy import along, greedy
from kn_edit.models.model import Model
from kn_edit.models.predict import coefficients
from kn_edit.models.questions import Chain, Question, ask, ask_openly, ask_place, word_places
from kn_edit.models.usage import (
    Ids,
    coefficients_by_text,
    coefficients_in,
    joined,
    usual_sizes,
)
from kn_edit.neuron import NeuronId

SEED = 0
LOWEST, HIGHEST = 0.14, 0.63  # depth of the layers that are written: 0 the first, 1 the last
LAYERS = 8  # of them
REWORDED = 6  # rewordings of the prompts, frames around them
VARIED = 18  # and prompts with some words left out and others put in
OTHER_NAMES = 40  # that look like the subject, or of every kind, in the user's prompts
FEWER = 4  # and in each of their rewordings
CONTINUED = 3  # tokens that another subject's prompt goes on for, all held
TEXT_TOKENS = 16  # of a neutral sentence
TEXT_PLACES = 5  # held in it
SENTENCES = 100  # of the bundled relations: beside ordinary ones: what is heard elsewhere
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
    finder = Finder.of(model, case)
    more = other_words(model, case, to, chains)
    near = _continuations(model, [*others.named, *others.near])
    same = _continuations(model, others.same)
    neutral = _neutral(model)
    text = [*_places_in_text(model, neutral), *((q,) for q in (*others.elsewhere, *earlier))]
    named = _about_others(model, finder, others, chains, more)
    elsewhere = (
        [*neutral, *_sentences(model), *_random_texts(model)],
        [asked[-1].ids for asked in near],
    )
    mine = [(finder.subject, chain) for chain in (*chains, *more)]
    keys = _keys(model, mine, named, elsewhere, settings, slots)
    usual = usual_sizes(model, neutral)
    lesson = Lesson(
        own=[chain.questions for chain in chains],
        reworded=[
            *(chain.questions for chain in more),
            *((question,) for question in less_own_words(model, chains)),
        ],
        near=near,
        same=same,
        text=text,
        keys=keys,
        usual=usual[[one.layer for one in keys]].clamp_min(torch.finfo(torch.float32).tiny),
    )
    solution = corrected(model, lesson, settings, tick=tick)
    scores = {
        neuron: score
        for one in keys
        for neuron, score in zip(one.neurons, one.scores.tolist(), strict=True)
    }
    best = sorted(scores, key=lambda neuron: (-scores[neuron], neuron))
    return Correction(
        solution.neurons,
        solution.b,
        scores,
        {
            "method": "keys",
            "neurons": [
                {"layer": neuron.layer, "index": neuron.index, "score": scores[neuron]}
                for neuron in best[:TOLD]
            ],
            **solution.told(),
            "added": 0,  # to knowledge neurons: there are none
            "why": "",
        },
    )


def other_words(model: Model, case: Case, to: str, chains: Sequence[Chain]) -> list[Chain]:
    """The prompts in other words, asked for the new answer; a masked LM has them as they are."""
    if not model.causal:
        return []
    draw = Random(SEED)
    prompts = prompts_for(model, case.relation, case.fact)
    framed = reworded(model, prompts, to, for_solver, REWORDED)
    each = -(-VARIED // len(prompts))
    varied = reworded(
        model,
        prompts,
        to,
        lambda template, _: _as_rewordings(varied_templates(template, each, draw)),
        VARIED,
    )
    return [ask(model, prompt, to) for prompt in (*framed, *varied)]


Named = tuple[str, Chain]  # a subject, and a prompt about it


def _keys(
    model: Model,
    mine: Sequence[Named],
    others: Sequence[Named],
    elsewhere: Sequence[Sequence[Ids]],
    settings: CorrectionSettings,
    slots: Sequence[NeuronId],
) -> list[Keys]:
    """The keys of the layers that are written, or of those that slots are named of.

    elsewhere: ordinary texts, and those that are asked about other subjects; these count also
    where they name a subject, for there an edit of one is taken for one of all.
    """
    layers = sorted({slot.layer for slot in slots}) or _written(model)
    heard = _heard(model, mine, layers).named
    ordinary, asked = (_in_texts(model, texts, layers) for texts in elsewhere)
    named = _heard(model, others, layers)
    kinds = [ordinary, joined(model, [asked, named.whole], layers), named.named]
    most = min(settings.slots, model.n_layers * model.d_ff // FEW)
    return [
        keys_of(
            layer,
            heard[layer],
            [kind[layer] for kind in kinds],
            most=max(1, most // len(layers)),
            rank=settings.rank,
            only=[slot.index for slot in slots if slot.layer == layer],
        )
        for layer in layers
    ]


def _in_texts(model: Model, texts: Sequence[Ids], layers: Sequence[int]) -> dict[int, Tensor]:
    """Coefficients at every token of texts, (places, d_ff), of each layer; in a masked LM also at
    a few that are masked, for there it is asked."""
    seen = coefficients_in(model, texts, layers)
    if model.causal:
        return seen
    asked = [question for group in _places_in_text(model, texts) for question in group]
    rows = coefficients(model, asked)
    return {layer: torch.cat([seen[layer], rows[:, layer].float()]) for layer in layers}


def _written(model: Model) -> list[int]:
    """The layers that are written, evenly between two depths."""
    step = (HIGHEST - LOWEST) / (LAYERS - 1)
    depths = (LOWEST + number * step for number in range(LAYERS))
    return sorted({round(depth * (model.n_layers - 1)) for depth in depths})


@dataclass(frozen=True, eq=False)
class _Heard:
    """Coefficients in prompts, (tokens, d_ff), of each layer."""

    whole: dict[int, Tensor]  # at every token
    named: dict[int, Tensor]  # where they tell their subject


def _heard(model: Model, named: Sequence[Named], layers: Sequence[int]) -> _Heard:
    places = {chain.questions[-1].ids: _places(model, chain, subject) for subject, chain in named}
    texts = list(coefficients_by_text(model, list(places), layers))
    rows = [{layer: seen[layer][places[ids]] for layer in layers} for ids, seen in texts]
    return _Heard(joined(model, [seen for _, seen in texts], layers), joined(model, rows, layers))


def _places(model: Model, chain: Chain, subject: str) -> list[int]:
    """Where a prompt tells its subject: at its tokens, and where a masked LM is to answer.

    There the subject is heard from the first layer on, and what the last one writes elsewhere is
    read by nothing.
    """
    places = {*word_places(model, chain, subject)}
    if not model.causal:
        places |= {question.position for question in chain.questions}
    return sorted(places)


def _about_others(
    model: Model,
    finder: Finder,
    others: Neighbours,
    chains: Sequence[Chain],
    more: Sequence[Chain],
) -> list[Named]:
    """The prompts about other names, those that look like the subject first; none judges."""
    draw = Random(SEED)
    judging = {prompt.fact.subject for prompt in others.judges}
    names = [
        name
        for name in (*look_alikes(finder.subject, draw), *other_subjects(finder.subject, draw))
        if not any(name in text for text in judging)
    ]
    found: list[Named] = []
    for prompts, count in ((chains, OTHER_NAMES), (more, FEWER)):
        for chain in prompts:
            fact, template = chain.prompt.fact, chain.prompt.template
            for name in names[:count]:
                other = replace(fact, subject=fact.subject.replace(finder.subject, name))
                with suppress(CannotAsk):
                    found.append((name, _openly(model, Prompt(other, template))))
    return found


def _openly(model: Model, prompt: Prompt) -> Chain:
    """A prompt with no answer in mind."""
    return Chain(prompt, (ask_openly(model, prompt),))


def _sentences(model: Model) -> list[Ids]:
    """Ordinary sentences, and some of the bundled relations, drawn."""
    draw = Random(SEED)
    told = []
    for relation in map(load_relation, bundled()):
        for fact in relation.facts:
            prompt = draw.choice(relation.prompts(fact))
            told.append(f"{prompt.before}{fact.answer}{prompt.after}")
    some = draw.sample(told, SENTENCES)
    texts = (tuple(text_ids(model, text)) for text in (*ordinary_sentences(), *some))
    return [ids for ids in texts if len(ids) > 2]


def _as_rewordings(templates: Sequence[Template]) -> tuple[Rewording, ...]:
    return tuple(Rewording("other words", template) for template in templates)


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
