"""Versions as models: `NAME@TAG`, where NAME is the base's."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Any

from kn_edit.errors import AmbiguousId, ShortPrefix, UnknownId
from kn_edit.service.openai.errors import RequestRefused
from kn_edit.workspace import Ref, Workspace

BETWEEN = "@"


def models(workspace: Workspace) -> list[dict[str, Any]]:
    """A model for each branch and each tag; the current branch first."""
    refs = [ref for ref in workspace.ledger.refs() if ref.kind in ("branch", "tag")]
    return [_model(workspace, ref) for ref in sorted(refs, key=lambda ref: not ref.current)]


def model(workspace: Workspace, name: str) -> dict[str, Any]:
    """A model by name. Raises RequestRefused."""
    version = version_of(workspace, name)
    return _plain(workspace, name, version)


def version_of(workspace: Workspace, name: str) -> str:
    """The full id of the version that a model is; NAME alone is the current branch's head.

    Raises RequestRefused.
    """
    base = workspace.base.name
    version = "head" if name == base else name.removeprefix(f"{base}{BETWEEN}")
    try:
        if version == name:
            raise UnknownId("model", name)
        return workspace.ledger.version_id(version)
    except (UnknownId, AmbiguousId, ShortPrefix) as error:
        message = (
            f"the model `{name}` does not exist; name a version as "
            f"`{base}{BETWEEN}TAG`, with a tag, a branch or a version id"
        )
        raise RequestRefused(
            message, param="model", code="model_not_found", status=HTTPStatus.NOT_FOUND
        ) from error


def _model(workspace: Workspace, ref: Ref) -> dict[str, Any]:
    name = f"{workspace.base.name}{BETWEEN}{ref.name}"
    return _plain(workspace, name, ref.version) | {"kind": ref.kind}


def _plain(workspace: Workspace, name: str, version: str) -> dict[str, Any]:
    record = workspace.ledger.version(version)
    moves = workspace.ledger.moves_to(record)  # newest first
    created = int(datetime.fromisoformat(moves[-1].created).timestamp()) if moves else 0
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "kn-edit",
        "version": version,
        "edits": list(record.edits),
    }
