"""Errors about facts: how they are named, written and read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kn_edit.errors.base import ExitCode, KnEditError, listed
from kn_edit.safetext import shortened

LONGEST = 480  # letters of a sentence about a file


@dataclass
class BadTemplate(KnEditError):
    """A template lacks a placeholder, or has one twice."""

    exit_code = ExitCode.USAGE
    text: str
    problem: str

    def __str__(self) -> str:
        return (
            f"template {self.text!r} {self.problem}; write [X] for the subject and [Y] for the "
            f"answer, each once, for instance 'The capital of [X] is the city of [Y].'"
        )


@dataclass
class EmptyField(KnEditError):
    """The subject or the answer of a fact is empty, or is not text that can be written down."""

    exit_code = ExitCode.USAGE
    field: str

    def __str__(self) -> str:
        return f"the {self.field} of the fact is empty; give it as plain text"


@dataclass
class BadField(KnEditError):
    """A subject, an answer or a template holds what none may hold, or is too long."""

    exit_code = ExitCode.USAGE
    field: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"the {self.field} {self.problem}; {self.remedy}"


@dataclass
class UnknownSubject(KnEditError):
    """A relation has no fact about this subject."""

    exit_code = ExitCode.USAGE
    relation: str
    subject: str
    close: tuple[str, ...] = ()

    def __str__(self) -> str:
        meant = f"did you mean {' or '.join(self.close)}? If not, " if self.close else ""
        return (
            f"the relation {self.relation} has no subject {self.subject!r}; "
            f"{meant}give its answer too to ask about a new subject"
        )


@dataclass
class AmbiguousSubject(KnEditError):
    """A relation gives one subject several answers."""

    exit_code = ExitCode.USAGE
    relation: str
    subject: str
    answers: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"the relation {self.relation} has several answers for {self.subject!r}: "
            f"{listed(self.answers)}; name the one that you mean with its answer"
        )


@dataclass
class UnknownRelation(KnEditError):
    """A name that is neither a bundled relation pack nor a file."""

    exit_code = ExitCode.USAGE
    name: str
    bundled: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"there is no relation or file {self.name!r}; "
            f"use {listed(self.bundled)}, or the path of a relation pack"
        )


@dataclass
class FactNotNamed(KnEditError):
    """A command that works on a fact was not told which one."""

    exit_code = ExitCode.USAGE
    missing: str

    def __str__(self) -> str:
        return (
            f"which fact? {self.missing} is missing; name it by --relation and --subject, "
            "by --prompt, --subject and --answer, or by --facts FILE"
        )


@dataclass
class NoTarget(KnEditError):
    """An update that was not told the new answer."""

    exit_code = ExitCode.USAGE
    subject: str

    def __str__(self) -> str:
        return (
            f"there is no new answer for {self.subject}; give it by --to, "
            'or as "to" in its row of the file'
        )


@dataclass
class UnreadableFacts(KnEditError):
    """The operating system does not let us read a file of facts."""

    exit_code = ExitCode.DISK
    path: Path
    reason: str

    def __str__(self) -> str:
        path, reason = shortened(str(self.path), 200), shortened(self.reason, 200)
        return f"cannot read {path}: {reason}; check the path and its permissions"


@dataclass
class BadFacts(KnEditError):
    """A file of facts holds something that it should not."""

    path: Path
    line: int
    problem: str
    remedy: str
    form: str = ""  # what the file was taken for, and what else is read

    def __str__(self) -> str:
        head = f"{shortened(str(self.path), 110)}, line {self.line}: "
        tail = f" ({self.form})" if self.form else ""
        room = LONGEST - len(head) - len(tail) - len("; ")
        remedy = shortened(self.remedy, max(room // 3, room - len(self.problem)))
        problem = shortened(self.problem, room - len(remedy))
        return f"{head}{problem}; {remedy}{tail}"


@dataclass
class NothingToAsk(KnEditError):
    """No template is left that this kind of model can be asked."""

    exit_code = ExitCode.USAGE
    relation: str
    reason: str

    def __str__(self) -> str:
        return (
            f"relation {self.relation!r} has no prompt for this model: {self.reason}; "
            "add a template such as 'The capital of [X] is the city of [Y].'"
        )


@dataclass
class NoFactToAsk(KnEditError):
    """A relation none of whose facts has an answer that this model can give."""

    relation: str

    def __str__(self) -> str:
        return (
            f"no fact of relation {self.relation} can be asked of this model: its tokenizer knows "
            "none of their answers as it needs them; use another relation, or a larger model"
        )


@dataclass
class TooFewKnown(KnEditError):
    """An experiment needs facts that the model answers right."""

    exit_code = ExitCode.ERROR
    relations: tuple[str, ...]
    least: int

    def __str__(self) -> str:
        return (
            f"the model knows fewer than {self.least} facts of {listed(self.relations)}; "
            "name other relations with --relation"
        )
