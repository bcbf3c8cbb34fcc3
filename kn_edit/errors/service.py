"""Errors about requests to the service, before a verb begins."""

from __future__ import annotations

from dataclasses import dataclass

from kn_edit.errors.base import ExitCode, KnEditError, listed


@dataclass
class BadArguments(KnEditError):
    """Arguments of a verb that are missing, unknown, or too large.

    problems: where in the arguments, and what is wrong there
    """

    exit_code = ExitCode.USAGE
    verb: str
    problems: tuple[tuple[str, str], ...]

    def detail(self) -> dict[str, object]:
        return {
            "verb": self.verb,
            "problems": [{"at": place, "problem": problem} for place, problem in self.problems],
        }

    def __str__(self) -> str:
        sentences = listed([f"{place}: {problem}" for place, problem in self.problems], 3)
        return f"{self.verb} cannot be called so: {sentences}; correct it and send it again"
