"""Draft an update: locate, compute, measure, judge. Recording it is the workspace's part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean
from typing import Any

from torch import Tensor

from kn_edit.edits.build import delta_of
from kn_edit.edits.calibrate import Aims
from kn_edit.edits.delta import Mode
from kn_edit.edits.update import calibrated, closed_form
from kn_edit.errors import NoNeurons, SameAnswer
from kn_edit.evaluation.gate import not_numbers
from kn_edit.evaluation.metrics import Probes, Readings, compare, read
from kn_edit.facts import Case, Relation
from kn_edit.models.model import Model
from kn_edit.models.questions import (
    Chain,
    Question,
    ask,
    ask_openly,
    asked_otherwise,
    with_unknown_words,
)
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import Assessment, assess
from kn_edit.neurons.locate import Located
from kn_edit.neurons.selection import selective
from kn_edit.workspace.asking_again import refusal
from kn_edit.workspace.drafts import Bench, Draft, How
from kn_edit.workspace.locating import Search, prompts_for
from kn_edit.workspace.neighbours import Neighbours, neighbours
from kn_edit.workspace.neutral import speech, spoken
from kn_edit.workspace.progress import Progress
from kn_edit.workspace.surroundings import surroundings

SEED = 0
REWORDED = 3  # times that a masked LM is asked each prompt with a word of it unknown


@dataclass(frozen=True, eq=False)
class _Shifts:
    """What an update adds to which slots."""

    neurons: Sequence[NeuronId]
    b: Tensor  # (n, d_model)
    story: dict[str, Any]  # how it was found


def draft_update(bench: Bench, case: Case, to: str) -> Draft:
    """Draft an update of one fact to a new answer.

    Raises SameAnswer, NoNeurons, NothingToAsk, AnswerNotOneToken, AnswerNotInVocabulary.
    """
    fact, relation, how = case.fact, case.relation, bench.how
    if to.strip().casefold() == fact.answer.strip().casefold():
        raise SameAnswer(fact.subject, to)
    with bench.engine.at([]) as model:
        edited = prompts_for(model, relation, fact)
        new = [ask(model, prompt, to) for prompt in edited]  # a bad answer ends here
        # Neighbours and filter are taken from the base, so that every edit finds them made.
        base = bench.locator_at_base(model)
        common = base.spoken_for(relation, fact)
        others = neighbours(model, base, case)
        # An unedited fact is where it was, so many edits in a row need not look for it anew.
        found = None if bench.edited else base.fact(relation, fact, common)
    held_out = prompts_for(model, relation, fact, held_out=True)
    probes = Probes(edited, held_out, others.judges)
    with bench.engine.at(bench.deltas) as model:
        old = [ask(model, prompt) for prompt in edited]
        old_before, before = assess(model, old), read(model, probes, to)
        spoke = speech(model)
        found = found or bench.locator_at_head(model).fact(relation, fact, common)
        if how.closed_form:
            tokens = [chains[0].questions[0].token for chains in (old, new)]
            shifts = _closed(model, found, how, *tokens)
        else:
            shifts = _solved(model, found, how, new, others, bench.earlier, bench.progress)
    delta = delta_of(bench.engine.place, shifts.neurons, shifts.b, Mode.ADD)
    with bench.engine.at([*bench.deltas, delta]) as model:
        bench.progress("measuring", 0, 0)
        after, old_after = read(model, probes, to, finite=False), assess(model, old, finite=False)
        speaks = speech(model, finite=False)
    metrics, scores = compare(before, after), dict(found.neurons)
    return Draft(
        "update",
        delta,
        relation.name,
        fact.subject,
        fact.answer,
        to,
        "closed-form" if how.closed_form else "calibrated",
        tuple((neuron, scores.get(neuron, 0.0)) for neuron in sorted(shifts.neurons)),
        before.edited,
        after.edited,
        metrics.plain() | _odds(old_before, old_after, before, after) | spoken(spoke, speaks),
        _story(how.search, found) | shifts.story | _asked(relation),
        how.gate.faults(metrics),
        (*asked_otherwise((*old, *new)), *_doubts(found, old_before)),
        f"{relation.name}: {fact.subject}, {fact.answer} -> {to}",
        not_numbers(after.not_numbers, after.asked, spoke, speaks),
    )


def _closed(model: Model, found: Located, how: How, old: int, new: int) -> _Shifts:
    """The paper's shifts, from one token to another."""
    own = list(dict.fromkeys(how.neurons)) or [neuron for neuron, _ in found.neurons]
    if not own:
        raise NoNeurons(str(found.fact))
    shifts = closed_form(model, own, old, new, how.scale)
    return _Shifts(own, shifts, {"scale": list(how.scale)})


