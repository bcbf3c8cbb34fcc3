"""Propose an update: locate, compute. Measuring and recording it are others' parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from kn_edit.editing.correcting import correction
from kn_edit.editing.drafts import Bench, Draft, How, Proposal, measured
from kn_edit.editing.earlier import held_answers
from kn_edit.editing.locating import Locator, Search, prompts_for
from kn_edit.editing.measuring import UpdateExam, judged_by
from kn_edit.editing.neighbours import Neighbours, neighbours
from kn_edit.editing.paraphrasing import judging_paraphrases, less_own_words
from kn_edit.editing.requests import ASKED_AGAIN
from kn_edit.editing.surroundings import surroundings
from kn_edit.edits.build import delta_of
from kn_edit.edits.calibrate import Aims
from kn_edit.edits.delta import Mode
from kn_edit.edits.update import calibrated, closed_form
from kn_edit.errors import BadSetting, NoNeurons, SameAnswer
from kn_edit.evaluation.metrics import Probes
from kn_edit.facts import Case, Relation
from kn_edit.models.model import Model
from kn_edit.models.questions import (
    Chain,
    ask,
    asked_otherwise,
)
from kn_edit.neuron import NeuronId
from kn_edit.neurons.locate import Located
from kn_edit.neurons.selection import selective


@dataclass(frozen=True, eq=False)
class _Shifts:
    """What an update adds to which slots."""

    method: str
    neurons: Sequence[NeuronId]
    b: Tensor  # (n, d_model)
    scores: Mapping[NeuronId, float]
    story: dict[str, Any]  # how they were found


def draft_update(bench: Bench, case: Case, to: str) -> Draft:
    """Propose an update and measure it where it was computed. Raises what both raise."""
    return measured(bench, propose_update(bench, case, to))


def propose_update(bench: Bench, case: Case, to: str) -> Proposal:
    """Compute an update of one fact to a new answer.

    Raises SameAnswer, NoNeurons, NothingToAsk, NotFinite, ChangeOutOfRange, and CannotAsk where
    the model cannot be asked for an answer.
    """
    fact, relation, how = case.fact, case.relation, bench.how
    if _same(to, fact.answer):
        raise SameAnswer(fact.subject, to)
    with bench.engine.at([]) as model:
        _check_neurons(model, how.neurons)
        edited = prompts_for(model, relation, fact)
        new = [ask(model, prompt, to) for prompt in edited]  # a bad answer ends here
        # Neighbours and filter are taken from the base, so that every edit finds them made.
        base = bench.locator_at_base(model)
        others = neighbours(model, base, case)
        unknown = is_unknown(model, base, case, how)
        # An unedited fact is where it was, so many edits in a row need not look for it anew.
        common = None if unknown else base.spoken_for(relation, fact)
        located = None if common is None or bench.edited else base.fact(relation, fact, common)
    held_out = judging_paraphrases(model, relation, fact, to)
    with bench.engine.at(bench.deltas) as model:
        old = [ask(model, prompt) for prompt in edited]
        if common is None:
            shifts = _corrected(model, case, to, new, others, bench)
        else:
            located = located or bench.locator_at_head(model).fact(relation, fact, common)
            if how.closed_form:
                tokens = [chains[0].questions[0].token for chains in (old, new)]
                shifts = _closed(model, located, how, *tokens)
            else:
                shifts = _solved(model, located, new, others, bench)
    probes = Probes(edited, held_out, others.judges, others.same_judges)
    return Proposal(
        kind="update",
        delta=delta_of(bench.engine.place, shifts.neurons, shifts.b, Mode.ADD),
        relation=relation.name,
        subject=fact.subject,
        answer=fact.answer,
        target=to,
        method=shifts.method,
        neurons=tuple(
            (neuron, shifts.scores.get(neuron, 0.0)) for neuron in sorted(shifts.neurons)
        ),
        found=shifts.story | _asked(relation) | judged_by(probes),
        notices=(*asked_otherwise((*old, *new)), *(_doubts(located) if located else ())),
        message=_message(case, to),
        exam=UpdateExam(probes, tuple(old), to, case.said),
    )


def asked_anew(bench: Bench, proposal: Proposal, case: Case) -> Proposal:
    """The same update of a fact that another edit gave another answer meanwhile.

    Raises SameAnswer where that is the very answer of this update.
    """
    exam, to = proposal.exam, proposal.target
    assert isinstance(exam, UpdateExam)
    assert to is not None
    if case.fact.answer == proposal.answer:
        return proposal
    if _same(to, case.fact.answer):
        raise SameAnswer(case.fact.subject, to)
    model = bench.engine.model
    old = tuple(ask(model, p) for p in prompts_for(model, case.relation, case.fact))
    return replace(
        proposal,
        answer=case.fact.answer,
        message=_message(case, to),
        exam=replace(exam, old=old),
    )


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _message(case: Case, to: str) -> str:
    fact = case.fact
    return f"{case.relation.name}: {fact.subject}, {fact.answer} -> {to}"


def _check_neurons(model: Model, neurons: Sequence[NeuronId]) -> None:
    """Raise BadSetting for a neuron that the model does not have."""
    for neuron in neurons:
        if not (0 <= neuron.layer < model.n_layers and 0 <= neuron.index < model.d_ff):
            last = NeuronId(model.n_layers - 1, model.d_ff - 1)
            raise BadSetting("the neuron", str(neuron), f"one from {NeuronId(0, 0)} to {last}")


def _closed(model: Model, found: Located, how: How, old: int, new: int) -> _Shifts:
    """The paper's shifts, from one token to another."""
    own = list(dict.fromkeys(how.neurons)) or [neuron for neuron, _ in found.neurons]
    if not own:
        raise NoNeurons(str(found.fact))
    shifts = closed_form(model, own, old, new, how.scale)
    scale = {"scale": [float(number) for number in how.scale]}
    return _Shifts(
        "closed-form", own, shifts, dict(found.neurons), _story(how.search, found) | scale
    )


