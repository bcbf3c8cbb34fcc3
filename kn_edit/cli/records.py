"""What the ledger holds, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from kn_edit.canonical import short
from kn_edit.cli.tables import (
    MOST_PROMPT,
    MOST_ROWS,
    Parts,
    answer_cell,
    fitted,
    headings,
    neurons,
    pairs,
    safe,
    share,
    table,
    wrapped,
)
from kn_edit.evaluation.metric import headline, metrics
from kn_edit.figures import count, moment
from kn_edit.jobs.callers import StepCaller
from kn_edit.neuron import NeuronId, whole_layer
from kn_edit.workspace import (
    Blame,
    BranchRecord,
    Difference,
    EditRecord,
    FactChange,
    FactRecord,
    Publication,
    Ref,
    Step,
    VersionRecord,
    Workspace,
)

if TYPE_CHECKING:
    from kn_edit.workspace import Release

OVERRULED = "! "  # before an edit that was recorded although the gate refused it
MOST_FACTS = 100  # of one edit that are listed
BRANCH_COLUMNS = ("", "+branch", "version", "last edit", "when (UTC)", "+what")


def status(workspace: Workspace) -> Parts:
    base, head = workspace.base, workspace.head
    revision = f" at {short(base.revision)}" if base.revision else ""
    tags = [ref for ref in workspace.ledger.refs() if ref.kind == "tag"]
    yield pairs(
        [
            ("model", f"{base.name}{revision} ({base.model_type}, {base.dtype})"),
            ("base", short(base.fingerprint)),
            ("branch", workspace.current_branch),
            ("head", short(head.id)),
            ("tags", ", ".join(f"{tag.name} ({short(tag.version)})" for tag in tags) or "none"),
            ("edits", str(len(head.edits))),
        ]
    )
    if head.edits:
        yield from edits(workspace, head.edits)


def edits(workspace: Workspace, ids: Sequence[str]) -> Parts:
    listing = table("id", "+edit", head=False)
    for record in workspace.ledger.records(ids, overlaps=False):
        listing.add_row(f"  {short(record.id)}", record.message)
    yield listing


def log(steps: Sequence[Step], callers: Mapping[int, StepCaller]) -> Parts:
    listing = table("version", "edit", "when (UTC)", "+what")
    for step in steps:
        message = Text(OVERRULED if step.overruled else "", style="yellow")
        message.append(safe(step.message), style="default")
        if step.refs:
            message.append(safe(f" ({', '.join(step.refs)})"), style="bold")
        if step.seq in callers:
            message.append(safe(f", {callers[step.seq]}"), style="default")
        edit = short(step.edit) if step.edit else ""
        listing.add_row(short(step.version), edit, moment(step.created), message)
    yield listing


def branches(records: Sequence[BranchRecord]) -> Parts:
    listing = table(*BRANCH_COLUMNS)
    for record in records:
        cells = (
            "*" if record.current else "",
            Text(safe(record.name), style="bold" if record.current else ""),
            short(record.version),
            short(record.edit) if record.edit else "",
            moment(record.moved),
            record.message,
        )
        listing.add_row(*cells)
    yield listing


def releases(published: Sequence[Release]) -> Parts:
    if not published:
        yield "kn-edit published nothing there"
        return
    listing = table("version", "commit", "when (UTC)", "as", "+names")
    for release in published:
        names = Text(", ".join(release.refs), style="bold")
        listing.add_row(
            short(release.version),
            short(release.commit),
            moment(release.created),
            release.form,
            names,
        )
    yield listing


def _where(publication: Publication) -> str:
    tag = f", tag {publication.tag}" if publication.tag else ""
    place = f"{publication.repo}@{publication.branch}"
    return f"{place} as {publication.form}{tag}, {moment(publication.created)} UTC"


def edit(workspace: Workspace, record: EditRecord) -> Parts:
    yield pairs(
        [
            ("edit", record.id),
            ("what", record.message),
            *(("fact", member) for member in record.members if not record.further),
            ("kind", f"{record.kind}, {record.method}"),
            ("recorded", f"{moment(record.created)} UTC"),
            ("in head", "yes" if workspace.ledger.members([record.id]) else "no"),
            *verdict(record),
            *_shares(record.metrics),
            *before_and_after(record.metrics, *answers_of(record.facts)),
        ]
    )
    yield from facts(record)
    yield from answers(record.found)
    yield from written(record.neurons, {change.layer: change.rank for change in record.layers})
    for overlapping in record.overlaps:
        yield f"shares slots with edit {short(overlapping)}"


def answers_of(changes: Sequence[FactChange]) -> tuple[str | None, str | None]:
    """What the old and the new answer of an edit are called."""
    if len(changes) > 1:
        return "old answers", "new answers"
    return changes[0].answer, changes[0].target


def facts(record: EditRecord) -> Parts:
    """The facts of an edit of many, each with what was measured of it."""
    if not record.further:
        return
    ids = ["id"] if record.members else []
    listing = table(*ids, "+fact", "+from", "+to", *headings())
    for fact in record.by_fact[:MOST_FACTS]:
        change = fact.change
        figures = (share(fact.metrics.get(name)) for name in headline())
        name = fitted(f"{change.relation}: {change.subject}", MOST_PROMPT)
        listing.add_row(
            *([short(fact.member or "")] if ids else []),
            name,
            answer_cell(change.answer or ""),
            answer_cell(change.target or ""),
            *figures,
        )
    yield ""
    yield listing
    if len(record.facts) > MOST_FACTS:
        yield f"and {count(len(record.facts) - MOST_FACTS, 'more fact')}; --json has all"


def members(facts: Sequence[FactRecord]) -> Parts:
    """Facts of joint edits, a line each, with the ids by which they can be reverted."""
    listing = table("id", "+fact", head=False)
    for fact in facts[:MOST_FACTS]:
        change = fact.change
        text = f"{change.relation}: {change.subject}, {change.answer} -> {change.target}"
        listing.add_row(f"  {short(fact.member or '')}", text)
    yield listing
    if len(facts) > MOST_FACTS:
        yield f"  and {count(len(facts) - MOST_FACTS, 'more fact')}; --json has all"


def written(slots: Sequence[NeuronId], ranks: Mapping[int, int], how: str = "") -> Parts:
    """The neurons whose slots an edit writes; the layers that it changes all at once, by rank."""
    if slots or not ranks:
        yield f"{count(len(slots), 'neuron')}{how}:"
        yield wrapped(2, neurons(slots))
    if ranks:
        yield f"all value slots of {count(len(ranks), 'layer')}{how}:"
        yield wrapped(
            2, ", ".join(f"{whole_layer(layer)} of rank {ranks[layer]}" for layer in ranks)
        )


def verdict(record: EditRecord) -> Iterator[tuple[str, str]]:
    """What the gate said, where that was recorded."""
    if record.faults is not None:
        yield (
            "gate",
            f"refused, accepted: {'; '.join(record.faults)}" if record.faults else "passed",
        )


def answers(provenance: Mapping[str, Any]) -> Parts:
    """What the model said when the edit was made, where that was recorded; by anybody."""
    recorded = provenance.get("says")
    rows = [row for row in recorded if isinstance(row, dict)] if isinstance(recorded, list) else []
    cells = [[row.get(name) for name in ("prompt", "before", "after")] for row in rows[:MOST_ROWS]]
    if not cells:
        return
    listing = table("+prompt", "+before", "+after")
    for texts in cells:
        prompt, before, after = (text if isinstance(text, str) else "" for text in texts)
        listing.add_row(fitted(prompt, MOST_PROMPT), answer_cell(before), answer_cell(after))
    yield ""
    yield listing
    yield ""


def _shares(measured: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The recorded metrics that are no perplexities, by their names in JSON."""
    for metric in metrics():
        if metric.name in measured and (metric.share or metric.of is not None):
            yield metric.name, share(measured[metric.name])


