"""The keys of a correction: directions of coefficients that tell a subject from everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.editing.correction_texts import places_in_texts
from kn_edit.edits.keys import Keys, keys_of
from kn_edit.edits.settings import CorrectionSettings
from kn_edit.models.model import Model
from kn_edit.models.predict import coefficients
from kn_edit.models.questions import Chain, word_places
from kn_edit.models.usage import Ids, coefficients_by_text, coefficients_in, joined
from kn_edit.neuron import NeuronId

LOWEST, HIGHEST = 0.14, 0.63  # depth of the layers that are written: 0 the first, 1 the last
LAYERS = 8  # of them

SubjectPrompt = tuple[str, Chain]  # a subject, and a prompt about it


def task_keys(
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
    subject_coefficients = prompt_coefficients(model, subject_prompts, layers).at_subject
    other_coefficients = prompt_coefficients(model, other_prompts, layers)
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
    model: Model, named: Sequence[SubjectPrompt], layers: Sequence[int]
) -> PromptCoefficients:
    """The coefficients in prompts that name their subjects, joined for each layer."""
    readings = readings_of(model, named, layers)
    return PromptCoefficients(
        every_token=joined(model, [every_token for _, every_token, _ in readings], layers),
        at_subject=joined(model, [at_subject for _, _, at_subject in readings], layers),
    )


Rows = dict[int, Tensor]  # coefficients in a prompt, (tokens, d_ff), of each layer


def readings_of(
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
