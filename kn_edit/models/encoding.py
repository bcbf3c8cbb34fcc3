"""Text as tokens: a prompt exactly as it is written, and an answer as it goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

from kn_edit.errors import (
    NoMaskToken,
    PromptEmpty,
    PromptTooLong,
    SpecialTokenInText,
    TokenNotEmbedded,
)
from kn_edit.models.model import Model

Ids = tuple[int, ...]

# Behind one of these an answer may be tokenised to see how it looks in running text.
_ANCHORS = ("\n", ":", "a", "1", "。")

# Texts of each tokenizer, whose tokens are kept: the prompts of a relation are asked anew for each
# of its facts, and a tokenizer takes 0.1 ms for the shortest text. At most 10 MB or so.
MOST_TEXTS, LONGEST = 8192, 500
_encodings: WeakKeyDictionary[Any, dict[tuple[str, bool], Ids]] = WeakKeyDictionary()


def text_ids(model: Model, text: str) -> Ids:
    """The tokens of a text as the model reads it: as its tokenizer begins it, and open at the end.

    Some tokenizers end every text with a token of their own (`add_eos_token`). What a causal LM
    says behind that is about another text, so there it is left out.
    """
    ids = _encoded(model, text)
    if not model.causal:
        return ids
    plain = plain_ids(model, text)
    if not plain:
        return tuple(token for token in ids[:1] if token == model.tokenizer.bos_token_id)
    ends = (start + len(plain) for start in range(len(ids) - len(plain) + 1))
    return next((ids[:end] for end in ends if ids[end - len(plain) : end] == plain), ids)


def plain_ids(model: Model, text: str) -> Ids:
    """The tokens of a text without those that the tokenizer puts around it."""
    return _encoded(model, text, special=False)


def border(before: str) -> tuple[str, str]:
    """The prompt's own text, and what its answer begins with.

    A space in front of the answer belongs to it: that is how tokenizers cut running text. Line
    breaks, quotes and brackets stay with the prompt.
    """
    return (before[:-1], " ") if before.endswith(" ") else (before, "")


def continued(model: Model, start: Ids, prompt: str, answer: str) -> tuple[Ids, str]:
    """An answer's tokens behind a causal LM's prompt, and what both say where that is another text.

    start: the prompt's tokens; the same for every answer, so that all are asked at one place
    """
    ids = text_ids(model, prompt + answer)
    if ids[: len(start)] == start:
        return ids[len(start) :], ""
    # The tokenizer merges over the border: the answer is taken by itself.
    candidates = list(_tokenisations(model, prompt, answer))
    texts = [_text(model, start + tokens) for tokens in candidates]
    if prompt + answer in texts:
        return candidates[texts.index(prompt + answer)], ""
    return candidates[0], texts[0]


def masked_ids(model: Model, before: str, after: str) -> tuple[Ids, int]:
    """The tokens of a text with the mask in the middle, and where that mask is.

    In running text a space belongs to the word behind it, and what is masked in training is both.
    Where a tokenizer leaves a token of its own for the space in front of the mask, it is left out.
    """
    ids, position = _masked(model, before, after)
    if before.endswith(" ") and position and _text(model, ids[position - 1 : position]) == " ":
        without = _masked(model, before[:-1], after)
        if without == (ids[: position - 1] + ids[position:], position - 1):
            return without
    return ids, position


def _masked(model: Model, before: str, after: str) -> tuple[Ids, int]:
    """The tokens around a mask and where it is, with the space as the tokenizer has it.

    The text itself may hold the mask token's name, so masks in front of it are counted.
    """
    mask = model.tokenizer.mask_token_id
    if mask is None:
        raise NoMaskToken
    ids = text_ids(model, before + model.tokenizer.mask_token + after)
    masks = [position for position, token in enumerate(ids) if token == mask]
    if not masks:
        raise PromptEmpty(before + after)
    return ids, masks[min(plain_ids(model, before).count(mask), len(masks) - 1)]


def filled(model: Model, before: str, after: str, answer: str) -> tuple[Ids, int, Ids, str]:
    """A masked LM's prompt, its mask's place, the answer's tokens, and a text as of `continued`."""
    ids, position = masked_ids(model, before, after)
    head, tail = ids[:position], ids[position + 1 :]
    full_ids = text_ids(model, before + answer + after)
    end = len(full_ids) - len(tail)
    if end >= position and full_ids[:position] == head and full_ids[end:] == tail:
        return ids, position, full_ids[position:end], ""
    candidates = list(_tokenisations(model, before, answer))
    texts = [_text(model, head + tokens + tail) for tokens in candidates]
    intended = _text(model, full_ids)
    if intended in texts:
        return ids, position, candidates[texts.index(intended)], ""
    return ids, position, candidates[0], texts[0]


def refuse_special(model: Model, *texts: str) -> None:
    """Raise SpecialTokenInText where a text holds what the tokenizer takes for a mark of its own.

    `</s>` or `[MASK]` in a subject would end the text there, or be asked in place of the answer.
    """
    tokenizer, special = model.tokenizer, _special(model.tokenizer)
    for text in texts:
        ids = plain_ids(model, text)
        named = [special[token] for token in ids if token in special]
        # Unknown words are the unknown token too, so it counts only where it is spelt out.
        if named and ids != tuple(
            tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        ):
            raise SpecialTokenInText(named[0], text)


def refuse_unreadable(model: Model, ids: Ids, answer: int = 0) -> None:
    """Refuse tokens that the model has no embedding or no position for, before anything is made.

    Raises TokenNotEmbedded, PromptTooLong.
    """
    highest = max(*ids, answer)
    if highest >= model.n_tokens:
        token = str(model.tokenizer.convert_ids_to_tokens(highest))
        raise TokenNotEmbedded(token, highest, model.n_tokens)
    if model.max_length is not None and len(ids) > model.max_length:
        raise PromptTooLong(len(ids), model.max_length)


def _tokenisations(model: Model, before: str, answer: str) -> Iterator[Ids]:
    """The tokens of an answer by itself, then as it stands behind other texts."""
    yield plain_ids(model, answer)
    for anchor in (before[-1:], *_ANCHORS):
        alone, together = plain_ids(model, anchor), plain_ids(model, anchor + answer)
        if alone and together[: len(alone)] == alone:
            yield together[len(alone) :]
    if not answer.startswith(" "):
        yield plain_ids(model, f" {answer}")  # of a masked LM: most begin their words with a space


def _text(model: Model, ids: Ids) -> str:
    decoded = model.tokenizer.decode(
        list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return str(decoded)


def _encoded(model: Model, text: str, *, special: bool = True) -> Ids:
    """The tokens of a text, with those that the tokenizer puts around it or without."""
    encodings = _encodings.setdefault(model.tokenizer, {})
    ids = encodings.get((text, special))
    if ids is not None:
        return ids
    # verbose: some tokenizers print a warning about long texts, which are refused here anyway
    encoded = model.tokenizer(text, verbose=False, add_special_tokens=special)
    ids = tuple(encoded["input_ids"])
    if len(text) <= LONGEST:
        if len(encodings) >= MOST_TEXTS:
            encodings.clear()
        encodings[text, special] = ids
    return ids


@lru_cache(maxsize=4)
def _special(tokenizer: Any) -> dict[int, str]:
    """The tokenizer's own marks, by id."""
    added = tokenizer.added_tokens_decoder.items()
    marks = {number: str(token.content) for number, token in added if token.special}
    special_tokens = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
    return {**marks, **dict(special_tokens)}
