"""Free generation: what a model says of an edit when nobody feeds it the answer.

Papers mostly score an edit with the answer's tokens fed in. Asked freely, far fewer edits hold:
38.5% instead of 96.8% in the mean of several editors (arXiv 2502.11177).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from kn_edit.errors import CannotContinue, PromptEmpty
from kn_edit.evaluation.fluency import entropy
from kn_edit.evaluation.mentions import Mentions, mentions
from kn_edit.evaluation.protocols import FreeOptions
from kn_edit.models.chat import chat_frame, chat_ids
from kn_edit.models.encoding import Ids, refuse_unreadable, text_ids
from kn_edit.models.generation import GREEDY, Sampling
from kn_edit.models.greedy import words_of
from kn_edit.models.model import Model
from kn_edit.models.replies import Reply, replies


@dataclass(frozen=True)
class FreePrompt:
    """A text that a model answers freely.

    chat: it is a user's turn in the model's chat format; else the model goes on from the text
    """

    text: str
    chat: bool = False


@dataclass(frozen=True)
class FreeText:
    """What a model says behind a prompt.

    text: up to the end that the model gives it, or the last token that it may have
    goes_on: the same, and what it says where it may not end; by this the entropy is measured
    """

    text: str
    goes_on: str
    ended: bool


@dataclass(frozen=True)
class Replies:
    """What a model says to one prompt: the likeliest text, and texts that are drawn."""

    prompt: FreePrompt
    greedy: FreeText
    sampled: tuple[FreeText, ...]

    @property
    def texts(self) -> tuple[FreeText, ...]:
        return (self.greedy, *self.sampled)


@dataclass(frozen=True)
class Names:
    """What decides whether a text is right: the names of the new answer and of the old one."""

    new: tuple[str, ...]
    old: tuple[str, ...] = ()
    subject: str = ""

    def mentions(self, text: str) -> Mentions:
        """Which of the answers a text names."""
        return mentions(text, self.new, self.old, self.subject)


@dataclass(frozen=True)
class EntropyShare:
    """The n-gram entropy of generated texts in bits, of the base and of the version."""

    base: float
    version: float

    @property
    def share(self) -> float | None:
        """The version's as a share of the base's; None where the base's is 0."""
        return self.version / self.base if self.base else None


@dataclass(frozen=True)
class FreeAnswers:
    """What the base and the version say to the same prompts about one edit."""

    names: Names
    base: tuple[Replies, ...]
    version: tuple[Replies, ...]

    @property
    def greedy(self) -> float:
        """The share of greedy texts that name the new answer and not the old one."""
        return _right(self.names, [replies.greedy for replies in self.version])

    @property
    def sampled(self) -> float | None:
        """The same share of the texts that are drawn; None where none is."""
        texts = [text for replies in self.version for text in replies.sampled]
        return _right(self.names, texts) if texts else None

    @property
    def base_old(self) -> float | None:
        """The share of the base's greedy texts that name the old answer alone, if it is known."""
        swapped = replace(self.names, new=self.names.old, old=self.names.new)
        return _right(swapped, [replies.greedy for replies in self.base]) if swapped.new else None

    @property
    def entropy(self) -> EntropyShare:
        """Mean entropy of all texts; a share far below 1 tells of a version that repeats itself."""
        base, version = (
            entropy([text.goes_on for replies in several for text in replies.texts])
            for several in (self.base, self.version)
        )
        return EntropyShare(base, version)

    @property
    def figures(self) -> Mapping[str, float | None]:
        """The shares of right texts, and the share of the base's entropy.

        base_old: the share of the base's greedy texts that name the old answer alone; a model that
        does not say what it was asked before the edit may not say it afterwards either
        """
        return {
            "greedy": self.greedy,
            "sampled": self.sampled,
            "base_old": self.base_old,
            "entropy_share": self.entropy.share,
        }

    @property
    def texts(self) -> tuple[str, ...]:
        """What the version says to each prompt, the likeliest text."""
        return tuple(replies.greedy.text for replies in self.version)

    def plain(self) -> dict[str, Any]:
        """The figures, and all texts with what each names, as JSON has them."""
        pairs = zip(self.base, self.version, strict=True)
        return {
            **self.figures,
            "entropy": {"base": self.entropy.base, "version": self.entropy.version},
            "new": list(self.names.new),
            "old": list(self.names.old),
            "replies": [
                {
                    "prompt": version.prompt.text,
                    "chat": version.prompt.chat,
                    "base": [_plain(self.names, text) for text in base.texts],
                    "version": [_plain(self.names, text) for text in version.texts],
                }
                for base, version in pairs
            ],
        }


def question_prompt(model: Model, question: str) -> FreePrompt:
    """How a model is asked a question: in its chat format, or as a text if it has none."""
    if chat_frame(model) is not None:
        return FreePrompt(question, chat=True)
    return FreePrompt(f"Question: {question}\nAnswer:")


def free_replies(
    model: Model, prompts: Sequence[FreePrompt], options: FreeOptions | None = None
) -> tuple[Replies, ...]:
    """What a causal LM says to prompts with nothing fed in.

    What it says to a prompt depends on that prompt and the options alone. Raises CannotContinue for
    a masked LM; NoChatTemplate, PromptEmpty, PromptTooLong, TokenNotEmbedded.
    """
    if not model.causal:
        raise CannotContinue(model.family.model_type)
    options = options or FreeOptions()
    return tuple(_replies(model, prompt, options) for prompt in prompts)


def _replies(model: Model, prompt: FreePrompt, options: FreeOptions) -> Replies:
    texts = replies(
        model,
        _ids(model, prompt),
        _samplings(options),
        options.tokens,
        past_end=options.entropy,
    )
    greedy, *sampled = [_free_text(model, text) for text in texts]
    return Replies(prompt, greedy, tuple(sampled))


def _samplings(options: FreeOptions) -> list[Sampling]:
    """How each text of a prompt is generated, the greedy one first."""
    drawn = Sampling(temperature=options.temperature, top_p=options.top_p, seed=options.seed)
    return [GREEDY, *[drawn] * options.samples]


def _ids(model: Model, prompt: FreePrompt) -> Ids:
    turn = [{"role": "user", "content": prompt.text}]
    ids = chat_ids(model, turn) if prompt.chat else text_ids(model, prompt.text)
    if not ids:
        raise PromptEmpty(prompt.text)
    refuse_unreadable(model, ids)
    return ids


def _free_text(model: Model, reply: Reply) -> FreeText:
    text, goes_on = (
        words_of(model, tokens) if tokens else "" for tokens in (reply.tokens, reply.further)
    )
    return FreeText(text, goes_on, reply.ended)


def _plain(names: Names, text: FreeText) -> dict[str, Any]:
    named = names.mentions(text.text)
    return {
        "text": text.text,
        "goes_on": text.goes_on,
        "ended": text.ended,
        "new": named.new,
        "old": named.old,
    }


def _right(names: Names, texts: Sequence[FreeText]) -> float:
    return fmean(names.mentions(text.text).right for text in texts) if texts else 0.0
