"""Errors about numbers: settings out of their range, and answers that are no numbers at all."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

from kn_edit.errors.base import ExitCode, KnEditError
from kn_edit.errors.remedies import phrase
from kn_edit.figures import count
from kn_edit.safetext import escaped, shortened

REVERT = "or take the edit that did it back (`{log}`, then `{revert:=EDIT}`)"
SHOWN = 60  # characters of a value in a sentence


@dataclass
class BadSetting(KnEditError):
    """A number or a name that a verb cannot work with."""

    exit_code = ExitCode.USAGE
    name: str
    value: object
    needed: str

    def __str__(self) -> str:
        value = shortened(escaped(repr(self.value)), SHOWN)
        return f"{self.name} cannot be {value}; give {self.needed}"


@dataclass
class DeviceMissing(KnEditError):
    """A device to run on that this machine, or the installed torch, does not have."""

    exit_code = ExitCode.USAGE
    device: str
    available: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"there is no device {self.device} here; available: {', '.join(self.available)} (a "
            "GPU that is missing needs a torch build and a driver for it)"
        )


@dataclass
class BadSettingsFile(KnEditError):
    """A workspace's settings file that cannot be taken as it stands."""

    exit_code = ExitCode.USAGE
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}; mend the file, or move it away"


@dataclass
class NotFinite(KnEditError):
    """A model whose answers are NaN: somewhere inside it, numbers end.

    where: "layer 3", "the embeddings", "the head"
    weight: the weight that holds NaN or infinity there; None where numbers overflow on the way
    """

    where: str
    dtype: str
    weight: str | None = None

    def __str__(self) -> str:
        if self.weight is not None:
            return (
                f"the model's answers are not numbers (NaN): its weight {self.weight} in "
                f"{self.where} holds NaN or infinity"
                + self.steps("fetch or save the checkpoint again", REVERT)
            )
        return (
            f"the model's answers are not numbers (NaN): they leave the range of {self.dtype} in "
            f"{self.where}" + self.steps("use the checkpoint saved in bfloat16 or float32", REVERT)
        )


@dataclass
class ScaledOutOfRange(KnEditError):
    """Scaled neurons under which the model's answers are no numbers any more."""

    exit_code = ExitCode.USAGE
    factor: float
    where: str

    def __str__(self) -> str:
        return (
            f"with these neurons times {self.factor:g} the model's answers are not numbers (NaN), "
            f"from {self.where} on; give a factor nearer to 1"
        )


@dataclass
class ChangeOutOfRange(KnEditError):
    """An edit whose numbers a delta cannot hold."""

    slots: int
    problem: str = "leaves the range of float32"
    advice: str = phrase("use a smaller {scale}, or the calibrated method")

    def __str__(self) -> str:
        slots = count(self.slots, "value slot")
        return (
            f"the change that was computed {self.problem} in {slots}, so nothing was recorded; "
            f"{self.advice}"
        )


def require_number(
    name: str,
    value: float,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
) -> None:
    """Raise BadSetting unless a setting is a finite number, within these bounds."""
    numeric = isinstance(value, Real) and not isinstance(value, bool)  # numpy's numbers too
    if numeric and math.isfinite(value) and least <= value <= most and value > above:
        return
    bounds = [
        words
        for words, bound in (
            (f"more than {above:g}", above),
            (f"at least {least:g}", least),
            (f"at most {most:g}", most),
        )
        if math.isfinite(bound)
    ]
    raise BadSetting(name, value, " and ".join(["a finite number", *bounds]))


def require_whole(name: str, value: int, least: int) -> None:
    """Raise BadSetting unless a setting is a whole number, at least so large."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise BadSetting(name, value, f"a whole number, {least} or more")


def require_known(name: str, value: str, choices: Collection[str]) -> None:
    """Raise BadSetting unless a name is one of those that there are."""
    if not isinstance(value, str) or value not in choices:
        raise BadSetting(name, value, f"one of {', '.join(choices)}")
