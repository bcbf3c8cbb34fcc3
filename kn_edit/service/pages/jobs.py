"""Pages of jobs: the list, one as it goes on, what came of it, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Form, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from kn_edit.canonical import short
from kn_edit.errors import UnknownProposal
from kn_edit.jobs.job import Job, JobRequest, JobState
from kn_edit.neuron import NeuronId
from kn_edit.service.access import Caller
from kn_edit.service.pages.drawing import neuron_map
from kn_edit.service.pages.figures import columns, estimated, measured
from kn_edit.service.pages.rendering import page
from kn_edit.service.pages.routes import Editor, Reader, router
from kn_edit.service.pages.submitting import form_key, submitted
from kn_edit.service.problems import problem_of
from kn_edit.service.service import Service, TheService

JOBS = 50  # on one page
EDITS = ("update", "erase", "record")
CHOICES = ("ours", "theirs", "both")
MOST_CHOICES = 1000  # facts of one merge

pages = router()


@pages.get("/jobs", name="jobs")
def jobs(
    request: Request,
    service: TheService,
    caller: Reader,
    before: Annotated[str | None, Query(max_length=64)] = None,
) -> HTMLResponse:
    """The jobs, newest first."""
    newest = service.queue.jobs(JOBS + 1, before=before)
    older = newest[JOBS - 1].id if len(newest) > JOBS else None
    rows = [(job, title(job.request)) for job in newest[:JOBS]]
    return page(request, "jobs.html", jobs=rows, older=older, before=before)


@pages.get("/jobs/{id}", name="job")
def job(request: Request, service: TheService, caller: Reader, id: str) -> HTMLResponse:
    """A job as it stands."""
    return page(request, "job.html", **_context(service, service.queue.get(id)))


@pages.get("/jobs/{id}/live")
def live(request: Request, service: TheService, caller: Reader, id: str) -> HTMLResponse:
    """The part of a job's page that changes while it goes on."""
    return page(request, "job_live.html", **_context(service, service.queue.get(id)))


@pages.post("/jobs/{id}/cancel")
def cancel(service: TheService, caller: Editor, id: str) -> RedirectResponse:
    """Take a queued job out, or ask a running one to stop."""
    return RedirectResponse(f"/jobs/{service.queue.cancel(id).id}", status_code=303)


@pages.post("/jobs/{id}/record")
def record(
    service: TheService,
    caller: Editor,
    id: str,
    key: Annotated[str, Form()] = "",
    accept: Annotated[bool, Form()] = False,
) -> Response:
    """Record the edit that a job tried out, as it was measured, and on the version of that.

    accept: although the gate refuses it
    """
    former = service.queue.get(id)
    edit = _edit_of(former)
    if edit is None or not edit.get("proposal"):
        raise UnknownProposal(id)
    return submitted(
        service,
        caller,
        "record",
        {"proposal": edit["proposal"], "accept": accept},
        branch=former.request.branch or service.workspace.current_branch,
        head=former.request.expected_head,
        key=key,
    )


@pages.post("/jobs/{id}/again")
async def again(request: Request, service: TheService, caller: Editor, id: str) -> Response:
    """Submit a job again on the head of today, with what was chosen on its page."""
    form = {name: str(text) for name, text in (await request.form()).items()}

    def submit() -> Response:
        former = service.queue.get(id)
        arguments = {**former.request.arguments, **_chosen(former, form)}
        branch = former.request.branch
        head = service.workspace.ledger.version_id(branch) if branch else None
        return _again(
            service,
            caller,
            former.request,
            arguments=arguments,
            head=head,
            key=form.get("key", ""),
        )

    return await run_in_threadpool(submit)


def _again(
    service: Service,
    caller: Caller,
    former: JobRequest,
    *,
    arguments: Mapping[str, Any],
    head: str | None,
    key: str,
) -> Response:
    branch = former.branch or service.workspace.current_branch
    return submitted(service, caller, former.verb, arguments, branch=branch, head=head, key=key)


def title(request: JobRequest) -> str:
    """What a job does, in a few words."""
    arguments = request.arguments
    match request.verb:
        case "record":
            return "Record an edit that was tried out"
        case "update" | "erase":
            start = "Try out" if arguments.get("dry_run") else "Record"
            return f"{start}: {_edit_words(request.verb, arguments)}"
        case "revert":
            return f"Take back edit {short(str(arguments.get('edit')))}"
        case "rewind":
            return f"Rewind to {arguments.get('version')}"
        case "merge" | "compose":
            names = arguments.get("branches") or arguments.get("versions") or []
            return f"{request.verb.capitalize()} {', '.join(map(str, names))}"
        case "export":
            return f"Export {arguments.get('version', 'head')} to {arguments.get('target')}"
        case "pull":
            return f"Take in {arguments.get('source')}"
        case "rollback":
            return f"Roll {arguments.get('repo')} back to {arguments.get('to')}"
        case "push":
            return f"Publish {arguments.get('version', 'head')} in {arguments.get('repo')}"
        case "locate":
            return f"Locate {_fact_words(arguments)}"
        case "evaluate":
            return f"Evaluate version {_version_words(arguments)}"
    return request.verb.capitalize()


