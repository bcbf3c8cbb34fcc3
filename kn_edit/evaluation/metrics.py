"""How well an edit does: efficacy, generalization, specificity."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from kn_edit.facts import Prompt
from kn_edit.models.model import Model
from kn_edit.models.predict import first_tokens
from kn_edit.models.questions import ask, ask_openly
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


def read(model: Model, probes: Probes, answer: str) -> Readings:
    """Ask a model the probes."""
    neighbours = first_tokens(model, [ask_openly(model, prompt) for prompt in probes.neighbours])
    return Readings(
        tuple(assess(model, [ask(model, prompt, answer) for prompt in probes.edited], answer)),
        tuple(assess(model, [ask(model, prompt, answer) for prompt in probes.held_out], answer)),
        tuple(neighbours),
    )


def compare(before: Readings, after: Readings) -> Metrics:
    """The metrics of the edit that lies between two readings of the same probes."""
    kept = [old == new for old, new in zip(before.neighbours, after.neighbours, strict=True)]
    return Metrics(
        accuracy(after.edited) or 0.0,
        accuracy(after.held_out),
        fmean(kept) if kept else None,
        len(kept),
    )
