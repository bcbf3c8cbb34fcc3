"""The protocols by which a version is evaluated: their names, what each means, their options.

Importing this needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from kn_edit.errors import require_known, require_whole
from kn_edit.models.number_formats import Rounding
from kn_edit.seeds import USUAL

TOKENS, SAMPLES = 40, 3
TEMPERATURE, TOP_P = 0.7, 0.95


class EvaluationProtocol(StrEnum):
    """How a model is asked about its edits."""

    TEACHER_FORCED = "teacher-forced"
    FREE = "free"
    CHOICE = "choice"
    PORTABILITY = "portability"
    LOCALITY = "locality"


MEANINGS: Mapping[EvaluationProtocol, str] = {
    EvaluationProtocol.TEACHER_FORCED: (
        "as papers score: the share of the new answer's tokens that come first, "
        "each with the tokens before it fed in"
    ),
    EvaluationProtocol.FREE: (
        "asked with nothing fed in, until the text ends: right when the new answer is said "
        "and the old one is not"
    ),
    EvaluationProtocol.CHOICE: (
        "the old and the new answer are offered, in both orders: which one the model says"
    ),
    EvaluationProtocol.PORTABILITY: (
        "what follows from the new answer, asked with nothing fed in: the share that is said"
    ),
    EvaluationProtocol.LOCALITY: (
        "other answers, compared as a whole with the base's: the share that stays, of other "
        "subjects, of the same subject, and of others behind the edit stated as a sentence"
    ),
}
GENERATING = frozenset(
    {EvaluationProtocol.FREE, EvaluationProtocol.CHOICE, EvaluationProtocol.PORTABILITY}
)
ON_REQUEST = tuple(name.value for name in EvaluationProtocol if name != "teacher-forced")
ALL = "all"
ROUNDINGS = tuple(rounding.value for rounding in Rounding)


@dataclass(frozen=True)
class FreeOptions:
    """How many texts are generated for each prompt, and how.

    tokens: a text ends after so many at the latest
    samples: texts that are drawn beside the greedy one, with `temperature` and `top_p`
    seed: of what is drawn
    entropy: measure it; then each text goes on up to its last token
    """

    tokens: int = TOKENS
    samples: int = SAMPLES
    temperature: float = TEMPERATURE
    top_p: float = TOP_P
    seed: int = USUAL
    entropy: bool = True

    def __post_init__(self) -> None:
        require_whole("the tokens of a text", self.tokens, 1)
        require_whole("the samples", self.samples, 0)


@dataclass(frozen=True)
class ProtocolPlan:
    """The protocols of an evaluation beside the teacher-forced one, and their options.

    rounding: to which both models' weights are rounded while they are asked; None leaves them
    """

    names: tuple[EvaluationProtocol, ...] = ()
    free: FreeOptions = field(default_factory=FreeOptions)
    rounding: Rounding | None = None


TEACHER_FORCED_ONLY = ProtocolPlan()


class ProtocolAnswers(Protocol):
    """What one protocol says of one update."""

    @property
    def figures(self) -> Mapping[str, float | None]:
        """Its figures by name; None where nothing was asked."""
        ...

    @property
    def texts(self) -> tuple[str, ...]:
        """What the version said, the likeliest texts only; empty where it generated none."""
        ...

    def plain(self) -> dict[str, Any]:
        """Figures and texts as JSON has them."""
        ...


def requested(names: Iterable[str]) -> tuple[EvaluationProtocol, ...]:
    """The protocols that a call asks for beside `teacher-forced`, in order; `all` is every one.

    Raises BadSetting for a name that is none.
    """
    wanted = {names} if isinstance(names, str) else set(names)
    for name in wanted:
        require_known("the protocol", name, (*ON_REQUEST, ALL))
    return tuple(EvaluationProtocol(name) for name in ON_REQUEST if name in wanted or ALL in wanted)


def rounding_named(name: str | None) -> Rounding | None:
    """The number format of a name. Raises BadSetting for a name that is none."""
    if name is None:
        return None
    require_known("the rounding", name, ROUNDINGS)
    return Rounding(name)
