"""Draft the erasure of a relation: locate, set, measure, judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

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
from kn_edit.evaluation.gate import not_numbers
from kn_edit.evaluation.metrics import nan_count, same_tokens
from kn_edit.facts import Fact, Relation
from kn_edit.models.model import Model
from kn_edit.models.predict import coefficients, first_tokens
from kn_edit.models.questions import Chain, Question, ask
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import Assessment, assess, perplexity_of
from kn_edit.neurons.locate import Located, mean_shares
from kn_edit.neurons.selection import serving_only
from kn_edit.workspace.drafts import Bench, Draft, How
from kn_edit.workspace.locating import prompts_for
from kn_edit.workspace.neighbours import OTHER_FACTS, PROBES, other_relations
from kn_edit.workspace.neutral import speech, spoken

MOST_TRIED = 60  # neurons, until enough is forgotten
SPARE = 0.05  # so much more perplexing, at most, may other relations become by it


@dataclass(frozen=True)
class _Answers:
    own: tuple[Assessment, ...]  # of the relation
    others: tuple[int, ...]  # first tokens, of other relations
    neutral: float  # perplexity of neutral text

    @property
    def perplexity(self) -> float:
        return perplexity_of(self.own)


@dataclass(frozen=True, eq=False)
class _Asked:
    chains: tuple[Chain, ...]  # the relation's prompts
    sample: tuple[Chain, ...]  # a few of every fact, by which neurons are chosen
    spared: tuple[Question, ...]  # in prompts of other relations, likewise
    others: tuple[Question, ...]  # and of other facts, by which the erasure is judged

    @classmethod
    def about(cls, model: Model, relation: Relation, facts: Sequence[Fact]) -> _Asked:
        prompts = [prompts_for(model, relation, fact) for fact in facts]
        chains = [tuple(ask(model, prompt) for prompt in some) for some in prompts]
        sample = [chain for some in chains for chain in some[:PROBES]]
        judges = other_relations(model, relation.name)
        spared = other_relations(model, relation.name, skip=OTHER_FACTS)
        whole = tuple(chain for some in chains for chain in some)
        return cls(whole, tuple(sample), tuple(spared), tuple(judges))

    def of(self, model: Model, *, finite: bool = True) -> _Answers:
        own = assess(model, self.chains, finite=finite)
        others = first_tokens(model, self.others, finite=finite)
        return _Answers(tuple(own), tuple(others), speech(model, finite=finite))


def draft_erasure(bench: Bench, relation: Relation) -> Draft:
    """Draft the erasure of a relation. Raises NoNeurons, NoFactToAsk, EmbeddingWidthDiffers."""
    how = bench.how
    with bench.engine.at(bench.deltas) as model:
        locator = bench.locator_at_head(model)
        facts = locator.known(relation)[: how.facts]
        found = locator.relation(relation, facts)
        asked = _Asked.about(model, relation, facts)
        before = asked.of(model)
        token = None if how.zero else unknown_token(model)
        slot = written_slot(model, token)

    def erased(neurons: Sequence[NeuronId]) -> Delta:
        return overwritten(bench.engine.place, neurons, slot)

    chosen = _chosen(bench, found, asked, before, erased)
    if not chosen.neurons:
        raise NoNeurons(f"{chosen.whose} of {relation.name}")
    neurons, delta = sorted(chosen.neurons), erased(chosen.neurons)
    with bench.engine.at([*bench.deltas, delta]) as model:
        bench.progress("measuring", 0, 0)
        after = asked.of(model, finite=False)
    kept = same_tokens(before.others, after.others)
    specificity = fmean(kept) if kept else None
    written = "zero" if token is None else model.tokenizer.convert_ids_to_tokens(token)
    return Draft(
        "erase",
        delta,
        relation.name,
        None,
        None,
        None,
        f"set to {written}",
        tuple((neuron, 0.0) for neuron in neurons),
        before.own,
        after.own,
        _metrics(before, after) | {"specificity": specificity, "neighbours": len(kept)},
        {
            "facts": [fact.subject for fact in facts],
            "chosen": chosen.words,
            "written": written,
            "method": how.search.method,
        },
        how.gate.harm(specificity, "other relations"),
        _doubts(how, token, before, after),
        f"{relation.name}: erased",
        not_numbers(
            nan_count(after.own, after.others),
            len(after.own) + len(after.others),
            before.neutral,
            after.neutral,
        ),
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
    asked: _Asked,
    before: _Answers,
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
    return _Chosen(_serving(bench, found, asked, before, erased), words)


def _serving(
    bench: Bench,
    found: Sequence[Located],
    asked: _Asked,
    before: _Answers,
    erased: Callable[[Sequence[NeuronId]], Delta],
) -> tuple[NeuronId, ...]:
    """As few neurons as make the relation How.times as perplexing, and spare other relations.

    Candidates in the order of `serving_only`; each is erased with those taken before it, and stays
    if the relation becomes more perplexing and what the model says elsewhere hardly does.
    """
    with bench.engine.at(bench.deltas) as model:
        shares = mean_shares([prompt for one in found for prompt in one.prompts])
        own = coefficients(model, [chain.questions[0] for chain in asked.chains])
        candidates = serving_only(shares, own, coefficients(model, asked.spared))[:MOST_TRIED]
        said = zip(asked.spared, first_tokens(model, asked.spared), strict=True)
        spared = [replace(question, token=token) for question, token in said]
        least = perplexity_of(assess(model, asked.sample))
        enough = bench.how.times * least
        most = (1 + SPARE) * perplexity_at(model, spared)
    taken: list[NeuronId] = []
    for done, neuron in enumerate(candidates):
        bench.progress("choosing neurons", done, len(candidates))
        with bench.engine.at([*bench.deltas, erased([*taken, neuron])]) as model:
            sample = assess(model, asked.sample, finite=False)
            perplexity = perplexity_of(sample)
            harmless = perplexity_at(model, spared, finite=False) <= most  # NaN is not
            if not (harmless and perplexity > least and all(one.finite for one in sample)):
                continue
            taken.append(neuron)
            least = perplexity
            if least < enough:
                continue
            whole = assess(model, asked.chains, finite=False)
            if perplexity_of(whole) >= bench.how.times * before.perplexity:
                break
    return tuple(taken or candidates[:1])


def _metrics(before: _Answers, after: _Answers) -> dict[str, float | int | None]:
    return {
        "accuracy_before": fmean(one.right for one in before.own),
        "accuracy_after": fmean(one.right for one in after.own),
        "p_before": fmean(one.p for one in before.own),
        "p_after": fmean(one.p for one in after.own),
        "perplexity_before": before.perplexity,
        "perplexity_after": after.perplexity,
        **spoken(before.neutral, after.neutral),
    }


def _doubts(how: How, token: int | None, before: _Answers, after: _Answers) -> tuple[str, ...]:
    doubts = []
    if token is None and not how.zero:
        doubts.append(
            "the tokenizer has no unknown token of its own, so erased slots are set to zero"
        )
    if after.perplexity < how.times * before.perplexity:
        times = after.perplexity / before.perplexity
        doubts.append(f"the relation is only {times:.2f} times as perplexing as before")
    return tuple(doubts)