def _version_words(arguments: Mapping[str, Any]) -> str:
    """The version that a job asks about; its id in short."""
    return short(str(arguments.get("version", "head")))


def _fact_words(arguments: Mapping[str, Any]) -> str:
    """The fact that a job asks about: its statement, or relation and subject."""
    if arguments.get("statement"):
        return str(arguments["statement"])
    names = (arguments.get("relation"), arguments.get("subject"))
    return ": ".join(str(name) for name in names if name)


def _edit_words(verb: str, arguments: Mapping[str, Any]) -> str:
    if verb == "erase":
        return f"erase {arguments.get('relation')}"
    if arguments.get("statement"):
        return _fact_words(arguments)
    return f"{_fact_words(arguments)} -> {arguments.get('to')}"


def _context(service: Service, job: Job) -> dict[str, Any]:
    """What the page of a job shows."""
    problem = None if job.error is None else problem_of(job.error)
    edit = _edit_of(job)
    return {
        "job": job,
        "title": title(job.request),
        "edit": edit,
        "measured": list(measured(edit["metrics"])) if edit else [],
        "problem": problem,
        "headline": _headline(job, edit),
        "trial": bool(job.request.arguments.get("dry_run")),
        "waits": job.state is JobState.QUEUED,
        "choices": CHOICES,
        "key": form_key(),
        "branches": [branch.name for branch in service.workspace.branches()],
        "trial_job": _trial_job(service, job),
        **_answer(service, job),
    }


def _answer(service: Service, job: Job) -> dict[str, Any]:
    """What a job that only asked the model found, as its page shows it."""
    result = job.result or {}
    located = result if job.request.verb == "locate" else {}
    evaluation = result if job.request.verb == "evaluate" else {}
    values: dict[str, Any] = {
        "asked_version": job.request.arguments.get("version", "head"),
        "located": located if "neurons" in located else None,
        "located_facts": located.get("items"),
        "evaluation": evaluation,
    }
    if values["located"]:
        neurons, shared = (
            [NeuronId(neuron["layer"], neuron["index"]) for neuron in located[name]]
            for name in ("neurons", "dropped")
        )
        values["map"] = neuron_map(neurons, (), service.workspace.base, rings=shared)
    if evaluation:
        values["estimates"] = list(estimated(evaluation))
        values["columns"] = columns(evaluation)
    return values


def _edit_of(job: Job) -> Mapping[str, Any] | None:
    """The edit that a job measured, recorded or not."""
    if job.request.verb not in EDITS:
        return None
    detail = (job.error or {}).get("detail", {})
    edit = job.result if job.result is not None else detail.get("measured")
    return edit if isinstance(edit, Mapping) else None


def _trial_job(service: Service, job: Job) -> str | None:
    """The id of the job that tried out what a job was to record, if it is one of the newest."""
    proposal = job.request.arguments.get("proposal")
    if job.request.verb != "record" or job.state is not JobState.FAILED:
        return None
    for former in service.queue.jobs(JOBS):
        edit = _edit_of(former)
        if former.request.verb != "record" and edit and edit.get("proposal") == proposal:
            return former.id
    return None


def _headline(job: Job, edit: Mapping[str, Any] | None) -> str:
    """Where a job stands, in a sentence."""
    if job.state is JobState.QUEUED:
        return "It waits for its turn."
    if job.state is JobState.RUNNING:
        return "It is being stopped." if job.cancelling else "It is running."
    if job.state is JobState.CANCELLED:
        return "It was cancelled. Nothing was recorded."
    if job.state is JobState.FAILED:
        refused = (job.error or {}).get("error") == "GateFailed"
        return "The gate refused it. Nothing was recorded." if refused else "It did not work."
    if edit is None:
        return "It is done."
    if edit["edit"]:
        return "It is recorded."
    return "The gate would refuse it." if edit["faults"] else "The gate would let it pass."


def _chosen(former: Job, form: Mapping[str, str]) -> dict[str, Any]:
    """What a form says about a job that is submitted again."""
    chosen: dict[str, Any] = {}
    if form.get("allow_overlap"):
        chosen["allow_overlap"] = True
    if form.get("keep") in CHOICES:
        chosen["keep"] = form["keep"]
    detail = (former.error or {}).get("detail", {})
    conflicts = detail.get("conflicts", [])[:MOST_CHOICES]
    choices = [
        {"relation": fact["relation"], "subject": fact["subject"] or None, "keep": keep}
        for number, fact in enumerate(conflicts)
        if (keep := form.get(f"choice-{number}")) in CHOICES
    ]
    return chosen | ({"choices": choices} if choices else {})