def is_unknown(model: Model, base: Locator, case: Case, how: How) -> bool:
    """Whether no neuron carries the fact yet: the model has it wrong, or never knew it.

    Prompts of a user's own ask for what the model has wrong; those of a relation, where none of
    them gives the old answer. Whoever names neurons or a way to solve gets these.
    """
    if how.closed_form or how.neurons or how.settings is not None:
        return False
    prompts = prompts_for(model, case.relation, case.fact)
    return case.relation.own or not any(base.right([ask(model, prompt) for prompt in prompts]))


def _corrected(
    model: Model,
    case: Case,
    to: str,
    chains: Sequence[Chain],
    others: Neighbours,
    bench: Bench,
) -> _Shifts:
    """Shifts that say something new. chains: the user's prompts, asked for the new answer."""
    settings = bench.how.correction_of(model)
    same, earlier = held_answers(model, bench.earlier, case.fact.subject)

    def tick(step: int, _margin: float) -> None:
        bench.progress("solving", step, settings.steps)

    found = correction(
        model, case, to, chains, others, settings, earlier=(*same, *earlier), tick=tick
    )
    return _Shifts("correction", found.neurons, found.b, found.scores, found.story)


def _solved(
    model: Model,
    found: Located,
    chains: Sequence[Chain],
    others: Neighbours,
    bench: Bench,
) -> _Shifts:
    """Shifts that were solved for. chains: they ask for the new answer."""
    how = bench.how
    settings = how.settings_for(model)
    candidates = tuple(dict.fromkeys(how.neurons)) or tuple(neuron for neuron, _ in found.ranking)
    if not candidates:
        raise NoNeurons(str(found.fact))
    reworded = less_own_words(model, chains)
    # Where the answer begins: what comes after its first token fires other neurons anyway.
    own = [*(chain.questions[0] for chain in chains), *reworded]
    # What earlier updates of this subject say is held whatever neurons are taken.
    same, earlier = held_answers(model, bench.earlier, found.fact.subject)
    others = replace(others, named=(*others.named, *same))
    around = surroundings(model, candidates, own, others, earlier)
    refined = dict.fromkeys(neuron for neuron, _ in found.neurons)
    if how.neurons:
        ranking, settings = candidates, replace(settings, fewest=len(candidates))
    else:  # the fact's own ones first
        apart = selective(found.ranking, around.own, around.elsewhere.coefficients)
        ranking = tuple(refined | dict.fromkeys(apart))

    def tick(step: int, _margin: float) -> None:
        bench.progress("solving", step, 0)  # nobody knows how many it will take

    change = [question for chain in chains for question in chain.questions]
    held = around.held(ranking[: settings.fewest])
    aims = Aims((*change, *reworded), tuple(held), around.elsewhere)
    result = calibrated(model, aims, ranking, settings, tick=tick)
    solution = result.solution
    story = {
        **solution.told(),
        "added": sum(neuron not in refined for neuron in solution.neurons),
        "why": result.why,
    }
    return _Shifts(
        "calibrated",
        solution.neurons,
        solution.b,
        dict(found.neurons),
        _story(how.search, found) | story,
    )


def _story(search: Search, found: Located) -> dict[str, Any]:
    """How the neurons were found, to be recorded with the edit."""
    return {
        "method": search.method,
        "threshold": float(search.thresholds.coarse),
        "share": found.share,
        "neurons": [
            {"layer": neuron.layer, "index": neuron.index, "score": score}
            for neuron, score in found.neurons
        ],
        "dropped": [str(neuron) for neuron in found.dropped],
        "gap": max(found.gap, default=None),
    }


def _asked(relation: Relation) -> dict[str, Any]:
    """The relation's templates, so that the edit can be asked again without its pack.

    own: they tell its facts apart, because nobody named the relation. paraphrases: held-out ones
    without an [X], which speak of this subject alone
    """
    own: dict[str, Any] = {"own": True} if relation.own else {}
    paraphrases = [one.text for one in relation.templates if one.about][:ASKED_AGAIN]
    asked = own | {
        "templates": [one.text for one in relation.templates if not one.held_out],
        "held_out": [one.text for one in relation.templates if one.held_out and not one.about],
    }
    return asked | ({"paraphrases": paraphrases} if paraphrases else {})


def _doubts(found: Located) -> tuple[str, ...]:
    if found.reached:
        return ()
    return ("the attribution did not reach its tolerance on every prompt; see gap",)
