"""Results as plain values, for --json. These names are a promise to scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kn_edit.evaluation.metric import Metric, headline, metrics
from kn_edit.evaluation.protocols import MEANINGS
from kn_edit.neuron import NeuronId
from kn_edit.workspace.batch import RowStatus

if TYPE_CHECKING:
    from kn_edit.workspace import (
        Assessment,
        Benchmark,
        Blame,
        BranchRecord,
        Change,
        ChangedFact,
        Claim,
        Difference,
        Edited,
        EditRecord,
        Evaluation,
        Fact,
        FactRecord,
        Located,
        Overlap,
        Publication,
        Pulled,
        Pushed,
        Ref,
        Release,
        RowResult,
        Scaled,
        Settled,
        Step,
        VersionRecord,
        Workspace,
    )

Plain = dict[str, Any]


def fact(record: Fact) -> Plain:
    return {"relation": record.relation, "subject": record.subject, "answer": record.answer}


def neuron(neuron_id: NeuronId) -> Plain:
    return {"layer": neuron_id.layer, "index": neuron_id.index}


def scored(neurons: Iterable[tuple[NeuronId, float]]) -> list[Plain]:
    return [{**neuron(neuron_id), "score": score} for neuron_id, score in neurons]


def assessment(record: Assessment) -> Plain:
    return {
        "prompt": record.prompt.cloze,
        "relation": record.prompt.fact.relation,
        "subject": record.prompt.fact.subject,
        "answer": record.answer,
        "held_out": record.prompt.template.held_out,
        "p": record.p,
        "rank": record.rank,
        "top": [[token, p] for token, p in record.top],
        "says": record.says or None,
        "says_p": record.says_p,
        "miss": None if record.miss is None else asdict(record.miss),
    }


def changed(change: Change) -> Plain:
    return {
        "prompt": change.prompt.cloze,
        "subject": change.prompt.fact.subject,
        "before": change.before,
        "after": change.after,
        "token": change.place,
        "of": change.of,
    }


def located(result: Located) -> Plain:
    return {
        "fact": fact(result.fact),
        "neurons": scored(result.neurons),
        "dropped": [neuron(neuron_id) for neuron_id in result.dropped],
        "gap": list(result.gap),
        "reached": result.reached,
        "share": result.share,
        "prompts": [
            {"prompt": prompt.prompt, "p": prompt.p, "nodes": prompt.nodes}
            for prompt in result.prompts
        ],
        "seed": result.seed,
    }


def benchmark(result: Benchmark) -> Plain:
    """Seconds are those of the clock and of the processor; weights and memory are bytes."""
    return asdict(result)


def scaled(result: Scaled) -> Plain:
    return {
        "fact": fact(result.fact),
        "factor": result.factor,
        "seed": result.seed,
        "neurons": [neuron(each) for each in result.neurons],
        "p": [
            {
                "of": each.group,
                "prompts": each.prompts,
                "before": each.before,
                "after": each.after,
                "change": each.change,
            }
            for each in result.moved
        ],
    }


def estimate(measured: Any) -> Plain | None:
    """An estimate with its interval; None where there is none."""
    return None if measured is None else asdict(measured)


def evaluated(evaluation: Evaluation) -> list[Metric]:
    """The metrics to show of an evaluation: those with a column, and others that were measured."""
    return [
        metric
        for metric in metrics()
        if metric.column or evaluation.estimates.get(metric.name) is not None
    ]


def evaluation(result: Evaluation) -> Plain:
    columns = evaluated(result)
    return {
        **{metric.name: estimate(result.estimates[metric.name]) for metric in columns},
        "specificity_by_seed": list(result.by_seed),
        "score": result.score,
        "perplexity": asdict(result.perplexity),
        "entropy": None if result.entropy is None else asdict(result.entropy),
        "rounding": None
        if result.rounding is None
        else {
            "format": result.rounding.value,
            "efficacy_unrounded": estimate(result.unrounded),
            "efficacy_left": result.efficacy_left,
        },
        "protocols": {
            name.value: {"meaning": MEANINGS[name]}
            | {figure: estimate(value) for figure, value in figures.items()}
            for name, figures in result.protocols.items()
        },
        "updates": [
            {
                **fact(each.case.fact),
                "target": each.target,
                **{metric.name: each.value_of(metric) for metric in columns},
                "says": each.says,
                "says_answer": each.answer,
                "protocols": {
                    name.value: answers.plain() for name, answers in each.protocols.items()
                },
            }
            for each in result.updates
        ],
        "passed_over": list(result.passed_over),
        "seed": result.seed,
    }


def edited(result: Edited) -> Plain:
    draft = result.draft
    return {
        "edit": result.edit,
        "version": result.version,
        "kind": draft.kind,
        "relation": draft.relation,
        "subject": draft.subject,
        "answer": draft.answer,
        "target": draft.target,
        "facts": [*map(asdict, draft.facts)],
        "members": [*draft.members],
        "replaces": draft.replaces,
        "method": draft.method,
        "neurons": scored(draft.neurons),
        "layers": [
            {"layer": layer, "kind": "low-rank", "rank": rank}
            for layer, rank in draft.delta.ranks().items()
        ],
        "before": [assessment(each) for each in draft.before],
        "after": [assessment(each) for each in draft.after],
        "paraphrases": [assessment(each) for each in draft.paraphrases],
        "changed": [changed(each) for each in draft.changed],
        "metrics": draft.metrics,
        "found": draft.found,
        "faults": [*draft.unsound, *draft.faults],
        "notices": list(draft.notices),
        "overlaps": [{"edit": overlap.other, **shared(overlap)} for overlap in result.overlaps],
    }


def batch_row(result: RowResult) -> Plain:
    """A row of many: as an edit of its own, with what became of it."""
    case, target = result.row.case, result.row.target
    named = fact(case.fact) | {"answer": case.fact.answer or None, "target": target}
    edit: Plain = (
        edited(result.edited)
        if result.edited
        else {
            "edit": None,
            "version": None,
            "kind": "update",
            **named,
            "facts": [named],
            "metrics": dict.fromkeys(headline()),
            "error": type(result.error).__name__,
        }
    )
    outcome = {
        "recorded": result.status == RowStatus.RECORDED,
        "status": result.status,
        "why_not": list(result.reasons),
    }
    return edit | outcome | ({"line": case.fact.place.line} if case.fact.place else {})


def shared(overlap: Overlap) -> Plain:
    """What two edits both write; of layers all slots."""
    return {"slots": [neuron(slot) for slot in overlap.slots], "layers": list(overlap.layers)}


def moved(record: VersionRecord, refs: Sequence[Ref]) -> Plain:
    """A version that a move has just led to: edits that meet there, conflicts as settled."""
    overlaps = [
        {"edit": each.edit, "other": each.other, **shared(each)} for each in record.overlaps
    ]
    return version(record, refs) | {
        "overlaps": overlaps,
        "conflicts": [*map(settled, record.settled)],
        "returned": list(record.returned),
        "stayed": list(record.stayed),
    }


def settled(record: Settled) -> Plain:
    """A fact that two sides of a merge answered differently, and which answer stays."""
    conflict = record.conflict
    return {
        "relation": conflict.fact.relation,
        "subject": conflict.fact.subject,
        "ours": claim(conflict.ours),
        "theirs": claim(conflict.theirs),
        "kept": record.kept,
        "left_out": list(record.left_out),
    }


def claim(record: Claim) -> Plain:
    """What an edit says of a fact; an erasure has no answer."""
    return {"answer": record.answer, "edit": record.edit, "since": record.since}


def edit(record: EditRecord) -> Plain:
    plain = asdict(record)
    del plain["further"]
    plain["facts"] = [*map(asdict, record.facts)]
    plain["members"] = [*record.members]
    plain["edit"] = plain.pop("id")
    plain["neurons"] = [neuron(each) for each in record.neurons]
    return plain


def changed_fact(record: ChangedFact) -> Plain:
    """A fact, its new answer, and the edit that gave it that."""
    return {**asdict(record.change), "edit": record.edit}


def version(record: VersionRecord, refs: Sequence[Ref] = ()) -> Plain:
    names = [ref.name for ref in refs if ref.version == record.id]
    return {
        "version": record.id,
        "edits": list(record.edits),
        "digests": dict(record.digests),
        "refs": names,
    }


def pushed(result: Pushed) -> Plain:
    return {
        "version": result.version,
        "repo": result.repo,
        "branch": result.branch,
        "commit": result.commit,
        "as": result.form,
        "tag": result.tag,
        "pull_request": result.pull_request,
        "made": result.made,
        "sent": dict(result.sent),
        "bytes": sum(result.sent.values()),
        "url": result.url,
    }


def pulled(result: Pulled) -> Plain:
    return {
        "version": result.version.id,
        "source": result.source,
        "commit": result.commit,
        "edits": list(result.version.edits),
        "new": list(result.edits),
        "moved": result.moved,
    }


def release(record: Release) -> Plain:
    return {
        "version": record.version,
        "commit": record.commit,
        "as": record.form,
        "message": record.title,
        "created": record.created,
        "refs": list(record.refs),
    }


def publication(record: Publication) -> Plain:
    return {
        "repo": record.repo,
        "branch": record.branch,
        "commit": record.commit,
        "as": record.form,
        "tag": record.tag,
        "created": record.created,
    }


def step(record: Step) -> Plain:
    return {
        "version": record.version,
        "parents": list(record.parents),
        "edits": list(record.edits),
        "edit": record.edit,
        "kind": record.kind,
        "message": record.message,
        "created": record.created,
        "refs": list(record.refs),
        "overruled": record.overruled,
    }


def branch(record: BranchRecord) -> Plain:
    return {
        "branch": record.name,
        "current": record.current,
        "version": record.version,
        "edits": record.edits,
        "edit": record.edit,
        "message": record.message,
        "created": record.moved,
    }


def drawn_step(record: Step) -> Plain:
    """A step among those of all branches. `after` holds `step` of those before it."""
    return step(record) | {"step": record.seq, "branch": record.branch, "after": list(record.after)}


def move(record: Step) -> Plain:
    """A move that led to a version."""
    return {
        "step": record.seq,
        "branch": record.branch,
        "kind": record.kind,
        "message": record.message,
        "created": record.created,
        "parents": list(record.parents),
    }


def difference(a: str, b: str, result: Difference) -> Plain:
    slots = [neuron(slot) for slot in result.slots]
    only = {"only_a": list(result.only_a), "only_b": list(result.only_b)}
    facts = {"facts_a": [*map(member, result.facts_a)], "facts_b": [*map(member, result.facts_b)]}
    layers = [*map(asdict, result.layers)]
    return {"a": a, "b": b, **only, **facts, "slots": slots, "layers": layers}


def member(record: FactRecord) -> Plain:
    """A fact of a joint edit, with the id by which it can be taken out."""
    return {"member": record.member, **asdict(record.change)}


def blame(record: Blame) -> Plain:
    return {**edit(record.edit), "mode": record.mode, "in_head": record.in_head}


def status(workspace: Workspace) -> Plain:
    base, head, refs = workspace.base, workspace.head, workspace.ledger.refs()
    return {
        "workspace": str(workspace.folder.resolve()),
        "model": base.name,
        "revision": base.revision,
        "family": base.model_type,
        "dtype": base.dtype,
        "fingerprint": base.fingerprint,
        "head": head.id,
        "branch": next(ref.name for ref in refs if ref.current),
        "edits": list(head.edits),
        "branches": {ref.name: ref.version for ref in refs if ref.kind == "branch"},
        "tags": {ref.name: ref.version for ref in refs if ref.kind == "tag"},
    }
