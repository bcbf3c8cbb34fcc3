"""How well an edit does: efficacy, generalization, specificity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from kn_edit.errors import CannotAsk
from kn_edit.evaluation.metric import (
    EFFICACY,
    METRICS,
    SAME_SUBJECT,
    SPECIFICITY,
    Figure,
    Metric,
    metrics,
)
from kn_edit.facts import Prompt
from kn_edit.models.greedy import Answer, answers, answers_along
from kn_edit.models.model import Model
from kn_edit.models.predict import NO_TOKEN
from kn_edit.models.questions import Chain, ask, ask_openly
from kn_edit.neurons.assess import Asked, Assessment, assess_together

FEWEST_TOKENS, MOST_TOKENS = 3, 8  # of another subject's answer that must stay


@dataclass(frozen=True)
class Probes:
    """The prompts that judge an edit of one fact."""

    edited: tuple[Prompt, ...]  # the solver saw these
    held_out: tuple[Prompt, ...]  # paraphrases that it did not see
    neighbours: tuple[Prompt, ...]  # of other subjects, none of which the solver saw
    same_subject: tuple[Prompt, ...] = ()  # what else is asked of the subject, unseen as well


@dataclass(frozen=True)
class Readings:
    """What a model answers to the probes of an edit."""

    edited: tuple[Assessment, ...]  # asked for the new answer
    held_out: tuple[Assessment, ...]
    neighbours: tuple[Answer, ...]  # what it says to each
    same_subject: tuple[Answer, ...] = ()
    old: tuple[Assessment, ...] = ()  # the edited ones, asked for the answer before

    @property
    def prompt_count(self) -> int:
        """How many prompts there are."""
        assessed = len(self.edited) + len(self.held_out)
        return assessed + len(self.neighbours) + len(self.same_subject)

    @property
    def not_numbers(self) -> int:
        """How many of them the model answers with NaN."""
        assessed = (*self.edited, *self.held_out)
        other_answers = (*self.neighbours, *self.same_subject)
        return sum(not assessment.finite for assessment in assessed) + sum(
            NO_TOKEN in answer.says for answer in other_answers
        )


@dataclass(frozen=True)
class Metrics:
    """What was measured of an update, by the name of the metric."""

    figures: Mapping[str, Figure]

    @property
    def efficacy(self) -> float:
        """The share of its prompts on which the whole new answer is said; 0 where none was asked.

        What an edit is for is not reached where nothing was asked.
        """
        return self._value(EFFICACY) or 0.0

    @property
    def specificity(self) -> float | None:
        """The share of prompts about other subjects that keep their whole answer."""
        return self._value(SPECIFICITY)

    @property
    def same_subject(self) -> float | None:
        """The share of other prompts about the edited subject that keep their whole answer."""
        return self._value(SAME_SUBJECT)

    def _value(self, metric: Metric) -> float | None:
        figure = self.figures.get(metric.name)
        return None if figure is None else figure.value

    def plain(self) -> dict[str, float | int | None]:
        """The values and their counts of prompts, as JSON has them."""
        named = {name: figure.value for name, figure in self.figures.items()}
        counts = {METRICS[name].count_name: figure.prompts for name, figure in self.figures.items()}
        return named | {EFFICACY.name: self.efficacy} | counts


# A prompt, and how many tokens of an answer count, or those of the answer that was given before.
AnswerKey = tuple[Prompt, int | tuple[int, ...]]
AnswersByKey = dict[AnswerKey, Answer]


@dataclass(frozen=True, eq=False)
class AskedProbes:
    """The probes of an edit, and how they are asked.

    answer: the new one; like: what the model said before the edit, to be compared with; without it,
    the model says freely; judged: what the model says to prompts that judge, as far as it is known
    old: the edited prompts, asked for the answer before the edit
    """

    probes: Probes
    answer: str
    like: Readings | None = None
    judged: Mapping[AnswerKey, Answer] = field(default_factory=dict)
    old: Sequence[Chain] = ()


def read(model: Model, edits: Sequence[AskedProbes], *, finite: bool = True) -> list[Readings]:
    """Ask a model the probes of several edits, side by side.

    Raises NotFinite; finite: False marks what is NaN instead.
    """
    assessed = _assessed(model, edits, finite=finite)
    keys = [judging_keys(model, edit.probes, edit.answer, edit.like) for edit in edits]
    judged = {key: answer for edit in edits for key, answer in edit.judged.items()}
    unknown = dict.fromkeys(key for edit_keys in keys for key in edit_keys if key not in judged)
    judged |= answers_by_key(model, [*unknown], finite=finite)
    return [
        _readings(edit, of_edit, [judged[key] for key in edit_keys])
        for edit, of_edit, edit_keys in zip(edits, assessed, keys, strict=True)
    ]


def _assessed(
    model: Model, edits: Sequence[AskedProbes], *, finite: bool
) -> Iterator[tuple[list[Assessment], ...]]:
    """Of each edit: its prompts and paraphrases asked for the new answer, and for the old one."""
    groups = [
        group
        for edit in edits
        for group in (
            Asked(_chains(model, edit.probes.edited, edit.answer), edit.answer, says=True),
            # What is said to paraphrases is shown after an edit only; finding it out costs runs.
            Asked(
                _chains(model, edit.probes.held_out, edit.answer),
                edit.answer,
                says=edit.like is not None,
            ),
            Asked(edit.old),
        )
    ]
    return zip(*[iter(assess_together(model, groups, finite=finite))] * 3, strict=True)


def _readings(
    edit: AskedProbes, assessed: Sequence[Sequence[Assessment]], judging: Sequence[Answer]
) -> Readings:
    """What a model answers to the probes of one edit. judging: to those that judge, in order"""
    edited, held_out, old = map(tuple, assessed)
    neighbours = len(edit.probes.neighbours)
    return Readings(
        edited=edited,
        held_out=held_out,
        neighbours=tuple(judging[:neighbours]),
        same_subject=tuple(judging[neighbours:]),
        old=old,
    )


def judging_keys(
    model: Model, probes: Probes, answer: str, like: Readings | None
) -> list[AnswerKey]:
    """The prompts that judge an edit, with how many tokens of each answer count.

    like: what was said before; then with the tokens of that answer
    """
    prompts = (*probes.neighbours, *probes.same_subject)
    if like is None:
        count = whole_answer(_chains(model, probes.edited, answer))
        return [(prompt, count) for prompt in prompts]
    before = (*like.neighbours, *like.same_subject)
    return [(prompt, reply.path) for prompt, reply in zip(prompts, before, strict=True)]


def answers_by_key(model: Model, keys: Sequence[AnswerKey], *, finite: bool = True) -> AnswersByKey:
    """What a model says to prompts that judge. Raises NotFinite."""
    counts = {(prompt, how): how for prompt, how in keys if isinstance(how, int)}
    paths = {(prompt, how): how for prompt, how in keys if not isinstance(how, int)}
    freely = whole_answers(
        model, [prompt for prompt, _ in counts], [*counts.values()], finite=finite
    )
    again = said_again(model, [prompt for prompt, _ in paths], [*paths.values()], finite=finite)
    return dict(zip([*counts, *paths], [*freely, *again], strict=True))


def pooled(several: Sequence[Readings]) -> Readings:
    """The readings of several facts as those of one edit."""
    return Readings(
        edited=tuple(chain.from_iterable(readings.edited for readings in several)),
        held_out=tuple(chain.from_iterable(readings.held_out for readings in several)),
        neighbours=tuple(chain.from_iterable(readings.neighbours for readings in several)),
        same_subject=tuple(chain.from_iterable(readings.same_subject for readings in several)),
        old=tuple(chain.from_iterable(readings.old for readings in several)),
    )


def whole_answer(chains: Sequence[Chain]) -> int:
    """Tokens of another subject's answer that count as the whole of it, where nobody states it.

    As many as the new answer has, within bounds.
    """
    longest = max((len(chain.questions) for chain in chains), default=0)
    return min(max(longest, FEWEST_TOKENS), MOST_TOKENS)


def whole_answers(
    model: Model, prompts: Sequence[Prompt], counts: Sequence[int], *, finite: bool = True
) -> tuple[Answer, ...]:
    """What a model says to prompts, at most counts[i] tokens: the whole answer, where it is stated.

    One run tells which stated answers a model gives; it says the others freely, token by token.
    Raises NotFinite; finite: False marks what is NaN instead.
    """
    questions = [ask_openly(model, prompt) for prompt in prompts]
    stated = [_stated(model, *pair) for pair in zip(prompts, counts, strict=True)]
    tried = [place for place, tokens in enumerate(stated) if tokens]
    along = answers_along(
        model,
        [questions[place] for place in tried],
        [stated[place] for place in tried],
        finite=finite,
    )
    full = {
        place: answer
        for place, answer in zip(tried, along, strict=True)
        if answer.says == answer.path
    }
    free = [place for place in range(len(prompts)) if place not in full]
    freely = answers(
        model,
        [questions[place] for place in free],
        [counts[place] for place in free],
        finite=finite,
    )
    full |= zip(free, freely, strict=True)
    return tuple(full[place] for place in range(len(prompts)))


def said_again(
    model: Model,
    prompts: Sequence[Prompt],
    paths: Sequence[tuple[int, ...]],
    *,
    finite: bool = True,
) -> tuple[Answer, ...]:
    """What a model says to prompts where it said these tokens before. Raises NotFinite."""
    questions = [ask_openly(model, prompt) for prompt in prompts]
    return answers_along(model, questions, paths, finite=finite)


def _stated(model: Model, prompt: Prompt, count: int) -> tuple[int, ...]:
    """The tokens of a prompt's stated answer; none where it has none of at most so many tokens."""
    if not prompt.fact.stated:
        return ()
    try:
        tokens = tuple(question.token for question in ask(model, prompt).questions)
    except CannotAsk:
        return ()
    return tokens if len(tokens) <= count else ()


def _chains(model: Model, prompts: Sequence[Prompt], answer: str) -> list[Chain]:
    return [ask(model, prompt, answer) for prompt in prompts]


def same_tokens(before: Sequence[int], after: Sequence[int]) -> list[bool]:
    """Which prompts keep their first token. NaN is not the token that it was."""
    return [old == new != NO_TOKEN for old, new in zip(before, after, strict=True)]


def nan_count(answers: Sequence[Assessment], tokens: Sequence[int]) -> int:
    """How many answers and first tokens are NaN."""
    return sum(not answer.finite for answer in answers) + tokens.count(NO_TOKEN)


def compare(before: Readings, after: Readings) -> Metrics:
    """The metrics of the update that lies between two readings of the same probes."""
    return Metrics(
        {metric.name: metric.of(before, after) for metric in metrics() if metric.of is not None}
    )
