"""Options that several commands share, each group of them handed over as one argument."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

import kn_edit.workspace
from kn_edit.cli.output import Output
from kn_edit.evaluation.protocols import ALL, ON_REQUEST, ROUNDINGS, SAMPLES, TOKENS
from kn_edit.workspace import Gate

if TYPE_CHECKING:
    from kn_edit.workspace import Search

F = TypeVar("F", bound=Callable[..., None])
Option = Callable[[Callable[..., None]], Callable[..., None]]


@dataclass(frozen=True)
class Rule:
    """How neurons shall be found, and the seed of what is drawn."""

    rule: str
    steps: int | None
    threshold: float | None
    seed: int

    def search(self) -> Search:
        if self.steps is not None and self.rule != "riemann":
            raise click.UsageError("--steps belongs to --rule riemann")
        return kn_edit.workspace.Search.by(self.rule, m=self.steps or 20, threshold=self.threshold)


@dataclass(frozen=True)
class Asking:
    """The protocols by which updates are asked, and how much is generated."""

    protocol: tuple[str, ...]
    tokens: int
    samples: int
    rounded: str | None


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


protocol_options = grouped(
    "asking",
    Asking,
    [
        click.option(
            "--protocol",
            type=click.Choice([*ON_REQUEST, ALL]),
            multiple=True,
            help="Ask updates in this way, too; may be given several times.",
        ),
        click.option(
            "--tokens",
            type=click.IntRange(1),
            default=TOKENS,
            show_default=True,
            metavar="N",
            help="Of a text that is generated, at most.",
        ),
        click.option(
            "--samples",
            type=click.IntRange(0),
            default=SAMPLES,
            show_default=True,
            metavar="N",
            help="Texts that are drawn for each question, beside the likeliest one.",
        ),
        click.option(
            "--rounded",
            type=click.Choice(ROUNDINGS),
            help="Round the weights of both models to this format while they are asked.",
        ),
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


def _placement_options(*, device: str, dtype: str, memory: str) -> Callable[[F], F]:
    """A decorator that adds --device, --dtype and --memory, each with its help."""
    formats = click.Choice(["auto", "float32", "bfloat16", "float16"])
    options = (
        click.option("--device", metavar="D", help=device),
        click.option("--dtype", type=formats, help=dtype),
        click.option("--memory", metavar="M", help=memory),
    )

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


# Of a command that runs the model; `pass_workspace` takes them.
model_options = _placement_options(
    device="Where the model runs: auto (a GPU where there is one), spread (its layers on all GPUs "
    "and, as far as they must, on the CPU), cpu, cuda, cuda:1, mps. kn-edit.toml sets all three "
    "for a workspace.",
    dtype="Its number format; auto is that of the checkpoint, to which edits are rounded in any "
    "case.",
    memory="What locating may take over the loaded model: auto (600MB; half of what is free on a "
    "GPU), 2GB, 512MiB.",
)


def engine_options(function: F) -> F:
    """Add --engine, --workers and --address to a command whose work can be shared out."""
    options = (
        click.option(
            "--engine",
            type=click.Choice(["process", "ray"]),
            default="process",
            show_default=True,
            help="What computes: this process, or workers of Ray beside each other, each with a "
            "model of its own. The results are the same.",
        ),
        click.option(
            "--workers", metavar="N", type=click.IntRange(1), help="How many, with Ray (2)."
        ),
        click.option(
            "--address",
            metavar="HOST:PORT",
            help="Of a Ray cluster that runs; without it, one is started here for the command.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


# The same where they are kept for the commands that follow.
model_defaults = _placement_options(
    device="Where the model of this workspace is to run: auto, spread (over all GPUs and the "
    "CPU), cpu, cuda, cuda:1, mps. All three are kept in kn-edit.toml.",
    dtype="In which number format; auto is that of the checkpoint.",
    memory="What locating may take over the loaded model: auto, 2GB, 512MiB.",
)


version_option = click.option(
    "--version", metavar="V", default="head", show_default=True, help="Of which version."
)
allow_overlap_option = click.option(
    "--allow-overlap", is_flag=True, help="Go on where edits share value slots, in order."
)
