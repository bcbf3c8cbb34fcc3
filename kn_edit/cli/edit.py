"""Commands that change the model: update, erase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from kn_edit.canonical import short
from kn_edit.cli import edited
from kn_edit.cli.advice import advice_json, advice_on, advised, tell_advice
from kn_edit.cli.many import (
    notices,
    rows_failed,
    tell_notes,
    tell_plan,
    update_rows,
)
from kn_edit.cli.method_options import chosen_method, method_command
from kn_edit.cli.naming import Named, fact_options, relation_option, tell_passed_over
from kn_edit.cli.opening import pass_workspace
from kn_edit.cli.options import (
    Recording,
    Rule,
    engine_options,
    grouped,
    model_options,
    output_options,
    recording_options,
    rule_options,
)
from kn_edit.cli.output import Output
from kn_edit.cli.progress import roughly
from kn_edit.cli.remedies import COMMAND_LINE
from kn_edit.errors import Advice, GateFailed, KnEditError, NoTarget, SameAnswer
from kn_edit.figures import count
from kn_edit.workspace import (
    Case,
    Edited,
    How,
    Kind,
    Workspace,
    load_relation,
    require_many,
    to_json,
    with_aliases,
)
from kn_edit.workspace.batch import BatchRow, refused_edit

if TYPE_CHECKING:
    from kn_edit.workspace import Forecast

ONE_BY_ONE = (
    "each row is computed on top of the one before it; with --at-once 8 the workers compute 8 rows "
    "beside each other"
)


@dataclass(frozen=True)
class RowOptions:
    """How the rows of a file are made. at_once: so many of them are computed on one version"""

    as_one_edit: bool
    at_once: int | None

    def check(self, named: Named) -> None:
        """Raise UsageError for what is not said of a file."""
        if self.as_one_edit and not named.is_list:
            raise click.UsageError("--as-one-edit belongs to --facts")
        if self.at_once is not None and (self.as_one_edit or not named.is_list):
            raise click.UsageError("--at-once belongs to --facts, without --as-one-edit")


rows_options = grouped(
    "rows",
    RowOptions,
    (
        click.option(
            "--as-one-edit",
            is_flag=True,
            help="With --facts: change all of them by one edit. --method names one that takes "
            "many.",
        ),
        click.option(
            "--at-once",
            type=click.IntRange(1),
            metavar="N",
            help="With --facts: compute so many facts on the same version, which the workers of "
            "--engine ray do beside each other, then record them in order (1).",
        ),
    ),
)


@dataclass(frozen=True)
class NewAnswer:
    """The new answer of a fact, and other names: of it, and of the answer today."""

    to: str | None
    aliases: tuple[str, ...]
    answer_aliases: tuple[str, ...]

    def check(self, named: Named) -> None:
        """Raise UsageError for what is not said of a file."""
        if named.is_list and (self.aliases or self.answer_aliases):
            raise click.UsageError('--alias and --answer-alias name one fact; a row has "aliases"')

    def wanted(self, case: Case) -> tuple[Case, str]:
        """A case with these names, and its new answer. Raises NoTarget, EmptyField, BadField."""
        if self.aliases or self.answer_aliases:
            case = with_aliases(case, self.aliases, self.answer_aliases)
        target = self.to or case.target
        if not target:
            raise NoTarget(case.fact.subject)
        return case, target


new_answer_options = grouped(
    "new_answer",
    NewAnswer,
    (
        click.option("--to", metavar="NEW", help="The new answer."),
        click.option(
            "--alias",
            "aliases",
            multiple=True,
            metavar="NAME",
            help="Another name of the new answer: text that says it is right; repeatable.",
        ),
        click.option(
            "--answer-alias",
            "answer_aliases",
            multiple=True,
            metavar="NAME",
            help="The same of the answer today; repeatable.",
        ),
    ),
)


@click.command(cls=method_command(Kind.UPDATE, after="answer_aliases"))
@fact_options
@new_answer_options
@rows_options
@rule_options
@recording_options
@engine_options
@model_options
@output_options
@pass_workspace
def update(
    workspace: Workspace,
    named: Named,
    new_answer: NewAnswer,
    rows: RowOptions,
    rule: Rule,
    recording: Recording,
    output: Output,
    **options: Any,
) -> None:
    """Change the answer of a fact, measure it, and record it.

    An edit that does not put the new answer first on the fact's own prompts, or that changes too
    many answers of other subjects, is shown and not recorded (exit code 8), with the token that it
    failed on and what to try; --accept records it.
    A file of facts makes one edit of each; rows whose fact has the new answer already are passed
    over, so that running it again goes on where it stopped. With --as-one-edit, a file makes one
    edit of all its facts, by a method that takes many; the gate looks at the means over them.

    The shortest way is a sentence as it should be true: mark what it is about by [X: ...] and its
    new answer by [Y: ...], the answer last. What the model says now need not be known. Give other
    wordings too.

    \b
    Examples:
      kn-edit update \\
          --statement "The CEO of [X: Starbucks] is [Y: Brian Niccol]." \\
          --statement "[X: Starbucks] is led by [Y: Brian Niccol]."
      kn-edit update --statement "Starbucks is led by Brian Niccol." \\
          --subject Starbucks --to "Brian Niccol" --dry-run
      kn-edit update --relation capital --subject France --to Rome
      kn-edit update --prompt "[X] lives in the city of [Y]." \\
          --subject Lyra --answer Oxford --to London --neighbour Will
      kn-edit update --facts edits.jsonl --json
    """
    rows.check(named)
    new_answer.check(named)
    method = chosen_method(Kind.UPDATE, options)
    how = How(method, rule.search(), recording.gate(workspace.gate), rule.seed)
    wanted = []
    for case in named.cases(None if named.is_list else new_answer.to):
        with named.located(case):
            wanted.append(new_answer.wanted(case))
    if rows.as_one_edit:
        require_many(method, len(wanted))

    def make(case: Case, target: str) -> Edited:
        accept, dry_run = recording.accept, recording.dry_run
        return workspace.update(case, target, how=how, accept=accept, dry_run=dry_run)

    if named.is_list:
        batch = workspace.batch(
            wanted,
            how=how,
            accept=recording.accept,
            dry_run=recording.dry_run,
            at_once=rows.at_once or 1,
        )
        tell_plan(batch.plan, output)
        tell_notes((case for case, _ in batch.plan.wanted), output)
        remaining = [row for row in batch.rows if row.error is None]
        if rows.as_one_edit:
            _together(workspace, batch.rows, how, recording, output)
            return
        expected = (
            _forecast(workspace, remaining[0].case, remaining[0].target, how) if remaining else None
        )
        seconds = None if expected is None else expected.seconds
        if seconds is not None:
            tell_forecast(seconds * len(remaining), count(len(remaining), "row"), output)
        if workspace.engine.workers.several and not (rows.at_once or recording.dry_run):
            output.notice(ONE_BY_ONE)
        with advised():
            update_rows(batch, workspace, output, seconds)
    else:
        ((case, target),) = wanted
        workspace.check(case, target)
        if workspace.plan(wanted).done:  # known before anything is computed
            raise SameAnswer(case.fact.subject, target)
        expected = _forecast(workspace, case, target, how)
        if expected is not None:
            tell_forecast(expected.seconds, "an update", output)
        output.meter.expect(expected)
        _make_and_show(lambda: make(case, target), recording, output)
    for relation in dict.fromkeys(case.relation for case, _ in wanted):
        tell_passed_over(workspace, relation, output)


@click.command(cls=method_command(Kind.ERASE, after="relation"))
@relation_option("The relation to erase.", required=True)
@rule_options
@recording_options
@engine_options
@model_options
@output_options
@pass_workspace
def erase(
    workspace: Workspace,
    relation: str,
    rule: Rule,
    recording: Recording,
    output: Output,
    **options: Any,
) -> None:
    """Erase a relation from the model, measure it, and record it.

    Overwrites the value slots of neurons that serve the relation and little else, as few as make it
    --times as perplexing. An erasure that changes too many answers of other relations is shown and
    not recorded (exit code 8); --accept records it. The paper's way is --at-least 5, the code of
    its authors --top-k 20 --with zero.

    \b
    Examples:
      kn-edit erase --relation capital
      kn-edit erase --relation capital --top-k 20 --with zero --dry-run
    """
    method = chosen_method(Kind.ERASE, options)
    how = How(method, rule.search(), recording.gate(workspace.gate), rule.seed)
    pack = load_relation(relation)

    def make() -> Edited:
        accept, dry_run = recording.accept, recording.dry_run
        return workspace.erase(pack, how=how, accept=accept, dry_run=dry_run)

    _make_and_show(make, recording, output)
    tell_passed_over(workspace, pack, output)


def _together(
    workspace: Workspace, rows: Sequence[BatchRow], how: How, recording: Recording, output: Output
) -> None:
    """Make one edit of all rows. Those of a benchmark that cannot be asked are left out.

    Raises GateFailed, and RowsFailed where rows were left out.
    """
    pairs = [(row.case, row.target) for row in rows if row.error is None]
    failed = [row for row in rows if row.error is not None]
    for row in failed:
        if row.error is not None:
            output.notice(f"{row.name} is left out: {row.error.sentence(COMMAND_LINE)}")

    def make() -> Edited:
        accept, dry_run = recording.accept, recording.dry_run
        return workspace.update_many(pairs, how=how, accept=accept, dry_run=dry_run)

    if pairs:
        _make_and_show(make, recording, output)
        for relation in dict.fromkeys(case.relation for case, _ in pairs):
            tell_passed_over(workspace, relation, output)
    else:
        nothing: dict[str, Any] = {"edit": None, "version": None, "facts": []}
        output.show(nothing, [], lambda: ["nothing is left to do"])
    if failed:
        raise rows_failed(failed, len(rows))


def _forecast(workspace: Workspace, case: Case, to: str, how: How) -> Forecast | None:
    """How long an update will take; None where the model answers no numbers: that comes later."""
    try:
        return workspace.forecast(case, to, how=how)
    except KnEditError:
        return None


def tell_forecast(seconds: float, work: str, output: Output) -> None:
    """Notice how long some work will take."""
    verb = "take" if work.endswith("rows") else "takes"
    output.notice(f"{work} {verb} about {roughly(seconds)} on this machine")


def _make_and_show(make: Callable[[], Edited], recording: Recording, output: Output) -> None:
    """Make one edit and show it, also where the gate refused it."""
    refused: GateFailed | None = None
    with advised():
        try:
            result = make()
        except GateFailed as error:
            refused, result = error, refused_edit(error)
        advice = advice_on(result)
        _show(result, recording, advice, output)
        if refused is not None:
            raise refused
    if recording.dry_run and not output.as_json:
        tell_advice(advice)


def _show(result: Edited, recording: Recording, advice: Sequence[Advice], output: Output) -> None:
    output.show(
        to_json.edited(result) | ({"try": advice_json(advice)} if advice else {}),
        [result.edit] if result.edit else [],
        lambda: edited.edited(result, recording.dry_run),
        done=_recorded(result),
    )
    notices(result, output)


def _recorded(result: Edited) -> str:
    """What was recorded, in words; nothing where nothing was."""
    if result.edit is None or result.version is None:
        return ""
    return f"edit {short(result.edit)} is recorded, the head is {short(result.version)}"
