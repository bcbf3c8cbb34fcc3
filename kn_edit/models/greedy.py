"""What a model goes on to say, the likeliest token each time, many prompts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from kn_edit.models.batching import GROUP_COST
from kn_edit.models.model import Model
from kn_edit.models.predict import BATCH, NO_TOKEN, first_tokens, is_nan, log_p
from kn_edit.models.questions import Question
from kn_edit.models.trace import trace


@dataclass
class Continuation:
    """Tokens that a model says from a question on, the token that ends the text among them."""

    question: Question
    most: int  # tokens to say
    tokens: list[int] = field(default_factory=list)
    log_p: float = 0.0  # of those tokens together
    over: bool = False  # the text ended, or the model has no place for more

    @property
    def finished(self) -> bool:
        return self.over or len(self.tokens) >= self.most

    def next(self) -> Question:
        """The question for the next token."""
        ids = (*self.question.ids, *self.tokens)
        return Question(ids, len(ids) - 1, 0) if self.tokens else self.question


def greedy(
    model: Model, questions: Sequence[Question], counts: Sequence[int], *, finite: bool = True
) -> list[Continuation]:
    """Continue each question by the likeliest tokens, at most counts[i] of them.

    The model runs as often as the largest count says, each time over all that goes on still. A
    masked LM says one token. Raises NotFinite; finite: False ends a text where the answer is NaN.
    """
    texts = [Continuation(*pair) for pair in zip(questions, counts, strict=True)]
    go_on(model, texts, finite=finite)
    return texts


def go_on(model: Model, texts: Sequence[Continuation], *, finite: bool = True) -> None:
    """Continue texts in place until all are finished. Raises as `greedy`."""
    ends, most = ending_tokens(model), model.max_length
    for text in texts:
        text.over = text.over or not ends.isdisjoint(text.tokens[-1:])
    while unfinished := [text for text in texts if not text.finished]:
        rows = log_p(model, [text.next() for text in unfinished], finite=finite)
        for text, row in zip(unfinished, rows, strict=True):
            if not finite and is_nan(row):
                text.over = True
                continue
            value, token = row.max(-1)
            text.tokens.append(int(token))
            text.log_p += float(value)
            full = most is not None and len(text.next().ids) > most
            text.over = not model.causal or full or int(token) in ends


@dataclass(frozen=True)
class Answer:
    """What a model says to one prompt along a path of tokens.

    says: the likeliest token at each place of the path, NO_TOKEN for NaN; where the path is the
    model's own, both are the same
    """

    path: tuple[int, ...]
    says: tuple[int, ...]

    def kept_by(self, after: Answer) -> bool:
        """Whether a later answer is the same, token for token. NaN is not what it was."""
        return self.says == after.says and NO_TOKEN not in after.says

    def up_to(self, tokens: int) -> Answer:
        """The first tokens of it."""
        return Answer(self.path[:tokens], self.says[:tokens])


def answers(
    model: Model, questions: Sequence[Question], counts: Sequence[int], *, finite: bool = True
) -> tuple[Answer, ...]:
    """What a model says to prompts freely, at most counts[i] tokens; a masked LM says one.

    Raises NotFinite; finite: False marks what is NaN instead.
    """
    if model.causal and _cache_pays([len(question.ids) for question in questions], counts):
        paths = likeliest_paths(model, questions, counts)
        return answers_along(model, questions, paths, finite=finite)
    texts = greedy(model, questions, counts, finite=finite)
    paths = [tuple(text.tokens) for text in texts]
    silent = [place for place, path in enumerate(paths) if not path]
    nothing = answers_along(
        model, [questions[place] for place in silent], [()] * len(silent), finite=finite
    )
    by_place = dict(zip(silent, nothing, strict=True))
    return tuple(
        by_place[place] if place in by_place else Answer(path, path)
        for place, path in enumerate(paths)
    )


def _cache_pays(lengths: Sequence[int], counts: Sequence[int]) -> bool:
    """Whether keys and values of prompts are worth keeping, by the tokens that run.

    With a cache each token runs once, but prompts of each length apart, and all of it runs again
    along the path. Without one, the whole texts run for each token.
    """
    most, every = max(counts, default=0), sum(lengths)
    steps = len(set(lengths)) * most * GROUP_COST + len(lengths) * most
    cached = every + steps + every + len(lengths) * most
    uncached = sum(every + len(lengths) * done + GROUP_COST for done in range(most))
    return cached < uncached


def likeliest_paths(
    model: Model, questions: Sequence[Question], counts: Sequence[int]
) -> list[tuple[int, ...]]:
    """What a causal LM says to prompts, those of one length together and each token run once.

    A path ends in front of what is NaN. What a run of one token says can differ from what a run of
    all of them does, where two tokens are as likely to the last digit.
    """
    paths: list[tuple[int, ...]] = [()] * len(questions)
    lengths: dict[int, list[int]] = {}
    for index, question in enumerate(questions):
        lengths.setdefault(len(question.ids), []).append(index)
    for places in lengths.values():
        for start in range(0, len(places), BATCH):
            group = places[start : start + BATCH]
            ids = [questions[index].ids for index in group]
            continuations = _of_one_length(model, ids, max(counts[index] for index in group))
            for index, path in zip(group, continuations, strict=True):
                paths[index] = path[: counts[index]]
    return paths


def _of_one_length(
    model: Model, prompts: Sequence[tuple[int, ...]], most: int
) -> list[tuple[int, ...]]:
    """The likeliest tokens behind prompts of one length, at most so many."""
    from transformers import DynamicCache

    ends, room = ending_tokens(model), model.max_length
    if room is not None:
        most = min(most, room + 1 - len(prompts[0]))
    cache = DynamicCache(config=model.net.config)
    paths: list[list[int]] = [[] for _ in prompts]
    over = [False] * len(prompts)
    ids = torch.tensor(prompts, device=model.device)
    for step in range(most):
        with torch.no_grad():
            output = trace(model, ids, cache=cache).output
            assert output is not None
            rows = model.logits(output[:, -1]).float()
        next_tokens = rows.argmax(-1)
        for index, token in enumerate(next_tokens.tolist()):
            over[index] = over[index] or is_nan(rows[index])
            if not over[index]:
                paths[index].append(token)
                over[index] = token in ends
        if all(over) or step + 1 == most:
            break
        ids = next_tokens[:, None]
    return [tuple(path) for path in paths]


def answers_along(
    model: Model,
    questions: Sequence[Question],
    paths: Sequence[tuple[int, ...]],
    *,
    finite: bool = True,
) -> tuple[Answer, ...]:
    """What a model says where it said paths before, each looked at in one run.

    Raises NotFinite; finite: False marks what is NaN instead.
    """
    groups = [along(model, *pair) for pair in zip(questions, paths, strict=True)]
    tokens = iter(
        first_tokens(model, [question for group in groups for question in group], finite=finite)
    )
    return tuple(
        Answer(path, tuple(next(tokens) for _ in group))
        for group, path in zip(groups, paths, strict=True)
    )


def along(model: Model, question: Question, path: tuple[int, ...]) -> list[Question]:
    """A question for each token of a path, all about one text; for a path of none, its first."""
    if not model.causal or not path:
        return [question]
    ids = (*question.ids, *path[:-1])
    return [Question(ids, question.position + offset, token) for offset, token in enumerate(path)]


def ending_tokens(model: Model) -> frozenset[int]:
    """The tokens that end a text, by the tokenizer and by the model's way of generating."""
    config = getattr(model.net, "generation_config", None)
    named = getattr(config, "eos_token_id", None)
    several = named if isinstance(named, (list, tuple)) else (named,)
    return frozenset(
        token for token in (model.tokenizer.eos_token_id, *several) if isinstance(token, int)
    )


def words_of(model: Model, tokens: Sequence[int]) -> str:
    """What tokens say, without what comes at and after the end of the text.

    The name of the first token where that is all there is. A letter that is not finished (its
    bytes are several tokens) is left out.
    """
    special = set(model.tokenizer.all_special_ids)
    text_tokens: list[int] = []
    for token in tokens:
        if token in special:
            break
        text_tokens.append(token)
    if not text_tokens:
        return str(model.tokenizer.decode(list(tokens[:1]))).strip()
    text = str(model.tokenizer.decode(text_tokens, clean_up_tokenization_spaces=False)).strip()
    return text.rstrip("\ufffd") or text
