"""The command that runs tasks of lm-eval: capability."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from kn_edit.cli.opening import pass_workspace
from kn_edit.cli.options import output_options, version_option
from kn_edit.cli.output import Output
from kn_edit.cli.tables import Parts, table
from kn_edit.cli.types import USER_PATH
from kn_edit.experiments.capability import TaskScore
from kn_edit.experiments.capability import capability as run_tasks
from kn_edit.workspace import Workspace


@click.command()
@click.argument("tasks", metavar="TASK...", type=USER_PATH, nargs=-1, required=True)
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Only so many documents of each task."
)
@version_option
@output_options
@pass_workspace
def capability(
    workspace: Workspace, tasks: tuple[Path, ...], limit: int | None, version: str, output: Output
) -> None:
    """Run tasks of lm-eval on a version and on the base.

    TASK is a YAML file as lm-eval reads it, whose data are local files: `dataset_path: json`, and
    `data_files` relative to it. Both models are exported to a folder, which is removed afterwards,
    and run on the CPU without a network. Needs `pip install 'kn-edit[lm-eval]'`.

    \b
    Examples:
      kn-edit capability arithmetic.yaml
      kn-edit capability tasks/*.yaml --limit 100 --json
    """
    scores = run_tasks(workspace, tasks, version=version, limit=limit)
    output.show(
        [asdict(score) for score in scores],
        [f"{score.version:.3f}" for score in scores],
        lambda: _scores(scores),
    )


def _scores(scores: list[TaskScore]) -> Parts:
    listing = table("+task", "metric", ">base", ">version")
    for score in scores:
        base = _with_error(score.base, score.base_error)
        listing.add_row(
            score.task, score.metric, base, _with_error(score.version, score.version_error)
        )
    yield listing


def _with_error(value: float, error: float | None) -> str:
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"
