"""What an update or an erasure did, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.table import Table

from kn_edit.canonical import short
from kn_edit.cli.records import MOST_FACTS, answers_of, before_and_after, written
from kn_edit.cli.tables import (
    MOST_PROMPT,
    MOST_ROWS,
    Parts,
    answer_cell,
    fitted,
    headings,
    pairs,
    prompt,
    says_cell,
    share,
    table,
    wrapped,
)
from kn_edit.evaluation.metric import headline, in_columns, measured_of_updates
from kn_edit.figures import count
from kn_edit.workspace import Edited
from kn_edit.workspace.batch import RowResult

if TYPE_CHECKING:
    from kn_edit.workspace import Assessment, Draft


def edited(outcome: Edited, dry_run: bool) -> Parts:
    """Everything about one edit."""
    draft = outcome.draft
    yield draft.message
    delta = draft.delta
    yield from written(delta.neurons(), delta.ranks(), f", {_how(draft)}")
    yield from _beyond(draft)
    yield ""
    if draft.further:
        yield _each_fact(draft)
    else:
        yield from _answers(draft) if draft.kind == "update" else _facts(draft)
    yield ""
    yield pairs(_measured(draft))
    yield ""
    yield from _recorded(outcome, dry_run)


def result_row(result: RowResult, dry_run: bool) -> Parts:
    """What became of one row of many, on one line; below it why it is not recorded."""
    outcome, fact = result.edited, result.row.case.fact
    measured = outcome.draft.metrics if outcome else {}
    figures = _in_columns([share(measured.get(name)) for name in headline()])
    change = (
        outcome.draft.message
        if outcome
        else f"{fact.relation}: {fact.subject} -> {result.row.target}"
    )
    name = short(outcome.edit) if outcome and outcome.edit else "not recorded"
    yield f"{name}  {figures} {fitted(change, MOST_CHANGE)}"
    reasons = () if dry_run else result.reasons
    for reason in reasons[:MOST_REASONS]:
        yield wrapped(4, reason)
    if len(reasons) > MOST_REASONS:
        yield wrapped(4, f"and {len(reasons) - MOST_REASONS} more; --json has all")


def rows_head() -> str:
    """The heading over the lines of `result_row`."""
    return f"{'edit':<12}  {_in_columns([metric.column for metric in in_columns()])} change"


def _in_columns(cells: Sequence[str]) -> str:
    widths = (max(len(metric.column), 4) for metric in in_columns())
    return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))


MOST_CHANGE = 50  # columns of it
MOST_REASONS = 2  # why a row is not recorded
MOST_CHANGED = 6  # other prompts that are shown


def _how(draft: Draft) -> str:
    steps = draft.found.get("steps")
    return f"{draft.method} in {count(steps, 'step')}" if steps is not None else draft.method


def _beyond(draft: Draft) -> Parts:
    """Why an update took more neurons than those that locate finds."""
    added, why = draft.found.get("added"), draft.found.get("why")
    if added:
        refined, located = len(draft.neurons) - added, len(draft.found["neurons"])
        yield f"{refined} of the {located} that locate finds, {added} next best"
    if why:
        yield wrapped(2, f"tried with fewer: {why}")


def _answers(draft: Draft) -> Parts:
    listing = table("+prompt", "+before", "+after")
    for old, new in list(zip(draft.before, draft.after, strict=True))[:MOST_ROWS]:
        listing.add_row(prompt(old), says_cell(old), says_cell(new))
    yield listing
    if draft.paraphrases:
        yield ""
        held_out = table("+held-out paraphrase", "+after")
        for new in draft.paraphrases[:MOST_ROWS]:
            held_out.add_row(prompt(new), says_cell(new))
        yield held_out
    if draft.changed:
        yield ""
        other_prompts = table("+other prompt that answers otherwise", "+before", "+after")
        for change in draft.changed[:MOST_CHANGED]:
            other_prompts.add_row(
                fitted(change.prompt.cloze, MOST_PROMPT),
                answer_cell(change.before),
                answer_cell(change.after),
            )
        yield other_prompts
        rest = len(draft.changed) - MOST_CHANGED
        if rest > 0:
            yield f"and {count(rest, 'more prompt')}; --json has all"


def _facts(draft: Draft) -> Parts:
    """An erasure asks many prompts; a line a fact, with means, is what one can read."""
    listing = table("+fact", ">p before", ">p after", "+says now")
    rows = zip(_by_fact(draft.before), _by_fact(draft.after), strict=True)
    for old, new in list(rows)[:MOST_ROWS]:
        fact = old[0].prompt.fact
        about = fitted(f"{fact.subject}, {fact.answer}", MOST_PROMPT)
        listing.add_row(about, _mean_p(old), _mean_p(new), says_cell(new[0]))
    yield listing
    rest = len(_by_fact(draft.before)) - MOST_ROWS
    if rest > 0:
        yield f"and {count(rest, 'more fact')}; --json has all"


def _each_fact(draft: Draft) -> Table:
    """A line for each fact of an update of many: its figures, and what its first prompt says."""
    listing = table("+fact", "+new answer", *headings(), "+says now")
    rows = zip(draft.facts, draft.by_fact, _by_fact(draft.after), strict=False)
    for change, measured, new in list(rows)[:MOST_FACTS]:
        name = fitted(f"{change.relation}: {change.subject}", MOST_PROMPT)
        figures = (share(measured.get(name)) for name in headline())
        listing.add_row(name, answer_cell(change.target or ""), *figures, says_cell(new[0]))
    if len(draft.facts) > MOST_FACTS:
        listing.add_row(f"and {len(draft.facts) - MOST_FACTS} more; --json has all")
    return listing


def _by_fact(answers: Sequence[Assessment]) -> list[list[Assessment]]:
    return [list(group) for _, group in groupby(answers, key=lambda answer: answer.prompt.fact)]


def _mean_p(answers: Sequence[Assessment]) -> str:
    return f"{sum(answer.p for answer in answers) / len(answers):.2f}"


def _measured(draft: Draft) -> list[tuple[str, str]]:
    metrics = draft.metrics
    prompts = f" ({count(metrics['neighbours'], 'prompt')})"
    if draft.kind == "erase":
        return [
            ("right before", f"{share(metrics['accuracy_before'])}  of its prompts"),
            ("right after", f"{share(metrics['accuracy_after'])}  of the same prompts"),
            (
                "specificity",
                f"{share(metrics['specificity'])}  other relations answer as before{prompts}",
            ),
            *_earlier(metrics),
            *before_and_after(metrics, None, None),
        ]
    return [
        *_of_update(metrics),
        *_earlier(metrics),
        *before_and_after(metrics, *answers_of(draft.facts)),
    ]


def _of_update(measured: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What was computed from the answers before and after an update, a metric a line."""
    for metric in measured_of_updates():
        value = share(measured.get(metric.name))
        prompts = _prompts(measured, metric.count_name)
        yield metric.label, f"{value}  {metric.meaning}{prompts}"


