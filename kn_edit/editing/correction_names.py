"""Other names, which a correction has to tell from its subject, and prompts about them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from kn_edit.editing.correction_keys import SubjectPrompt, prompt_coefficients, readings_of
from kn_edit.editing.finding import Finder
from kn_edit.editing.neighbours import Neighbours
from kn_edit.edits.keys import keys_of
from kn_edit.errors import CannotAsk
from kn_edit.facts import Prompt
from kn_edit.facts.subjects import names_of_every_kind
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question, ask_openly
from kn_edit.models.usage import joined
from kn_edit.seeds import generator

NAMES_PER_REWORDING = 4  # of them in each rewording, others each time


def confusable_names(
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
    subject_coefficients = prompt_coefficients(model, [(finder.subject, chain)], layers).at_subject
    readings = readings_of(model, _about(model, (finder.subject, chain), names), layers, cut=True)
    pool = joined(model, [rows for _, _, rows in readings], layers)
    loudness = dict.fromkeys(names, 0.0)
    for layer in layers:
        key = keys_of(layer, subject_coefficients[layer], [pool[layer]], rank=1)
        for name, _, rows in readings:
            loudness[name] += float((rows[layer] @ key.u[0]).square().sum())
    return sorted(loudness, key=lambda name: -loudness[name])


def prompts_about(
    model: Model,
    finder: Finder,
    names: Sequence[str],
    chains: Sequence[Chain],
    rewordings: Sequence[SubjectPrompt],
) -> list[SubjectPrompt]:
    """The prompts about other names: all of them in the user's, a few in each rewording."""
    prompts = [
        prompt for chain in chains for prompt in _about(model, (finder.subject, chain), names)
    ]
    for index, reworded in enumerate(rewordings if names else ()):
        drawn_names = [
            names[(index * NAMES_PER_REWORDING + offset) % len(names)]
            for offset in range(NAMES_PER_REWORDING)
        ]
        prompts += _about(model, reworded, drawn_names)
    return prompts


def asked_in_turn(
    model: Model, finder: Finder, names: Sequence[str], chains: Sequence[Chain]
) -> list[Question]:
    """One prompt about each of these names, each time the next of the user's."""
    return [
        chain.questions[0]
        for index, name in enumerate(names)
        for _, chain in _about(model, (finder.subject, chains[index % len(chains)]), [name])
    ]


def _about(model: Model, named: SubjectPrompt, names: Sequence[str]) -> list[SubjectPrompt]:
    """A prompt about other names; those left out that the model cannot be asked about."""
    subject, chain = named
    fact, template = chain.prompt.fact, chain.prompt.template
    prompts: list[SubjectPrompt] = []
    for name in names:
        other_fact = replace(fact, subject=fact.subject.replace(subject, name))
        with suppress(CannotAsk):
            prompts.append((name, _openly(model, Prompt(other_fact, template))))
    return prompts


def _openly(model: Model, prompt: Prompt) -> Chain:
    """A prompt with no answer in mind."""
    return Chain(prompt, (ask_openly(model, prompt),))
