"""The routes of /v1. Unchanged clients of OpenAI's API talk to any version by them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi import Request as HttpRequest
from fastapi.concurrency import run_in_threadpool

from kn_edit.service.access import Caller, Role, require
from kn_edit.service.answering import Ended, Events, accepted
from kn_edit.service.event_stream import MEDIA_TYPE, event, streaming
from kn_edit.service.openai import names
from kn_edit.service.openai.errors import OpenAIRoute, document
from kn_edit.service.openai.replies import Reply
from kn_edit.service.openai.requests import ChatRequest, CompletionRequest
from kn_edit.service.problems import EVERYWHERE
from kn_edit.service.replies import Json
from kn_edit.service.service import Service, TheService
from kn_edit.service.transcript import Transcript
from kn_edit.service.waiting import CLOSED, gathered
from kn_edit.workspace.answers import Piece

DONE = "[DONE]"
_ERRORS: dict[int | str, dict[str, Any]] = {
    **{status: {"description": HTTPStatus(status).phrase} for status in sorted(EVERYWHERE)},
    400: {"description": "A parameter is wrong, or cannot be honoured"},
    404: {"description": "No version has this name"},
    429: {"description": "Too many wait; `Retry-After` says for how long"},
    500: {"description": "The service failed"},
    503: {"description": "The service is stopping"},
    507: {"description": "The model has no room in memory"},
}
_ANSWERS = _ERRORS | {200: {"content": {"application/json": {}, MEDIA_TYPE: {}}}}

router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute)
Reader = Annotated[Caller, require(Role.READER)]


@router.get("/models", responses=_ERRORS)
def list_models(service: TheService, caller: Reader) -> dict[str, Any]:
    """A model for each branch and each tag."""
    return {"object": "list", "data": names.models(service.workspace)}


@router.get("/models/{model:path}", responses=_ERRORS)
def show_model(model: str, service: TheService, caller: Reader) -> dict[str, Any]:
    """One of them, or any version by its id: `NAME@VERSION`."""
    return names.model(service.workspace, model)


@router.post("/chat/completions", responses=_ANSWERS)
async def chat(
    body: ChatRequest, request: HttpRequest, service: TheService, caller: Reader
) -> Response:
    """Answer a conversation, by the model's own chat template."""
    return await _answered(body, request, service)


@router.post("/completions", responses=_ANSWERS)
async def complete(
    body: CompletionRequest, request: HttpRequest, service: TheService, caller: Reader
) -> Response:
    """Go on with a text."""
    return await _answered(body, request, service)


async def _answered(
    body: ChatRequest | CompletionRequest, request: HttpRequest, service: Service
) -> Response:
    body.refuse()
    version = await run_in_threadpool(names.version_of, service.workspace, body.model)
    answering = service.answering
    _, following = await accepted(answering, [body.request(version, answering.limits)])
    chat = isinstance(body, ChatRequest)
    with_log_p = bool(body.logprobs) if chat else body.logprobs is not None
    reply = Reply(model=body.model, version=version, with_log_p=with_log_p, chat=chat)
    if body.stream:
        return streaming(_parts(reply, following, with_usage=body.usage_in_stream))
    transcript = await gathered(request, following)
    if transcript is None:
        return Response(status_code=CLOSED)
    return Json(reply.answer(transcript))


async def _parts(reply: Reply, following: Events, *, with_usage: bool) -> AsyncGenerator[str, None]:
    """A stream; an error in it is its last part but one."""
    transcript = Transcript()
    if reply.chat:
        yield event(reply.first())
    async with aclosing(following):
        try:
            async for _, coming in following:
                transcript.add(coming)
                if isinstance(coming, Piece):
                    yield event(reply.part(coming))
                elif isinstance(coming, Ended):
                    yield event(reply.last(coming))
                    if with_usage:
                        yield event(reply.usage(coming))
        except Exception as error:
            _, plain = document(error)
            yield event(plain)
    yield event(DONE)
