"""A relation: facts that the same templates ask for. A case: one edit with what judges it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from kn_edit.errors import AmbiguousSubject, EmptyField, UnknownSubject
from kn_edit.facts.fact import Fact, Prompt, Template


@dataclass(frozen=True)
class Relation:
    """A relation pack, a relation of ParaRel, or one made of a user's own prompts.

    unnamed: nobody named the relation, so its facts are told apart by their templates too
    """

    name: str
    templates: tuple[Template, ...]
    facts: tuple[Fact, ...] = ()
    source: str = ""
    license: str = ""
    unnamed: bool = False

    @property
    def licence(self) -> str:
        """The license, as packs spell it."""
        return self.license

    def fact(self, subject: str, answer: str | None = None) -> Fact:
        """The fact about a subject, known by any case and without its `the`; with an answer, any.

        Raises UnknownSubject, AmbiguousSubject, and EmptyField for an empty subject or answer.
        """
        subject = subject.strip()
        matches = [fact for fact in self.facts if fact.subject == subject] or [
            fact for fact in self.facts if _folded(fact.subject) == _folded(subject)
        ]
        if answer is not None:
            if not answer.strip():
                raise EmptyField("answer")
            return Fact(self.name, matches[0].subject if matches else subject, answer.strip())
        if not matches:
            raise UnknownSubject(self.name, subject, self._close_to(subject))
        if len(matches) > 1:
            raise AmbiguousSubject(self.name, subject, tuple(fact.answer for fact in matches))
        return matches[0]

    def prompts(
        self, fact: Fact, *, held_out: bool = False, answer_last: bool = False
    ) -> tuple[Prompt, ...]:
        """The fact's prompts: those that locate and solve, or only the held-out ones.

        answer_last: leave out the templates that a causal LM cannot be asked.
        """
        return tuple(
            Prompt(fact, template)
            for template in self.templates
            if template.held_out == held_out
            and (template.answer_last or not answer_last)
            and template.about in ("", fact.subject)
        )

    def other_facts(self, fact: Fact) -> tuple[Fact, ...]:
        """The relation's facts of other subjects."""
        return tuple(candidate for candidate in self.facts if candidate.subject != fact.subject)

    def _close_to(self, subject: str) -> tuple[str, ...]:
        folded = {_folded(fact.subject): fact.subject for fact in self.facts}
        close = get_close_matches(_folded(subject), folded, n=3, cutoff=0.6)
        return tuple(folded[name] for name in close)


def _folded(subject: str) -> str:
    return subject.casefold().removeprefix("the ")


@dataclass(frozen=True)
class Following:
    """A prompt of a benchmark whose answer follows from the new answer of its row.

    kind: as the benchmark names it; answers: any of these is right
    """

    kind: str
    prompt: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """One edit request with everything needed to make and to judge it.

    target: the new answer; None where the row names none.
    neighbours: prompts whose answers must stay, and which the solver holds in place; empty where
    the relation's other facts serve.
    judges: prompts that judge whether other answers stay, and that no solver sees
    beside: subjects that other rows of the file ask the same of
    published: the case is a row of a benchmark, which nobody wrote for this model. Where it cannot
    be asked, it is passed over, and the other rows go on.
    notes: what was taken otherwise than the row has it, a sentence of each kind
    answered_by_model: nobody stated the fact's answer; it is what the model says
    following: prompts whose answers follow from the new one, as a benchmark has them
    aliases: other names of the new answer: who says one of them has said it
    answer_aliases: the same of the fact's answer
    """

    relation: Relation
    fact: Fact
    target: str | None = None
    neighbours: tuple[Prompt, ...] = ()
    judges: tuple[Prompt, ...] = ()
    beside: tuple[str, ...] = field(default=(), compare=False, repr=False)
    published: bool = False
    notes: tuple[str, ...] = ()
    answered_by_model: bool = False
    following: tuple[Following, ...] = field(default=(), repr=False)
    aliases: tuple[str, ...] = ()
    answer_aliases: tuple[str, ...] = ()

    def as_if_true(self) -> Case:
        """The case whose answer is the new one, as where a statement is asked for."""
        return replace(self, fact=replace(self.fact, answer=self.target or ""))
