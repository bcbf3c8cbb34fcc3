"""Errors of a model that answers while it is served."""

from __future__ import annotations

from dataclasses import dataclass

from kn_edit.errors.base import ExitCode, KnEditError


@dataclass
class NoChatTemplate(KnEditError):
    """A model that cannot be talked to in messages."""

    exit_code = ExitCode.USAGE
    reason: str

    def __str__(self) -> str:
        return (
            f"this model cannot chat by a template of its own: {self.reason}; "
            "send one text to be completed instead of messages"
        )


@dataclass
class CannotContinue(KnEditError):
    """A masked LM was asked to go on with a text."""

    exit_code = ExitCode.USAGE
    model: str

    def __str__(self) -> str:
        return (
            f"{self.model} is a masked LM, which fills in one word and does not go on with a text; "
            "assess a fact of it, or serve a causal LM"
        )


@dataclass
class TooManyWaiting(KnEditError):
    """More questions wait for the model than are let in."""

    exit_code = ExitCode.ERROR
    limit: int
    retry_after: int  # seconds

    def __str__(self) -> str:
        return (
            f"{self.limit} answers are being made or wait already, as many as are let in; "
            f"ask again in {self.retry_after} s"
        )


@dataclass
class AnsweringStopped(KnEditError):
    """The service was stopped before an answer was ready."""

    exit_code = ExitCode.ERROR

    def __str__(self) -> str:
        return "the service is stopping, so this answer ends here; ask again when it runs"
