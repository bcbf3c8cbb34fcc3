"""Propose a correction: where a model does not know a fact, no neuron carries it yet.

A few layers' value slots are written along a direction that hears the subject and little else; what
is written is solved for on the user's prompts and rewordings of them (decision 0020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from kn_edit.editing.finding import Finder
from kn_edit.editing.locating import prompts_for
from kn_edit.editing.neighbours import Neighbours
from kn_edit.editing.neutral import SEEN_TEXTS
from kn_edit.editing.paraphrasing import less_own_words, reworded
from kn_edit.edits.calibrate import Tick
from kn_edit.edits.correct import Lesson, QuestionGroup, corrected
from kn_edit.edits.keys import Keys, keys_of
from kn_edit.edits.settings import CorrectionSettings
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
from kn_edit.seeds import USUAL, generator

LOWEST, HIGHEST = 0.14, 0.63  # depth of the layers that are written: 0 the first, 1 the last
LAYERS = 8  # of them
REWORDED = 6  # rewordings of the prompts, frames around them
VARIED = 18  # and prompts with some words left out and others put in
OTHER_NAMES = 40  # that are heard like the subject, in the user's prompts
NAMES_PER_REWORDING = 4  # of them in each rewording, others each time
HELD_NAMES = 36  # others that are heard like it, about which what is said is held
CONTINUED = 3  # tokens that another subject's prompt goes on for, all held
TEXT_TOKENS = 16  # of a neutral sentence
TEXT_PLACES = 5  # held in it
SENTENCES = 100  # of the bundled relations: beside ordinary ones: what is heard elsewhere
DRAWN_TEXTS = 60  # of random tokens, which hold words that no sentence here has
DRAWN_TOKENS = 16
RECORDED_SLOTS = 20  # slots that the record names, the best


@dataclass(frozen=True, eq=False)
class Correction:
    """What makes a model say something new, and how it was found.

    factors: by layer u, (r, d_ff), and v, (r, d_model), whose product is added to the value slots;
    best: the neurons with the largest part in that, sorted, each with its part
    """

    factors: Mapping[int, tuple[Tensor, Tensor]]
    provenance: dict[str, Any]
    best: tuple[tuple[NeuronId, float], ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class CorrectionTask:
    """A fact that is to be corrected, and what must stay.

    chains: the user's prompts, asked for the new answer `to`; earlier: what earlier edits say, to
    be held; slots: write these, instead of the best; seed: of everything that is drawn
    """

    case: Case
    to: str
    chains: Sequence[Chain]
    neighbours: Neighbours
    earlier: Sequence[Question] = ()
    slots: Sequence[NeuronId] = ()
    seed: int = USUAL


def correction(
    model: Model,
    task: CorrectionTask,
    settings: CorrectionSettings,
    *,
    tick: Tick = lambda step, margin: None,
) -> Correction:
    """Solve for a new answer to a case's prompts. Raises NotFinite."""
    case, to, chains, neighbours = task.case, task.to, task.chains, task.neighbours
    finder = Finder.of(model, case, task.seed)
    rewordings = other_words(model, case, to, chains, task.seed)
    layers = sorted({slot.layer for slot in task.slots}) or written_layers(model)
    names = _confusable_names(model, finder, neighbours, chains[0], layers)
    # A name that the keys were made against is hardly heard, so holding it would teach nothing.
    named_prompts = _about_others(model, finder, names[::2][:OTHER_NAMES], chains, rewordings)
    held = _in_turn(model, finder, names[1::2][:HELD_NAMES], chains)
    other_subjects = _continuations(model, [*neighbours.named, *neighbours.other_subjects, *held])
    same_subject = _continuations(model, neighbours.same_subject)
    neutral = _neutral(model)
    questions = (*neighbours.elsewhere, *task.earlier)
    text = [*_places_in_text(model, neutral, task.seed), *((question,) for question in questions)]
    texts = [*neutral, *_sentences(model, task.seed), *_random_texts(model, task.seed)]
    subject_prompts = [(finder.subject, chain) for chain in (*chains, *rewordings)]
    keys = _keys(
        model,
        layers,
        subject_prompts=subject_prompts,
        other_prompts=named_prompts,
        ordinary=_in_texts(model, texts, layers, task.seed),
        settings=settings,
        slots=task.slots,
    )
    norms = usual_sizes(model, neutral)[[layer_keys.layer for layer_keys in keys]]
    lesson = Lesson(
        prompts=[chain.questions for chain in chains],
        rewordings=[
            *(chain.questions for chain in rewordings),
            *((question,) for question in less_own_words(model, chains, task.seed)),
        ],
        other_subjects=other_subjects,
        same_subject=same_subject,
        text=text,
        keys=keys,
        typical_norms=norms.clamp_min(torch.finfo(torch.float32).tiny),
    )
    solution = corrected(model, lesson, settings, seed=task.seed, tick=tick)
    parts = [pair for layer_keys in keys for pair in layer_keys.best(RECORDED_SLOTS)]
    best = sorted(parts, key=lambda pair: (-pair[1], pair[0]))[:RECORDED_SLOTS]
    provenance = {
        "method": "keys",
        "neurons": [
            {"layer": neuron.layer, "index": neuron.index, "score": part} for neuron, part in best
        ],
        **solution.record(),
        "added": 0,  # to knowledge neurons: there are none
        "why": "",
    }
    return Correction(solution.by_layer, provenance, tuple(sorted(best)))


