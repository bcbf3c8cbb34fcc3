"""The table of verbs: how JSON becomes a call of a workspace, and its result JSON again.

Whatever runs a verb for somebody else uses this table: the routes, the worker, the pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from kn_edit.errors import BadArguments, GateFailed, require_known
from kn_edit.service import arguments as args
from kn_edit.service import models
from kn_edit.service.access import Role
from kn_edit.service.proposals import keep_proposal
from kn_edit.service.verbs import asking, editing, files, moving
from kn_edit.workspace import Workspace
from kn_edit.workspace.batch import refused_edit

Plain = dict[str, Any]


@dataclass(frozen=True)
class Verb:
    """A verb of the service.

    summary: what it does, in a sentence; arguments, result: the models of its JSON
    run: calls the workspace; role: that a caller needs
    moves: whether it may move a branch; quick: it touches no weights, and is done at once
    """

    name: str
    summary: str
    arguments: type[args.Arguments]
    run: Callable[[Workspace, Any], Plain]
    result: type[models.Answer]
    role: Role
    moves: bool = False
    quick: bool = False


def perform(
    workspace: Workspace,
    verb: str,
    arguments: Mapping[str, Any],
    *,
    branch: str | None = None,
    expected_head: str | None = None,
) -> Plain:
    """Run a verb on a branch, by default the current one, and give its result as JSON.

    expected_head: the version that the branch has to be at
    Raises BadSetting for an unknown verb, BadArguments, HeadMoved, and what the verb raises.
    """
    require_known("the verb", verb, VERBS)
    entry = VERBS[verb]
    checked = checked_arguments(verb, entry.arguments, arguments)
    try:
        with workspace.call(branch=branch, expected_head=expected_head):
            return entry.run(workspace, checked)
    except GateFailed as error:
        refused = refused_edit(error)
        if error.measured is None and refused is not None:
            error.measured = keep_proposal(workspace, refused)
        raise


A = TypeVar("A", bound=args.Arguments)


def checked_arguments(verb: str, model: type[A], arguments: Mapping[str, Any]) -> A:
    """The arguments of a verb as a model has them. Raises BadArguments."""
    try:
        return model.model_validate(dict(arguments))
    except ValidationError as error:
        problems = (
            (".".join(map(str, each["loc"])) or verb, each["msg"]) for each in error.errors()
        )
        raise BadArguments(verb, tuple(problems)) from None


_READER, _EDITOR, _PUBLISHER = Role.READER, Role.EDITOR, Role.PUBLISHER

VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb(
            name="assess",
            summary="What the model answers to every prompt of a fact.",
            arguments=args.AssessArguments,
            run=asking.assess,
            result=models.Assessments,
            role=_READER,
        ),
        Verb(
            name="locate",
            summary="Find the neurons that carry a fact, or a whole relation.",
            arguments=args.LocateArguments,
            run=asking.locate,
            result=models.Located,
            role=_READER,
        ),
        Verb(
            name="suppress",
            summary="See what p(answer) does when a fact's neurons are silent.",
            arguments=args.SuppressArguments,
            run=asking.scale,
            result=models.Scaled,
            role=_READER,
        ),
        Verb(
            name="amplify",
            summary="See what p(answer) does when a fact's neurons are amplified.",
            arguments=args.AmplifyArguments,
            run=asking.scale,
            result=models.Scaled,
            role=_READER,
        ),
        Verb(
            name="evaluate",
            summary="Measure a version against the base.",
            arguments=args.EvaluateArguments,
            run=asking.evaluate,
            result=models.Evaluation,
            role=_READER,
        ),
        Verb(
            name="update",
            summary="Change the answer of a fact, measure it, and record it.",
            arguments=args.UpdateArguments,
            run=editing.update,
            result=models.Edited,
            role=_EDITOR,
            moves=True,
        ),
        Verb(
            name="updates",
            summary="Change the answers of many facts, one edit each, or all by one.",
            arguments=args.UpdatesArguments,
            run=editing.updates,
            result=models.Batch,
            role=_EDITOR,
            moves=True,
        ),
        Verb(
            name="erase",
            summary="Erase a relation from the model, measure it, and record it.",
            arguments=args.EraseArguments,
            run=editing.erase,
            result=models.Edited,
            role=_EDITOR,
            moves=True,
        ),
        Verb(
            name="record",
            summary="Record an edit that was tried out, as it was measured.",
            arguments=args.RecordArguments,
            run=editing.record,
            result=models.Edited,
            role=_EDITOR,
            moves=True,
        ),
        Verb(
            name="revert",
            summary="Make a new version without an edit, wherever it stands.",
            arguments=args.RevertArguments,
            run=moving.revert,
            result=models.Moved,
            role=_EDITOR,
            moves=True,
        ),
        Verb(
            name="rewind",
            summary="Move the branch back to a version. Later versions keep their ids.",
            arguments=args.RewindArguments,
            run=moving.rewind,
            result=models.Moved,
            role=_EDITOR,
            moves=True,
        ),
        Verb(
            name="merge",
            summary="Put the edits of branches, or other versions, onto the branch.",
            arguments=args.MergeArguments,
            run=moving.merge,
            result=models.Moved,
            role=_EDITOR,
            moves=True,
        ),
        Verb(
            name="compose",
            summary="Make a new version with the edits of several.",
            arguments=args.ComposeArguments,
            run=moving.compose,
            result=models.Moved,
            role=_EDITOR,
            moves=True,
        ),
        Verb(
            name="tag",
            summary="Name a version.",
            arguments=args.TagArguments,
            run=moving.tag,
            result=models.Tag,
            role=_EDITOR,
            quick=True,
        ),
        Verb(
            name="export",
            summary="Write a version to a new folder on the server.",
            arguments=args.ExportArguments,
            run=files.export,
            result=models.Exported,
            role=_PUBLISHER,
        ),
        Verb(
            name="push",
            summary="Publish a version on the Hub, in one commit.",
            arguments=args.PushArguments,
            run=files.push,
            result=models.Pushed,
            role=_PUBLISHER,
        ),
        Verb(
            name="pull",
            summary="Take in the edits of a published version.",
            arguments=args.PullArguments,
            run=files.pull,
            result=models.Pulled,
            role=_EDITOR,
            moves=True,
        ),
        Verb(
            name="rollback",
            summary="Restore an earlier state of a repository, by a new commit.",
            arguments=args.RollbackArguments,
            run=files.rollback,
            result=models.Pushed,
            role=_PUBLISHER,
        ),
        Verb(
            name="verify",
            summary="Rebuild versions and compare every digest; check the ledger.",
            arguments=args.VerifyArguments,
            run=files.verify,
            result=models.Verified,
            role=_READER,
        ),
    )
}
