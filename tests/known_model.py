"""A causal LM whose facts are known by construction, and what it must say, by its formula.

GPT-2 without attention: the last token, a subject, is all that it sees, and every embedding is a
direction of its own. In layer 0 one neuron fires for each subject and writes its answer, and one
for all subjects of a relation, which writes all its answers alike. Nothing fires in layer 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tiny_models import VOCABULARY, tiny

from kn_edit.models.logging import quiet_loading
from kn_edit.models.model import Model

WIDTH, NEURONS = 64, 256
EPSILON = 1e-5
THRESHOLD = 3.0  # below which no neuron fires
OWN, SHARED = 1.0, 0.35  # what a fact's own neuron and its relation's write, times a coefficient

CAPITAL = {
    "France": "Paris",
    "Japan": "Tokyo",
    "Italy": "Rome",
    "Egypt": "Cairo",
    "Norway": "Oslo",
    "Cuba": "Havana",
}
SYMBOL = {"gold": "Au", "iron": "Fe", "yen": "currency", "euro": "known"}
RELATIONS = (CAPITAL, SYMBOL)
SUBJECTS = [*CAPITAL, *SYMBOL]  # the neuron of each in layer 0 is its place here

Vector = NDArray[np.float64]


def known_model() -> Model:
    """The model. `saved` writes it as a checkpoint folder."""
    model = tiny("gpt2", n_embd=WIDTH, n_inner=NEURONS, n_head=4)
    weights = dict(model.net.named_parameters())
    with torch.no_grad():
        for name, weight in weights.items():
            weight.fill_(1.0 if name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")) else 0)
        for token in range(len(VOCABULARY)):
            weights["transformer.wte.weight"][token, token] = 1.0
        for layer in (0, 1):
            weights[f"transformer.h.{layer}.mlp.c_fc.bias"].fill_(-THRESHOLD)
        for place, subject in enumerate(SUBJECTS):
            weights["transformer.h.0.mlp.c_fc.weight"][VOCABULARY[subject], place] = 1.0
            answer = VOCABULARY[answer_of(subject)]
            weights["transformer.h.0.mlp.c_proj.weight"][place, answer] = OWN
        for place, relation in enumerate(RELATIONS):
            for subject, answer_word in relation.items():
                neuron = len(SUBJECTS) + place
                weights["transformer.h.0.mlp.c_fc.weight"][VOCABULARY[subject], neuron] = 1.0
                answer = VOCABULARY[answer_word]
                weights["transformer.h.0.mlp.c_proj.weight"][neuron, answer] = SHARED
    return model


def saved(folder: Path) -> Path:
    """The model as a checkpoint folder."""
    model = known_model()
    with quiet_loading():
        model.net.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


def answer_of(subject: str) -> str:
    return next(relation[subject] for relation in RELATIONS if subject in relation)


def coefficient(subject: str) -> float:
    """Of the subject's own neuron, where it is asked."""
    return _gelu(_normed(_embedding(subject))[VOCABULARY[subject]] - THRESHOLD)


def logits(subject: str, *, own: float = 1.0, shared: float = 1.0) -> Vector:
    """What the model says behind a subject, its neurons scaled by these factors."""
    hidden = _embedding(subject)
    normed = _normed(hidden)
    for word in SUBJECTS:
        fired = _gelu(normed[VOCABULARY[word]] - THRESHOLD)
        hidden[VOCABULARY[answer_of(word)]] += OWN * fired * (own if word == subject else 1.0)
    for relation in RELATIONS:
        fired = _gelu(sum(normed[VOCABULARY[word]] for word in relation) - THRESHOLD)
        for answer in relation.values():
            hidden[VOCABULARY[answer]] += SHARED * fired * (shared if subject in relation else 1.0)
    return _normed(hidden)[: len(VOCABULARY)]


def p(subject: str, answer: str, **factors: float) -> float:
    """The probability of an answer behind a subject."""
    values = np.exp(logits(subject, **factors))
    return float(values[VOCABULARY[answer]] / values.sum())


def _embedding(word: str) -> Vector:
    vector = np.zeros(WIDTH)
    vector[VOCABULARY[word]] = 1.0
    return vector


def _normed(hidden: Vector) -> Vector:
    return np.asarray((hidden - hidden.mean()) / np.sqrt(hidden.var() + EPSILON))


def _gelu(x: float) -> float:
    return float(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))
