"""Neutral text: some of it a solver holds in place, the rest tells whether a model still speaks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kn_edit.evaluation.fluency import perplexity
from kn_edit.facts import neutral_sentences
from kn_edit.models.encoding import text_ids
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, ask_place, places
from kn_edit.seeds import USUAL, generator

SEEN_TEXTS = 20  # by solvers; the others judge
MIXED_TEXTS = 200  # of two halves each, for masked LMs
HELD_TEXTS = 6  # of these, the predictions of which are held in place
TOKENS = 12  # of each, in a causal LM; a masked one takes half a sentence for something else
PLACES = 4  # asked in each
JUDGING_TEXTS = 8  # of an edit; `evaluate` asks all that no solver holds


def held_in_place(model: Model, seed: int = USUAL) -> list[Question]:
    """Places in neutral text whose predictions must stay; in a masked LM each is masked."""
    rng = generator(seed, "places in neutral text")
    questions = []
    for text in neutral_sentences()[:HELD_TEXTS]:
        ids = text_ids(model, text)[: TOKENS if model.causal else None]
        inner = range(2, len(ids) - 1)
        for place in sorted(rng.sample(inner, min(PLACES, len(inner)))):
            questions.append(ask_place(model, ids, place + model.causal))
    return questions


def everywhere(model: Model, seed: int = USUAL) -> list[Question]:
    """Every place of the neutral text that solvers see.

    In a masked LM what fires at a place depends on both its sides, so there are also texts of which
    both sides were not seen together: halves of two (decision 0016).
    """
    texts = list(neutral_sentences()[:SEEN_TEXTS])
    if not model.causal:
        texts += _mixed(texts, seed)
    return [question for text in texts for question in places(model, text)]


def _mixed(texts: Sequence[str], seed: int) -> list[str]:
    """The first half of one sentence with the second half of another, pairs drawn."""
    rng = generator(seed, "mixed sentences")
    words = [text.split() for text in texts]
    pairs = [rng.sample(words, 2) for _ in range(MIXED_TEXTS)]
    return [" ".join((*a[: len(a) // 2], *b[len(b) // 2 :])) for a, b in pairs]


def unseen_texts() -> tuple[str, ...]:
    """Neutral text that no solver sees."""
    return neutral_sentences()[SEEN_TEXTS:]


def neutral_perplexity(model: Model, *, finite: bool = True) -> float:
    """Perplexity of some neutral text; fast enough to be measured around every edit.

    NaN where the tokenizer knows none of its words. Raises NotFinite; finite: False gives NaN.
    """
    return perplexity(model, unseen_texts()[:JUDGING_TEXTS], finite=finite)


def perplexity_metrics(before: float, after: float) -> dict[str, Any]:
    """Perplexity of neutral text before and after an edit, as it is recorded."""
    return {"neutral_before": before, "neutral_after": after} if math.isfinite(before) else {}
