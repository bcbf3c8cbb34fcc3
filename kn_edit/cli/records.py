"""What the ledger holds, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from kn_edit.cli.tables import (
    MOST_PROMPT,
    MOST_ROWS,
    Parts,
    answer_cell,
    count,
    fitted,
    headings,
    moment,
    neurons,
    pairs,
    safe,
    share,
    short,
    table,
    wrapped,
)
from kn_edit.evaluation.metric import metrics
from kn_edit.neuron import NeuronId, whole_layer
from kn_edit.workspace.to_json import headline

if TYPE_CHECKING:
    from kn_edit.workspace import (
        Blame,
        BranchRecord,
        Difference,
        EditRecord,
        FactChange,
        Publication,
        Ref,
        Release,
        Step,
        VersionRecord,
        Workspace,
    )

OVERRULED = "[against the gate]"  # of an edit that was recorded although the gate refused it
MOST_FACTS = 100  # of one edit that are listed


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
    made = table("id", "+edit", head=False)
    for one in workspace.ledger.records(ids):
        made.add_row(f"  {short(one.id)}", one.message)
    yield made


def log(steps: Sequence[Step]) -> Parts:
    made = table("version", "edit", "when (UTC)", "+what")
    for step in steps:
        what = Text(safe(step.message))
        if step.refs:
            what.append(safe(f" ({', '.join(step.refs)})"), style="bold")
        if step.overruled:
            what.append(f" {OVERRULED}", style="yellow")
        edit = short(step.edit) if step.edit else ""
        made.add_row(short(step.version), edit, moment(step.created), what)
    yield made


def branches(found: Sequence[BranchRecord]) -> Parts:
    made = table("", "+branch", "version", "last edit", "when (UTC)", "+what")
    for one in found:
        made.add_row(
            "*" if one.current else "",
            Text(safe(one.name), style="bold" if one.current else ""),
            short(one.version),
            short(one.edit) if one.edit else "",
            moment(one.moved),
            one.message,
        )
    yield made


def releases(found: Sequence[Release]) -> Parts:
    if not found:
        yield "kn-edit published nothing there"
        return
    made = table("version", "commit", "when (UTC)", "as", "+names")
    for one in found:
        names = Text(", ".join(one.refs), style="bold")
        made.add_row(short(one.version), short(one.commit), moment(one.created), one.form, names)
    yield made


def _where(one: Publication) -> str:
    tag = f", tag {one.tag}" if one.tag else ""
    return f"{one.repo}@{one.branch} as {one.form}{tag}, {moment(one.created)} UTC"


def edit(workspace: Workspace, one: EditRecord) -> Parts:
    yield pairs(
        [
            ("edit", one.id),
            ("what", one.message),
            ("kind", f"{one.kind}, {one.method}"),
            ("recorded", f"{moment(one.created)} UTC"),
            ("in head", "yes" if one.id in workspace.head.edits else "no"),
            *verdict(one),
            *_shares(one.metrics),
            *before_and_after(one.metrics, *answers_of(one.facts)),
        ]
    )
    yield from facts(one)
    yield from answers(one.found)
    yield from written(one.neurons, {change.layer: change.rank for change in one.layers})
    for other in one.overlaps:
        yield f"shares slots with edit {short(other)}"


def answers_of(changes: Sequence[FactChange]) -> tuple[str | None, str | None]:
    """What the old and the new answer of an edit are called."""
    if len(changes) > 1:
        return "old answers", "new answers"
    return changes[0].answer, changes[0].target


def facts(one: EditRecord) -> Parts:
    """The facts of an edit of many, each with what was measured of it."""
    if not one.further:
        return
    made = table("+fact", "+from", "+to", *headings())
    for each in one.by_fact[:MOST_FACTS]:
        change = each.change
        figures = (share(each.metrics.get(name)) for name in headline())
        name = fitted(f"{change.relation}: {change.subject}", MOST_PROMPT)
        made.add_row(
            name, answer_cell(change.answer or ""), answer_cell(change.target or ""), *figures
        )
    yield ""
    yield made
    if len(one.facts) > MOST_FACTS:
        yield f"and {count(len(one.facts) - MOST_FACTS, 'more fact')}; --json has all"


def written(slots: Sequence[NeuronId], ranks: Mapping[int, int], how: str = "") -> Parts:
    """The neurons whose slots an edit writes; the layers that it changes all at once, by rank."""
    if slots or not ranks:
        yield f"{count(len(slots), 'neuron')}{how}:"
        yield wrapped(2, neurons(slots))
    if ranks:
        yield f"all value slots of {count(len(ranks), 'layer')}{how}:"
        yield wrapped(2, ", ".join(f"{whole_layer(at)} of rank {ranks[at]}" for at in ranks))


def verdict(one: EditRecord) -> Iterator[tuple[str, str]]:
    """What the gate said, where that was recorded."""
    if one.faults is not None:
        yield "gate", f"refused, accepted: {'; '.join(one.faults)}" if one.faults else "passed"


def answers(found: Mapping[str, Any]) -> Parts:
    """What the model said when the edit was made, where that was recorded; by anybody."""
    recorded = found.get("says")
    rows = [row for row in recorded if isinstance(row, dict)] if isinstance(recorded, list) else []
    cells = [[row.get(name) for name in ("prompt", "before", "after")] for row in rows[:MOST_ROWS]]
    if not cells:
        return
    made = table("+prompt", "+before", "+after")
    for texts in cells:
        prompt, before, after = (text if isinstance(text, str) else "" for text in texts)
        made.add_row(fitted(prompt, MOST_PROMPT), answer_cell(before), answer_cell(after))
    yield ""
    yield made
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
    one: VersionRecord,
    refs: Sequence[Ref],
    moves: Sequence[Step],
    places: Sequence[Publication],
) -> Parts:
    names = [ref.name for ref in refs if ref.version == one.id]
    yield pairs(
        [
            ("version", one.id),
            ("names", ", ".join(names) or "none"),
            ("edits", str(len(one.edits)) if one.edits else "none: this is the base model"),
        ]
    )
    if one.edits:
        yield from edits(workspace, one.edits)
    if moves:
        yield "came by:"
        made = table("", "", "+", head=False)
        for each in moves[:MOST_ROWS]:
            made.add_row(f"  {moment(each.created)}", each.branch, each.message)
        yield made
        if len(moves) > MOST_ROWS:
            yield f"  and {count(len(moves) - MOST_ROWS, 'earlier move')}; --json has all"
    if places:
        yield "published:"
        rows = ((f"  {short(place.commit)}", _where(place)) for place in places)
        yield pairs(rows)
    if one.digests:
        yield "sha256 of each tensor that differs from the base:"
        yield pairs((f"  {short(digest)}", name) for name, digest in one.digests.items())


def difference(
    workspace: Workspace, a: VersionRecord, b: VersionRecord, found: Difference
) -> Parts:
    if not (found.only_a or found.only_b or found.slots or found.layers):
        yield f"{short(a.id)} and {short(b.id)} are the same"
        return
    for version_, only in ((a, found.only_a), (b, found.only_b)):
        if only:
            yield f"only in {short(version_.id)}:"
            yield from edits(workspace, only)
    if found.layers:
        yield f"every value slot of {count(len(found.layers), 'layer')} may differ:"
    for layer in found.layers:
        ranks = f"rank {layer.rank_a} in {short(a.id)}, {layer.rank_b} in {short(b.id)}"
        yield f"  {whole_layer(layer.layer)}: {ranks}"
    if found.slots or not found.layers:
        yield f"{count(len(found.slots), 'value slot')} may differ:"
        yield wrapped(2, neurons(found.slots))


def blame(neuron: str, found: Sequence[Blame]) -> Parts:
    if not found:
        yield f"no edit writes the slot of {neuron}"
        return
    made = table("edit", "does", "in head", "+what")
    for one in found:
        made.add_row(short(one.edit.id), one.mode, "yes" if one.in_head else "no", one.edit.message)
    yield made
