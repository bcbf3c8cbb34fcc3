"""Commands that scale neurons and change no weight: suppress, amplify."""

from __future__ import annotations

import click

from kn_edit.cli import tables
from kn_edit.cli.naming import Named, fact_options
from kn_edit.cli.opening import pass_workspace
from kn_edit.cli.options import (
    Option,
    Rule,
    engine_options,
    finite,
    model_options,
    output_options,
    rule_options,
    version_option,
)
from kn_edit.cli.output import Output
from kn_edit.workspace import Workspace, to_json


def _factor(usual: float) -> Option:
    return click.option(
        "--factor",
        type=float,
        default=usual,
        show_default=True,
        metavar="X",
        callback=finite,
        help="Times what; 0 silences.",
    )


@click.command()
@fact_options
@_factor(0.0)
@rule_options
@version_option
@engine_options
@model_options
@output_options
@pass_workspace
def suppress(
    workspace: Workspace, named: Named, factor: float, rule: Rule, version: str, output: Output
) -> None:
    """See what p(answer) does when a fact's neurons are silent.

    Beside the fact: other facts of its relation, facts of other relations, and as many random
    neurons of the same layers. No weight changes.

    \b
    Examples:
      kn-edit suppress --relation capital --subject France
      kn-edit suppress --relation capital --subject France --factor 0.5 --json
    """
    _scale(workspace, named, factor, rule=rule, version=version, output=output)


@click.command()
@fact_options
@_factor(2.0)
@rule_options
@version_option
@engine_options
@model_options
@output_options
@pass_workspace
def amplify(
    workspace: Workspace, named: Named, factor: float, rule: Rule, version: str, output: Output
) -> None:
    """See what p(answer) does when a fact's neurons are amplified.

    In the paper it rises. Shows the same controls as suppress. No weight changes.

    \b
    Examples:
      kn-edit amplify --relation capital --subject France
      kn-edit amplify --relation capital --subject France --factor 4
    """
    _scale(workspace, named, factor, rule=rule, version=version, output=output)


def _scale(
    workspace: Workspace, named: Named, factor: float, *, rule: Rule, version: str, output: Output
) -> None:
    search = rule.search()
    effects = [
        workspace.scale(case, factor, search=search, version=version, seed=rule.seed)
        for case in named.askable(workspace)
    ]
    data = [to_json.scaled(effect) for effect in effects]
    output.show(
        data if named.is_list else data[0],
        dict.fromkeys(str(neuron) for effect in effects for neuron in effect.neurons),
        lambda: (part for effect in effects for part in tables.scaled(effect)),
    )
