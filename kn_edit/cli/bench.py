"""The command that measures this machine: bench."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kn_edit.cli.opening import pass_workspace
from kn_edit.cli.options import model_options, output_options
from kn_edit.cli.output import Output
from kn_edit.cli.tables import pairs
from kn_edit.workspace import Workspace, load_relation, to_json

if TYPE_CHECKING:
    from kn_edit.workspace.benchmark import Benchmark, Timing


@click.command()
@click.option(
    "--relation",
    default="capital",
    show_default=True,
    metavar="R",
    help="A bundled relation or a pack; its prompts are asked.",
)
@click.option(
    "--prompts",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    metavar="N",
    help="How many are scored together.",
)
@click.option("--update/--no-update", default=True, help="Whether to time an update as well.")
@model_options
@output_options
@pass_workspace
def bench(workspace: Workspace, relation: str, prompts: int, update: bool, output: Output) -> None:
    """Measure how fast facts are located and edited here.

    Takes the base of the workspace, on this machine. Shows the seconds of a prompt and of an
    update, the memory, and what the machine's own matrix products reach. No cached score is used,
    and nothing is recorded. An update takes as long as `update` does; --no-update leaves it out.
    The number of threads is that of OMP_NUM_THREADS.

    \b
    Examples:
      kn-edit bench --no-update
      kn-edit bench --relation language --prompts 30
      OMP_NUM_THREADS=1 kn-edit bench --json
    """
    result = workspace.benchmark(load_relation(relation), prompts=prompts, update=update)
    output.show(
        to_json.benchmark(result),
        [f"{result.prompt.wall:.3f}"],
        lambda: [pairs(_rows(result))],
    )


def _rows(result: Benchmark) -> list[tuple[str, str]]:
    threads = f", {result.threads} threads" if result.device == "cpu" else ""
    return [
        ("model", f"{result.parameters / 1e6:,.0f} million parameters, {result.dtype}"),
        ("runs on", f"{result.device}{threads}"),
        ("its peak", f"{result.peak:,.0f} GFLOP/s in matrix products"),
        ("loading", _seconds(result.load)),
        ("a prompt", _seconds(result.prompt)),
        ("", f"of {result.prompts} scored together, {result.tokens} tokens at most"),
        ("an update", _seconds(result.update) if result.update else "not measured"),
        ("weights", _megabytes(result.weights)),
        ("over them", "unknown" if result.memory is None else _megabytes(result.memory)),
    ]


def _seconds(timing: Timing) -> str:
    return f"{timing.wall:.2f} s ({timing.cpu:.2f} s of the processor)"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
