"""Routes that ask the live model: one version, or two side by side."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from kn_edit.errors import KnEditError
from kn_edit.service.access import Caller, Role, require
from kn_edit.service.answering import Events, Limits, Started, accepted
from kn_edit.service.event_stream import MEDIA_TYPE, event, streaming
from kn_edit.service.models import Answer
from kn_edit.service.problems import declared, problem
from kn_edit.service.replies import Json
from kn_edit.service.service import Service, TheService
from kn_edit.service.transcript import Transcript, first_difference, token_json
from kn_edit.service.waiting import CLOSED, gathered
from kn_edit.workspace.answers import AnswerRequest, Piece

MOST_TEXT = 200_000  # characters of a prompt; what the model takes is told by its tokenizer
SIDES = ("a", "b")
_LOG = logging.getLogger(__name__)
_STREAM = {"content": {MEDIA_TYPE: {}}, "description": "A stream of server-sent events."}
_PROBLEMS = declared(404, 409, 503, 507)  # as what a version and a live model raise

router = APIRouter(tags=["answers"])
Reader = Annotated[Caller, require(Role.READER)]
Stop = Annotated[str, Field(min_length=1, max_length=100)]


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=MOST_TEXT)


class Prompt(BaseModel):
    """What the model is to go on with: a text, or a conversation by its chat template."""

    model_config = ConfigDict(extra="forbid")
    prompt: str | None = Field(None, max_length=MOST_TEXT)
    messages: list[Message] | None = Field(None, min_length=1, max_length=200)
    max_tokens: int = Field(64, ge=1, le=Limits.tokens)
    temperature: float = Field(0.0, ge=0, le=2, description="0: the likeliest token, always")
    top_p: float = Field(1.0, gt=0, le=1)
    seed: int = Field(0, ge=0, lt=2**53, description="of what is drawn")
    stop: list[Stop] = Field([], max_length=8)
    likeliest: int = Field(0, ge=0, le=20, description="tokens told in the place of each")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("pass either `prompt` or `messages`")
        return self

    def request(self, version: str) -> AnswerRequest:
        """The request of this prompt at a version. version: a full id"""
        return AnswerRequest(
            version=version,
            text=self.prompt or "",
            messages=tuple(message.model_dump() for message in self.messages or ()),
            most_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop=tuple(self.stop),
            likeliest=self.likeliest,
        )


class Question(Prompt):
    """A prompt for one version."""

    version: str = Field("head", max_length=200)
    stream: bool = False


class Comparison(Prompt):
    """A prompt for two versions."""

    a: str = Field("base", max_length=200)
    b: str = Field("head", max_length=200)


class AnswerToken(Answer):
    """A token of an answer. log_p: null where it is minus infinity"""

    id: int
    text: str
    log_p: float | None


class GivenAnswer(Answer):
    """What a version said. finish: why the text ended, `stop`, `length` or `time`"""

    version: str
    text: str
    tokens: list[AnswerToken]
    finish: str
    prompt_tokens: int
    answer_tokens: int


@router.post(
    "/ask",
    response_model=None,
    responses=_PROBLEMS | {200: {"model": GivenAnswer, "content": {MEDIA_TYPE: {}}}},
)
async def ask(
    question: Question, request: Request, service: TheService, caller: Reader
) -> Response:
    """Let the model go on with a prompt at a version; with `stream` a token at a time.

    The stream has the events `start`, `token` for each token, and `end` with the whole answer; or
    `error` with a problem document.
    """
    (version,) = await _versions(service, question.version)
    started, following = await accepted(service.answering, [question.request(version)])
    if question.stream:
        return streaming(_with_errors(_answer_events(version, started[0], following)))
    transcript = await gathered(request, following)
    if transcript is None:
        return Response(status_code=CLOSED)
    return Json({"version": version} | transcript.plain())


@router.post("/compare", response_model=None, responses=_PROBLEMS | {200: _STREAM})
async def compare(comparison: Comparison, service: TheService, caller: Reader) -> Response:
    """Let two versions go on with one prompt, both a token at a time, as one stream of events.

    `start`: both versions. `token`: which side said which token, the text that is certain with it,
    and whether all tokens that both have said agree. `end`: both answers, and the place of the
    first token that differs. `error`: a problem document; nothing comes behind it.
    """
    versions = await _versions(service, comparison.a, comparison.b)
    requests = [comparison.request(version) for version in versions]
    started, following = await accepted(service.answering, requests)
    return streaming(_with_errors(_comparison_events(versions, started, following)))


async def _versions(service: Service, *names: str) -> list[str]:
    """The full ids of versions by name. Raises UnknownId, AmbiguousId."""

    def ids() -> list[str]:
        return [service.workspace.ledger.version_id(name) for name in names]

    return await run_in_threadpool(ids)


async def _answer_events(
    version: str, started: Started, following: Events
) -> AsyncGenerator[str, None]:
    transcript = Transcript()
    yield event({"version": version, "prompt_tokens": started.prompt_tokens}, "start")
    async with aclosing(following):
        async for _, coming in following:
            transcript.add(coming)
            if isinstance(coming, Piece):
                yield event(_piece(coming, len(transcript.tokens)), "token")
    yield event({"version": version} | transcript.plain(), "end")


async def _comparison_events(
    versions: list[str], started: list[Started], following: Events
) -> AsyncGenerator[str, None]:
    transcripts = [Transcript(), Transcript()]
    start = {
        side: {"version": version, "prompt_tokens": each.prompt_tokens}
        for side, version, each in zip(SIDES, versions, started, strict=True)
    }
    yield event(start, "start")
    async with aclosing(following):
        async for place, coming in following:
            transcripts[place].add(coming)
            if isinstance(coming, Piece):
                agree = _difference(transcripts, ended=False) is None
                piece = _piece(coming, len(transcripts[place].tokens))
                yield event({"side": SIDES[place], **piece, "agree": agree}, "token")
    answers = {
        side: {"version": version} | transcript.plain()
        for side, version, transcript in zip(SIDES, versions, transcripts, strict=True)
    }
    yield event(answers | {"first_difference": _difference(transcripts, ended=True)}, "end")


def _difference(transcripts: list[Transcript], *, ended: bool) -> int | None:
    a, b = (transcript.tokens for transcript in transcripts)
    return first_difference(a, b, ended=ended)


def _piece(piece: Piece, tokens: int) -> dict[str, Any]:
    """A piece of an answer. index: of its token, or of the last one where it has none"""
    return {"index": tokens - 1, "text": piece.text, "token": token_json(piece)}


async def _with_errors(events: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """The events, and an error among them as an event of its own."""
    async with aclosing(events):
        try:
            async for each in events:
                yield each
        except KnEditError as error:
            yield event(problem(error), "error")
        except Exception:
            _LOG.exception("an answer ended early")
            yield event({"title": "the service failed", "status": 500}, "error")
