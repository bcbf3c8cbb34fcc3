"""Propose a correction: where a model does not know a fact, no neuron carries it yet.

A few layers' value slots are written along a direction that hears the subject and little else; what
is written is solved for on the user's prompts and rewordings of them (decision 0020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from kn_edit.facts.subjects import names_of_every_kind
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
OTHER_NAMES = 40  # that are heard like the subject, in the user's prompts
FEWER = 4  # of them in each rewording, others each time
HELD_NAMES = 36  # others that are heard like it, about which what is said is held
CONTINUED = 3  # tokens that another subject's prompt goes on for, all held
TEXT_TOKENS = 16  # of a neutral sentence
TEXT_PLACES = 5  # held in it
SENTENCES = 100  # of the bundled relations: beside ordinary ones: what is heard elsewhere
DRAWN_TEXTS = 60  # of random tokens, which hold words that no sentence here has
DRAWN_TOKENS = 16
TOLD = 20  # slots that the record names, the best


@dataclass(frozen=True, eq=False)
class Correction:
    """What makes a model say something new, and how it was found.

    factors: by layer u, (r, d_ff), and v, (r, d_model), whose product is added to the value slots;
    best: the neurons with the largest part in that, sorted, each with its part
    """

    factors: Mapping[int, tuple[Tensor, Tensor]]
    story: dict[str, Any]
    best: tuple[tuple[NeuronId, float], ...]


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
    layers = sorted({slot.layer for slot in slots}) or written_layers(model)
    names = _heard_alike(model, finder, others, chains[0], layers)
    # A name that the keys were made against is hardly heard, so holding it would teach nothing.
    named = _about_others(model, finder, names[::2][:OTHER_NAMES], chains, more)
    held = _in_turn(model, finder, names[1::2][:HELD_NAMES], chains)
    near = _continuations(model, [*others.named, *others.near, *held])
    same = _continuations(model, others.same)
    neutral = _neutral(model)
    text = [*_places_in_text(model, neutral), *((q,) for q in (*others.elsewhere, *earlier))]
    ordinary = [*neutral, *_sentences(model), *_random_texts(model)]
    mine = [(finder.subject, chain) for chain in (*chains, *more)]
    keys = _keys(model, layers, mine, named, ordinary, settings, slots)
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
    parts = [pair for one in keys for pair in one.best(TOLD)]
    best = sorted(parts, key=lambda pair: (-pair[1], pair[0]))[:TOLD]
    story = {
        "method": "keys",
        "neurons": [
            {"layer": neuron.layer, "index": neuron.index, "score": part} for neuron, part in best
        ],
        **solution.told(),
        "added": 0,  # to knowledge neurons: there are none
        "why": "",
    }
    return Correction(solution.by_layer, story, tuple(sorted(best)))


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
    layers: Sequence[int],
    mine: Sequence[Named],
    others: Sequence[Named],
    ordinary: Sequence[Ids],
    settings: CorrectionSettings,
    slots: Sequence[NeuronId],
) -> list[Keys]:
    """The keys of these layers.

    ordinary: texts that have nothing to do with the fact; slots: the keys are over these, where
    there are any. Prompts about others count whole, and once more where they name their subject:
    there an edit of one is taken for one of all.
    """
    heard = _heard(model, mine, layers).named
    in_texts = _in_texts(model, ordinary, layers)
    named = _heard(model, others, layers)
    kinds = (in_texts, named.whole, named.named)
    return [
        keys_of(
            layer,
            heard[layer],
            [kind[layer] for kind in kinds],
            rank=settings.rank,
            most=settings.slots and max(1, settings.slots // len(layers)),
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


def written_layers(model: Model) -> list[int]:
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
    told = _told(model, named, layers)
    return _Heard(
        joined(model, [seen for _, seen, _ in told], layers),
        joined(model, [rows for _, _, rows in told], layers),
    )


Rows = dict[int, Tensor]  # coefficients in a prompt, (tokens, d_ff), of each layer


def _told(
    model: Model, named: Sequence[Named], layers: Sequence[int], *, cut: bool = False
) -> list[tuple[str, Rows, Rows]]:
    """Each subject with the coefficients in its prompt, and with those where it is told.

    cut: of a causal LM no more of a prompt is run than up to there
    """
    places: dict[Ids, tuple[str, list[int]]] = {}
    for subject, chain in named:
        ids, at = chain.questions[-1].ids, _places(model, chain, subject)
        places[ids[: at[-1] + 1] if cut and model.causal and at else ids] = subject, at
    told = []
    for ids, seen in coefficients_by_text(model, list(places), layers):
        subject, at = places[ids]
        told.append((subject, seen, {layer: seen[layer][at] for layer in layers}))
    return told


def _places(model: Model, chain: Chain, subject: str) -> list[int]:
    """Where a prompt tells its subject: at its last token; in a masked LM at all of them, and
    where it is to answer.

    There the subject is heard from the first layer on, and what the last one writes elsewhere is
    read by nothing.
    """
    places = {*word_places(model, chain, subject)}
    if model.causal:
        return sorted(places)[-1:]
    return sorted(places | {question.position for question in chain.questions})


def _heard_alike(
    model: Model, finder: Finder, others: Neighbours, chain: Chain, layers: Sequence[int]
) -> list[str]:
    """Other names, those that a prompt's own subject is most likely mistaken for first.

    That is by the response, where a name is told, of the key that tells the subject apart from all
    of them. None of those who judge.
    """
    judging = {prompt.fact.subject for prompt in others.judges}
    names = [
        name
        for name in names_of_every_kind(finder.subject, Random(SEED))
        if finder.subject not in name and not any(name in text for text in judging)
    ]
    mine = _heard(model, [(finder.subject, chain)], layers).named
    told = _told(model, _about(model, finder, chain, names), layers, cut=True)
    pool = joined(model, [rows for _, _, rows in told], layers)
    loudness = dict.fromkeys(names, 0.0)
    for layer in layers:
        key = keys_of(layer, mine[layer], [pool[layer]], rank=1)
        for name, _, rows in told:
            loudness[name] += float((rows[layer] @ key.u[0]).square().sum())
    return sorted(loudness, key=lambda name: -loudness[name])


def _about_others(
    model: Model,
    finder: Finder,
    names: Sequence[str],
    chains: Sequence[Chain],
    more: Sequence[Chain],
) -> list[Named]:
    """The prompts about other names: all of them in the user's, a few in each rewording."""
    found = [named for chain in chains for named in _about(model, finder, chain, names)]
    for at, chain in enumerate(more if names else ()):
        some = [names[(at * FEWER + one) % len(names)] for one in range(FEWER)]
        found += _about(model, finder, chain, some)
    return found


def _in_turn(
    model: Model, finder: Finder, names: Sequence[str], chains: Sequence[Chain]
) -> list[Question]:
    """One prompt about each of these names, each time the next of the user's."""
    return [
        chain.questions[0]
        for at, name in enumerate(names)
        for _, chain in _about(model, finder, chains[at % len(chains)], [name])
    ]


def _about(model: Model, finder: Finder, chain: Chain, names: Sequence[str]) -> list[Named]:
    """A prompt about other names; those left out that the model cannot be asked about."""
    fact, template = chain.prompt.fact, chain.prompt.template
    found: list[Named] = []
    for name in names:
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
