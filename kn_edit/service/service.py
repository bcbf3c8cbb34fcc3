"""What every route works with: the workspace, who may do what, and the jobs of its model."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from typing import Annotated

from fastapi import Depends, Request

from kn_edit.errors import NoQueue
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.jobs.job import JobQueue
from kn_edit.service.access.guard import Access
from kn_edit.service.answering import Answering
from kn_edit.service.kept_answers import KeptAnswers
from kn_edit.service.keys import Keys
from kn_edit.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Service:
    """One served workspace. Routes take it as a parameter of the type `TheService`.

    jobs: the queue of long work; None where there is none
    stopping: set once no job begins any more; who waits for one that has not begun is answered
    """

    workspace: Workspace  # for reading, and for what needs no model
    answering: Answering  # the live model
    access: Access
    database: ServiceDatabase  # of the service's own
    keys: Keys  # of requests that may be sent again
    answers: KeptAnswers
    jobs: JobQueue | None = None
    stopping: Event = field(default_factory=Event)

    @property
    def queue(self) -> JobQueue:
        """The queue of long work. Raises NoQueue."""
        if self.jobs is None:
            raise NoQueue()
        return self.jobs

    def close(self) -> None:
        """Give back what it holds beside the workspace."""
        self.answering.close()
        if self.jobs is not None:
            self.jobs.close()


async def _service(request: Request) -> Service:  # async: no thread is taken for it
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(_service)]
