"""A page about a version, or about one edit: what was changed, where, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from kn_edit.canonical import short
from kn_edit.editing.earlier import refusal
from kn_edit.editing.evaluating import Evaluation
from kn_edit.editing.locating import chains_for, every_prompt
from kn_edit.editing.requests import case_again
from kn_edit.evaluation.metric import (
    EFFICACY,
    GENERALIZATION,
    SPECIFICITY,
    in_columns,
    measured_of_updates,
)
from kn_edit.evaluation.plots import neuron_map, series
from kn_edit.evaluation.report import made_folder, page, write
from kn_edit.evaluation.section import Plot, Section, Table
from kn_edit.evaluation.statistics import Estimate
from kn_edit.experiments.scaling import FACTORS
from kn_edit.facts import Case
from kn_edit.figures import moment, share
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, ask
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import Assessment, assess
from kn_edit.neurons.intervention import p_when_scaled
from kn_edit.neurons.selection import as_many_elsewhere
from kn_edit.seeds import USUAL, checked, generator
from kn_edit.workspace import EditRecord, FactRecord, Step, Workspace
from kn_edit.workspace.folder import results_folder

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


def report(
    workspace: Workspace, out: str | Path, *, version: str = "head", seed: int = USUAL
) -> Path:
    """A page about a version: its edits, the newest in full, its figures, the history.

    seed: of everything that is drawn, such as random neurons
    Raises BadSetting, TargetInsideLedger, UnknownId, CannotWrite, WriteUnknown.
    """
    out, seed = results_folder(out), checked(seed)
    recipe = workspace.ledger.version(version).edits
    made_folder(out)
    edits = workspace.ledger.records(recipe)
    updates = [update for edit in edits for update in _updates(workspace, edit, recipe)]
    detailed = updates[-MOST:]
    sections = [
        _list(edits, len(updates) - len(detailed)),
        _figures(workspace.evaluate(version, seed=seed)),
        *(_about(workspace, update, seed) for update in detailed),
        _history(_steps(workspace, version)),
    ]
    return _put(workspace, out, f"{workspace.base.name} at {version}", sections, seed)


def report_edit(workspace: Workspace, out: str | Path, edit: str, *, seed: int = USUAL) -> Path:
    """A page about one edit, on the base alone. seed: of everything that is drawn

    Raises BadSetting, TargetInsideLedger, UnknownId, CannotWrite, WriteUnknown.
    """
    out, seed = results_folder(out), checked(seed)
    record = workspace.ledger.edit(edit)
    made_folder(out)
    updates = _updates(workspace, record, (record.id,))
    detailed = updates[:MOST]
    sections = [_list([record], len(updates) - len(detailed))]
    sections += [_about(workspace, update, seed) for update in detailed]
    steps = [step for step in workspace.graph() if step.edit == record.id]
    sections.append(_history(steps))
    return _put(workspace, out, f"Edit {short(record.id)} of {workspace.base.name}", sections, seed)


def _put(
    workspace: Workspace, out: Path, title: str, sections: Sequence[Section], seed: int
) -> Path:
    base = workspace.base
    facts = [
        f"Base: {base.name}, {base.model_type}, {base.dtype}, {short(base.fingerprint)}"
        + (f", revision {base.revision}" if base.revision else "")
        + ".",
        f"Head: version {short(workspace.head.id)} with {len(workspace.head.edits)} edits.",
        f"Seed of everything drawn: {seed}.",
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
            short(edit.id),
            edit.message,
            edit.method,
            str(len(edit.neurons)),
            *_of_columns(edit.metrics),
            moment(edit.created),
        )
        for edit in edits
    )
    columns = ("edit", "what", "method", "neurons", *_headings(), "made, UTC")
    text = "What each edit reached when it was made."
    if hidden:
        text += f" {MOST} updates are shown in full below, and {hidden} are not."
    tables = [Table("In order", columns, rows), *(_facts(edit) for edit in edits if edit.further)]
    return Section("Edits", text, tuple(tables))


def _facts(edit: EditRecord) -> Table:
    """The facts of an edit of many, each with what was measured of it."""
    rows = tuple(
        (
            f"{recorded.change.relation}: {recorded.change.subject}",
            recorded.change.answer or "",
            recorded.change.target or "",
            *_of_columns(recorded.metrics),
        )
        for recorded in edit.by_fact
    )
    columns = ("fact", "from", "to", *_headings())
    return Table(f"The facts of edit {short(edit.id)}", columns, rows)


def _of_columns(measured: Mapping[str, Any]) -> list[str]:
    """The metrics of an edit, or of a fact of it, that have a column in tables of many."""
    return [share(measured.get(metric.name)) for metric in in_columns()]


def _headings() -> list[str]:
    return [metric.label for metric in in_columns()]


def _estimate_row(name: str, estimate: Estimate | None) -> tuple[str, str, str]:
    if estimate is None:
        return name, "", ""
    return name, str(estimate), str(estimate.count)


def _figures(evaluation: Evaluation) -> Section:
    scored = (EFFICACY, GENERALIZATION, SPECIFICITY)
    rows = [_estimate_row(metric.label, evaluation.estimates[metric.name]) for metric in scored]
    rows.append(("score, their harmonic mean", share(evaluation.score, digits=3), ""))
    rows += [
        _estimate_row(metric.label, evaluation.estimates[metric.name])
        for metric in measured_of_updates()
        if metric not in scored and evaluation.estimates[metric.name] is not None
    ]
    old, new = evaluation.perplexity.base, evaluation.perplexity.version
    rows.append(("perplexity of neutral text", f"{new:.2f} (base {old:.2f})", ""))
    if evaluation.entropy is not None:
        old, new = evaluation.entropy.base, evaluation.entropy.version
        rows.append(("n-gram entropy, generated freely, bits", f"{new:.2f} (base {old:.2f})", ""))
    updates = tuple(
        (
            f"{update.case.fact.subject}: {update.case.fact.answer} -> {update.target}",
            *(share(update.value_of(metric)) for metric in in_columns()),
            update.says,
        )
        for update in evaluation.updates
    )
    text = (
        "Asked anew, the version beside the base. Brackets: 95% bootstrap intervals over updates, "
        "of specificity also over the prompts that judge. "
        "Shares are teacher-forced; what the model says freely is in the last column."
    )
    if evaluation.passed_over:
        text += f" Not asked: edit {'; edit '.join(evaluation.passed_over)}."
    columns = ("update", *(metric.label for metric in in_columns()), "says freely")
    tables = [Table("Figures", ("figure", "value", "updates"), tuple(rows))]
    if updates:
        tables.append(Table("By update", columns, updates))
    return Section("This version against the base", text, tuple(tables))


def _history(steps: Sequence[Step]) -> Section:
    rows = tuple(
        (
            moment(step.created),
            step.kind,
            short(step.version),
            str(len(step.edits)),
            step.message,
            ", ".join(step.refs),
        )
        for step in steps
    )
    columns = ("when, UTC", "move", "version", "edits", "what", "names")
    return Section("History", "Newest first.", (Table("Moves of the head", columns, rows),))


# --- one update ----------------------------------------------------------------------------------


def _about(workspace: Workspace, update: _Update, seed: int) -> Section:
    fact, written = update.case.fact, update.record.neurons
    located = workspace.locate(update.case, version="base", seed=seed)
    fact_neurons = [neuron for neuron, _ in located.neurons]
    with workspace.engine.at(workspace.ledger.deltas(update.without)) as live:
        model = live.model
        before = assess(model, _chains(model, update.case, update.to), update.to, says=True)
        prompts = chains_for(model, update.case.relation, fact, fact.answer)
        lines = dict(_dose(model, prompts, fact_neurons, f"{fact.answer}, without the edit", seed))
    with workspace.engine.at(workspace.ledger.deltas(update.having)) as live:
        model = live.model
        after = assess(model, _chains(model, update.case, update.to), update.to, says=True)
        prompts = chains_for(model, update.case.relation, fact, update.to)
        lines |= dict(_dose(model, prompts, written, f"{update.to}, with the edit", seed))
    model = workspace.engine.model
    scores = dict(located.ranking) | dict(located.neurons)
    candidates = [(neuron, scores.get(neuron, 0.0)) for neuron in {*scores, *written}]
    prefix = short(update.record.id)
    name = f"{prefix}-{update.position}" if update.position else prefix
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
    title = f"{fact.subject}: {fact.answer} -> {update.to}"
    text = (
        f"Edit {prefix}, {update.record.method}, {len(written)} neurons; "
        f"the fact's own knowledge neurons on the base: {len(fact_neurons)}."
    )
    return Section(
        title=title, text=text, tables=(_answers(before, after),), claims=(), plots=plots
    )


def _chains(model: Model, case: Case, to: str) -> list[Chain]:
    return [ask(model, prompt, to) for prompt in every_prompt(model, case.relation, case.fact)]


def _dose(
    model: Model, chains: Sequence[Chain], neurons: Sequence[NeuronId], curve: str, seed: int
) -> Iterator[tuple[str, dict[float, float]]]:
    """p of an answer by factor, for some neurons and for as many random ones."""
    draw = generator(seed, "random neurons")
    elsewhere = as_many_elsewhere(neurons, model.d_ff, draw)
    for which, chosen in (("its neurons", neurons), ("random neurons", elsewhere)):
        p = {factor: fmean(p_when_scaled(model, chains, chosen, factor)) for factor in FACTORS}
        yield f"{curve}, {which}", p


def _answers(before: Sequence[Assessment], after: Sequence[Assessment]) -> Table:
    rows = tuple(
        (
            old.prompt.cloze + (" *" if old.prompt.template.held_out else ""),
            _answer_text(old),
            _top(old),
            _answer_text(new),
            _top(new),
        )
        for old, new in zip(before, after, strict=True)
    )
    columns = ("prompt", "says without the edit", "first tokens", "says with it", "first tokens")
    title = "What the model says, as many tokens as the new answer has, and its p (* held out)"
    return Table(title, columns, rows)


def _answer_text(answer: Assessment) -> str:
    return f"{answer.says} {answer.says_p:.2f}"


def _top(answer: Assessment) -> str:
    return ", ".join(f"{token.strip() or repr(token)} {p:.2f}" for token, p in answer.top[:3])
