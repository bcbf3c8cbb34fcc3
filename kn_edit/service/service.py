"""What every route works with: the workspace, who may do what, and the jobs of its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from kn_edit.service.answering import Answering
from kn_edit.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Service:
    """One served workspace. Routes take it as a parameter of the type `TheService`."""

    workspace: Workspace  # for reading, and for what needs no model
    answering: Answering  # the live model


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(_service)]
