"""Errors about edits and their deltas."""

from __future__ import annotations

from dataclasses import dataclass, field

from kn_edit.canonical import short
from kn_edit.errors.base import ExitCode, KnEditError, listed
from kn_edit.safetext import shortened


@dataclass
class EmbeddingWidthDiffers(KnEditError):
    """Word embeddings and value slots live in spaces of different width (ELECTRA)."""

    exit_code = ExitCode.USAGE
    embedding: int
    slot: int

    def __str__(self) -> str:
        return (
            f"this model's word embeddings have {self.embedding} numbers and its value slots "
            f"{self.slot}, so an embedding cannot be written into a slot"
            + self.steps("use the calibrated update", "or {erase_with_zero}")
        )


@dataclass
class NoNeurons(KnEditError):
    """No neuron has a positive score, so there is nothing to edit."""

    exit_code = ExitCode.ERROR
    what: str = "this fact"

    def __str__(self) -> str:
        return f"no knowledge neuron was found for {self.what}" + self.steps(
            "check with `{assess}` that the model knows it", "or lower {threshold}"
        )


@dataclass
class SameAnswer(KnEditError):
    """An update to the answer that the fact has already."""

    exit_code = ExitCode.USAGE
    subject: str
    answer: str

    def __str__(self) -> str:
        return f"the answer for {self.subject} is {self.answer!r} already" + self.steps(
            "give {to} another answer"
        )


@dataclass
class OneFactMethod(KnEditError):
    """One edit of several facts by a method of which an edit changes one."""

    exit_code = ExitCode.USAGE
    method: str
    facts: int
    others: tuple[str, ...]  # methods that take many

    @property
    def able(self) -> str:
        return " or ".join(filter(None, (", ".join(self.others[:-1]), self.others[-1])))

    def __str__(self) -> str:
        choice = "{method:able}" if self.others else "a method that takes many"
        return (
            f"an edit of the method {self.method} changes one fact, and {self.facts} were given"
            + self.steps("make an edit of each ({edit_each})", f"or choose {choice}")
        )


@dataclass
class GateFailed(KnEditError):
    """An edit was computed and measured, and is not good enough to be recorded unasked."""

    exit_code = ExitCode.QUALITY_GATE
    faults: tuple[str, ...]
    result: object = field(repr=False, compare=False)  # what was computed and measured
    final: bool = False  # not even --accept records it
    misses: tuple[str, ...] = ()  # the prompts that failed, each with the token it failed on
    update: bool = True  # else an erasure, which has no prompt of its own to put otherwise
    # The result as JSON, for callers in another process.
    measured: object = field(default=None, repr=False, compare=False)

    def detail(self) -> dict[str, object]:
        told: dict[str, object] = {"faults": list(self.faults), "misses": list(self.misses)}
        return told if self.measured is None else told | {"measured": self.measured}

    def __str__(self) -> str:
        if self.final:
            return f"not recorded: {listed(self.faults)}" + self.steps(
                "{accept!m} does not record it either: use the calibrated method",
                "or a smaller {scale}",
            )
        further = len(self.misses) - 1
        remainder = (
            f", and {further} more prompt{'s fail' if further > 1 else ' fails'}" if further else ""
        )
        where = f" ({self.misses[0]}{remainder})" if self.misses else ""
        ways = ("try another wording", "{neurons}", "more {slots}")
        return f"not recorded: {listed(self.faults)}{where}" + self.steps(
            *(ways if self.update else ("try less of it",)),
            "or pass {accept} to record it all the same",
        )


@dataclass
class CannotSolveAgain(KnEditError):
    """A fact of a joint edit of which nothing is left that it could be solved from."""

    exit_code = ExitCode.CONFLICT
    relation: str
    subject: str

    def __str__(self) -> str:
        fact = shortened(f"{self.relation}: {self.subject}", 80)
        return (
            f"what the joint edit needs of {fact} is not in this ledger, and nobody recorded how "
            "it was asked" + self.steps("update its facts anew", "or revert the whole edit")
        )


@dataclass
class SolvedOtherwise(KnEditError):
    """A joint edit of an earlier kn-edit, which solved it by other settings than there are now."""

    exit_code = ExitCode.CONFLICT
    edit: str

    def __str__(self) -> str:
        return (
            f"the joint edit {short(self.edit)} was solved by an earlier kn-edit, in another way: "
            "its facts cannot be solved for again without one of them"
            + self.steps("revert the whole edit and update its facts anew")
        )


@dataclass
class InvalidDelta(KnEditError):
    """Numbers or bytes that are not a well-formed delta."""

    exit_code = ExitCode.INTEGRITY
    reason: str

    def __str__(self) -> str:
        return f"this is not a sound delta: {self.reason}" + self.steps(
            "fetch the file again", "or run `{restore}` with a backup"
        )


@dataclass
class DeltaDigestDiffers(KnEditError):
    """A delta file whose bytes are not those that its id promises."""

    exit_code = ExitCode.INTEGRITY
    expected: str
    actual: str

    def __str__(self) -> str:
        return (
            f"the delta file of edit {short(self.expected)} has sha256 {short(self.actual)}…, so "
            "its bytes changed" + self.steps("run `{restore}` with a backup", "or fetch it again")
        )


@dataclass
class NewerDeltaFormat(KnEditError):
    """A delta file of a later format."""

    exit_code = ExitCode.NEWER_SCHEMA
    found: str
    known: str

    def __str__(self) -> str:
        return (
            f"the delta file is in format {self.found!r} and this kn-edit reads {self.known}; "
            f"upgrade kn-edit"
        )


@dataclass
class DeltaMisfit(KnEditError):
    """A delta that cannot be applied to this weight, or put after that delta."""

    exit_code = ExitCode.CONFLICT
    tensor: str
    reason: str
    advice: str = "use it with the base model that it was made for"

    def __str__(self) -> str:
        return f"the delta does not fit {self.tensor}: {self.reason}; {self.advice}"


@dataclass
class DifferentBase(KnEditError):
    """Two deltas, or a delta and a ledger, that start from different base models."""

    exit_code = ExitCode.CONFLICT
    expected: str
    found: str

    def __str__(self) -> str:
        return (
            f"the delta was made for the base with fingerprint {short(self.found)}, not for "
            f"{short(self.expected)}; use it in a workspace of that base"
        )


@dataclass
class SlotOverflow(KnEditError):
    """A folded value slot that the model's dtype cannot hold."""

    exit_code = ExitCode.CONFLICT
    tensor: str
    slots: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return (
            f"slots {listed(self.slots)} of {self.tensor} leave the range of {self.dtype} under "
            f"these edits; revert one of them, or use a smaller change"
        )