def _solved(
    model: Model,
    found: Located,
    how: How,
    chains: Sequence[Chain],
    others: Neighbours,
    earlier: Sequence[Case],
    progress: Progress,
) -> _Shifts:
    """Shifts that were solved for. chains: they ask for the new answer."""
    settings = how.settings_for(model)
    candidates = tuple(dict.fromkeys(how.neurons)) or tuple(neuron for neuron, _ in found.ranking)
    if not candidates:
        raise NoNeurons(str(found.fact))
    reworded = () if model.causal else _reworded(model, chains)
    # Where the answer begins: what comes after its first token fires other neurons anyway.
    own = [*(chain.questions[0] for chain in chains), *reworded]
    around = surroundings(model, candidates, own, others, _again(model, earlier))
    refined = dict.fromkeys(neuron for neuron, _ in found.neurons)
    if how.neurons:
        ranking, settings = candidates, replace(settings, fewest=len(candidates))
    else:  # the fact's own ones first
        apart = selective(found.ranking, around.own, around.elsewhere.coefficients)
        ranking = tuple(refined | dict.fromkeys(apart))

    def tick(step: int, _margin: float) -> None:
        progress("solving", step, 0)  # nobody knows how many it will take

    change = [question for chain in chains for question in chain.questions]
    held = around.held(ranking[: settings.fewest])
    aims = Aims((*change, *reworded), tuple(held), around.elsewhere)
    result = calibrated(model, aims, ranking, settings, tick=tick)
    solution = result.solution
    story = {
        "steps": solution.steps,
        "margin": solution.margin,
        "kl": solution.kl,
        "spill": solution.spill,
        "reached": solution.reached,
        "added": sum(neuron not in refined for neuron in solution.neurons),
        "why": result.why,
    }
    return _Shifts(solution.neurons, solution.b, story)


def _reworded(model: Model, chains: Sequence[Chain]) -> list[Question]:
    """The prompts in words that are less their own, so that a change outlives a paraphrase."""
    draw = Random(SEED)
    return [one for chain in chains for one in with_unknown_words(model, chain, REWORDED, draw)]


def _again(model: Model, earlier: Sequence[Case]) -> list[Question]:
    """A prompt of every fact that was updated before, their templates in turn."""
    questions = []
    askable = [case for case in earlier if refusal(model, case) is None]
    for at, case in enumerate(askable):
        prompts = prompts_for(model, case.relation, case.fact)
        questions.append(ask_openly(model, prompts[at % len(prompts)]))
    return questions


def _story(search: Search, found: Located) -> dict[str, Any]:
    """How the neurons were found, to be recorded with the edit."""
    return {
        "method": search.method,
        "threshold": search.thresholds.coarse,
        "share": found.share,
        "neurons": [
            {"layer": neuron.layer, "index": neuron.index, "score": score}
            for neuron, score in found.neurons
        ],
        "dropped": [str(neuron) for neuron in found.dropped],
        "gap": max(found.gap, default=None),
    }


def _asked(relation: Relation) -> dict[str, Any]:
    """The relation's templates, so that the edit can be asked again without its pack."""
    return {
        "templates": [one.text for one in relation.templates if not one.held_out],
        "held_out": [one.text for one in relation.templates if one.held_out],
    }


def _odds(
    old_before: Sequence[Assessment],
    old_after: Sequence[Assessment],
    before: Readings,
    after: Readings,
) -> dict[str, Any]:
    """Mean p of the old and the new answer on the edited prompts, before and after."""
    return {
        "p_old_before": fmean(one.p for one in old_before),
        "p_old_after": fmean(one.p for one in old_after),
        "p_new_before": fmean(one.p for one in before.edited),
        "p_new_after": fmean(one.p for one in after.edited),
    }


def _doubts(found: Located, old: Sequence[Assessment]) -> tuple[str, ...]:
    doubts = []
    if not found.reached:
        doubts.append("the attribution did not reach its tolerance on every prompt; see gap")
    if not any(one.right for one in old):
        answer = old[0].answer
        doubts.append(f"the model did not know the old answer: no prompt of it gave {answer}")
    return tuple(doubts)
