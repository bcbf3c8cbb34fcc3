"""The shifts of the update methods that ship, each for a fact that was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from kn_edit.editing.chat_replies import ChatReplies, chat_replies
from kn_edit.editing.correcting import CorrectionTask, correction
from kn_edit.editing.earlier import held_answers
from kn_edit.editing.joint_proposal import propose_joint as propose_joint
from kn_edit.editing.locating import Search
from kn_edit.editing.neighbours import HELD, HELD_BESIDE_CHAT, Neighbours
from kn_edit.editing.paraphrasing import less_own_words
from kn_edit.editing.preservation import PreservationSet, preservation_set
from kn_edit.editing.updating import LowRankShifts, Shifts, UpdateTask
from kn_edit.edits.calibrate import Aims
from kn_edit.edits.settings import CorrectionSettings, Settings
from kn_edit.edits.update import calibrated, closed_form
from kn_edit.errors import NoNeurons
from kn_edit.models.questions import Question
from kn_edit.neuron import NeuronId
from kn_edit.neurons.locate import Located
from kn_edit.neurons.selection import fact_specific, upper_first


def closed_form_shifts(
    task: UpdateTask, neurons: Sequence[NeuronId], scale: tuple[float, float]
) -> Shifts:
    """The paper's shifts, from the old answer's first token to the new one's.

    Raises NoNeurons, EmbeddingWidthDiffers, ChangeOutOfRange.
    """
    located = task.attributed
    chosen = list(dict.fromkeys(neurons)) or [neuron for neuron, _ in located.neurons]
    if not chosen:
        raise NoNeurons(str(located.fact))
    old, new = (chains[0].questions[0].token for chains in (task.old, task.new))
    shifts = closed_form(task.model, chosen, old, new, scale)
    used = {"scale": [float(number) for number in scale]}
    provenance = _provenance(task.context.search, located) | used
    return Shifts(neurons=chosen, b=shifts, scores=dict(located.neurons), provenance=provenance)


def corrected_shifts(task: UpdateTask, settings: CorrectionSettings) -> LowRankShifts:
    """Shifts that say something new. Raises NotFinite."""
    context = task.context
    about_subject, earlier = held_answers(task.model, context.earlier, task.case.fact.subject)

    def tick(step: int, _margin: float) -> None:
        context.progress("solving", step, settings.steps)

    correction_task = CorrectionTask(
        case=task.case,
        to=task.to,
        chains=task.new,
        neighbours=task.neighbours,
        earlier=(*about_subject, *earlier),
        seed=context.seed,
    )
    solved = correction(task.model, correction_task, settings, tick=tick)
    return LowRankShifts(solved.factors, solved.provenance, solved.best)


def calibrated_shifts(
    task: UpdateTask,
    neurons: Sequence[NeuronId],
    settings: Settings,
    *,
    in_chat: bool = False,
) -> Shifts:
    """Shifts of a fact's own neurons that were solved for. Raises NoNeurons, NotFinite.

    in_chat: replies in the model's chat format are to change too
    """
    part = _part_of(task, neurons, in_chat=in_chat)
    if neurons:
        settings = replace(settings, fewest=len(part.ranking))
    held = part.preservation.held(part.ranking[: settings.fewest])
    chat = tuple(question for chain in part.replies.chains for question in chain.questions)
    aims = Aims(
        change=part.change,
        keep=tuple(held),
        elsewhere=part.preservation.elsewhere,
        chat=chat,
        chat_keep=part.replies.held,
    )
    shifts = _solved([part], aims, part.ranking, settings)
    if not in_chat:
        return shifts
    return replace(shifts, provenance=shifts.provenance | {"replies": len(part.replies.chains)})


def calibrated_shifts_of_many(
    tasks: Sequence[UpdateTask], neurons: Sequence[NeuronId], settings: Settings
) -> Shifts:
    """Shifts of the own neurons of several facts, solved for together.

    Each fact brings its neurons and what must stay beside it; one solver sees the prompts of all,
    so no fact is changed again by the next. Raises NoNeurons, NotFinite.
    """
    parts = [_part_of(task, neurons) for task in tasks]
    count = len(parts)
    firsts = [part.ranking if neurons else part.ranking[: settings.fewest] for part in parts]
    chosen = _in_turns(firsts)
    held = [part.preservation.held(first) for part, first in zip(parts, firsts, strict=True)]
    keep = tuple(dict.fromkeys(question for questions in held for question in questions))
    together = preservation_set(
        tasks[0].model,
        chosen,
        [question for part in parts for question in part.questions],
        _all_neighbours(parts),
        tuple(dict.fromkeys(question for part in parts for question in part.earlier)),
        seed=tasks[0].context.seed,
    )
    change = tuple(question for part in parts for question in part.change)
    aims = Aims(change, keep, together.elsewhere)
    # The loss of one fact, its mean over all: what is squared is the sum over all of their slots.
    settings = replace(
        settings,
        w_norm=settings.w_norm / count,
        w_off_target=settings.w_off_target / count,
        off_target_limit=settings.off_target_limit * count,
        fewest=len(chosen),
        most_neurons=len(chosen),  # more did not help where facts press on each other (0055)
    )
    return _solved(parts, aims, chosen, settings)


@dataclass(frozen=True, eq=False)
class _Part:
    """What one fact brings to a solver.

    change: all questions that must get the new answer; questions: where it begins
    replies: in a chat, where it is said as far as what must stay allows
    ranking: candidates, best first
    """

    task: UpdateTask
    change: tuple[Question, ...]
    questions: tuple[Question, ...]
    replies: ChatReplies
    ranking: tuple[NeuronId, ...]
    neighbours: Neighbours
    earlier: tuple[Question, ...]
    preservation: PreservationSet


def _part_of(task: UpdateTask, neurons: Sequence[NeuronId], *, in_chat: bool = False) -> _Part:
    """Rank a fact's candidates, and see what must stay.

    neurons: named by the user; in_chat: the fact is to change in a chat too
    """
    model, context, located = task.model, task.context, task.attributed
    candidates = tuple(dict.fromkeys(neurons)) or tuple(n for n, _ in located.ranking)
    if not candidates:
        raise NoNeurons(str(located.fact))
    reworded = less_own_words(model, task.new, context.seed)
    prompts = [chain.prompt for chain in task.new]
    replies = chat_replies(model, task.case, prompts, task.to) if in_chat else ChatReplies()
    # Where the answer begins: what comes after its first token fires other neurons anyway.
    questions = (*(chain.questions[0] for chain in task.new), *reworded)
    # What earlier updates of this subject say is held whatever neurons are taken.
    about_subject, earlier = held_answers(model, context.earlier, located.fact.subject)
    preserved = replace(task.neighbours, named=(*task.neighbours.named, *about_subject))
    preservation = preservation_set(
        model,
        candidates,
        questions,
        preserved,
        earlier,
        most=HELD_BESIDE_CHAT if replies.chains else HELD,
        seed=context.seed,
    )
    refined = dict.fromkeys(neuron for neuron, _ in located.neurons)
    ranking = candidates
    if not neurons:  # the fact's own ones first
        specific = fact_specific(
            located.ranking, preservation.prompt_coefficients, preservation.elsewhere.coefficients
        )
        ranking = tuple(refined | dict.fromkeys(specific))
        if model.causal:
            ranking = upper_first(ranking, model.n_layers)
    return _Part(
        task=task,
        change=(*(question for chain in task.new for question in chain.questions), *reworded),
        questions=questions,
        replies=replies,
        ranking=ranking,
        neighbours=preserved,
        earlier=tuple(earlier),
        preservation=preservation,
    )


def _in_turns(rankings: Sequence[Sequence[NeuronId]]) -> tuple[NeuronId, ...]:
    """The first of each ranking, then the second of each, and so on, each neuron once."""
    rows = zip_longest(*rankings)
    return tuple(dict.fromkeys(neuron for row in rows for neuron in row if neuron is not None))


def _all_neighbours(parts: Sequence[_Part]) -> Neighbours:
    """What all of the facts must leave alone. Nothing judges here."""

    def every(kind: Callable[[Neighbours], tuple[Question, ...]]) -> tuple[Question, ...]:
        return tuple(dict.fromkeys(q for part in parts for q in kind(part.neighbours)))

    return Neighbours(
        named=every(lambda beside: beside.named),
        other_subjects=every(lambda beside: beside.other_subjects),
        elsewhere=every(lambda beside: beside.elsewhere),
        judges=(),
    )


def _solved(
    parts: Sequence[_Part], aims: Aims, ranking: Sequence[NeuronId], settings: Settings
) -> Shifts:
    """Solve, and say how the shifts were found."""
    task = parts[0].task
    context = task.context

    def tick(step: int, _margin: float) -> None:
        context.progress("solving", step, 0)  # nobody knows how many it will take

    result = calibrated(task.model, aims, ranking, settings, tick=tick)
    solution = result.solution
    located = [part.task.attributed for part in parts]
    scores = _scores(located)
    provenance = _provenance(context.search, *located) | {
        **solution.record(),
        "added": sum(neuron not in scores for neuron in solution.neurons),
        "why": result.why,
    }
    return Shifts(
        neurons=solution.neurons,
        b=solution.b,
        scores=scores,
        provenance=provenance,
    )


def _scores(located: Sequence[Located]) -> dict[NeuronId, float]:
    """The knowledge neurons of facts, each with its largest score."""
    scores: dict[NeuronId, float] = {}
    for neuron, score in (pair for each in located for pair in each.neurons):
        scores[neuron] = max(score, scores.get(neuron, score))
    return scores


def _provenance(search: Search, *located: Located) -> dict[str, Any]:
    """How the neurons of facts were found, to be recorded with the edit."""
    return {
        "method": search.method,
        "threshold": float(search.thresholds.coarse),
        "share": located[0].share,
        "neurons": [
            {"layer": neuron.layer, "index": neuron.index, "score": score}
            for neuron, score in _scores(located).items()
        ],
        "dropped": list(dict.fromkeys(str(neuron) for each in located for neuron in each.dropped)),
        "gap": max((gap for each in located for gap in each.gap), default=None),
    }
