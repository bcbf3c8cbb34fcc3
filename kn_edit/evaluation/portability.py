"""Portability: what follows from an edited fact, as far as data say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from kn_edit.evaluation.free import FreePrompt, Names, Replies
from kn_edit.facts import ANSWER, SUBJECT, Case, Template

REVERSAL, ALIAS = "reversal", "alias"


@dataclass(frozen=True)
class Consequence:
    """A prompt whose answer follows from an edited fact.

    kind: how it follows, such as `reversal`, or as the data name it; answers: any of these is right
    """

    kind: str
    prompt: FreePrompt
    answers: tuple[str, ...]


@dataclass(frozen=True)
class PortabilityAnswers:
    """What the base and the version say to the consequences of an edited fact."""

    consequences: tuple[Consequence, ...]
    base: tuple[Replies, ...]
    version: tuple[Replies, ...]

    @property
    def figures(self) -> Mapping[str, float | None]:
        """By kind the share of consequences whose answer is said, and that over all of them."""
        kinds: dict[str, list[bool]] = {}
        for consequence, replies in zip(self.consequences, self.version, strict=True):
            kinds.setdefault(consequence.kind, []).append(_says(consequence, replies))
        by_kind = {kind: fmean(right) for kind, right in kinds.items()}
        every = [right for group in kinds.values() for right in group]
        return {"all": fmean(every) if every else None, REVERSAL: None, **by_kind}

    @property
    def texts(self) -> tuple[str, ...]:
        """What the version says to each."""
        return tuple(replies.greedy.text for replies in self.version)

    def plain(self) -> dict[str, Any]:
        """The figures, and the texts of both models, as JSON has them."""
        rows = zip(self.consequences, self.base, self.version, strict=True)
        return {
            **self.figures,
            "replies": [
                {
                    "kind": consequence.kind,
                    "prompt": consequence.prompt.text,
                    "chat": consequence.prompt.chat,
                    "answers": list(consequence.answers),
                    "base": base.greedy.text,
                    "version": version.greedy.text,
                    "right": _says(consequence, version),
                }
                for consequence, base, version in rows
            ],
        }


def reversals(
    templates: tuple[Template, ...], subject: str, to: str, kind: str = REVERSAL
) -> tuple[Consequence, ...]:
    """The fact asked the other way round, by templates in which the answer stands first.

    `[Y] is the capital of [X].` asks behind `Rome is the capital of` for France.
    """
    texts = (
        template.text[: template.text.index(SUBJECT)].replace(ANSWER, to).rstrip()
        for template in templates
        if not template.about and _reversible(template.text)
    )
    return tuple(Consequence(kind, FreePrompt(text), (subject,)) for text in dict.fromkeys(texts))


def consequences(case: Case, to: str) -> tuple[Consequence, ...]:
    """What follows from a new answer: what the case's benchmark says, and the fact reversed, by
    each name of that answer."""
    stated = (
        Consequence(following.kind, FreePrompt(following.prompt), following.answers)
        for following in case.following
    )
    templates, subject = case.relation.templates, case.fact.subject
    by_aliases = (
        consequence
        for alias in case.aliases
        for consequence in reversals(templates, subject, alias, ALIAS)
    )
    return (*stated, *reversals(templates, subject, to), *by_aliases)


def _reversible(text: str) -> bool:
    """Whether a template names its answer first, and nothing but a mark behind its subject."""
    _, _, behind = text.partition(SUBJECT)
    return text.index(ANSWER) < text.index(SUBJECT) and not any(map(str.isalnum, behind))


def _says(consequence: Consequence, replies: Replies) -> bool:
    return Names(new=consequence.answers).mentions(replies.greedy.text).new
