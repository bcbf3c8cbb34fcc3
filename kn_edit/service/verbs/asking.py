"""Verbs that ask the model and change nothing."""

from __future__ import annotations

from typing import Any

from kn_edit.errors import BadSetting
from kn_edit.service.arguments import (
    AssessArguments,
    EvaluateArguments,
    FactArguments,
    LocateArguments,
    SuppressArguments,
    bundled_relation,
)
from kn_edit.workspace import Case, Workspace, to_json

Plain = dict[str, Any]


def assess(workspace: Workspace, arguments: AssessArguments) -> Plain:
    """What the model answers to every prompt of a fact, as `items`."""
    answers = workspace.assess(_askable(workspace, arguments), version=arguments.version)
    return {"items": [*map(to_json.assessment, answers)]}


def locate(workspace: Workspace, arguments: LocateArguments) -> Plain:
    """The neurons of a fact; of a whole relation those of its facts, as `items`."""
    search = arguments.search()
    if arguments.relation is not None and arguments.whole_relation:
        attributions = workspace.locate_relation(
            bundled_relation(arguments.relation),
            most=arguments.limit,
            search=search,
            version=arguments.version,
            seed=arguments.seed,
        )
        return {"items": [*map(to_json.located, attributions)]}
    if arguments.limit is not None:
        raise BadSetting("limit", arguments.limit, "it with a whole relation, without a subject")
    case = _askable(workspace, arguments)
    located = workspace.locate(case, search=search, version=arguments.version, seed=arguments.seed)
    return to_json.located(located)


def scale(workspace: Workspace, arguments: SuppressArguments) -> Plain:
    """What p(answer) does when a fact's neurons are scaled, here and elsewhere."""
    case = _askable(workspace, arguments)
    scaled = workspace.scale(
        case,
        arguments.factor,
        search=arguments.search(),
        version=arguments.version,
        seed=arguments.seed,
    )
    return to_json.scaled(scaled)


def evaluate(workspace: Workspace, arguments: EvaluateArguments) -> Plain:
    """A version against the base."""
    evaluation = workspace.evaluate(
        arguments.version,
        seed=arguments.seed,
        protocols=arguments.protocols,
        tokens=arguments.tokens,
        samples=arguments.samples,
        rounded=arguments.rounded,
    )
    return to_json.evaluation(evaluation)


def _askable(workspace: Workspace, arguments: FactArguments) -> Case:
    """The case that is named, once it is known that the model can be asked it."""
    case = arguments.asked_case()
    workspace.check(case)
    return case
