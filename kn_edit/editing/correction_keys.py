"""The keys of a correction: directions of coefficients that tell a subject from everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch
from torch import Tensor

from kn_edit.editing.correction_texts import places_in_texts
from kn_edit.edits.keys import Keys, keys_of
from kn_edit.edits.settings import CorrectionSettings
from kn_edit.edits.suffix import LowRankShift, Suffix, shifted
from kn_edit.edits.switches import Place, Switch, switch_of
from kn_edit.models.model import Model
from kn_edit.models.predict import coefficients
from kn_edit.models.questions import Chain, word_places
from kn_edit.models.usage import Ids, coefficients_by_text, coefficients_in, joined
from kn_edit.neuron import NeuronId

LOWEST, HIGHEST = 0.14, 0.63  # depth of the layers that are written: 0 the first, 1 the last
LAYERS = 8  # of them
MARKED = 3  # of these, the lowest, in which a causal LM's mark is written
SWITCHES = 2  # neurons above them that it turns on
STRIDE = 2  # of the written layers above, one of so many has one
SPARSE = 6  # of so many texts elsewhere, one is looked at to choose a switch
LOUDEST = 0.1  # noise of switches, at most, for them to be used

SubjectPrompt = tuple[str, Chain]  # a subject, and a prompt about it


@dataclass(frozen=True, eq=False, kw_only=True)
class Surroundings:
    """Where a subject is named, and where it is not.

    other_prompts: about names that the subject may be mistaken for; texts: about nothing of it
    """

    subject_prompts: Sequence[SubjectPrompt]
    other_prompts: Sequence[SubjectPrompt]
    texts: Sequence[Ids]
    seed: int

    @property
    def every_text(self) -> list[Ids]:
        """The texts of all prompts, and the others."""
        prompts = (*self.subject_prompts, *self.other_prompts)
        return [*(chain.questions[-1].ids for _, chain in prompts), *self.texts]


@dataclass(frozen=True, eq=False, kw_only=True)
class Writing:
    """What writes a correction.

    keys: of what is to say the answer; mark: what keys of lower layers, `marking`, write for that
    """

    keys: list[Keys]
    mark: Mapping[int, LowRankShift] = field(default_factory=dict)
    marking: list[Keys] = field(default_factory=list)


def writing_of(
    model: Model,
    layers: Sequence[int],
    surroundings: Surroundings,
    settings: CorrectionSettings,
    slots: Sequence[NeuronId] = (),
) -> Writing:
    """The value slots of switches and the mark that turns them on, in a causal LM.

    The keys of all layers, and no mark, where no switches are found that are quiet elsewhere, and
    where slots are named: then over these.
    """
    count = min(MARKED, len(layers) - 1)
    lower, upper = layers[:count], layers[count:]
    # What the last layer writes where the subject is named, nothing reads.
    above = [layer for layer in upper[::STRIDE] if layer < model.n_layers - 1][:SWITCHES]
    if slots or not (model.causal and lower and above):
        return Writing(keys=task_keys(model, layers, surroundings, settings, slots))
    # What lies below the first layer that is written runs once for all that follows.
    suffix = Suffix(model, lower[0], surroundings.every_text)
    marking = task_keys(model, lower, surroundings, settings, suffix=suffix)
    neurons: list[NeuronId] = []
    mark: Mapping[int, LowRankShift] = {}
    for layer in above:
        with shifted(model, mark):
            switch = _switch(model, marking, layer, surroundings)
        neurons.append(switch.neuron)
        mark = {
            lower_layer: LowRankShift(part.u, part.v + mark[lower_layer].v if mark else part.v)
            for lower_layer, part in switch.mark.items()
        }
    with shifted(model, mark):
        keys = task_keys(model, above, surroundings, settings, neurons, suffix=suffix)
    writing = Writing(keys=keys, mark=mark, marking=marking)
    if fmean(float(layer_keys.noise[0]) for layer_keys in keys) <= LOUDEST:
        return writing
    return without_switches(model, layers, surroundings, settings, writing, suffix=suffix)


def without_switches(
    model: Model,
    layers: Sequence[int],
    surroundings: Surroundings,
    settings: CorrectionSettings,
    writing: Writing,
    *,
    suffix: Suffix | None = None,
) -> Writing:
    """The keys of all layers in place of switches; those of the lowest, which marked, are known.

    suffix: holds all texts; where there is one, nothing below it runs again
    """
    upper = layers[len(writing.marking) :]
    keys = task_keys(model, upper, surroundings, settings, suffix=suffix)
    return Writing(keys=[*writing.marking, *keys])


def _switch(model: Model, keys: Sequence[Keys], layer: int, surroundings: Surroundings) -> Switch:
    """The switch of a layer, chosen by a part of the texts elsewhere."""
    others = surroundings.other_prompts[::SPARSE]
    return switch_of(
        model,
        keys,
        layer,
        contexts=_contexts(model, surroundings.subject_prompts),
        elsewhere=[
            *surroundings.texts[::SPARSE],
            *(chain.questions[-1].ids for _, chain in others),
        ],
        seed=surroundings.seed,
    )


def task_keys(
    model: Model,
    layers: Sequence[int],
    surroundings: Surroundings,
    settings: CorrectionSettings,
    slots: Sequence[NeuronId] = (),
    *,
    suffix: Suffix | None = None,
) -> list[Keys]:
    """The keys of these layers.

    suffix: holds all texts; where there is one, nothing below it runs again
    slots: the keys are over these, where there are any. Prompts about others count whole, and once
    more where they name their subject: there an edit of one is taken for one of all.
    """
    subject_coefficients = prompt_coefficients(
        model, surroundings.subject_prompts, layers, suffix=suffix
    ).at_subject
    ordinary = (
        coefficients_in_texts(model, surroundings.texts, layers, surroundings.seed)
        if suffix is None
        else joined(
            model, [rows for _, rows in suffix.coefficients(surroundings.texts, layers)], layers
        )
    )
    other_coefficients = prompt_coefficients(
        model, surroundings.other_prompts, layers, suffix=suffix
    )
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


def coefficients_in_texts(
    model: Model, texts: Sequence[Ids], layers: Sequence[int], seed: int
) -> dict[int, Tensor]:
    """Coefficients at every token of texts, (places, d_ff), of each layer; in a masked LM also at
    a few that are masked, for there it is asked."""
    by_layer = coefficients_in(model, texts, layers)
    if model.causal:
        return by_layer
    questions = [question for group in places_in_texts(model, texts, seed) for question in group]
    rows = coefficients(model, questions)
    return {layer: torch.cat([by_layer[layer], rows[:, layer].float()]) for layer in layers}


def written_layers(model: Model) -> list[int]:
    """The layers that are written, evenly between two depths."""
    step = (HIGHEST - LOWEST) / (LAYERS - 1)
    depths = (LOWEST + number * step for number in range(LAYERS))
    return sorted({round(depth * (model.n_layers - 1)) for depth in depths})


@dataclass(frozen=True, eq=False)
class PromptCoefficients:
    """Coefficients in prompts, (tokens, d_ff), of each layer."""

    every_token: dict[int, Tensor]
    at_subject: dict[int, Tensor]  # at the tokens where a prompt tells its subject


def prompt_coefficients(
    model: Model,
    named: Sequence[SubjectPrompt],
    layers: Sequence[int],
    *,
    suffix: Suffix | None = None,
) -> PromptCoefficients:
    """The coefficients in prompts that name their subjects, joined for each layer.

    suffix: holds the prompts; where there is one, nothing below it runs again
    """
    readings = readings_of(model, named, layers, suffix=suffix)
    return PromptCoefficients(
        every_token=joined(model, [every_token for _, every_token, _ in readings], layers),
        at_subject=joined(model, [at_subject for _, _, at_subject in readings], layers),
    )


Rows = dict[int, Tensor]  # coefficients in a prompt, (tokens, d_ff), of each layer


def readings_of(
    model: Model,
    named: Sequence[SubjectPrompt],
    layers: Sequence[int],
    *,
    cut: bool = False,
    suffix: Suffix | None = None,
) -> list[tuple[str, Rows, Rows]]:
    """Each subject with the coefficients in its prompt, and with those where it is told.

    cut: of a causal LM no more of a prompt is run than up to there
    suffix: holds the prompts; where there is one, nothing below it runs again
    """
    places: dict[Ids, tuple[str, list[int]]] = {}
    for subject, chain in named:
        ids, positions = chain.questions[-1].ids, _places(model, chain, subject)
        until = positions[-1] + 1 if cut and model.causal and positions else len(ids)
        places[ids[:until]] = subject, positions
    readings = []
    by_text = (
        coefficients_by_text(model, list(places), layers)
        if suffix is None
        else suffix.coefficients(places, layers)
    )
    for ids, by_layer in by_text:
        subject, positions = places[ids]
        readings.append(
            (subject, by_layer, {layer: by_layer[layer][positions] for layer in layers})
        )
    return readings


def _contexts(model: Model, prompts: Sequence[SubjectPrompt]) -> list[Place]:
    """Where prompts tell their subjects."""
    return [
        (chain.questions[-1].ids, place)
        for subject, chain in prompts
        for place in _places(model, chain, subject)
    ]


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
