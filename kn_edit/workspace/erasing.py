"""Draft the erasure of a relation: locate, set, measure, judge."""

from __future__ import annotations

from statistics import fmean

from kn_edit.edits.build import delta_of
from kn_edit.edits.delta import Mode
from kn_edit.edits.erase import carried_by, most_frequent, unknown_token, written_slot
from kn_edit.errors import NoNeurons
from kn_edit.facts import Relation
from kn_edit.models.predict import first_tokens
from kn_edit.models.questions import ask
from kn_edit.neurons.assess import assess
from kn_edit.workspace.drafts import Bench, Draft
from kn_edit.workspace.locating import prompts_for
from kn_edit.workspace.neighbours import other_relations


def draft_erasure(bench: Bench, relation: Relation) -> Draft:
    """Draft the erasure of a relation from the neurons that many of its facts share."""
    how = bench.how
    with bench.engine.at(bench.deltas) as model:
        locator = bench.locator_at_head(model)
        facts = locator.known(relation)[: how.facts]
        found = locator.relation(relation, facts)
        sets = [{neuron for neuron, _ in one.neurons} | {*one.dropped} for one in found]
        neurons = carried_by(sets, how.least) if how.top is None else most_frequent(sets, how.top)
        if not neurons:
            many = f"at least {how.least} facts" if how.top is None else "any known fact"
            raise NoNeurons(f"{many} of {relation.name}")
        token = None if how.zero else unknown_token(model)
        slot = written_slot(model, token)
        prompts = [prompt for fact in facts for prompt in prompts_for(model, relation, fact)]
        chains = [ask(model, prompt) for prompt in prompts]
        others = other_relations(model, relation.name)
        before, other_before = assess(model, chains), first_tokens(model, others)
    delta = delta_of(bench.engine.place, neurons, slot.expand(len(neurons), -1), Mode.SET)
    with bench.engine.at([*bench.deltas, delta]) as model:
        bench.progress("measuring", 0, 0)
        after, other_after = assess(model, chains), first_tokens(model, others)
    kept = [one == other for one, other in zip(other_before, other_after, strict=True)]
    specificity = sum(kept) / len(kept) if kept else None
    written = "zero" if token is None else model.tokenizer.convert_ids_to_tokens(token)
    notices = (
        ()
        if token is not None or how.zero
        else ("the tokenizer has no unknown token of its own, so erased slots are set to zero",)
    )
    return Draft(
        "erase",
        delta,
        relation.name,
        None,
        None,
        None,
        f"set to {written}",
        tuple((neuron, 0.0) for neuron in neurons),
        tuple(before),
        tuple(after),
        {
            "accuracy_before": fmean(one.right for one in before),
            "accuracy_after": fmean(one.right for one in after),
            "p_before": fmean(one.p for one in before),
            "p_after": fmean(one.p for one in after),
            "specificity": specificity,
            "neighbours": len(kept),
        },
        {
            "facts": [fact.subject for fact in facts],
            "least": how.least if how.top is None else None,
            "top": how.top,
            "written": written,
            "method": how.search.method,
        },
        how.gate.harm(specificity, "other relations"),
        notices,
        f"{relation.name}: erased",
    )
