"""A route for each verb of the table: it makes a job, and waits for it as long as is preferred."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, get_type_hints

from fastapi import APIRouter, Response
from fastapi.concurrency import run_in_threadpool

from kn_edit.errors import Cancelled
from kn_edit.jobs.job import Job, JobRequest, JobState
from kn_edit.service import models
from kn_edit.service.access import Caller, require
from kn_edit.service.api.jobs import ended_job, job_json
from kn_edit.service.arguments import Arguments
from kn_edit.service.keys import RequestKey
from kn_edit.service.preconditions import (
    IdempotencyKey,
    IfMatch,
    OnBranch,
    Prefer,
    expected_head,
    named_head,
    seconds_to_wait,
)
from kn_edit.service.problems import Declared, declared, problem, problem_answer
from kn_edit.service.replies import Json
from kn_edit.service.service import Service, TheService
from kn_edit.service.work import VERBS, Verb

router = APIRouter(tags=["verbs"])
PROBLEMS = (400, 404, 409, 500, 502, 503, 507)
EXAMPLES: dict[str, dict[str, Any]] = {
    "assess": {"relation": "capital", "subject": "France"},
    "locate": {"relation": "capital", "subject": "France"},
    "suppress": {"relation": "capital", "subject": "France"},
    "amplify": {"relation": "capital", "subject": "France", "factor": 2.0},
    "evaluate": {"version": "head"},
    "update": {"relation": "capital", "subject": "France", "to": "Rome"},
    "updates": {"facts": [{"relation": "capital", "subject": "France", "to": "Rome"}]},
    "erase": {"relation": "capital", "dry_run": True},
    "record": {"proposal": "343a4c19851cd4cecd2b84a147ddea5b"},
    "revert": {"edit": "bb1f7dd46941"},
    "rewind": {"version": "base"},
    "merge": {"branches": ["capitals"], "keep": "ours"},
    "compose": {"versions": ["capitals", "languages"]},
    "export": {"target": "edited", "as": "checkpoint"},
    "push": {"repo": "me/model", "tag": "v1"},
    "pull": {"source": "me/model@v1"},
    "rollback": {"repo": "me/model", "to": "v1"},
    "verify": {},
}


def _add_route(verb: Verb) -> None:
    """Add the route of a verb to the router."""

    async def look(
        body: Arguments,
        service: TheService,
        caller: Caller,
        prefer: Prefer = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        work = _Work(verb, body, caller, None, None)
        return await _answered(service, work, prefer, idempotency_key)

    async def move(
        body: Arguments,
        service: TheService,
        caller: Caller,
        branch: OnBranch = None,
        if_match: IfMatch = None,
        prefer: Prefer = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        on = branch or await run_in_threadpool(lambda: service.workspace.current_branch)
        work = _Work(verb, body, caller, on, if_match)
        return await _answered(service, work, prefer, idempotency_key)

    route: Any = move if verb.moves else look
    own_types = {"body": verb.arguments, "caller": Annotated[Caller, require(verb.role)]}
    route.__annotations__ = get_type_hints(route, include_extras=True) | own_types
    router.add_api_route(
        f"/{verb.name}",
        route,
        methods=["POST"],
        name=verb.name,
        summary=verb.summary,
        response_model=None,
        status_code=202,
        responses=_responses(verb),
        openapi_extra={
            "requestBody": {"content": {"application/json": {"example": EXAMPLES[verb.name]}}}
        },
    )


def _responses(verb: Verb) -> Declared:
    """What the route of a verb declares that it answers."""
    answers: Declared = {
        200: {"model": verb.result, "description": "The result, within `wait=N`."},
        202: {"model": models.Job, "description": "The job, whose place is in `Location`."},
    }
    return answers | declared(*PROBLEMS, *((428,) if verb.moves else ()))


@dataclass(frozen=True)
class _Work:
    """What a caller asks for. on: the branch; if_match: the head that it names, if it does"""

    verb: Verb
    body: Arguments
    caller: Caller
    on: str | None
    if_match: str | None

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments as JSON, without those that the caller left out."""
        return self.body.model_dump(mode="json", by_alias=True, exclude_unset=True)

    @property
    def needs_head(self) -> bool:
        """Whether the caller has to name the head; a dry run may leave it out."""
        looks = self.if_match is None and self.arguments.get("dry_run") is True
        return self.on is not None and not looks


async def _answered(
    service: Service, work: _Work, prefer: str | None, idempotency_key: str | None
) -> Response:
    """Submit a job, and answer with it, or with what it came to within the preferred time."""
    job = await run_in_threadpool(_submitted, service, work, idempotency_key)
    seconds = seconds_to_wait(prefer)
    if seconds:
        job = await ended_job(service, job.id, seconds)
    answer = _answer(job) if seconds else Json(job_json(job), status_code=202)
    answer.headers["Location"] = f"/api/v1/jobs/{job.id}"
    if seconds:
        answer.headers["Preference-Applied"] = f"wait={int(seconds)}"
    return answer


def _submitted(service: Service, work: _Work, idempotency_key: str | None) -> Job:
    """Queue a job on the head that the caller names; a key that comes again gives its job."""
    request = JobRequest(
        verb=work.verb.name, arguments=work.arguments, branch=work.on, by=work.caller.name
    )
    if idempotency_key is None:
        return service.queue.submit(_on_head(service, work, request))
    key = RequestKey.of(
        work.caller.name, idempotency_key, [request.verb, request.branch, request.arguments]
    )
    request = replace(request, key=key.id)
    if not service.keys.claim(key):
        return service.queue.submit(replace(request, expected_head=named_head(work.if_match)))
    try:
        return service.queue.submit(_on_head(service, work, request))
    except BaseException:
        service.keys.release(key)
        raise


def _on_head(service: Service, work: _Work, request: JobRequest) -> JobRequest:
    """A request on the head that its caller names. Raises HeadNotNamed, HeadMoved."""
    if not work.needs_head or work.on is None:
        return request
    head = expected_head(service.workspace, work.on, work.if_match)
    return replace(request, expected_head=head)


def _answer(job: Job) -> Response:
    """What a job came to: its result, its error in its own status, or the job itself."""
    plain = job_json(job)
    if job.state is JobState.DONE:
        return Json(plain["result"])
    if plain["error"] is not None:
        return problem_answer(plain["error"])
    if job.state is JobState.CANCELLED:
        return problem_answer(problem(Cancelled(f"at {job.request.verb}")))
    return Json(plain, status_code=202)


for _verb in VERBS.values():
    if not _verb.quick:
        _add_route(_verb)
