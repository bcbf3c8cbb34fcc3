"""Texts in which a correction is to change nothing, and what a model says in them."""

from __future__ import annotations

from collections.abc import Sequence

from kn_edit.editing.neutral import SEEN_TEXTS
from kn_edit.edits.correct import QuestionGroup
from kn_edit.facts import bundled, load_relation, neutral_sentences, ordinary_sentences
from kn_edit.models.encoding import text_ids
from kn_edit.models.greedy import along, greedy, likeliest_paths
from kn_edit.models.model import Model
from kn_edit.models.predict import first_tokens
from kn_edit.models.questions import Question, ask_place
from kn_edit.models.usage import Ids
from kn_edit.seeds import generator

CONTINUED = 3  # tokens that another subject's prompt goes on for, all held
TEXT_TOKENS = 16  # of a neutral sentence
TEXT_PLACES = 5  # held in it
SENTENCES = 100  # of the bundled relations: beside ordinary ones: what is heard elsewhere
DRAWN_TEXTS = 60  # of random tokens, which hold words that no sentence here has
DRAWN_TOKENS = 16


def ordinary_texts(model: Model, seed: int) -> list[Ids]:
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


def continuations(model: Model, questions: Sequence[Question]) -> list[QuestionGroup]:
    """The places of what a model says to prompts now, the first few tokens of each.

    Raises NotFinite.
    """
    counts = [CONTINUED] * len(questions)
    if model.causal:
        paths = likeliest_paths(model, questions, counts)
        silent = [question for question, path in zip(questions, paths, strict=True) if not path]
        first_tokens(model, silent)  # raises where they are NaN
    else:
        paths = [tuple(text.tokens) for text in greedy(model, questions, counts)]
    pairs = zip(questions, paths, strict=True)
    return [tuple(along(model, question, path)) for question, path in pairs if path]


def places_in_texts(model: Model, texts: Sequence[Ids], seed: int) -> list[QuestionGroup]:
    """Places of texts, drawn; in a masked LM each is masked, so each is a text."""
    draw = generator(seed, "places in text")
    groups: list[QuestionGroup] = []
    for ids in texts:
        inner = range(1, len(ids) - 1)
        places = sorted(draw.sample(inner, min(TEXT_PLACES, len(inner))))
        questions = [ask_place(model, ids, place) for place in places]
        groups += [tuple(questions)] if model.causal else [(question,) for question in questions]
    return [group for group in groups if group]


def neutral_texts(model: Model) -> list[Ids]:
    """The beginnings of neutral sentences that solvers may see."""
    texts = (tuple(text_ids(model, text)) for text in neutral_sentences()[:SEEN_TEXTS])
    return [ids[: TEXT_TOKENS if model.causal else None] for ids in texts if len(ids) > 2]


def random_texts(model: Model, seed: int) -> list[Ids]:
    """Random tokens: words that no sentence here holds."""
    draw = generator(seed, "random tokens")
    special = set(model.tokenizer.all_special_ids)
    count = min(len(model.tokenizer), model.n_tokens)
    words = [token for token in range(count) if token not in special]
    return [tuple(draw.choices(words, k=DRAWN_TOKENS)) for _ in range(DRAWN_TEXTS)]
