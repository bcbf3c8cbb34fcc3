"""What OpenAI's clients ask: the parameters that are honoured, refused, ignored."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kn_edit.service.answering import Limits
from kn_edit.service.openai.errors import RequestRefused
from kn_edit.workspace.answers import AnswerRequest

MOST_TEXT = 200_000  # characters of a prompt
MOST_LIKELIEST = 20
USUAL_COMPLETION = 16  # tokens, where nobody says; as in OpenAI's API

# Parameters that would change the answer and cannot be honoured, with the values that change
# nothing. All others that are not fields below say nothing about the answer, and are ignored.
REFUSED: Mapping[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "best_of": (None, 1),
    "echo": (None, False),
    "suffix": (None, ""),
    "logit_bias": (None, {}),
    "presence_penalty": (None, 0),
    "frequency_penalty": (None, 0),
    "tools": (None, []),
    "functions": (None, []),
    "tool_choice": (None, "none", "auto"),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "prediction": (None,),
    "web_search_options": (None,),
}

Stop = Annotated[str, Field(min_length=1, max_length=100)]


class StreamOptions(BaseModel):
    """What is told in a stream beside the answer."""

    include_usage: bool = False


class Request(BaseModel):
    """What both kinds of request have in common."""

    model_config = ConfigDict(extra="allow")
    model: str = Field(max_length=300)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stop: Stop | Annotated[list[Stop], Field(max_length=8)] | None = None

    @property
    def usage_in_stream(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def refuse(self) -> None:
        """Raise RequestRefused for a parameter that cannot be honoured."""
        for name, value in (self.model_extra or {}).items():
            if name in REFUSED and value not in REFUSED[name]:
                message = f"`{name}` is not supported by this server; send the request without it"
                raise RequestRefused(message, param=name, code="unsupported_parameter")

    def _request(self, version: str, most: int, likeliest: int, **prompt: Any) -> AnswerRequest:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return AnswerRequest(
            version=version,
            most_tokens=most,
            temperature=1.0 if self.temperature is None else self.temperature,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=secrets.randbits(53) if self.seed is None else self.seed,
            stop=tuple(stop),
            likeliest=likeliest,
            **prompt,
        )


class TextPart(BaseModel):
    """A part of a message; other kinds of parts are refused."""

    type: Literal["text"]
    text: str = Field(max_length=MOST_TEXT)


class Message(BaseModel):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str, Field(max_length=MOST_TEXT)] | list[TextPart]

    def plain(self) -> dict[str, str]:
        """The message as chat templates know it."""
        content = self.content
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatRequest(Request):
    """A conversation, to be answered."""

    messages: list[Message] = Field(min_length=1, max_length=200)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MOST_LIKELIEST)

    def request(self, version: str, limits: Limits) -> AnswerRequest:
        """The request of the live model. version: a full id"""
        most = self.max_completion_tokens or self.max_tokens or limits.tokens
        messages = tuple(message.plain() for message in self.messages)
        likeliest = self.top_logprobs or 0
        return self._request(version, min(most, limits.tokens), likeliest, messages=messages)


TokenIds = Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)]
Text = Annotated[str, Field(max_length=MOST_TEXT)]


class CompletionRequest(Request):
    """A text, to be gone on with."""

    prompt: (
        Text
        | TokenIds
        | Annotated[list[Text], Field(min_length=1, max_length=1)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=1)]
    )
    logprobs: int | None = Field(None, ge=0, le=MOST_LIKELIEST)

    def request(self, version: str, limits: Limits) -> AnswerRequest:
        """The request of the live model. version: a full id"""
        prompt = self.prompt
        if isinstance(prompt, list) and isinstance(prompt[0], (str, list)):
            prompt = prompt[0]
        text = prompt if isinstance(prompt, str) else tuple(prompt)
        most = min(self.max_tokens or USUAL_COMPLETION, limits.tokens)
        return self._request(version, most, self.logprobs or 0, text=text)
