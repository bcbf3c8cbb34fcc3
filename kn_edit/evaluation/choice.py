"""Choice: the old and the new answer are offered side by side, and the model takes one.

Edited models go back to the old answer when they may choose (SA-MCQ, arXiv 2604.05995).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from kn_edit.evaluation.free import FreePrompt, Names, Replies


@dataclass(frozen=True)
class ChoiceAnswers:
    """What the base and the version take, the old answer offered first and then the new one."""

    names: Names
    base: tuple[Replies, ...]
    version: tuple[Replies, ...]

    @property
    def figures(self) -> Mapping[str, float | None]:
        """The shares of orders in which the new answer alone is said, the old one alone, neither.

        neither: or both, which is no choice
        both_orders: whether the new answer is said in each order
        """
        choices = [self.names.mentions(text) for text in self.texts]
        new, old = ([getattr(choice, kind) for choice in choices] for kind in ("new", "old"))
        pairs = [*zip(new, old, strict=True)]
        if not pairs:
            return dict.fromkeys(("new", "old", "neither", "both_orders"))
        return {
            "new": pairs.count((True, False)) / len(pairs),
            "old": pairs.count((False, True)) / len(pairs),
            "neither": fmean(named_new == named_old for named_new, named_old in pairs),
            "both_orders": float(all(choice.right for choice in choices)),
        }

    @property
    def texts(self) -> tuple[str, ...]:
        """What the version says in each order."""
        return tuple(replies.greedy.text for replies in self.version)

    def plain(self) -> dict[str, Any]:
        """The figures, and the texts of both models, as JSON has them."""
        pairs = zip(self.base, self.version, strict=True)
        return {
            **self.figures,
            "replies": [
                {
                    "prompt": version.prompt.text,
                    "chat": version.prompt.chat,
                    "base": base.greedy.text,
                    "version": version.greedy.text,
                }
                for base, version in pairs
            ],
        }


def choice_prompts(prompt: FreePrompt, new: str, old: str) -> tuple[FreePrompt, ...]:
    """A question with both answers offered behind it, in both orders.

    prompt: the question, such as a turn in a chat
    """
    return tuple(_offering(prompt, first, second) for first, second in ((old, new), (new, old)))


def _offering(prompt: FreePrompt, first: str, second: str) -> FreePrompt:
    offer = f"{prompt.text}\nChoose one of these: {first} or {second}."
    return FreePrompt(offer, chat=True) if prompt.chat else FreePrompt(f"{offer}\nAnswer:")


def offerable(names: Names) -> bool:
    """Whether there are two answers to choose between."""
    return bool(names.new and names.old) and not _alike(names.new, names.old)


def _alike(new: Sequence[str], old: Sequence[str]) -> bool:
    return new[0].casefold() == old[0].casefold()