def _prompts(metrics: Mapping[str, Any], name: str) -> str:
    """How many prompts stand behind a share."""
    prompts = metrics.get(name)
    return "" if prompts is None else f" ({count(prompts, 'prompt')})"


def _earlier(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is left of the edits that were made before, where there are any."""
    prompts = metrics.get("earlier")
    if not prompts:
        return []
    words = f"earlier edits answer as they did ({count(prompts, 'prompt')})"
    return [("earlier edits", f"{share(metrics['earlier_kept'])}  {words}")]


def _recorded(outcome: Edited, dry_run: bool) -> Parts:
    if outcome.edit is None or outcome.version is None:
        yield "dry run: nothing was recorded" if dry_run else "nothing was recorded"
        for fault in (*outcome.draft.unsound, *outcome.draft.faults) if dry_run else ():
            yield f"it would fail the gate: {fault}"
        return
    yield pairs([("edit", short(outcome.edit)), ("version", short(outcome.version))])
    yield f"undo it: kn-edit {_undo(outcome, outcome.edit)}"


def _undo(outcome: Edited, edit: str) -> str:
    """What takes an edit back, and no fact that was in its set before."""
    draft = outcome.draft
    if draft.replaces is None:
        return f"revert {short(edit)}"
    if len(draft.facts) == 1:
        return f"revert {short(str(draft.found['member']))}"
    return f"rewind {short(outcome.head)}"
