"""Commands that measure at length and write a page: report, reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kn_edit.cli.opening import pass_workspace
from kn_edit.cli.options import (
    engine_options,
    model_options,
    output_options,
    seed_option,
    version_option,
)
from kn_edit.cli.output import Output
from kn_edit.cli.types import USER_PATH
from kn_edit.later import later
from kn_edit.workspace import Workspace

if TYPE_CHECKING:
    from kn_edit.experiments import reporting
    from kn_edit.experiments import reproduce as reproducing
else:
    reporting = later("kn_edit.experiments.reporting")
    reproducing = later("kn_edit.experiments.reproduce")


@click.command()
@click.argument("folder", metavar="[DIR]", type=USER_PATH, default="reproduced")
@click.option(
    "--relation",
    "relations",
    multiple=True,
    metavar="R",
    help="A bundled relation or a pack; repeatable (capital, country, language, symbol).",
)
@click.option(
    "--facts", type=click.IntRange(2), metavar="N", help="Known facts of each relation (15)."
)
@click.option(
    "--edits", type=click.IntRange(1), metavar="N", help="Updates that are kept together (50)."
)
@click.option(
    "--controls",
    type=click.IntRange(1),
    metavar="N",
    help="Facts of each relation updated on random neurons too, the slowest part (all).",
)
@click.option(
    "--sentences",
    "files",
    type=(str, USER_PATH),
    multiple=True,
    metavar="R FILE",
    help="Sentences about facts of relation R, in the form of BINGREL; repeatable.",
)
@seed_option
@click.option("--quick", is_flag=True, help="A small sample, to see it work: minutes, not hours.")
@engine_options
@model_options
@output_options
@pass_workspace
def reproduce(
    workspace: Workspace,
    folder: Path,
    relations: tuple[str, ...],
    facts: int | None,
    edits: int | None,
    controls: int | None,
    files: tuple[tuple[str, Path], ...],
    seed: int,
    quick: bool,
    output: Output,
) -> None:
    """Run the paper's experiments on the base, with controls.

    What the model knows, where facts lie, suppress and amplify, activation by prompt, updates,
    erasures, many updates together. Writes DIR/report.html, DIR/results.md and DIR/plots. Results
    are kept as they come: after a stop, the same command goes on.

    \b
    Examples:
      kn-edit reproduce --quick
      kn-edit reproduce out --relation capital --relation language --facts 30
    """
    plan = reproducing.plan_of(relations, facts, seed, quick=quick)
    for name, _ in files:
        if name not in plan.relations:
            raise click.UsageError(f"--sentences {name} needs --relation {name} as well")
    sections = reproducing.reproduce(
        workspace, plan, folder, edits=edits, controls=controls, quick=quick, files=dict(files)
    )
    results = reproducing.claims(sections)
    report = str(folder / "report.html")
    output.show(
        {
            "report": report,
            "seed": plan.seed,
            "claims": [{"section": a, "claim": b, "holds": c} for a, b, c in results],
        },
        [report],
        lambda: [
            *(f"{'holds' if holds else 'DOES NOT HOLD'}: {words}" for _, words, holds in results),
            f"report: {report}",
        ],
        done=f"report: {report}",
    )


@click.command()
@click.argument("folder", metavar="[DIR]", type=USER_PATH, default="report")
@click.option("--edit", metavar="ID", help="One edit, on the base alone, instead of a version.")
@version_option
@seed_option
@model_options
@output_options
@pass_workspace
def report(
    workspace: Workspace,
    folder: Path,
    edit: str | None,
    version: str,
    seed: int,
    output: Output,
) -> None:
    """Write a page about a version, or one edit.

    DIR/report.html needs no network: which slots the edits write, what the model says before and
    after, p(answer) while neurons are scaled, the figures of `evaluate`, the history.

    \b
    Examples:
      kn-edit report
      kn-edit report out --edit 8144ed67
    """
    if edit is None:
        file = str(reporting.report(workspace, folder, version=version, seed=seed))
    else:
        file = str(reporting.report_edit(workspace, folder, edit, seed=seed))
    message = f"report: {file}"
    output.show({"report": file, "seed": seed}, [file], lambda: [message], done=message)
