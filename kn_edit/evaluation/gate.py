"""The gate: an edit that does not work, or harms its neighbours, is shown but not recorded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kn_edit.errors import require_number
from kn_edit.figures import count

if TYPE_CHECKING:
    from kn_edit.evaluation.metrics import Metrics


@dataclass(frozen=True)
class Gate:
    """Limits that an edit must keep to be recorded without --accept."""

    efficacy: float = 1.0
    specificity: float = 0.8

    def __post_init__(self) -> None:
        require_number("the gate's efficacy", self.efficacy, least=0, most=1)
        require_number("the gate's specificity", self.specificity, least=0, most=1)

    def faults(self, metrics: Metrics) -> tuple[str, ...]:
        """What is wrong with an update, in words; empty when it passes."""
        failures = []
        if not metrics.efficacy >= self.efficacy:  # NaN is not enough
            failures.append(
                f"the new answer is first on {metrics.efficacy:.0%} of its own prompts, "
                f"not on {self.efficacy:.0%}"
            )
        return (*failures, *self.harm(metrics.specificity))

    def harm(self, specificity: float | None, preserved: str = "other subjects") -> tuple[str, ...]:
        """What is wrong with what an edit leaves of other facts. preserved: what these are"""
        if specificity is None or specificity >= self.specificity:
            return ()
        return (
            f"{preserved} keep {specificity:.0%} of their answers, "
            f"less than {self.specificity:.0%}",
        )

    def undoing(self, retention: float | None) -> tuple[str, ...]:
        """What is wrong with what an edit leaves of earlier ones; retention: a share of prompts."""
        if retention is None or retention >= self.specificity:
            return ()
        return (
            f"edits made before keep {retention:.0%} of their answers, "
            f"less than {self.specificity:.0%}",
        )


def not_numbers(nan_prompts: int, prompts: int, before: float, after: float) -> tuple[str, ...]:
    """Why an edit is not to be recorded even where the user accepts it: its answers are NaN.

    nan_prompts: of the prompts asked afterwards, those whose answer is NaN
    before, after: perplexity on neutral text; NaN before where the model cannot be asked any
    """
    if nan_prompts:
        share = f"{nan_prompts} of {count(prompts, 'prompt')}"
        return (f"the edited model's answers are not numbers (NaN) on {share}",)
    if math.isfinite(before) and not math.isfinite(after):
        return ("the edited model's perplexity on neutral text is not a finite number",)
    return ()
