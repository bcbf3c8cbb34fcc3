"""The facts that one edit changes: what asks for them neither judges nor holds any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kn_edit.editing.locating import every_prompt
from kn_edit.editing.neighbours import Neighbours
from kn_edit.facts import Case, Prompt
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, ask_openly


@dataclass(frozen=True, eq=False)
class EditedFacts:
    """The facts that one edit changes.

    subjects: pairs of a relation and a subject; prompts: how they are asked, as texts and as tokens
    """

    subjects: frozenset[tuple[str, str]]
    texts: frozenset[str]
    tokens: frozenset[tuple[int, ...]]

    @classmethod
    def of(cls, model: Model, cases: Sequence[Case]) -> EditedFacts:
        """The facts of some cases. Raises what asking them raises."""
        prompts = [
            prompt for case in cases for prompt in every_prompt(model, case.relation, case.fact)
        ]
        return cls(
            frozenset((case.relation.name, case.fact.subject) for case in cases),
            frozenset(prompt.cloze for prompt in prompts),
            frozenset(ask_openly(model, prompt).ids for prompt in prompts),
        )

    def beside(self, case: Case) -> Case:
        """A case without the other facts of the edit among its neighbours."""
        name = case.relation.name
        facts = tuple(
            fact for fact in case.relation.facts if (name, fact.subject) not in self.subjects
        )
        return replace(
            case,
            relation=replace(case.relation, facts=facts),
            neighbours=self._unedited_prompts(case.neighbours),
            judges=self._unedited_prompts(case.judges),
            beside=tuple(
                subject for subject in case.beside if (name, subject) not in self.subjects
            ),
        )

    def spared(self, neighbours: Neighbours) -> Neighbours:
        """Neighbours without the prompts of the edit."""
        return Neighbours(
            named=self._unedited(neighbours.named),
            other_subjects=self._unedited(neighbours.other_subjects),
            elsewhere=self._unedited(neighbours.elsewhere),
            judges=self._unedited_prompts(neighbours.judges),
            same_subject=self._unedited(neighbours.same_subject),
            same_subject_judges=self._unedited_prompts(neighbours.same_subject_judges),
        )

    def _unedited_prompts(self, prompts: Sequence[Prompt]) -> tuple[Prompt, ...]:
        return tuple(prompt for prompt in prompts if prompt.cloze not in self.texts)

    def _unedited(self, questions: Sequence[Question]) -> tuple[Question, ...]:
        return tuple(question for question in questions if question.ids not in self.tokens)
