"""Results as plain values, for --json. These names are a promise to scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kn_edit.evaluation.metric import Metric, in_columns, metrics
from kn_edit.neuron import NeuronId
from kn_edit.workspace.batch import RowStatus

if TYPE_CHECKING:
    from kn_edit.workspace import (
        Assessment,
        Blame,
        BranchRecord,
        Change,
        Claim,
        Difference,
        Edited,
        EditRecord,
        Evaluation,
        Fact,
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


def headline() -> tuple[str, ...]:
    """The metrics of an update that have a column in tables of many, by their names in JSON."""
    return tuple(metric.name for metric in in_columns())


def fact(one: Fact) -> Plain:
    return {"relation": one.relation, "subject": one.subject, "answer": one.answer}


def neuron(one: NeuronId) -> Plain:
    return {"layer": one.layer, "index": one.index}


def scored(neurons: Iterable[tuple[NeuronId, float]]) -> list[Plain]:
    return [{**neuron(one), "score": score} for one, score in neurons]


def assessment(one: Assessment) -> Plain:
    return {
        "prompt": one.prompt.cloze,
        "relation": one.prompt.fact.relation,
        "subject": one.prompt.fact.subject,
        "answer": one.answer,
        "held_out": one.prompt.template.held_out,
        "p": one.p,
        "rank": one.rank,
        "top": [[token, p] for token, p in one.top],
        "says": one.says or None,
        "says_p": one.says_p,
        "miss": None if one.miss is None else asdict(one.miss),
    }


def changed(one: Change) -> Plain:
    return {
        "prompt": one.prompt.cloze,
        "subject": one.prompt.fact.subject,
        "before": one.before,
        "after": one.after,
        "token": one.place,
        "of": one.of,
    }


def located(one: Located) -> Plain:
    return {
        "fact": fact(one.fact),
        "neurons": scored(one.neurons),
        "dropped": [neuron(other) for other in one.dropped],
        "gap": list(one.gap),
        "reached": one.reached,
        "share": one.share,
        "prompts": [
            {"prompt": prompt.prompt, "p": prompt.p, "nodes": prompt.nodes}
            for prompt in one.prompts
        ],
    }


def scaled(one: Scaled) -> Plain:
    return {
        "fact": fact(one.fact),
        "factor": one.factor,
        "neurons": [neuron(each) for each in one.neurons],
        "p": [
            {
                "of": each.group,
                "prompts": each.prompts,
                "before": each.before,
                "after": each.after,
                "change": each.change,
            }
            for each in one.moved
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


def evaluation(one: Evaluation) -> Plain:
    shown = evaluated(one)
    return {
        **{metric.name: estimate(one.estimates[metric.name]) for metric in shown},
        "specificity_by_seed": list(one.by_seed),
        "score": one.score,
        "perplexity": asdict(one.perplexity),
        "entropy": None if one.entropy is None else asdict(one.entropy),
        "updates": [
            {
                **fact(each.case.fact),
                "target": each.target,
                **{metric.name: each.value_of(metric) for metric in shown},
                "says": each.says,
                "says_answer": each.answer,
            }
            for each in one.updates
        ],
        "passed_over": list(one.passed_over),
    }


def edited(one: Edited) -> Plain:
    draft = one.draft
    return {
        "edit": one.edit,
        "version": one.version,
        "kind": draft.kind,
        "relation": draft.relation,
        "subject": draft.subject,
        "answer": draft.answer,
        "target": draft.target,
        "facts": [*map(asdict, draft.facts)],
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
        "overlaps": [{"edit": other.other, **shared(other)} for other in one.overlaps],
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


def shared(one: Overlap) -> Plain:
    """What two edits both write; of layers all slots."""
    return {"slots": [neuron(slot) for slot in one.slots], "layers": list(one.layers)}


def moved(one: VersionRecord, refs: Sequence[Ref]) -> Plain:
    """A version that a move has just led to: edits that meet there, conflicts as settled."""
    overlaps = [{"edit": each.edit, "other": each.other, **shared(each)} for each in one.overlaps]
    return version(one, refs) | {
        "overlaps": overlaps,
        "conflicts": [*map(settled, one.settled)],
        "returned": list(one.returned),
        "stayed": list(one.stayed),
    }


def settled(one: Settled) -> Plain:
    """A fact that two sides of a merge answered differently, and which answer stays."""
    conflict = one.conflict
    return {
        "relation": conflict.fact.relation,
        "subject": conflict.fact.subject,
        "ours": claim(conflict.ours),
        "theirs": claim(conflict.theirs),
        "kept": one.kept,
        "left_out": list(one.left_out),
    }


def claim(one: Claim) -> Plain:
    """What an edit says of a fact; an erasure has no answer."""
    return {"answer": one.answer, "edit": one.edit, "since": one.since}


def edit(one: EditRecord) -> Plain:
    plain = asdict(one)
    del plain["further"]
    plain["facts"] = [*map(asdict, one.facts)]
    plain["edit"] = plain.pop("id")
    plain["neurons"] = [neuron(each) for each in one.neurons]
    return plain


def version(one: VersionRecord, refs: Sequence[Ref] = ()) -> Plain:
    names = [ref.name for ref in refs if ref.version == one.id]
    return {
        "version": one.id,
        "edits": list(one.edits),
        "digests": dict(one.digests),
        "refs": names,
    }


def pushed(one: Pushed) -> Plain:
    return {
        "version": one.version,
        "repo": one.repo,
        "branch": one.branch,
        "commit": one.commit,
        "as": one.form,
        "tag": one.tag,
        "pull_request": one.pull_request,
        "made": one.made,
        "sent": dict(one.sent),
        "bytes": sum(one.sent.values()),
        "url": one.url,
    }


def pulled(one: Pulled) -> Plain:
    return {
        "version": one.version.id,
        "source": one.source,
        "commit": one.commit,
        "edits": list(one.version.edits),
        "new": list(one.edits),
        "moved": one.moved,
    }


def release(one: Release) -> Plain:
    return {
        "version": one.version,
        "commit": one.commit,
        "as": one.form,
        "message": one.title,
        "created": one.created,
        "refs": list(one.refs),
    }


def publication(one: Publication) -> Plain:
    return {
        "repo": one.repo,
        "branch": one.branch,
        "commit": one.commit,
        "as": one.form,
        "tag": one.tag,
        "created": one.created,
    }


def step(one: Step) -> Plain:
    return {
        "version": one.version,
        "parents": list(one.parents),
        "edits": list(one.edits),
        "edit": one.edit,
        "kind": one.kind,
        "message": one.message,
        "created": one.created,
        "refs": list(one.refs),
        "overruled": one.overruled,
    }


def branch(one: BranchRecord) -> Plain:
    return {
        "branch": one.name,
        "current": one.current,
        "version": one.version,
        "edits": one.edits,
        "edit": one.edit,
        "message": one.message,
        "created": one.moved,
    }


def drawn_step(one: Step) -> Plain:
    """A step among those of all branches. `after` holds `step` of those before it."""
    return step(one) | {"step": one.seq, "branch": one.branch, "after": list(one.after)}


def move(one: Step) -> Plain:
    """A move that led to a version."""
    return {
        "step": one.seq,
        "branch": one.branch,
        "kind": one.kind,
        "message": one.message,
        "created": one.created,
        "parents": list(one.parents),
    }


def difference(a: str, b: str, one: Difference) -> Plain:
    slots = [neuron(slot) for slot in one.slots]
    only = {"only_a": list(one.only_a), "only_b": list(one.only_b)}
    return {"a": a, "b": b, **only, "slots": slots, "layers": [*map(asdict, one.layers)]}


def blame(one: Blame) -> Plain:
    return {**edit(one.edit), "mode": one.mode, "in_head": one.in_head}


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
