"""Draft the erasure of a relation: locate, set, measure, judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from kn_edit.edits.build import delta_of
from kn_edit.edits.delta import Mode
from kn_edit.edits.erase import carried_by, most_frequent, unknown_token, written_slot
from kn_edit.errors import NoNeurons
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
from kn_edit.workspace.neighbours import other_relations
from kn_edit.workspace.neutral import speech, spoken

SIZES = (1, 2, 3, 5, 10, 15, 20, 30, 40, 60, 80)  # neurons tried until enough is forgotten


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
    others: tuple[Question, ...]  # places in prompts of other relations

    @classmethod
    def about(cls, model: Model, relation: Relation, facts: Sequence[Fact]) -> _Asked:
        prompts = [prompt for fact in facts for prompt in prompts_for(model, relation, fact)]
        chains = tuple(ask(model, prompt) for prompt in prompts)
        return cls(chains, tuple(other_relations(model, relation.name)))

    def of(self, model: Model) -> _Answers:
        own, others = assess(model, self.chains), first_tokens(model, self.others)
        return _Answers(tuple(own), tuple(others), speech(model))


def draft_erasure(bench: Bench, relation: Relation) -> Draft:
    """Draft the erasure of a relation. Raises NoNeurons, NoFactToAsk, EmbeddingWidthDiffers.

    Of several sizes the first that makes the relation How.times as perplexing is drafted; a choice
    by m or by frequency has one size.
    """
    how = bench.how
    with bench.engine.at(bench.deltas) as model:
        locator = bench.locator_at_head(model)
        facts = locator.known(relation)[: how.facts]
        found = locator.relation(relation, facts)
        asked = _Asked.about(model, relation, facts)
        before = asked.of(model)
        chosen = _chosen(model, how, found, asked)
        if not chosen.neurons:
            raise NoNeurons(f"{chosen.whose} of {relation.name}")
        token = None if how.zero else unknown_token(model)
        slot = written_slot(model, token)
    for size in chosen.sizes:
        neurons = sorted(chosen.neurons[:size])
        values = slot.expand(len(neurons), -1)
        delta = delta_of(bench.engine.place, neurons, values, Mode.SET)
        bench.progress("measuring", 0, 0)
        with bench.engine.at([*bench.deltas, delta]) as model:
            after = asked.of(model)
        if after.perplexity >= how.times * before.perplexity:
            break
    kept = [one == other for one, other in zip(before.others, after.others, strict=True)]
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
    )


@dataclass(frozen=True)
class _Chosen:
    """Neurons to erase, those that matter most first, and how many of them to try."""

    neurons: tuple[NeuronId, ...]
    sizes: tuple[int, ...]
    words: str
    whose: str = "any known fact"


def _chosen(model: Model, how: How, found: Sequence[Located], asked: _Asked) -> _Chosen:
    sets = [{neuron for neuron, _ in one.neurons} | {*one.dropped} for one in found]
    if how.top is not None:
        neurons = most_frequent(sets, how.top)
        return _Chosen(neurons, (len(neurons),), f"the {how.top} most frequent")
    if how.least is not None:
        neurons, whose = carried_by(sets, how.least), f"at least {how.least} facts"
        return _Chosen(neurons, (len(neurons),), f"knowledge neurons of {whose}", whose)
    shares = mean_shares([prompt for one in found for prompt in one.prompts])
    own = coefficients(model, [chain.questions[0] for chain in asked.chains])
    neurons = serving_only(shares, own, coefficients(model, asked.others))
    most = min(len(neurons), SIZES[-1])
    sizes = (*(size for size in SIZES if size < most), most)
    words = f"serve the relation only, until it is {how.times:g} times as perplexing"
    return _Chosen(neurons, sizes, words)


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
