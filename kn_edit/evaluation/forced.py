"""The teacher-forced protocol: how papers score an edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from kn_edit.neurons.assess import Assessment


@dataclass(frozen=True)
class ForcedAnswers:
    """The share of the new answer's tokens that come first, those before each fed in.

    prompts: of the edit's own prompts; paraphrases: of held-out ones, None where there are none
    """

    prompts: float | None
    paraphrases: float | None

    @classmethod
    def of(cls, prompts: Sequence[Assessment], paraphrases: Sequence[Assessment]) -> ForcedAnswers:
        """The shares of assessments that were asked for the new answer."""
        return cls(_mean(prompts), _mean(paraphrases))

    @property
    def figures(self) -> Mapping[str, float | None]:
        """Both shares by name."""
        return {"prompts": self.prompts, "paraphrases": self.paraphrases}

    @property
    def texts(self) -> tuple[str, ...]:
        """None: nothing is generated."""
        return ()

    def plain(self) -> dict[str, Any]:
        """Both shares as JSON has them."""
        return dict(self.figures)


def _mean(assessments: Sequence[Assessment]) -> float | None:
    return fmean(answer.forced for answer in assessments) if assessments else None
