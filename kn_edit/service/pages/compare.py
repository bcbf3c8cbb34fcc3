"""The page on which two versions answer one prompt.

Where scripts run, the answers come as a stream of `POST /api/v1/compare`; else with the page.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Annotated, Literal

from fastapi import Form, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from kn_edit.figures import count
from kn_edit.service.answering import accepted
from kn_edit.service.pages.rendering import page
from kn_edit.service.pages.routes import Reader, router
from kn_edit.service.service import Service, TheService
from kn_edit.service.transcript import Transcript, first_difference
from kn_edit.workspace.answers import AnswerRequest

TOKENS = 48  # of an answer, by default
FINISHES = {
    "length": "as many tokens as were asked for",
    "stop": "complete",
    "time": "stopped: it took too long",
}

pages = router()


class Question(BaseModel):
    """The form: a prompt for two versions."""

    a: str = Field("base", max_length=120)
    b: str = Field("head", max_length=120)
    form: Literal["completion", "chat"] = "completion"
    prompt: str = Field("", max_length=20_000)
    tokens: int = Field(TOKENS, ge=1, le=512)

    def request(self, version: str) -> AnswerRequest:
        """The question for a version. version: a full id"""
        prompt = self.prompt.replace("\r\n", "\n")
        chat = self.form == "chat"
        return AnswerRequest(
            version=version,
            text="" if chat else prompt,
            messages=({"role": "user", "content": prompt},) if chat else (),
            most_tokens=self.tokens,
        )


@dataclass(frozen=True)
class Token:
    """A token of an answer. differs: from those of the other one"""

    text: str
    differs: bool


@dataclass(frozen=True)
class Answer:
    """A whole answer. about: how long it is, and why it ended"""

    tokens: list[Token]
    about: str


@pages.get("/compare", name="compare")
def form(
    request: Request,
    service: TheService,
    caller: Reader,
    a: str = "base",
    b: str = "head",
    prompt: str = "",
) -> HTMLResponse:
    """The form for a prompt and two versions."""
    question = Question(a=a[:120], b=b[:120], prompt=prompt[:20_000], tokens=TOKENS)
    return _page(request, service, question, "", [])


@pages.post("/compare")
async def answer(
    request: Request, service: TheService, caller: Reader, question: Annotated[Question, Form()]
) -> HTMLResponse:
    """Both answers, whole, for browsers without scripts."""

    def ids() -> list[str]:
        return [service.workspace.ledger.version_id(name) for name in (question.a, question.b)]

    requests = [question.request(version) for version in await run_in_threadpool(ids)]
    _, following = await accepted(service.answering, requests)
    transcripts = [Transcript(), Transcript()]
    async with aclosing(following):
        async for place, event in following:
            transcripts[place].add(event)
    first = first_difference(transcripts[0].tokens, transcripts[1].tokens, ended=True)
    outcome = "Both say the same." if first is None else f"They differ from token {first + 1} on."

    def rendered() -> HTMLResponse:
        return _page(request, service, question, outcome, _answers(transcripts))

    return await run_in_threadpool(rendered)


def _page(
    request: Request, service: Service, question: Question, outcome: str, answers: list[Answer]
) -> HTMLResponse:
    refs = service.workspace.ledger.refs()
    plain = question.model_dump()
    return page(request, "compare.html", asked=plain, outcome=outcome, answers=answers, refs=refs)


def _answers(transcripts: list[Transcript]) -> list[Answer]:
    """Both answers, with the tokens marked that stand in no common run."""
    a, b = (transcript.tokens for transcript in transcripts)
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    common = [
        {place for block in blocks for place in range(block[side], block[side] + block.size)}
        for side in (0, 1)
    ]
    return [
        Answer(
            [Token(text, place not in shared) for place, text in enumerate(_texts(transcript))],
            _about(transcript),
        )
        for transcript, shared in zip(transcripts, common, strict=True)
    ]


def _texts(transcript: Transcript) -> list[str]:
    """The text of each token; what is certain only later stands with the token that settles it."""
    texts: list[str] = []
    for piece in transcript.pieces:
        if piece.token is not None or not texts:
            texts.append("")
        texts[-1] += piece.text
    return texts


def _about(transcript: Transcript) -> str:
    assert transcript.ended is not None
    finish = transcript.ended.finish
    return f"{count(transcript.ended.tokens, 'token')}, {FINISHES.get(finish, finish)}"
