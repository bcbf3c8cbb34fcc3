"""Options that name facts, and what is told of the facts that they name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from kn_edit.cli.many import tell_notes
from kn_edit.cli.options import Option, grouped
from kn_edit.cli.output import Output
from kn_edit.cli.types import USER_PATH
from kn_edit.figures import count
from kn_edit.workspace import Case, Relation, Workspace, bundled, case_of, load_relation, read_cases

MOST_NOTES = 4  # of one kind, before they are counted


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
            cases = tuple(case.as_if_true() for case in cases)
        for case in cases:
            with self.located(case):
                workspace.check(case)
        return cases

    def located(self, case: Case) -> AbstractContextManager[None]:
        """Tell of what is wrong with the case inside by its file and line, if it has one."""
        return case.fact.located() if self.is_list else nullcontext()


def _relations(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [CompletionItem(name) for name in bundled() if name.startswith(incomplete)]


def _subjects(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
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


def tell_passed_over(workspace: Workspace, relation: Relation, output: Output) -> None:
    """Notice the templates that the model cannot be asked."""
    templates = workspace.passed_over(relation)
    if templates:
        output.notice(
            f"{count(templates, 'template')} of {relation.name} left out: words follow the [Y]"
        )


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
