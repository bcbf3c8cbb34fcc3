"""A page about a version, or about one edit: what was changed, where, and at what cost."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from kn_edit.editing.earlier import refusal
from kn_edit.editing.evaluating import Evaluation
from kn_edit.editing.locating import every_prompt, prompts_for
from kn_edit.editing.requests import case_again
from kn_edit.evaluation.plots import neuron_map, series
from kn_edit.evaluation.report import made_folder, page, write
from kn_edit.evaluation.section import Plot, Section, Table
from kn_edit.experiments.scaling import FACTORS
from kn_edit.facts import Case
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, ask
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import Assessment, assess
from kn_edit.neurons.intervention import p_when_scaled
from kn_edit.neurons.selection import as_many_elsewhere
from kn_edit.workspace import EditRecord, FactRecord, Step, Workspace
from kn_edit.workspace.folder import results_folder

SEED = 0  # of the random neurons
MOST = 12  # edits that a workspace's page shows in full, the newest
PAGE = "report.html"


@dataclass(frozen=True)
class _Update:
    """An update that can be asked again, and the versions without it and with it."""

    record: EditRecord
    position: int  # of the fact in its edit
    case: Case
    to: str
    without: tuple[str, ...]
    having: tuple[str, ...]


def report(workspace: Workspace, out: str | Path, *, version: str = "head") -> Path:
    """A page about a version: its edits, the newest in full, its figures, the history.

    Raises TargetInsideLedger, UnknownId, CannotWrite, WriteUnknown.
    """
    out = results_folder(out)
    recipe = workspace.ledger.version(version).edits
    made_folder(out)
    edits = workspace.ledger.records(recipe)
    updates = [update for edit in edits for update in _updates(workspace, edit, recipe)]
    shown = updates[-MOST:]
    sections = [
        _list(edits, len(updates) - len(shown)),
        _figures(workspace.evaluate(version)),
        *(_about(workspace, one) for one in shown),
        _history(_steps(workspace, version)),
    ]
    return _put(workspace, out, f"{workspace.base.name} at {version}", sections)


def report_edit(workspace: Workspace, out: str | Path, edit: str) -> Path:
    """A page about one edit, on the base alone.

    Raises TargetInsideLedger, UnknownId, CannotWrite, WriteUnknown.
    """
    out = results_folder(out)
    record = workspace.ledger.edit(edit)
    made_folder(out)
    updates = _updates(workspace, record, (record.id,))
    shown = updates[:MOST]
    sections = [_list([record], len(updates) - len(shown))]
    sections += [_about(workspace, update) for update in shown]
    steps = [step for step in workspace.graph() if step.edit == record.id]
    sections.append(_history(steps))
    return _put(workspace, out, f"Edit {record.id[:12]} of {workspace.base.name}", sections)


def _put(workspace: Workspace, out: Path, title: str, sections: Sequence[Section]) -> Path:
    base = workspace.base
    facts = [
        f"Base: {base.name}, {base.model_type}, {base.dtype}, {base.fingerprint[:12]}"
        + (f", revision {base.revision}" if base.revision else "")
        + ".",
        f"Head: version {workspace.head.id[:12]} with {len(workspace.head.edits)} edits.",
    ]
    file = out / PAGE
    write(file, page(title, facts, sections))
    return file


def _steps(workspace: Workspace, version: str) -> list[Step]:
    """The moves that led to a branch, where a version is named by one; else to the current one."""
    branches = {branch.name for branch in workspace.branches()}
    return workspace.log(branch=version if version in branches else "head")


def _updates(workspace: Workspace, record: EditRecord, recipe: Sequence[str]) -> list[_Update]:
    """The updates of an edit that can be asked again; none of an erasure."""
    without = tuple(edit for edit in recipe if edit != record.id)
    updates = []
    for position, recorded in enumerate(record.by_fact):
        pair = _askable(workspace, recorded)
        if pair is not None:
            updates.append(_Update(record, position, *pair, without, tuple(recipe)))
    return updates


def _askable(workspace: Workspace, recorded: FactRecord) -> tuple[Case, str] | None:
    """The case of a recorded fact and its new answer, if the model can be asked both."""
    case, to = case_again(recorded), recorded.change.target
    if case is None or to is None:
        return None
    model = workspace.engine.model
    if any(refusal(model, case, answer) for answer in (case.fact.answer, to)):
        return None
    return case, to


# --- what a version holds ------------------------------------------------------------------------


def _list(edits: Sequence[EditRecord], hidden: int) -> Section:
    rows = tuple(
        (
            one.id[:12],
            one.message,
            one.method,
            str(len(one.neurons)),
            *(_share(one.metrics.get(key)) for key in ("efficacy", "generalization")),
            _share(one.metrics.get("specificity")),
            _moment(one.created),
        )
        for one in edits
    )
    columns = ("edit", "what", "method", "neurons", "efficacy", "general.", "specif.", "made, UTC")
    text = "What each edit reached when it was made."
    if hidden:
        text += f" {MOST} updates are shown in full below, and {hidden} are not."
    tables = [Table("In order", columns, rows), *(_facts(one) for one in edits if one.further)]
    return Section("Edits", text, tuple(tables))


def _facts(edit: EditRecord) -> Table:
    """The facts of an edit of many, each with what was measured of it."""
    rows = tuple(
        (
            f"{each.change.relation}: {each.change.subject}",
            each.change.answer or "",
            each.change.target or "",
            *(_share(each.metrics.get(key)) for key in ("efficacy", "generalization")),
            _share(each.metrics.get("specificity")),
        )
        for each in edit.by_fact
    )
    columns = ("fact", "from", "to", "efficacy", "general.", "specif.")
    return Table(f"The facts of edit {edit.id[:12]}", columns, rows)


def _figures(found: Evaluation) -> Section:
    rows = [
        (name, "" if one is None else str(one), "" if one is None else str(one.count))
        for name, one in (
            ("efficacy", found.efficacy),
            ("generalization", found.generalization),
            ("specificity", found.specificity),
        )
    ]
    rows.append(("score, their harmonic mean", _share(found.score, 3), ""))
    old, new = found.perplexity.base, found.perplexity.version
    rows.append(("perplexity of neutral text", f"{new:.2f} (base {old:.2f})", ""))
    if found.entropy is not None:
        old, new = found.entropy.base, found.entropy.version
        rows.append(("n-gram entropy, generated freely, bits", f"{new:.2f} (base {old:.2f})", ""))
    updates = tuple(
        (
            f"{one.case.fact.subject}: {one.case.fact.answer} -> {one.target}",
            _share(one.efficacy),
            _share(one.generalization),
            _share(one.specificity),
            one.says,
        )
        for one in found.updates
    )
    text = (
        "Asked anew, the version beside the base. Brackets: 95% bootstrap intervals over updates. "
        "Shares are teacher-forced; what the model says freely is in the last column."
    )
    if found.passed_over:
        text += f" Not asked: edit {'; edit '.join(found.passed_over)}."
    columns = ("update", "efficacy", "generalization", "specificity", "says freely")
    tables = [Table("Figures", ("figure", "value", "updates"), tuple(rows))]
    if updates:
        tables.append(Table("By update", columns, updates))
    return Section("This version against the base", text, tuple(tables))


def _history(steps: Sequence[Step]) -> Section:
    rows = tuple(
        (
            _moment(step.created),
            step.kind,
            step.version[:12],
            str(len(step.edits)),
            step.message,
            ", ".join(step.refs),
        )
        for step in steps
    )
    columns = ("when, UTC", "move", "version", "edits", "what", "names")
    return Section("History", "Newest first.", (Table("Moves of the head", columns, rows),))


# --- one update ----------------------------------------------------------------------------------


def _about(workspace: Workspace, one: _Update) -> Section:
    fact, written = one.case.fact, one.record.neurons
    located = workspace.locate(one.case, version="base")
    own = [neuron for neuron, _ in located.neurons]
    with workspace.engine.at(workspace.ledger.deltas(one.without)) as live:
        model = live.model
        before = assess(model, _chains(model, one.case, one.to), one.to, says=True)
        lines = dict(_dose(model, one.case, fact.answer, own, "without the edit"))
    with workspace.engine.at(workspace.ledger.deltas(one.having)) as live:
        model = live.model
        after = assess(model, _chains(model, one.case, one.to), one.to, says=True)
        lines |= dict(_dose(model, one.case, one.to, written, "with the edit"))
    model = workspace.engine.model
    scores = dict(located.ranking) | dict(located.neurons)
    candidates = [(neuron, scores.get(neuron, 0.0)) for neuron in {*scores, *written}]
    prefix = one.record.id[:12]
    name = f"{prefix}-{one.position}" if one.position else prefix
    plots = (
        Plot(
            f"neurons-{name}",
            "Candidates by their score on the base (area), and the slots that the edit writes",
            neuron_map(sorted(candidates), model.n_layers, model.d_ff, chosen=set(written)),
        ),
        Plot(
            f"dose-{name}",
            "p(answer) while neurons are scaled, the mean over trained prompts",
            series(lines, "coefficients times", "p(answer)"),
        ),
    )
    title = f"{fact.subject}: {fact.answer} -> {one.to}"
    text = (
        f"Edit {prefix}, {one.record.method}, {len(written)} neurons; "
        f"the fact's own knowledge neurons on the base: {len(own)}."
    )
    return Section(title, text, (_answers(before, after),), (), plots)


def _chains(model: Model, case: Case, to: str) -> list[Chain]:
    return [ask(model, prompt, to) for prompt in every_prompt(model, case.relation, case.fact)]


def _dose(
    model: Model, case: Case, answer: str, neurons: Sequence[NeuronId], where: str
) -> Iterator[tuple[str, dict[float, float]]]:
    """p of an answer by factor, for some neurons and for as many random ones."""
    chains = [ask(model, p, answer) for p in prompts_for(model, case.relation, case.fact)]
    elsewhere = as_many_elsewhere(neurons, model.d_ff, random.Random(SEED))
    for which, some in (("its neurons", neurons), ("random neurons", elsewhere)):
        p = {factor: fmean(p_when_scaled(model, chains, some, factor)) for factor in FACTORS}
        yield f"{answer}, {where}, {which}", p


def _answers(before: Sequence[Assessment], after: Sequence[Assessment]) -> Table:
    rows = tuple(
        (
            one.prompt.cloze + (" *" if one.prompt.template.held_out else ""),
            _said(one),
            _top(one),
            _said(two),
            _top(two),
        )
        for one, two in zip(before, after, strict=True)
    )
    columns = ("prompt", "says without the edit", "first tokens", "says with it", "first tokens")
    title = "What the model says, as many tokens as the new answer has, and its p (* held out)"
    return Table(title, columns, rows)


def _said(one: Assessment) -> str:
    return f"{one.says} {one.says_p:.2f}"


def _top(one: Assessment) -> str:
    return ", ".join(f"{token.strip() or repr(token)} {p:.2f}" for token, p in one.top[:3])


def _share(value: object, digits: int = 2) -> str:
    """A figure; nothing for what is none, as other people's records may hold."""
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) else ""


def _moment(text: str) -> str:
    """A recorded moment, UTC, to the minute."""
    return text[:16].replace("T", " ")
