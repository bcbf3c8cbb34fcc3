"""The shifts of the update methods that ship, each for a fact that was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kn_edit.editing.correcting import CorrectionTask, correction
from kn_edit.editing.earlier import held_answers
from kn_edit.editing.locating import Search
from kn_edit.editing.paraphrasing import less_own_words
from kn_edit.editing.preservation import preservation_set
from kn_edit.editing.updating import LowRankShifts, Shifts, UpdateTask
from kn_edit.edits.calibrate import Aims
from kn_edit.edits.settings import CorrectionSettings, Settings
from kn_edit.edits.update import calibrated, closed_form
from kn_edit.errors import NoNeurons
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


def calibrated_shifts(task: UpdateTask, neurons: Sequence[NeuronId], settings: Settings) -> Shifts:
    """Shifts of a fact's own neurons that were solved for. Raises NoNeurons, NotFinite."""
    model, context, located = task.model, task.context, task.attributed
    preserved = task.neighbours
    candidates = tuple(dict.fromkeys(neurons)) or tuple(n for n, _ in located.ranking)
    if not candidates:
        raise NoNeurons(str(located.fact))
    reworded = less_own_words(model, task.new, context.seed)
    # Where the answer begins: what comes after its first token fires other neurons anyway.
    questions = [*(chain.questions[0] for chain in task.new), *reworded]
    # What earlier updates of this subject say is held whatever neurons are taken.
    about_subject, earlier = held_answers(model, context.earlier, located.fact.subject)
    preserved = replace(preserved, named=(*preserved.named, *about_subject))
    preservation = preservation_set(
        model, candidates, questions, preserved, earlier, seed=context.seed
    )
    refined = dict.fromkeys(neuron for neuron, _ in located.neurons)
    if neurons:
        ranking, settings = candidates, replace(settings, fewest=len(candidates))
    else:  # the fact's own ones first
        specific = fact_specific(
            located.ranking, preservation.prompt_coefficients, preservation.elsewhere.coefficients
        )
        ranking = tuple(refined | dict.fromkeys(specific))
        if model.causal:
            ranking = upper_first(ranking, model.n_layers)

    def tick(step: int, _margin: float) -> None:
        context.progress("solving", step, 0)  # nobody knows how many it will take

    change = [question for chain in task.new for question in chain.questions]
    held = preservation.held(ranking[: settings.fewest])
    aims = Aims((*change, *reworded), tuple(held), preservation.elsewhere)
    result = calibrated(model, aims, ranking, settings, tick=tick)
    solution = result.solution
    provenance = _provenance(context.search, located) | {
        **solution.record(),
        "added": sum(neuron not in refined for neuron in solution.neurons),
        "why": result.why,
    }
    return Shifts(
        neurons=solution.neurons,
        b=solution.b,
        scores=dict(located.neurons),
        provenance=provenance,
    )


def _provenance(search: Search, located: Located) -> dict[str, Any]:
    """How the neurons were found, to be recorded with the edit."""
    return {
        "method": search.method,
        "threshold": float(search.thresholds.coarse),
        "share": located.share,
        "neurons": [
            {"layer": neuron.layer, "index": neuron.index, "score": score}
            for neuron, score in located.neurons
        ],
        "dropped": [str(neuron) for neuron in located.dropped],
        "gap": max(located.gap, default=None),
    }
