"""Options that several commands share, each group of them handed over as one argument."""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from kn_edit.checkpoints.forms import forms
from kn_edit.cli.many import tell_notes
from kn_edit.cli.output import Output
from kn_edit.cli.signals import signal_of
from kn_edit.cli.stops import Before, telling_of_upgrades
from kn_edit.cli.types import USER_PATH

if TYPE_CHECKING:
    from kn_edit.workspace import Case, Gate, Relation, Search, Workspace

MOST_NOTES = 4  # of one kind, before they are counted

F = TypeVar("F", bound=Callable[..., None])
Option = Callable[[Callable[..., None]], Callable[..., None]]


@dataclass(frozen=True)
class Named:
    """How a user named facts."""

    relation: str | None
    subject: str | None
    answer: str | None
    facts: Path | None
    prompts: tuple[str, ...]
    neighbours: tuple[str, ...]
    statements: tuple[str, ...]

    @property
    def is_list(self) -> bool:
        """Whether the answer is a list, however many facts the file holds."""
        return self.facts is not None

    @property
    def whole_relation(self) -> bool:
        named = self.subject or self.prompts or self.statements
        return self.relation is not None and not named

    def cases(self, to: str | None = None) -> tuple[Case, ...]:
        """The cases. to: the new answer, if it was given beside them.

        Raises FactNotNamed, and what reading facts raises.
        """
        from kn_edit.workspace import case_of, read_cases

        if self.facts is None:
            return (
                case_of(
                    relation=self.relation,
                    subject=self.subject,
                    answer=self.answer,
                    prompts=self.prompts,
                    neighbours=self.neighbours,
                    statement=self.statements,
                    to=to,
                ),
            )
        if any(value for name, value in vars(self).items() if name != "facts"):
            raise click.UsageError("--facts names whole facts, so no other option may name one")
        if str(self.facts) in ("-", "/dev/stdin") and sys.stdin is not None and sys.stdin.isatty():
            click.echo("note: reading facts from the terminal; end them with Ctrl-D", err=True)
        return read_cases(self.facts)

    def askable(self, workspace: Workspace) -> tuple[Case, ...]:
        """The cases, once it is known that the model can be asked all of them.

        What a statement says counts as the answer that is asked for.
        """
        cases = self.cases(self.answer if self.statements else None)
        if self.statements:
            cases = tuple(_as_if_true(case) for case in cases)
        for case in cases:
            with self.located(case):
                workspace.check(case)
        return cases

    def located(self, case: Case) -> AbstractContextManager[None]:
        """Tell of what is wrong with the case inside by its file and line, if it has one."""
        return case.fact.located() if self.is_list else nullcontext()


def _as_if_true(case: Case) -> Case:
    return replace(case, fact=replace(case.fact, answer=case.target or ""))


@dataclass(frozen=True)
class Rule:
    """How neurons shall be found, and the seed of what is drawn."""

    rule: str
    steps: int | None
    threshold: float | None
    seed: int

    def search(self) -> Search:
        from kn_edit.workspace import Search

        if self.steps is not None and self.rule != "riemann":
            raise click.UsageError("--steps belongs to --rule riemann")
        return Search.by(self.rule, m=self.steps or 20, threshold=self.threshold)


@dataclass(frozen=True)
class Recording:
    """Whether to record an edit, and within which limits of the gate."""

    accept: bool
    dry_run: bool
    min_efficacy: float | None
    min_specificity: float | None

    def gate(self, usual: Gate) -> Gate:
        """The limits of this call; usual: of the workspace, where it says nothing."""
        limits = {"efficacy": self.min_efficacy, "specificity": self.min_specificity}
        return replace(usual, **{k: limit for k, limit in limits.items() if limit is not None})


def grouped(name: str, make: type[Any], options: Sequence[Option]) -> Callable[[F], F]:
    """A decorator that adds options, and hands them over as one argument."""
    keys = tuple(inspect.signature(make).parameters)

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def called(*args: Any, **parameters: Any) -> None:
            fields = {key: parameters.pop(key) for key in keys}
            function(*args, **parameters, **{name: make(**fields)})

        decorated: Callable[..., None] = called
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[return-value]

    return decorate


def finite(
    context: click.Context, parameter: click.Parameter, value: float | tuple[float, ...] | None
) -> float | tuple[float, ...] | None:
    """Refuse nan and inf, which click takes for numbers."""
    numbers = value if isinstance(value, tuple) else () if value is None else (value,)
    if not all(map(math.isfinite, numbers)):
        raise click.BadParameter("give finite numbers", context, parameter)
    return value


