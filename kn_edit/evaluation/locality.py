"""Locality: what an edit leaves of other answers, whole answers and not their first tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from kn_edit.errors import BadTemplate
from kn_edit.evaluation.changes import Change, changes
from kn_edit.facts import Prompt
from kn_edit.models.greedy import Answer
from kn_edit.models.model import Model


@dataclass(frozen=True)
class Preserved:
    """Prompts whose answers are to stay. changes: those that did not"""

    prompts: int
    changes: tuple[Change, ...]
    share: float | None  # of prompts that keep their whole answer; None where there is none

    @classmethod
    def of(
        cls,
        model: Model,
        prompts: Sequence[Prompt],
        before: Sequence[Answer],
        after: Sequence[Answer],
    ) -> Preserved:
        """What is left of answers. model: by which their tokens become words"""
        kept_by_prompt = [old.kept_by(new) for old, new in zip(before, after, strict=True)]
        share = fmean(kept_by_prompt) if kept_by_prompt else None
        return cls(len(prompts), changes(model, prompts, before, after), share)


@dataclass(frozen=True)
class LocalityAnswers:
    """What is left of other answers, by the kind of prompt.

    groups: `other_subjects` of the relation, the `same_subject` in other relations, and other
    subjects `behind_statement`: the edited fact as a sentence stands in front (Hoelscher-Obermaier
    et al. 2023)
    """

    groups: Mapping[str, Preserved]

    @property
    def figures(self) -> Mapping[str, float | None]:
        """The share of each group that keeps its whole answer."""
        return {name: preserved.share for name, preserved in self.groups.items()}

    @property
    def texts(self) -> tuple[str, ...]:
        """None: nothing is said about the update itself."""
        return ()

    def plain(self) -> dict[str, Any]:
        """The shares, the counts of prompts, and the answers that changed, as JSON has them."""
        return {
            **self.figures,
            "groups": {
                name: {
                    "prompts": preserved.prompts,
                    "changed": [
                        {
                            "prompt": change.prompt.cloze,
                            "before": change.before,
                            "after": change.after,
                        }
                        for change in preserved.changes
                    ],
                }
                for name, preserved in self.groups.items()
            },
        }


def behind_statement(prompts: Sequence[Prompt], edited: Prompt, to: str) -> tuple[Prompt, ...]:
    """Prompts with the edited fact in front, stated as a sentence.

    One is left out where the statement holds a placeholder.
    """
    statement = f"{edited.before}{to}{edited.after}".strip()
    if statement[-1:].isalnum():
        statement += "."
    prefixed: list[Prompt] = []
    for prompt in prompts:
        with suppress(BadTemplate):
            template = replace(prompt.template, text=f"{statement} {prompt.template.text}")
            prefixed.append(Prompt(prompt.fact, template))
    return tuple(prefixed)