def other_words(
    model: Model, case: Case, to: str, chains: Sequence[Chain], seed: int = USUAL
) -> list[Chain]:
    """The prompts in other words, asked for the new answer; a masked LM has them as they are."""
    if not model.causal:
        return []
    draw = generator(seed, "words left out")
    prompts = prompts_for(model, case.relation, case.fact)
    framed = reworded(model, prompts, to, for_solver, REWORDED)
    per_prompt = -(-VARIED // len(prompts))
    varied = reworded(
        model,
        prompts,
        to,
        lambda template, _: _as_rewordings(varied_templates(template, per_prompt, draw)),
        VARIED,
    )
    return [ask(model, prompt, to) for prompt in (*framed, *varied)]


SubjectPrompt = tuple[str, Chain]  # a subject, and a prompt about it


def _keys(
    model: Model,
    layers: Sequence[int],
    subject_prompts: Sequence[SubjectPrompt],
    other_prompts: Sequence[SubjectPrompt],
    ordinary: Mapping[int, Tensor],
    settings: CorrectionSettings,
    slots: Sequence[NeuronId],
) -> list[Keys]:
    """The keys of these layers.

    ordinary: coefficients in texts that have nothing to do with the fact, (places, d_ff), of each
    layer; slots: the keys are over these, where there are any. Prompts about others count whole,
    and once more where they name their subject: there an edit of one is taken for one of all.
    """
    subject_coefficients = _prompt_coefficients(model, subject_prompts, layers).at_subject
    other_coefficients = _prompt_coefficients(model, other_prompts, layers)
    kinds = (ordinary, other_coefficients.every_token, other_coefficients.at_subject)
    return [
        keys_of(
            layer,
            subject_coefficients[layer],
            [kind[layer] for kind in kinds],
            rank=settings.rank,
            most=settings.slots and max(1, settings.slots // len(layers)),
            only=[slot.index for slot in slots if slot.layer == layer],
        )
        for layer in layers
    ]


def _in_texts(
    model: Model, texts: Sequence[Ids], layers: Sequence[int], seed: int
) -> dict[int, Tensor]:
    """Coefficients at every token of texts, (places, d_ff), of each layer; in a masked LM also at
    a few that are masked, for there it is asked."""
    by_layer = coefficients_in(model, texts, layers)
    if model.causal:
        return by_layer
    questions = [question for group in _places_in_text(model, texts, seed) for question in group]
    rows = coefficients(model, questions)
    return {layer: torch.cat([by_layer[layer], rows[:, layer].float()]) for layer in layers}


def written_layers(model: Model) -> list[int]:
    """The layers that are written, evenly between two depths."""
    step = (HIGHEST - LOWEST) / (LAYERS - 1)
    depths = (LOWEST + number * step for number in range(LAYERS))
    return sorted({round(depth * (model.n_layers - 1)) for depth in depths})


@dataclass(frozen=True, eq=False)
class _PromptCoefficients:
    """Coefficients in prompts, (tokens, d_ff), of each layer."""

    every_token: dict[int, Tensor]
    at_subject: dict[int, Tensor]  # at the tokens where a prompt tells its subject


def _prompt_coefficients(
    model: Model, named: Sequence[SubjectPrompt], layers: Sequence[int]
) -> _PromptCoefficients:
    readings = _readings(model, named, layers)
    return _PromptCoefficients(
        every_token=joined(model, [every_token for _, every_token, _ in readings], layers),
        at_subject=joined(model, [at_subject for _, _, at_subject in readings], layers),
    )


Rows = dict[int, Tensor]  # coefficients in a prompt, (tokens, d_ff), of each layer


def _readings(
    model: Model, named: Sequence[SubjectPrompt], layers: Sequence[int], *, cut: bool = False
) -> list[tuple[str, Rows, Rows]]:
    """Each subject with the coefficients in its prompt, and with those where it is told.

    cut: of a causal LM no more of a prompt is run than up to there
    """
    places: dict[Ids, tuple[str, list[int]]] = {}
    for subject, chain in named:
        ids, positions = chain.questions[-1].ids, _places(model, chain, subject)
        until = positions[-1] + 1 if cut and model.causal and positions else len(ids)
        places[ids[:until]] = subject, positions
    readings = []
    for ids, by_layer in coefficients_by_text(model, list(places), layers):
        subject, positions = places[ids]
        readings.append(
            (subject, by_layer, {layer: by_layer[layer][positions] for layer in layers})
        )
    return readings


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


def _confusable_names(
    model: Model, finder: Finder, neighbours: Neighbours, chain: Chain, layers: Sequence[int]
) -> list[str]:
    """Other names, those that a prompt's own subject is most likely mistaken for first.

    That is by the response, where a name is told, of the key that tells the subject apart from all
    of them. Subjects that judge the edit are left out.
    """
    judging_texts = {prompt.fact.subject for prompt in neighbours.judges}
    names = [
        name
        for name in names_of_every_kind(finder.subject, generator(finder.seed, "other names"))
        if finder.subject not in name and not any(name in text for text in judging_texts)
    ]
    subject_coefficients = _prompt_coefficients(model, [(finder.subject, chain)], layers).at_subject
    readings = _readings(model, _about(model, finder, chain, names), layers, cut=True)
    pool = joined(model, [rows for _, _, rows in readings], layers)
    loudness = dict.fromkeys(names, 0.0)
    for layer in layers:
        key = keys_of(layer, subject_coefficients[layer], [pool[layer]], rank=1)
        for name, _, rows in readings:
            loudness[name] += float((rows[layer] @ key.u[0]).square().sum())
    return sorted(loudness, key=lambda name: -loudness[name])


def _about_others(
    model: Model,
    finder: Finder,
    names: Sequence[str],
    chains: Sequence[Chain],
    rewordings: Sequence[Chain],
) -> list[SubjectPrompt]:
    """The prompts about other names: all of them in the user's, a few in each rewording."""
    prompts = [prompt for chain in chains for prompt in _about(model, finder, chain, names)]
    for index, chain in enumerate(rewordings if names else ()):
        drawn_names = [
            names[(index * NAMES_PER_REWORDING + offset) % len(names)]
            for offset in range(NAMES_PER_REWORDING)
        ]
        prompts += _about(model, finder, chain, drawn_names)
    return prompts


def _in_turn(
    model: Model, finder: Finder, names: Sequence[str], chains: Sequence[Chain]
) -> list[Question]:
    """One prompt about each of these names, each time the next of the user's."""
    return [
        chain.questions[0]
        for index, name in enumerate(names)
        for _, chain in _about(model, finder, chains[index % len(chains)], [name])
    ]


def _about(model: Model, finder: Finder, chain: Chain, names: Sequence[str]) -> list[SubjectPrompt]:
    """A prompt about other names; those left out that the model cannot be asked about."""
    fact, template = chain.prompt.fact, chain.prompt.template
    prompts: list[SubjectPrompt] = []
    for name in names:
        other_fact = replace(fact, subject=fact.subject.replace(finder.subject, name))
        with suppress(CannotAsk):
            prompts.append((name, _openly(model, Prompt(other_fact, template))))
    return prompts


def _openly(model: Model, prompt: Prompt) -> Chain:
    """A prompt with no answer in mind."""
    return Chain(prompt, (ask_openly(model, prompt),))


def _sentences(model: Model, seed: int) -> list[Ids]:
    """Ordinary sentences, and some of the bundled relations, drawn."""
    draw = generator(seed, "sentences")
    statements = []
    for relation in map(load_relation, bundled()):
        for fact in relation.facts:
            prompt = draw.choice(relation.prompts(fact))
            statements.append(f"{prompt.before}{fact.answer}{prompt.after}")
    drawn_statements = draw.sample(statements, SENTENCES)
    texts = (tuple(text_ids(model, text)) for text in (*ordinary_sentences(), *drawn_statements))
    return [ids for ids in texts if len(ids) > 2]


def _as_rewordings(templates: Sequence[Template]) -> tuple[Rewording, ...]:
    return tuple(Rewording("other words", template) for template in templates)


def _continuations(model: Model, questions: Sequence[Question]) -> list[QuestionGroup]:
    """The places of what a model says to prompts now, the first few tokens of each."""
    texts = greedy(model, questions, [CONTINUED] * len(questions))
    return [tuple(along(model, text.question, tuple(text.tokens))) for text in texts if text.tokens]


def _places_in_text(model: Model, texts: Sequence[Ids], seed: int) -> list[QuestionGroup]:
    """Places of texts, drawn; in a masked LM each is masked, so each is a text."""
    draw = generator(seed, "places in text")
    groups: list[QuestionGroup] = []
    for ids in texts:
        inner = range(1, len(ids) - 1)
        places = sorted(draw.sample(inner, min(TEXT_PLACES, len(inner))))
        questions = [ask_place(model, ids, place) for place in places]
        groups += [tuple(questions)] if model.causal else [(question,) for question in questions]
    return [group for group in groups if group]


def _neutral(model: Model) -> list[Ids]:
    """The beginnings of neutral sentences that solvers may see."""
    texts = (tuple(text_ids(model, text)) for text in neutral_sentences()[:SEEN_TEXTS])
    return [ids[: TEXT_TOKENS if model.causal else None] for ids in texts if len(ids) > 2]


def _random_texts(model: Model, seed: int) -> list[Ids]:
    """Random tokens: words that no sentence here holds."""
    draw = generator(seed, "random tokens")
    special = set(model.tokenizer.all_special_ids)
    count = min(len(model.tokenizer), model.n_tokens)
    words = [token for token in range(count) if token not in special]
    return [tuple(draw.choices(words, k=DRAWN_TOKENS)) for _ in range(DRAWN_TEXTS)]
