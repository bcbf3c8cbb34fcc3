"""Propose a correction: where a model does not know a fact, no neuron carries it yet.

In a causal LM, neurons that hardly ever fire are turned on where the subject is named, and their
value slots are solved for on the user's prompts and rewordings of them (decisions 0020 and 0033).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from kn_edit.editing.correction_keys import (
    SubjectPrompt,
    Surroundings,
    Writing,
    without_switches,
    writing_of,
    written_layers,
)
from kn_edit.editing.correction_names import asked_in_turn, confusable_names, prompts_about
from kn_edit.editing.correction_texts import (
    continuations,
    neutral_texts,
    ordinary_texts,
    places_in_texts,
    random_texts,
)
from kn_edit.editing.finding import Finder
from kn_edit.editing.locating import prompts_for
from kn_edit.editing.neighbours import Neighbours
from kn_edit.editing.paraphrasing import less_own_words, reworded
from kn_edit.edits.calibrate import Tick
from kn_edit.edits.correct import Factors, Lesson, corrected
from kn_edit.edits.settings import CorrectionSettings
from kn_edit.errors import KnEditError
from kn_edit.facts import Case, Template
from kn_edit.facts.paraphrases import Rewording, for_solver
from kn_edit.facts.varying import in_other_case, varied_templates
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question, ask
from kn_edit.models.usage import usual_sizes
from kn_edit.neuron import NeuronId
from kn_edit.seeds import USUAL, generator

REWORDED = 6  # rewordings of the prompts, frames around them
VARIED = 18  # and prompts with some words left out and others put in
OTHER_CASE = 3  # one of so many of all these writes the subject in the other case
OTHER_NAMES = 40  # that are heard like the subject, in the user's prompts
HELD_NAMES = 36  # others that are heard like it, about which what is said is held
LEAST_LEAD = 0.0  # of the answer on the user's prompts, for switches not to give way to keys
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
    rewordings = [(finder.subject, chain) for chain in other_words(model, case, to, task.seed)]
    rewordings = in_other_cases(model, rewordings, to)
    layers = sorted({slot.layer for slot in task.slots}) or written_layers(model)
    names = confusable_names(model, finder, neighbours, chains[0], layers)
    # A name that the keys were made against is hardly heard, so holding it would teach nothing.
    named_prompts = prompts_about(model, finder, names[::2][:OTHER_NAMES], chains, rewordings)
    held = asked_in_turn(model, finder, names[1::2][:HELD_NAMES], chains)
    other_subjects = continuations(model, [*neighbours.named, *neighbours.other_subjects, *held])
    same_subject = continuations(model, neighbours.same_subject)
    neutral = neutral_texts(model)
    questions = (*neighbours.elsewhere, *task.earlier)
    text = [*places_in_texts(model, neutral, task.seed), *((question,) for question in questions)]
    texts = [*neutral, *ordinary_texts(model, task.seed), *random_texts(model, task.seed)]
    surroundings = Surroundings(
        subject_prompts=[*((finder.subject, chain) for chain in chains), *rewordings],
        other_prompts=named_prompts,
        texts=texts,
        seed=task.seed,
    )

    def solved(writing: Writing) -> Factors:
        norms = usual_sizes(model, neutral, [layer_keys.layer for layer_keys in writing.keys])
        lesson = Lesson(
            prompts=[chain.questions for chain in chains],
            rewordings=[
                *(chain.questions for _, chain in rewordings),
                *((question,) for question in less_own_words(model, chains, task.seed)),
            ],
            other_subjects=other_subjects,
            same_subject=same_subject,
            text=text,
            keys=writing.keys,
            typical_norms=norms.clamp_min(torch.finfo(torch.float32).tiny),
            mark=writing.mark,
        )
        chosen = settings.switched if writing.mark else settings
        return corrected(model, lesson, chosen, seed=task.seed, tick=tick)

    writing = writing_of(model, layers, surroundings, settings, task.slots)
    solution = solved(writing)
    if writing.mark and solution.margin <= LEAST_LEAD:
        keys_alone = without_switches(model, layers, surroundings, settings, writing)
        other_solution = solved(keys_alone)
        if other_solution.margin > solution.margin:
            writing, solution = keys_alone, other_solution
    parts = [
        pair
        for layer_keys in (*writing.keys, *writing.marking)
        for pair in layer_keys.best(RECORDED_SLOTS)
    ]
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


def other_words(model: Model, case: Case, to: str, seed: int = USUAL) -> list[Chain]:
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


def in_other_cases(model: Model, prompts: Sequence[SubjectPrompt], to: str) -> list[SubjectPrompt]:
    """The prompts, but every third one writes the subject in the other case."""
    return [
        prompt if number % OTHER_CASE else _in_other_case(model, prompt, to)
        for number, prompt in enumerate(prompts, start=1)
    ]


def _in_other_case(model: Model, named: SubjectPrompt, to: str) -> SubjectPrompt:
    """The prompt as it is where the tokenizer does not know the subject in that case."""
    subject, chain = named
    other = in_other_case(subject)
    fact = chain.prompt.fact
    fact = replace(fact, subject=fact.subject.replace(subject, other))
    with suppress(KnEditError):
        written = ask(model, replace(chain.prompt, fact=fact), to)
        if _unknown_words(model, written) <= _unknown_words(model, chain):
            return other, written
    return named


def _unknown_words(model: Model, chain: Chain) -> int:
    return chain.questions[-1].ids.count(model.tokenizer.unk_token_id)


def _as_rewordings(templates: Sequence[Template]) -> tuple[Rewording, ...]:
    return tuple(Rewording("other words", template) for template in templates)
