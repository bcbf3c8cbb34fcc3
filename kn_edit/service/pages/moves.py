"""Pages that move branches, name versions, and let them leave: each asks once, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Form, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from kn_edit.service.access import Caller
from kn_edit.service.pages.rendering import page
from kn_edit.service.pages.routes import Editor, Publisher, Reader, router
from kn_edit.service.pages.submitting import form_key, submitted
from kn_edit.service.service import Service, TheService
from kn_edit.workspace import Workspace, forms
from kn_edit.workspace.settings import serve_settings

Text = Annotated[str, Form(max_length=200)]
Moves = Literal["revert", "rewind", "merge", "compose", "verify", "pull"]
Fields = Mapping[str, list[str]]  # of a form that was sent
Leaving = Literal["export", "push", "rollback"]
DONE = {
    "made": "The branch {name} is made.",
    "renamed": "The branch is called {name} now.",
    "deleted": "The name {name} is gone; edits and versions stay.",
    "current": "Edits go to the branch {name} from now on.",
    "tagged": "The tag {name} is set.",
}

pages = router()


@pages.get("/branches", name="branches")
def branches(
    request: Request,
    service: TheService,
    caller: Reader,
    version: Annotated[str, Query(max_length=200)] = "head",
    done: Annotated[str, Query(max_length=20)] = "",
    name: Annotated[str, Query(max_length=200)] = "",
) -> HTMLResponse:
    """Branches and tags, and the forms that move them. version: that the forms begin with"""
    workspace = service.workspace
    records = workspace.branches()
    refs = workspace.ledger.refs()
    settings = serve_settings(workspace.folder)
    return page(
        request,
        "branches.html",
        branches=records,
        tags=[ref for ref in refs if ref.kind == "tag"],
        refs=refs,
        version_name=version,
        done=DONE[done].format(name=name) if done in DONE else "",
        heads={record.name: record.version for record in records},
        current=workspace.current_branch,
        key=form_key(),
        exports=settings.exports,
        repositories=settings.push,
        forms=forms(),
        publishable=forms(publishable=True),
    )


@pages.post("/branches")
def make_branch(
    service: TheService, caller: Editor, name: Text, version: Text = "head"
) -> RedirectResponse:
    """Make a branch at a version."""
    return _done("made", service.workspace.branch(name, version).name)


@pages.post("/branches/rename")
def rename_branch(service: TheService, caller: Editor, name: Text, to: Text) -> RedirectResponse:
    """Give a branch another name."""
    return _done("renamed", service.workspace.rename_branch(name, to).name)


@pages.post("/branches/delete")
def delete_branch(
    service: TheService, caller: Editor, name: Text, force: Annotated[bool, Form()] = False
) -> RedirectResponse:
    """Remove the name of a branch."""
    return _done("deleted", service.workspace.delete_branch(name, force=force).name)


@pages.post("/branches/current")
def switch(service: TheService, caller: Editor, name: Text) -> RedirectResponse:
    """Make a branch the current one."""
    return _done("current", service.workspace.switch(name).name)


@pages.post("/tags")
def tag(
    service: TheService,
    caller: Editor,
    name: Text,
    version: Text = "head",
    move: Annotated[bool, Form()] = False,
) -> RedirectResponse:
    """Name a version."""
    return _done("tagged", service.workspace.tag(name, version, move=move).name)


@pages.post("/moves/{verb}")
async def move(request: Request, service: TheService, caller: Editor, verb: Moves) -> Response:
    """Move a branch, on the head that the form showed."""
    return await _submitted(request, service, caller, verb)


@pages.post("/leaving/{verb}")
async def leave(
    request: Request, service: TheService, caller: Publisher, verb: Leaving
) -> Response:
    """Export or publish a version, where the settings allow it."""
    return await _submitted(request, service, caller, verb)


def revert_choices(workspace: Workspace, edit: str) -> dict[str, str]:
    """The branches that have an edit, the current one first, with their heads."""
    records = sorted(workspace.branches(), key=lambda record: not record.current)
    return {
        record.name: record.version
        for record in records
        if workspace.ledger.members([edit], record.version)
    }


async def _submitted(request: Request, service: Service, caller: Caller, verb: str) -> Response:
    sent = await request.form()
    form = {name: [str(text).strip() for text in sent.getlist(name)] for name in sent}

    def submit() -> Response:
        branch = _text(form, "branch") or service.workspace.current_branch
        return submitted(
            service,
            caller,
            verb,
            _arguments(verb, form),
            branch=branch,
            head=_text(form, f"head:{branch}") or service.workspace.ledger.version_id(branch),
            key=_text(form, "key"),
        )

    return await run_in_threadpool(submit)


def _arguments(verb: str, form: Fields) -> dict[str, Any]:
    """The arguments of a verb, as its form has them."""
    match verb:
        case "revert":
            return {"edit": _text(form, "edit")}
        case "rewind":
            return {"version": _text(form, "version")}
        case "merge":
            return {"branches": form.get("branches", [])}
        case "compose":
            return {"versions": _text(form, "versions").split()}
        case "pull":
            return {"source": _text(form, "source")}
        case "rollback":
            return {name: _text(form, name) for name in ("repo", "to")}
        case "export":
            return {name: _text(form, name) for name in ("version", "target", "as")}
        case "push":
            names = ("version", "repo", "as", "tag")
            texts = {name: _text(form, name) for name in names if _text(form, name)}
            return texts | {"private": bool(_text(form, "private"))}
    return {}


def _text(form: Fields, name: str) -> str:
    """The text of a field; empty where it was not sent."""
    return (form.get(name) or [""])[0]


def _done(outcome: str, name: str) -> RedirectResponse:
    """Back to the page of branches, with a word of what was done."""
    query = urlencode({"done": outcome, "name": name})
    return RedirectResponse(f"/branches?{query}", status_code=303)
