"""Neighbours of a fact that nobody named: other subjects, and other prompts about its own."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from kn_edit.editing.locating import prompts_for
from kn_edit.errors import BadTemplate, CannotAsk
from kn_edit.facts import ANSWER, SUBJECT, Case, Fact, Prompt, Template
from kn_edit.facts.subjects import (
    chance,
    other_questions,
    other_subjects,
    same_subject,
    subject_in,
)
from kn_edit.models.encoding import refuse_special
from kn_edit.models.model import Model
from kn_edit.models.predict import log_p
from kn_edit.models.questions import Question, ask_openly
from kn_edit.seeds import USUAL

Pair = tuple[Prompt, Question]
DECIDED = 2.0  # times as likely as the next answer


@dataclass(frozen=True, eq=False)
class Finder:
    """Finds what stands beside a case, for one model. Equal cases and seeds find the same."""

    model: Model
    case: Case
    subject: str  # what the prompts are about
    templates: tuple[Template, ...]  # how they ask
    prompt_tokens: frozenset[tuple[int, ...]]  # of the case's own prompts
    seed: int

    @classmethod
    def of(cls, model: Model, case: Case, seed: int = USUAL) -> Finder:
        trained = prompts_for(model, case.relation, case.fact)
        held_out = prompts_for(model, case.relation, case.fact, held_out=True)
        tokens = (ask_openly(model, prompt).ids for prompt in (*trained, *held_out))
        subject, templates = _opened(case.fact.subject, [p.template for p in trained])
        return cls(
            model=model,
            case=case,
            subject=subject,
            templates=templates,
            prompt_tokens=frozenset(tokens),
            seed=seed,
        )

    def other_subject_prompts(self, without: Collection[str], most: int) -> list[Pair]:
        """The fact's prompts about other subjects, one prompt of each subject.

        without: texts that no subject may be or stand in
        """
        draw = chance(self.case.fact.subject, self.templates, self.seed)
        names = other_subjects(self.subject, draw, self.case.beside)
        facts = (
            Fact(self.case.relation.name, name, "")
            for name in names
            if not any(same_subject(name, text) or name in text for text in without)
        )
        prompts = (
            Prompt(fact, self.templates[index % len(self.templates)])
            for index, fact in enumerate(facts)
        )
        return self._askable(prompts, most)

    def same_subject(self, most: int) -> list[Pair]:
        """Other prompts about the fact's subject."""
        draw = chance(self.case.fact.subject, self.templates, self.seed)
        texts = [template.text for template in self.case.relation.templates]
        fact = Fact(self.case.relation.name, self.subject, "")
        questions = other_questions(self.subject, [*texts, self.case.fact.subject], draw)
        return self._askable((Prompt(fact, template) for template in questions), most)

    def askable(self, prompts: Iterable[Prompt]) -> list[Pair]:
        """Select the prompts that the model can be asked, without the fact's own."""
        return list(self._open(prompts))

    def _askable(self, prompts: Iterable[Prompt], most: int) -> list[Pair]:
        """The first prompts in words that the tokenizer knows; where it lacks some, the others."""
        unknown = self.model.tokenizer.unk_token_id
        later: list[Pair] = []
        pairs: list[Pair] = []
        for pair in self._open(prompts):
            if len(pairs) == most:
                return pairs
            (later if unknown in pair[1].ids else pairs).append(pair)
        return (pairs + later)[:most]

    def _open(self, prompts: Iterable[Prompt]) -> Iterator[Pair]:
        known_tokens = set(self.prompt_tokens)
        for prompt in prompts:
            if self.model.causal and not prompt.template.answer_last:
                continue
            try:
                refuse_special(self.model, prompt.before + prompt.after)
                question = ask_openly(self.model, prompt)
            except CannotAsk:
                continue
            if question.ids not in known_tokens:  # unknown words all look alike
                known_tokens.add(question.ids)
                yield prompt, question


def shared_out(
    model: Model, pairs: Sequence[Pair], *, every: int, most: int
) -> tuple[list[Pair], list[Pair]]:
    """What may be held in place, and what judges: one of each so many, at most so many in all.

    The first that the model is decided about judges, or the first: an answer that is hardly
    likelier than the next one says little about harm when they change places.
    """
    groups = [range(start, min(start + every, len(pairs))) for start in range(0, len(pairs), every)]
    judges = _first_decided(model, pairs, groups[:most])
    return (
        [pair for index, pair in enumerate(pairs) if index not in judges],
        [pairs[index] for index in sorted(judges)],
    )


def _first_decided(model: Model, pairs: Sequence[Pair], groups: Sequence[range]) -> set[int]:
    """The first of each group that the model is decided about, or its first."""
    chosen: set[int] = set()
    for number in range(max(map(len, groups), default=0)):
        # What comes behind one that the model is decided about is not asked.
        groups = [group for group in groups if chosen.isdisjoint(group)]
        asked = [group[number] for group in groups if number < len(group)]
        if not asked:
            break
        sure = decided(model, [pairs[index][1] for index in asked])
        chosen.update(index for index, is_sure in zip(asked, sure, strict=True) if is_sure)
    return chosen.union(group[0] for group in groups if chosen.isdisjoint(group))


def decided(model: Model, questions: Sequence[Question]) -> list[bool]:
    """Whether a model's answer is DECIDED times as likely as the next one. Raises NotFinite."""
    rows = log_p(model, questions)
    best = (row.topk(2).values.tolist() for row in rows)
    return [first - second >= math.log(DECIDED) for first, second in best]


def _opened(subject: str, templates: Sequence[Template]) -> tuple[str, tuple[Template, ...]]:
    """A subject and its templates; where the whole prompt stands for the subject, the words in it
    that are most likely the subject."""
    if any(
        template.text.replace(SUBJECT, "").replace(ANSWER, "").strip() for template in templates
    ):
        return subject, tuple(templates)
    name = subject_in(subject)
    start = subject.rfind(name)
    replacement = subject[:start] + SUBJECT + subject[start + len(name) :]
    try:
        return name, tuple(Template(t.text.replace(SUBJECT, replacement)) for t in templates)
    except BadTemplate:  # the prompt itself holds [X] or [Y]
        return subject, tuple(templates)
