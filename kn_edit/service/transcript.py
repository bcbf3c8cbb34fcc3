"""What is gathered of answers while they come, and how it reads as JSON."""

from __future__ import annotations

from typing import Any

from kn_edit.service.answering import Ended, Event, Failed
from kn_edit.workspace.answers import Piece, TokenText

Plain = dict[str, Any]


class Transcript:
    """An answer as far as it has come. ended: once it is complete"""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.tokens: list[int] = []
        self.ended: Ended | None = None

    def add(self, event: Event) -> None:
        """Take an event in. Raises the error of one that failed."""
        if isinstance(event, Failed):
            raise event.error
        if isinstance(event, Piece):
            self.pieces.append(event)
            self.tokens += [event.token.id] if event.token else []
        elif isinstance(event, Ended):
            self.ended = event

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)

    def plain(self) -> Plain:
        """The whole answer. The names of its JSON are a promise to scripts."""
        assert self.ended is not None
        return {
            "text": self.text,
            "tokens": [token_json(piece) for piece in self.pieces if piece.token],
            "finish": self.ended.finish,
            "prompt_tokens": self.ended.prompt_tokens,
            "answer_tokens": self.ended.tokens,
        }


def first_difference(a: list[int], b: list[int], *, ended: bool) -> int | None:
    """The place of the first token that two answers do not have in common, counted from 0.

    ended: both are complete, so that the end of one alone is a difference too; else what one of
    them has not said yet is none
    """
    differing = (place for place, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1])
    place = next(differing, None)
    if place is None and ended and len(a) != len(b):
        return min(len(a), len(b))
    return place


def token_json(piece: Piece) -> Plain | None:
    """The token of a piece, with the likeliest in its place where they were asked for."""
    if piece.token is None:
        return None
    likeliest = [_named(token) for token in piece.likeliest]
    return _named(piece.token) | ({"likeliest": likeliest} if likeliest else {})


def _named(token: TokenText) -> Plain:
    return {"id": token.id, "text": token.text, "log_p": token.log_p}