def before_and_after(
    metrics: Mapping[str, Any], old: str | None, new: str | None
) -> Iterator[tuple[str, str]]:
    """p of the old and the new answer, and perplexity of neutral text, before and after."""
    for age, answer in (("old", old), ("new", new)):
        p = [metrics.get(f"p_{age}_{when}") for when in ("before", "after")]
        if p != [None, None]:
            yield f"p({answer})", " -> ".join(map(share, p))
    neutral = [metrics.get(f"neutral_{when}") for when in ("before", "after")]
    if neutral != [None, None]:
        yield "neutral text", f"{' -> '.join(map(_perplexity, neutral))}  perplexity"


def _perplexity(value: Any) -> str:
    """A figure that somebody else may have recorded: none, or a huge one."""
    if not isinstance(value, (int, float)):
        return "-"
    return f"{value:.1f}" if value < 1e6 else f"{value:.3g}"


def version(
    workspace: Workspace,
    record: VersionRecord,
    refs: Sequence[Ref],
    moves: Sequence[Step],
    places: Sequence[Publication],
) -> Parts:
    names = [ref.name for ref in refs if ref.version == record.id]
    yield pairs(
        [
            ("version", record.id),
            ("names", ", ".join(names) or "none"),
            ("edits", str(len(record.edits)) if record.edits else "none: this is the base model"),
        ]
    )
    if record.edits:
        yield from edits(workspace, record.edits)
    if moves:
        yield "came by:"
        listing = table("", "", "+", head=False)
        for move in moves[:MOST_ROWS]:
            listing.add_row(f"  {moment(move.created)}", move.branch, move.message)
        yield listing
        if len(moves) > MOST_ROWS:
            yield f"  and {count(len(moves) - MOST_ROWS, 'earlier move')}; --json has all"
    if places:
        yield "published:"
        rows = ((f"  {short(place.commit)}", _where(place)) for place in places)
        yield pairs(rows)
    if record.digests:
        yield "sha256 of each tensor that differs from the base:"
        yield pairs((f"  {short(digest)}", name) for name, digest in record.digests.items())


