"""A prompt, tokenised for a model: what goes in, where the answer is asked, which token answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from torch import Tensor

from kn_edit.errors import AnswerNotInVocabulary, AnswerNotOneToken
from kn_edit.facts import Prompt
from kn_edit.models.model import Model


@dataclass(frozen=True)
class Question:
    """One token asked at one position."""

    ids: tuple[int, ...]
    position: int
    token: int


@dataclass(frozen=True)
class Chain:
    """An answer asked token by token: token i after the prompt and tokens 1..i-1.

    A masked LM has chains of one question.
    """

    prompt: Prompt
    questions: tuple[Question, ...]


def ask(model: Model, prompt: Prompt, answer: str | None = None) -> Chain:
    """Tokenise a prompt, with its own answer or another.

    Raises AnswerNotInVocabulary and, for a masked LM, AnswerNotOneToken.
    """
    wanted = prompt.fact.answer if answer is None else answer
    ask_kind = _ask_causal if model.causal else _ask_masked
    questions = ask_kind(model, prompt, wanted)
    unknown = model.tokenizer.unk_token_id
    if not questions or unknown in [question.token for question in questions]:
        raise AnswerNotInVocabulary(wanted)
    return Chain(prompt, questions)


def ask_openly(model: Model, prompt: Prompt) -> Question:
    """The place of a prompt's answer with no answer in mind; its token means nothing."""
    return ask_between(model, prompt.before, prompt.after)


def ask_between(model: Model, before: str, after: str) -> Question:
    """The place between two pieces of a text; a causal LM sees only what stands before it."""
    if model.causal:
        ids = _encode(model, before.rstrip())
        return Question(ids, len(ids) - 1, 0)
    return Question(*_masked(model, before, after), 0)


def with_unknown_words(model: Model, chain: Chain, count: int, draw: Random) -> list[Question]:
    """A masked LM's question again, each time with another token of the template unknown.

    At most so many, the tokens drawn; none for a model whose tokenizer knows every word.
    """
    (question,) = chain.questions
    tokenizer, unknown = model.tokenizer, model.tokenizer.unk_token_id
    if unknown is None:
        return []
    kept = {*tokenizer.all_special_ids, *_encode(model, chain.prompt.fact.subject)}
    places = [at for at, token in enumerate(question.ids) if token not in kept]
    return [
        replace(question, ids=(*question.ids[:at], unknown, *question.ids[at + 1 :]))
        for at in draw.sample(places, min(count, len(places)))
    ]


def ask_place(model: Model, ids: Sequence[int], place: int) -> Question:
    """A place in a text: a causal LM predicts what stands there, in a masked LM it is masked."""
    if model.causal:
        return Question(tuple(ids), place - 1, ids[place])
    mask = model.tokenizer.mask_token_id
    return Question((*ids[:place], mask, *ids[place + 1 :]), place, ids[place])


def places(model: Model, text: str) -> list[Question]:
    """Every token of a text in turn, but its first; in a masked LM but the special ones."""
    ids = model.tokenizer(text)["input_ids"]
    special = set() if model.causal else set(model.tokenizer.all_special_ids)
    asked = range(int(model.causal), len(ids))  # nothing stands before a causal LM's first
    return [ask_place(model, ids, place) for place in asked if ids[place] not in special]


def _ask_causal(model: Model, prompt: Prompt, answer: str) -> tuple[Question, ...]:
    before = prompt.before.rstrip()
    start = _encode(model, before)
    whole = _encode(model, f"{before} {answer}")
    # Tokenizers with a space in front of words keep the prompt's own tokens; others may merge.
    kept = whole[: len(start)] == start
    tokens = whole[len(start) :] if kept else _encode(model, f" {answer}", special=False)
    return tuple(
        Question(start + tokens[:done], len(start) + done - 1, token)
        for done, token in enumerate(tokens)
    )


def _ask_masked(model: Model, prompt: Prompt, answer: str) -> tuple[Question, ...]:
    tokenizer = model.tokenizer
    masked, position = _masked(model, prompt.before, prompt.after)
    filled = _encode(model, prompt.before + answer + prompt.after)
    tokens = filled[position : position + 1 + len(filled) - len(masked)]
    if len(tokens) > 1:
        raise AnswerNotOneToken(answer, tuple(tokenizer.convert_ids_to_tokens(list(tokens))))
    return tuple(Question(masked, position, token) for token in tokens)


def _masked(model: Model, before: str, after: str) -> tuple[tuple[int, ...], int]:
    """The tokens of a text with the mask in the middle, and where the mask is."""
    tokenizer = model.tokenizer
    ids = _encode(model, before + tokenizer.mask_token + after)
    return ids, ids.index(tokenizer.mask_token_id)


def _encode(model: Model, text: str, *, special: bool = True) -> tuple[int, ...]:
    return tuple(model.tokenizer(text, add_special_tokens=special)["input_ids"])


@dataclass(frozen=True)
class Batch:
    """Questions side by side, padded on the right. Questions about the same text share a row."""

    ids: Tensor  # (rows, tokens)
    mask: Tensor | None  # (rows, tokens), 1 for tokens; None where padding cannot be seen
    rows: Tensor  # each question's row, (questions,)
    positions: Tensor  # and its position there, (questions,)
    tokens: Tensor  # and its token, (questions,)

    def at_answer(self, hidden: Tensor) -> Tensor:
        """Of hidden states (rows, tokens, width) those where questions ask, (questions, width)."""
        return hidden[self.rows, self.positions]


def batched(model: Model, questions: Sequence[Question]) -> Batch:
    """Pad questions to one length.

    A causal LM never looks ahead, so padding on the right needs no mask there.
    Some tokenizers pad with a token that the model has no embedding of; any other does as well.
    """
    places = {ids: row for row, ids in enumerate(dict.fromkeys(one.ids for one in questions))}
    longest = max(len(ids) for ids in places)
    pad = model.tokenizer.pad_token_id or 0
    pad = pad if pad < model.n_tokens else 0
    lengths = torch.tensor([len(ids) for ids in places])
    padded = not model.causal and bool((lengths < longest).any())
    mask = (torch.arange(longest)[None, :] < lengths[:, None]).long() if padded else None
    device = model.device
    return Batch(
        torch.tensor([ids + (pad,) * (longest - len(ids)) for ids in places], device=device),
        None if mask is None else mask.to(device),
        torch.tensor([places[question.ids] for question in questions], device=device),
        torch.tensor([question.position for question in questions], device=device),
        torch.tensor([question.token for question in questions], device=device),
    )


def of_similar_length(questions: Sequence[Question], most: float = 1.5) -> list[list[Question]]:
    """Groups to pad together, none of whose texts is much longer than its shortest."""
    groups: list[list[Question]] = []
    for question in sorted(questions, key=lambda one: len(one.ids)):
        if groups and len(question.ids) <= most * len(groups[-1][0].ids):
            groups[-1].append(question)
        else:
            groups.append([question])
    return groups
