"""A prompt, tokenised for a model: what goes in, where the answer is asked, which token answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

import torch
from torch import Tensor

from kn_edit.errors import AnswerNotInVocabulary, AnswerNotOneToken, AnswerTooLong, PromptEmpty
from kn_edit.facts import Prompt
from kn_edit.models.encoding import (
    border,
    continued,
    filled,
    masked_ids,
    refuse_special,
    refuse_unreadable,
    text_ids,
)
from kn_edit.models.model import Model
from kn_edit.safetext import shortened

LONGER = 1.5  # than the shortest text that it is padded with, a text is at most
MOST_TOKENS = 64  # of an answer; each is a pass through the model, and a target of the solver

T = TypeVar("T")


@dataclass(frozen=True)
class Question:
    """One token asked at one position."""

    ids: tuple[int, ...]
    position: int
    token: int


@dataclass(frozen=True)
class Chain:
    """An answer asked token by token: token i after the prompt and tokens 1..i-1.

    A masked LM has chains of one question. asked_as: what the tokens say, where the tokenizer
    cannot say the prompt with this answer as it is written; else empty. unknown: whether words of
    the prompt are the tokenizer's unknown token.
    """

    prompt: Prompt
    questions: tuple[Question, ...]
    asked_as: str = ""
    unknown: bool = False


def ask(model: Model, prompt: Prompt, answer: str | None = None) -> Chain:
    """Tokenise a prompt, with its own answer or another, exactly as it is written.

    Raises AnswerNotInVocabulary, AnswerTooLong, SpecialTokenInText, PromptTooLong, PromptEmpty,
    TokenNotEmbedded and, for a masked LM, AnswerNotOneToken.
    """
    wanted = prompt.fact.answer if answer is None else answer
    kind = _ask_causal if model.causal else _ask_masked
    chain = kind(model, prompt, wanted)
    unknown = model.tokenizer.unk_token_id
    if not chain.questions or unknown in [question.token for question in chain.questions]:
        raise AnswerNotInVocabulary(wanted)
    last = chain.questions[-1]  # its text is the longest
    refuse_unreadable(model, last.ids, last.token)
    return replace(chain, unknown=unknown in chain.questions[0].ids)


def ask_openly(model: Model, prompt: Prompt) -> Question:
    """The place of a prompt's answer with no answer in mind; its token means nothing.

    Raises PromptTooLong, PromptEmpty, TokenNotEmbedded.
    """
    question = ask_between(model, prompt.before, prompt.after)
    refuse_unreadable(model, question.ids)
    return question


def ask_between(model: Model, before: str, after: str) -> Question:
    """The place between two pieces of a text; a causal LM sees only what stands before it.

    Raises PromptEmpty.
    """
    if model.causal:
        ids = _prompt_ids(model, before)
        return Question(ids, len(ids) - 1, 0)
    return Question(*masked_ids(model, before, after), 0)


def asked_otherwise(chains: Sequence[Chain]) -> tuple[str, ...]:
    """A sentence for each prompt that the tokenizer cannot say as it is written.

    One sentence tells of all prompts with unknown words: to the model, they look alike.
    """
    return _with_unknown(chains) + tuple(
        f"{shortened(chain.prompt.cloze, 80)} is asked as {shortened(chain.asked_as, 80)!r}: "
        "the tokenizer has no tokens for it as it is written"
        for chain in chains
        if chain.asked_as
    )


def _with_unknown(chains: Sequence[Chain]) -> tuple[str, ...]:
    prompts = list(dict.fromkeys(chain.prompt.cloze for chain in chains if chain.unknown))
    if not prompts:
        return ()
    rest = f", and {len(prompts) - 1} more do so too" if len(prompts) > 1 else ""
    return (f"{shortened(prompts[0], 80)} holds words that the tokenizer does not know{rest}",)


def asked_text(prompt: Prompt) -> str:
    """The text that a causal LM reads before it answers."""
    return border(prompt.before)[0]


def with_unknown_words(model: Model, chain: Chain, count: int, draw: Random) -> list[Question]:
    """A masked LM's question again, each time with another token of the template unknown.

    At most so many, the tokens drawn; none for a model whose tokenizer knows every word.
    """
    (question,) = chain.questions
    tokenizer, unknown = model.tokenizer, model.tokenizer.unk_token_id
    if unknown is None:
        return []
    fixed = {*tokenizer.all_special_ids, *text_ids(model, chain.prompt.fact.subject)}
    places = [index for index, token in enumerate(question.ids) if token not in fixed]
    return [
        replace(question, ids=(*question.ids[:index], unknown, *question.ids[index + 1 :]))
        for index in draw.sample(places, min(count, len(places)))
    ]


def word_places(model: Model, chain: Chain, words: str) -> tuple[int, ...]:
    """Find the tokens of some words of a prompt; empty where it does not hold them.

    The first token is left out where there are others: it is what all texts look back at.
    """
    prompt, ids = chain.prompt, chain.questions[-1].ids
    mask = "" if model.causal else model.tokenizer.mask_token + prompt.after
    text = prompt.before + mask
    start = text.rfind(words)
    if start < 0 or not words:
        return ()
    first = _in_common(ids, text_ids(model, text[:start]))
    end = _in_common(ids, text_ids(model, text[: start + len(words)]))
    return tuple(range(max(first, 1), min(max(end, first + 1, 2), len(ids))))


def _in_common(ids: Sequence[int], other_ids: Sequence[int]) -> int:
    """How many tokens two texts begin with alike."""
    pairs = zip(ids, other_ids, strict=False)
    differ = (index for index, (token, other_token) in enumerate(pairs) if token != other_token)
    return next(differ, min(len(ids), len(other_ids)))


def ask_place(model: Model, ids: Sequence[int], place: int) -> Question:
    """A place in a text: a causal LM predicts what stands there, in a masked LM it is masked."""
    if model.causal:
        return Question(tuple(ids), place - 1, ids[place])
    mask = model.tokenizer.mask_token_id
    return Question((*ids[:place], mask, *ids[place + 1 :]), place, ids[place])


def places(model: Model, text: str) -> list[Question]:
    """Every token of a text in turn, but its first; in a masked LM but the special ones."""
    ids = text_ids(model, text)
    special = set() if model.causal else set(model.tokenizer.all_special_ids)
    indices = range(int(model.causal), len(ids))  # nothing stands before a causal LM's first
    return [ask_place(model, ids, place) for place in indices if ids[place] not in special]


def _ask_causal(model: Model, prompt: Prompt, answer: str) -> Chain:
    _refuse_marks(model, prompt, prompt.before + answer, answer)
    text, joint = border(prompt.before)
    start = _prompt_ids(model, prompt.before)
    tokens, asked_as = continued(model, start, text, joint + answer)
    if len(tokens) > MOST_TOKENS:
        raise AnswerTooLong(answer, len(tokens), MOST_TOKENS)
    questions = (
        Question(start + tokens[:done], len(start) + done - 1, token)
        for done, token in enumerate(tokens)
    )
    return Chain(prompt, tuple(questions), asked_as)


def _ask_masked(model: Model, prompt: Prompt, answer: str) -> Chain:
    _refuse_marks(model, prompt, prompt.before + answer + prompt.after, answer)
    ids, position, tokens, asked_as = filled(model, prompt.before, prompt.after, answer)
    if len(tokens) > 1:
        names = model.tokenizer.convert_ids_to_tokens(list(tokens))
        raise AnswerNotOneToken(answer, tuple(names))
    return Chain(prompt, tuple(Question(ids, position, token) for token in tokens), asked_as)


def _refuse_marks(model: Model, prompt: Prompt, text: str, answer: str) -> None:
    """Refuse marks of the tokenizer in a text; a template that holds some on purpose keeps them."""
    marked = prompt.template.marked
    refuse_special(model, *((prompt.fact.subject, answer) if marked else (text,)))


def _prompt_ids(model: Model, before: str) -> tuple[int, ...]:
    ids = text_ids(model, border(before)[0])
    if not ids:
        raise PromptEmpty(before)
    return ids


@dataclass(frozen=True)
class Batch:
    """Questions side by side, padded on the right. Questions about the same text share a row."""

    ids: Tensor  # (rows, tokens)
    mask: Tensor | None  # (rows, tokens), 1 for tokens; None where padding cannot be seen
    rows: Tensor  # each question's row, (questions,)
    positions: Tensor  # and its position there, (questions,)
    tokens: Tensor  # and its token, (questions,)

    def at_answer(self, hidden: Tensor) -> Tensor:
        """Select hidden states, (rows, tokens, width), where questions ask: (questions, width)."""
        device = hidden.device  # a layer's, which may be another one than the questions'
        return hidden[self.rows.to(device), self.positions.to(device)]


def batched(model: Model, questions: Sequence[Question], *, separate_rows: bool = False) -> Batch:
    """Pad questions to one length.

    A causal LM never looks ahead, so padding on the right needs no mask there, and a text that is
    another's beginning needs no row of its own: an answer's chain is one row.
    Some tokenizers pad with a token that the model has no embedding of; any other does as well.

    separate_rows: give such a text a row all the same, for callers who change something at an
    answer's place, which the rest of a longer text would see
    """
    texts, rows = distinct_rows(
        [question.ids for question in questions], within=model.causal and not separate_rows
    )
    longest = max(map(len, texts))
    pad = model.tokenizer.pad_token_id or 0
    pad = pad if pad < model.n_tokens else 0
    lengths = torch.tensor([len(ids) for ids in texts], device="cpu")
    padded = not model.causal and bool((lengths < longest).any())
    mask = (
        (torch.arange(longest, device="cpu")[None, :] < lengths[:, None]).long() if padded else None
    )
    device = model.device
    return Batch(
        ids=torch.tensor([ids + (pad,) * (longest - len(ids)) for ids in texts], device=device),
        mask=None if mask is None else mask.to(device),
        rows=torch.tensor(rows, device=device),
        positions=torch.tensor([question.position for question in questions], device=device),
        tokens=torch.tensor([question.token for question in questions], device=device),
    )


def distinct_rows(
    texts: Sequence[tuple[int, ...]], *, within: bool
) -> tuple[list[tuple[int, ...]], list[int]]:
    """Texts without repeats, and the row of each text.

    within: a text may stand there as the beginning of another
    """
    distinct = dict.fromkeys(texts)
    holder: dict[tuple[int, ...], tuple[int, ...]] = {}
    for ids in sorted(distinct, key=len, reverse=within):
        if ids not in holder:
            for end in range(1, len(ids)) if within else ():
                holder.setdefault(ids[:end], ids)
            holder[ids] = ids
    rows = {ids: row for row, ids in enumerate(dict.fromkeys(holder[ids] for ids in texts))}
    return list(rows), [rows[holder[ids]] for ids in texts]


def of_similar_length(questions: Sequence[Question]) -> list[list[Question]]:
    """Groups to pad together, none of whose texts is much longer than its shortest."""
    return grouped_by_length(questions, lambda question: len(question.ids))


def grouped_by_length(
    items: Sequence[T], length: Callable[[T], int], *, most: int | None = None
) -> list[list[T]]:
    """Items in groups, none of them longer than LONGER times the shortest of its group.

    most: items of a group
    """
    groups: list[list[T]] = []
    for item in sorted(items, key=length):
        room = bool(groups) and (most is None or len(groups[-1]) < most)
        if room and length(item) <= LONGER * length(groups[-1][0]):
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups
