"""Propose the erasure of a relation: locate, choose, set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kn_edit.editing.drafts import Bench, Draft, How, Proposal, measured
from kn_edit.editing.measuring import ErasureExam
from kn_edit.edits.delta import Delta
from kn_edit.edits.erase import (
    carried_by,
    most_frequent,
    overwritten,
    unknown_token,
    written_slot,
)
from kn_edit.errors import NoNeurons
from kn_edit.evaluation.fluency import perplexity_at
from kn_edit.facts import Relation
from kn_edit.models.predict import coefficients, first_tokens
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import assess, perplexity_of
from kn_edit.neurons.locate import Located, mean_shares
from kn_edit.neurons.selection import serving_only

MOST_TRIED = 60  # neurons, until enough is forgotten
SPARE = 0.05  # so much more perplexing, at most, may other relations become by it


def draft_erasure(bench: Bench, relation: Relation) -> Draft:
    """Propose an erasure and measure it where it was computed. Raises what both raise."""
    return measured(bench, propose_erasure(bench, relation))


def propose_erasure(bench: Bench, relation: Relation) -> Proposal:
    """Compute the erasure of a relation.

    Raises NoNeurons, NoFactToAsk, EmbeddingWidthDiffers, ChangeOutOfRange, NotFinite.
    """
    how = bench.how
    with bench.engine.at(bench.deltas) as model:
        locator = bench.locator_at_head(model)
        facts = locator.known(relation)[: how.facts]
        located = locator.relation(relation, facts)
        exam = ErasureExam.about(model, relation, facts)
        token = None if how.zero else unknown_token(model)
        slot = written_slot(model, token)

    def erased(neurons: Sequence[NeuronId]) -> Delta:
        return overwritten(bench.engine.place, neurons, slot)

    chosen = _chosen(bench, located, exam, erased)
    if not chosen.neurons:
        raise NoNeurons(f"{chosen.whose} of {relation.name}")
    written = "zero" if token is None else model.tokenizer.convert_ids_to_tokens(token)
    return Proposal(
        kind="erase",
        delta=erased(chosen.neurons),
        relation=relation.name,
        subject=None,
        answer=None,
        target=None,
        method=f"set to {written}",
        neurons=tuple((neuron, 0.0) for neuron in sorted(chosen.neurons)),
        found={
            "facts": [fact.subject for fact in facts],
            "chosen": chosen.words,
            "written": written,
            "method": how.search.method,
        },
        notices=_doubts(how, token),
        message=f"{relation.name}: erased",
        exam=exam,
    )


@dataclass(frozen=True)
class _Chosen:
    """Neurons to erase."""

    neurons: tuple[NeuronId, ...]
    words: str
    whose: str = "any known fact"


def _chosen(
    bench: Bench,
    found: Sequence[Located],
    exam: ErasureExam,
    erased: Callable[[Sequence[NeuronId]], Delta],
) -> _Chosen:
    how = bench.how
    sets = [{neuron for neuron, _ in one.neurons} | {*one.dropped} for one in found]
    if how.top is not None:
        return _Chosen(most_frequent(sets, how.top), f"the {how.top} most frequent")
    if how.least is not None:
        whose = f"at least {how.least} facts"
        return _Chosen(carried_by(sets, how.least), f"knowledge neurons of {whose}", whose)
    words = f"serve the relation only, until it is {how.times:g} times as perplexing"
    return _Chosen(_serving(bench, found, exam, erased), words)


def _serving(
    bench: Bench,
    found: Sequence[Located],
    exam: ErasureExam,
    erased: Callable[[Sequence[NeuronId]], Delta],
) -> tuple[NeuronId, ...]:
    """As few neurons as make the relation How.times as perplexing, and spare other relations.

    Candidates in the order of `serving_only`; each is erased with those taken before it, and stays
    if the relation becomes more perplexing and what the model says elsewhere hardly does.
    """
    with bench.engine.at(bench.deltas) as model:
        shares = mean_shares([prompt for one in found for prompt in one.prompts])
        own = coefficients(model, [chain.questions[0] for chain in exam.chains])
        candidates = serving_only(shares, own, coefficients(model, exam.spared))[:MOST_TRIED]
        said = zip(exam.spared, first_tokens(model, exam.spared), strict=True)
        spared = [replace(question, token=token) for question, token in said]
        least = perplexity_of(assess(model, exam.sample))
        enough = bench.how.times * least
        most = (1 + SPARE) * perplexity_at(model, spared)
        whole_before = perplexity_of(assess(model, exam.chains))
    taken: list[NeuronId] = []
    for done, neuron in enumerate(candidates):
        bench.progress("choosing neurons", done, len(candidates))
        with bench.engine.at([*bench.deltas, erased([*taken, neuron])]) as model:
            sample = assess(model, exam.sample, finite=False)
            perplexity = perplexity_of(sample)
            harmless = perplexity_at(model, spared, finite=False) <= most  # NaN is not
            if not (harmless and perplexity > least and all(one.finite for one in sample)):
                continue
            taken.append(neuron)
            least = perplexity
            if least < enough:
                continue
            whole = assess(model, exam.chains, finite=False)
            if perplexity_of(whole) >= bench.how.times * whole_before:
                break
    return tuple(taken or candidates[:1])


def _doubts(how: How, token: int | None) -> tuple[str, ...]:
    if token is None and not how.zero:
        return ("the tokenizer has no unknown token of its own, so erased slots are set to zero",)
    return ()