def difference(workspace: Workspace, a: str, b: str, differences: Difference) -> Parts:
    """What sets two versions apart, by their ids."""
    if not (differences.only_a or differences.only_b or differences.slots or differences.layers):
        yield f"{short(a)} and {short(b)} are the same"
        return
    for version_, only in ((a, differences.only_a), (b, differences.only_b)):
        if only:
            yield f"only in {short(version_)}:"
            yield from edits(workspace, only)
    for version_, facts_there in ((a, differences.facts_a), (b, differences.facts_b)):
        if facts_there:
            yield f"facts of joint edits that only {short(version_)} has:"
            yield from members(facts_there)
    if differences.layers:
        yield f"every value slot of {count(len(differences.layers), 'layer')} may differ:"
    for layer in differences.layers:
        ranks = f"rank {layer.rank_a} in {short(a)}, {layer.rank_b} in {short(b)}"
        yield f"  {whole_layer(layer.layer)}: {ranks}"
    if differences.slots or not differences.layers:
        yield f"{count(len(differences.slots), 'value slot')} may differ:"
        yield wrapped(2, neurons(differences.slots))


def blame(neuron: str, entries: Sequence[Blame]) -> Parts:
    if not entries:
        yield f"no edit writes the slot of {neuron}"
        return
    listing = table("edit", "does", "in head", "+what")
    for entry in entries:
        listing.add_row(
            short(entry.edit.id), entry.mode, "yes" if entry.in_head else "no", entry.edit.message
        )
    yield listing
    for entry in entries:
        if entry.edit.members:
            yield f"facts of edit {short(entry.edit.id)}:"
            yield from members([*entry.edit.members.values()])