def _relations(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from kn_edit.workspace import bundled

    return [CompletionItem(name) for name in bundled() if name.startswith(incomplete)]


def _subjects(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from kn_edit.workspace import bundled, load_relation

    relation = context.params.get("relation")
    facts = load_relation(relation).facts if relation in bundled() else ()
    names = [fact.subject for fact in facts]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def relation_option(help_: str, *, required: bool = False) -> Option:
    return click.option(
        "--relation", metavar="R", required=required, help=help_, shell_complete=_relations
    )


fact_options = grouped(
    "named",
    Named,
    [
        relation_option("A bundled relation (capital, language, ...) or a relation pack."),
        click.option(
            "--subject", metavar="S", help="What the fact is about.", shell_complete=_subjects
        ),
        click.option("--answer", metavar="A", help="Its answer, where the relation does not say."),
        click.option(
            "--facts",
            type=USER_PATH,
            metavar="FILE",
            help="Facts in a file (- for a pipe): JSONL, CounterFact, zsRE, EasyEdit, ParaRel, "
            "a pack.",
        ),
        click.option(
            "--prompt",
            "prompts",
            multiple=True,
            metavar="TEXT",
            help="A template with [X] and [Y], in place of a relation's; repeatable.",
        ),
        click.option(
            "--neighbour",
            "neighbours",
            multiple=True,
            metavar="S",
            help="Another subject, whose answers must stay; repeatable.",
        ),
        click.option(
            "--statement",
            "statements",
            multiple=True,
            metavar="TEXT",
            help="The fact as one sentence: 'The CEO of [X: Starbucks] is [Y: Brian Niccol].' "
            "Repeatable, for other wordings of it.",
        ),
    ],
)

seed_option = click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Of everything drawn, such as other subjects and random neurons.",
)

rule_options = grouped(
    "rule",
    Rule,
    [
        click.option(
            "--rule",
            type=click.Choice(["adaptive", "riemann", "activation"]),
            default="adaptive",
            show_default=True,
            help="How to score neurons; riemann is the paper's rule.",
        ),
        click.option(
            "--steps", type=click.IntRange(1), metavar="M", help="Points of riemann (20)."
        ),
        click.option(
            "--threshold",
            type=click.FloatRange(0, 1, min_open=True),
            metavar="T",
            callback=finite,
            help="Coarse threshold: share of the largest score (0.2; activation 0.5).",
        ),
        seed_option,
    ],
)


def _limit(name: str, meaning: str) -> Option:
    return click.option(
        name,
        type=click.FloatRange(0, 1),
        metavar="SHARE",
        callback=finite,
        help=f"The gate: the share {meaning}; kn-edit.toml sets it for a workspace.",
    )


recording_options = grouped(
    "recording",
    Recording,
    [
        click.option("--accept", is_flag=True, help="Record the edit even if it fails the gate."),
        click.option(
            "--dry-run", is_flag=True, help="Measure the edit and show it; record nothing."
        ),
        _limit("--min-efficacy", "of its own prompts an update must answer (1)"),
        _limit("--min-specificity", "of other subjects' answers an edit must leave (0.8)"),
    ],
)

output_options = grouped(
    "output",
    Output,
    [
        click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout."),
        click.option("-q", "--quiet", is_flag=True, help="Only ids on stdout, or the figure."),
    ],
)


def model_options(function: F) -> F:
    """The options of a command that runs the model; `pass_workspace` takes them."""
    for option in (
        click.option(
            "--dtype",
            type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
            help="Its number format; auto is that of the checkpoint, to which edits are rounded "
            "in any case.",
        ),
        click.option(
            "--device",
            metavar="D",
            help="Where the model runs: auto (a GPU where there is one), cpu, cuda, cuda:1, mps. "
            "kn-edit.toml sets both for a workspace.",
        ),
    ):
        function = option(function)
    return function


version_option = click.option(
    "--version", metavar="V", default="head", show_default=True, help="Of which version."
)
max_rank_option = click.option(
    "--max-rank", type=click.IntRange(1), metavar="N", help="Refuse an adapter of more (64)."
)
follow_links_option = click.option(
    "--follow-links", is_flag=True, help="Copy also what links lead to outside the model's folder."
)
allow_overlap_option = click.option(
    "--allow-overlap", is_flag=True, help="Go on where edits share value slots, in order."
)
workspace_option = click.option(
    "--workspace",
    "workspace_folder",
    type=USER_PATH,
    metavar="DIR",
    help="The folder that holds .kn-edit/ (the nearest upwards).",
)


def folder_named(folder: Path | None) -> Path | None:
    """The workspace folder of the command line, before or after the command."""
    before: Path | None = click.get_current_context().find_root().params["workspace_folder"]
    return folder or before


def pass_workspace(function: F) -> F:
    """Open the workspace for a command, and tell what a signal that stops it left behind."""

    @functools.wraps(function)
    def opened(*, workspace_folder: Path | None, output: Output, **parameters: Any) -> None:
        from kn_edit.workspace import Workspace

        folder = folder_named(workspace_folder)
        placed = {name: parameters.pop(name) for name in ("device", "dtype") if name in parameters}
        with (
            telling_of_upgrades(folder),
            Workspace.open(folder, progress=output.meter, **placed) as workspace,
        ):
            before = Before.of(workspace, parameters)
            try:
                function(workspace=workspace, output=output, **parameters)
            except KeyboardInterrupt as error:
                raise before.stopped(workspace, parameters, signal_of(error)) from None
            finally:
                output.meter.stop()

    return workspace_option(opened)  # type: ignore[return-value]


def tell_passed_over(workspace: Workspace, relation: Relation, output: Output) -> None:
    """Notice the templates that the model cannot be asked."""
    count = workspace.passed_over(relation)
    if count:
        templates = "1 template" if count == 1 else f"{count} templates"
        output.notice(f"{templates} of {relation.name} left out: words follow the [Y]")


def tell_how_asked(workspace: Workspace, cases: Sequence[Case], output: Output) -> None:
    """Notice what of the cases the model was not asked, or not as it is written."""
    for relation in dict.fromkeys(case.relation for case in cases):
        tell_passed_over(workspace, relation, output)
    tell_notes(cases, output)
    notes = list(dict.fromkeys(note for case in cases for note in workspace.asked_otherwise(case)))
    for note in notes[:MOST_NOTES]:
        output.notice(note)
    if len(notes) > MOST_NOTES:
        output.notice(f"{len(notes) - MOST_NOTES} more prompts are asked otherwise as well")


def check_max_rank(max_rank: int | None, form: str) -> None:
    """Raises UsageError where a rank is named and no adapter is made."""
    if max_rank is not None and not forms()[form].ranked:
        ranked = " or ".join(name for name, kind in forms().items() if kind.ranked)
        raise click.UsageError(f"--max-rank belongs to --as {ranked}")
