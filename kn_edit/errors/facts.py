"""Errors about facts: how they are named, written and read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from kn_edit.errors.base import ExitCode, KnEditError, listed


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
class BadStatement(KnEditError):
    """A statement does not show which of its words are the subject, and which the answer."""

    exit_code = ExitCode.USAGE
    text: str
    problem: str
    example: str  # the statement, or another one, as it is written

    def __str__(self) -> str:
        return (
            f"the statement {self.text!r} {self.problem}; mark its subject and its answer, "
            f"each once: {self.example!r}"
        )


@dataclass
class StatementsDiffer(KnEditError):
    """Wordings of one statement name two subjects or two answers."""

    exit_code = ExitCode.USAGE
    field: str
    first: str
    second: str

    def __str__(self) -> str:
        return (
            f"the {self.field} is named {self.first!r} and {self.second!r}; all wordings of one "
            "fact name the same one, and another fact has to be named by itself"
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
        suggestion = f"did you mean {' or '.join(self.close)}? If not, " if self.close else ""
        return (
            f"the relation {self.relation} has no subject {self.subject!r}; "
            f"{suggestion}give its answer too to ask about a new subject"
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
        return f"which fact? {self.missing} is missing" + self.steps(
            "name it by {relation} and {subject}",
            "by {statement} 'The CEO of [X: Starbucks] is [Y: Brian Niccol].'",
            "by {prompt} and {subject}",
            "or by {facts}",
        )


@dataclass
class NoTarget(KnEditError):
    """An update that was not told the new answer."""

    exit_code = ExitCode.USAGE
    subject: str

    def __str__(self) -> str:
        return f"there is no new answer for {self.subject}" + self.steps(
            'give it by {to}, or as "to" in its row of the file'
        )


@dataclass
class UnreadableFacts(KnEditError):
    """The operating system does not let us read a file of facts."""

    exit_code = ExitCode.DISK
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"cannot read {self.path}: {self.reason}; check the path and its permissions"


@dataclass
class BadFacts(KnEditError):
    """A file of facts holds something that it should not."""

    path: Path
    line: int
    problem: str
    remedy: str
    form: str = ""  # what the file was taken for, and what else is read

    def __str__(self) -> str:
        form = f" ({self.form})" if self.form else ""
        return f"{self.path}, line {self.line}: {self.problem}; {self.remedy}{form}"


@dataclass
class TwoNewAnswers(KnEditError):
    """Two rows of one run give one fact different new answers."""

    exit_code = ExitCode.USAGE
    subject: str
    where: str
    first: str
    second: str

    def __str__(self) -> str:
        return (
            f"{self.where} gives {self.subject!r} the new answer {self.first!r}, this one "
            f"{self.second!r}; leave one of the two out"
        )


@dataclass
class AnswerUnknown(KnEditError):
    """Nobody stated a fact's answer, and the model says nothing that could be one."""

    exit_code = ExitCode.USAGE
    subject: str

    def __str__(self) -> str:
        return (
            f"no answer for {self.subject!r} is stated, and the model says none; "
            "give the answer that it has today"
        )


@dataclass
class RowsFailed(KnEditError):
    """Some rows of a file could not be updated; the others were."""

    failures: tuple[str, ...]  # a sentence each
    rows: int
    code: ExitCode  # of the worst
    results: object = field(repr=False, compare=False, default=None)

    @property
    def exit_code(self) -> ExitCode:  # type: ignore[override]
        return self.code

    def detail(self) -> dict[str, object]:
        return {"failures": list(self.failures), "rows": self.rows}

    def __str__(self) -> str:
        return (
            f"{len(self.failures)} of {self.rows} rows failed: {self.failures[0]} "
            "(the others are recorded; run it again when it is mended)"
        )


@dataclass
class NothingToAsk(KnEditError):
    """No template is left that this kind of model can be asked."""

    exit_code = ExitCode.USAGE
    relation: str
    reason: str

    def __str__(self) -> str:
        return (
            f"relation {self.relation!r} has no prompt for this model: {self.reason}; "
            "word it with the answer last, such as 'The capital of [X] is the city of [Y].'"
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
class OneAnswer(KnEditError):
    """An experiment updates facts to other answers of their relation, and there is none."""

    exit_code = ExitCode.ERROR
    relations: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"every fact of {listed(self.relations)} has the same answer, and an update needs "
            "another one" + self.steps("name other relations with {relations}")
        )


@dataclass
class TooFewKnown(KnEditError):
    """An experiment needs facts that the model answers right."""

    exit_code = ExitCode.ERROR
    relations: tuple[str, ...]
    least: int

    def __str__(self) -> str:
        return (
            f"the model knows fewer than {self.least} facts of {listed(self.relations)}"
            + self.steps("name other relations with {relations}")
        )
