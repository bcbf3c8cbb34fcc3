"""What a live model is asked to go on with, and what it says; plain values, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum, auto


@dataclass(frozen=True)
class AnswerRequest:
    """A text or a conversation to go on with, at a version.

    version: its full id; text: also as token ids; messages: in place of a text, with `role` and
    `content`
    most_tokens: at most so many are said; stop: strings that end the text, without being part of it
    temperature 0: the likeliest token, always; likeliest: how many are told beside each token
    """

    version: str
    text: str | tuple[int, ...] = ""
    messages: tuple[Mapping[str, str], ...] = ()
    most_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    likeliest: int = 0


@dataclass(frozen=True)
class TokenText:
    """A token with the text that it is by itself, and the natural logarithm of its probability."""

    id: int
    text: str
    log_p: float


@dataclass(frozen=True)
class Piece:
    """A token that was said, and the text that is certain with it.

    text: may be empty, where a letter or a stop string may go on; likeliest: tokens in its place
    token: None where text comes that was held back
    """

    text: str
    token: TokenText | None
    likeliest: tuple[TokenText, ...] = ()


class Finish(StrEnum):
    """Why a text ended."""

    STOP = auto()  # the model ended it, or a stop string came
    LENGTH = auto()  # as many tokens as were asked for, or as the model has place for
    TIME = auto()
