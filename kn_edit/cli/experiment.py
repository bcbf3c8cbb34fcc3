"""Commands that run experiments: reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kn_edit.cli.options import output_options, pass_workspace
from kn_edit.cli.output import Output

if TYPE_CHECKING:
    from kn_edit.workspace import Workspace


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path), default="reproduced")
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
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything drawn.")
@click.option("--quick", is_flag=True, help="A small sample, to see it work: minutes, not hours.")
@output_options
@pass_workspace
def reproduce(
    workspace: Workspace,
    folder: Path,
    relations: tuple[str, ...],
    facts: int | None,
    edits: int | None,
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
    from kn_edit.experiments.reproduce import claims, plan_of
    from kn_edit.experiments.reproduce import reproduce as run

    plan = plan_of(relations, facts, seed, quick=quick)
    found = claims(run(workspace, plan, folder, edits=edits, quick=quick))
    report = str(folder / "report.html")
    output.show(
        {
            "report": report,
            "claims": [{"section": a, "claim": b, "holds": c} for a, b, c in found],
        },
        [report],
        lambda: [
            *(f"{'holds' if holds else 'DOES NOT HOLD'}: {words}" for _, words, holds in found),
            f"report: {report}",
        ],
    )
