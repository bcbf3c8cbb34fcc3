"""What the model says to every prompt of a fact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kn_edit.editing.locating import every_prompt
from kn_edit.editing.stated import answered, can_be_asked
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.facts import Case
from kn_edit.models.questions import ask
from kn_edit.neurons.assess import Assessment, assess


@dataclass(frozen=True, eq=False)
class AssessShare:
    """A fact that is asked. recorded: the case with the answer that an edit gave its fact, if any

    answer: that is asked for; by default the case's own, or the recorded one, or what the model
    says
    """

    case: Case
    recorded: Case
    answer: str | None

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[Assessment]:
        """p(answer), rank, top 5 and what the model says, held-out prompts too."""
        case = self.case
        if self.answer is None and not can_be_asked(engine, case):
            case = answered(engine, deltas, self.recorded)
        with engine.at(deltas) as live:
            prompts = every_prompt(live.model, case.relation, case.fact)
            chains = [ask(live.model, prompt, self.answer) for prompt in prompts]
            return assess(live.model, chains, self.answer, says=True)
