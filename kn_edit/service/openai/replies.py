"""Answers and the pieces of a stream, as OpenAI's clients read them."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from kn_edit.service.answering import Ended
from kn_edit.service.transcript import Transcript
from kn_edit.workspace.answers import Finish, Piece, TokenText

Plain = dict[str, Any]
LEAST_LOG_P = -9999.0
_FINISH = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.TIME: "length"}


@dataclass(frozen=True)
class Reply:
    """What all parts of one answer have in common.

    model: as the request named it; version: that answers; with_log_p: whether tokens are told
    """

    model: str
    version: str
    with_log_p: bool
    chat: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    created: int = field(default_factory=lambda: int(time.time()))

    def answer(self, transcript: Transcript) -> Plain:
        """A complete answer."""
        assert transcript.ended is not None
        text = transcript.text
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {
            "index": 0,
            **({"message": message} if self.chat else {"text": text}),
            "logprobs": self._log_p(transcript.pieces),
            "finish_reason": _FINISH[transcript.ended.finish],
        }
        return self._frame([choice], chunk=False) | {"usage": usage(transcript.ended)}

    def first(self) -> Plain:
        """The part of a chat's stream that comes before any text."""
        return self._chunk({"role": "assistant", "content": ""})

    def part(self, piece: Piece) -> Plain:
        """The part of a stream that tells a piece."""
        return self._chunk({"content": piece.text}, pieces=[piece])

    def last(self, ended: Ended) -> Plain:
        """The part of a stream that tells why the text ended."""
        return self._chunk({}, finish=_FINISH[ended.finish])

    def usage(self, ended: Ended) -> Plain:
        """The part of a stream that tells how many tokens there were."""
        return self._frame([], chunk=True) | {"usage": usage(ended)}

    def _chunk(
        self, delta: Plain, *, pieces: list[Piece] | None = None, finish: str | None = None
    ) -> Plain:
        choice = {
            "index": 0,
            **({"delta": delta} if self.chat else {"text": delta.get("content", "")}),
            "logprobs": self._log_p(pieces or []),
            "finish_reason": finish,
        }
        return self._frame([choice], chunk=True)

    def _frame(self, choices: list[Plain], *, chunk: bool) -> Plain:
        kind = "text_completion"
        if self.chat:
            kind = "chat.completion.chunk" if chunk else "chat.completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.version,
            "choices": choices,
        }

    def _log_p(self, pieces: list[Piece]) -> Plain | None:
        tokens = [piece for piece in pieces if piece.token]
        if not (self.with_log_p and tokens):
            return None
        return _chat_log_p(tokens) if self.chat else _completion_log_p(tokens)


def usage(ended: Ended) -> Plain:
    """How many tokens were read and said."""
    return {
        "prompt_tokens": ended.prompt_tokens,
        "completion_tokens": ended.tokens,
        "total_tokens": ended.prompt_tokens + ended.tokens,
    }


def _chat_log_p(pieces: list[Piece]) -> Plain:
    content = [
        _named(piece.token) | {"top_logprobs": [_named(token) for token in piece.likeliest]}
        for piece in pieces
        if piece.token
    ]
    return {"content": content, "refusal": None}


def _named(token: TokenText) -> Plain:
    complete = "\ufffd" not in token.text  # else a letter of which this token is a part
    letters = list(token.text.encode()) if complete else None
    return {"token": token.text, "logprob": _finite(token.log_p), "bytes": letters}


def _finite(log_p: float) -> float:
    """A log-probability as OpenAI tells it: no infinity."""
    return max(log_p, LEAST_LOG_P)


def _completion_log_p(pieces: list[Piece]) -> Plain:
    tokens = [piece.token for piece in pieces if piece.token]
    likeliest = [
        {token.text: _finite(token.log_p) for token in piece.likeliest} for piece in pieces
    ]
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [_finite(token.log_p) for token in tokens],
        "top_logprobs": likeliest if any(likeliest) else None,
        "text_offset": None,
    }
