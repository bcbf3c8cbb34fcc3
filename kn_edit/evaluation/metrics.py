"""How well an edit does: efficacy, generalization, specificity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from kn_edit.facts import Prompt
from kn_edit.models.model import Model
from kn_edit.models.predict import NO_TOKEN, first_tokens
from kn_edit.models.questions import Chain, ask, ask_openly
from kn_edit.neurons.assess import Assessment, accuracy, assess


@dataclass(frozen=True)
class Probes:
    """The prompts that judge an edit of one fact."""

    edited: tuple[Prompt, ...]  # the solver saw these
    held_out: tuple[Prompt, ...]  # paraphrases that it did not see
    neighbours: tuple[Prompt, ...]  # of other subjects, none of which the solver saw


@dataclass(frozen=True)
class Readings:
    """What a model answers to the probes of an edit."""

    edited: tuple[Assessment, ...]  # asked for the new answer
    held_out: tuple[Assessment, ...]
    neighbours: tuple[int, ...]  # the first token that it says to each

    @property
    def asked(self) -> int:
        """How many prompts there are."""
        return len(self.edited) + len(self.held_out) + len(self.neighbours)

    @property
    def not_numbers(self) -> int:
        """How many of them the model answers with NaN."""
        return nan_count((*self.edited, *self.held_out), self.neighbours)


@dataclass(frozen=True)
class Metrics:
    """Shares from 0 to 1; None where there was nothing to ask."""

    efficacy: float  # the new answer is first, on the edited prompts
    generalization: float | None  # the same on held-out paraphrases
    specificity: float | None  # other subjects keep the first token of their answer
    neighbours: int  # prompts behind specificity

    def plain(self) -> dict[str, float | int | None]:
        return {
            "efficacy": self.efficacy,
            "generalization": self.generalization,
            "specificity": self.specificity,
            "neighbours": self.neighbours,
        }


def read(model: Model, probes: Probes, answer: str, *, finite: bool = True) -> Readings:
    """Ask a model the probes. Raises NotFinite; finite: False marks what is NaN instead."""
    edited, held_out = (
        assess(model, chains, answer, finite=finite, says=True)
        for chains in (
            _chains(model, probes.edited, answer),
            _chains(model, probes.held_out, answer),
        )
    )
    others = [ask_openly(model, prompt) for prompt in probes.neighbours]
    neighbours = first_tokens(model, others, finite=finite)
    return Readings(tuple(edited), tuple(held_out), tuple(neighbours))


def _chains(model: Model, prompts: Sequence[Prompt], answer: str) -> list[Chain]:
    return [ask(model, prompt, answer) for prompt in prompts]


def same_tokens(before: Sequence[int], after: Sequence[int]) -> list[bool]:
    """Which prompts keep their first token. NaN is not the token that it was."""
    return [old == new != NO_TOKEN for old, new in zip(before, after, strict=True)]


def nan_count(answers: Sequence[Assessment], tokens: Sequence[int]) -> int:
    """How many answers and first tokens are NaN."""
    return sum(not answer.finite for answer in answers) + tokens.count(NO_TOKEN)


def compare(before: Readings, after: Readings) -> Metrics:
    """The metrics of the edit that lies between two readings of the same probes."""
    kept = same_tokens(before.neighbours, after.neighbours)
    return Metrics(
        accuracy(after.edited) or 0.0,
        accuracy(after.held_out),
        fmean(kept) if kept else None,
        len(kept),
    )
