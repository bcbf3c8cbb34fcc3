"""The gate: an edit that does not work, or harms its neighbours, is shown but not recorded."""

from __future__ import annotations

from dataclasses import dataclass

from kn_edit.evaluation.metrics import Metrics


@dataclass(frozen=True)
class Gate:
    """Limits that an edit must keep to be recorded without --accept."""

    efficacy: float = 1.0
    specificity: float = 0.8

    def faults(self, metrics: Metrics) -> tuple[str, ...]:
        """What is wrong with an update, in words; empty when it passes."""
        found = []
        if metrics.efficacy < self.efficacy:
            found.append(
                f"the new answer is first on {metrics.efficacy:.0%} of its own prompts, "
                f"not on {self.efficacy:.0%}"
            )
        return (*found, *self.harm(metrics.specificity))

    def harm(self, specificity: float | None, others: str = "other subjects") -> tuple[str, ...]:
        """What is wrong with what an edit leaves of other facts."""
        if specificity is None or specificity >= self.specificity:
            return ()
        return (
            f"{others} keep {specificity:.0%} of their answers, less than {self.specificity:.0%}",
        )
