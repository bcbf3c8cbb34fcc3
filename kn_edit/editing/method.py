"""What a way to edit is: the seam that every editing method stands behind.

    resolve -> propose -> measure -> gate -> record

A method proposes; all else is the same for each. It is a frozen dataclass whose fields are its
options, so the command line, Python and the docs read them from one place. Importing this, and the
methods that ship, needs no torch: what computes is imported when it computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from inspect import getdoc
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    from kn_edit.editing.drafts import EditContext, Proposal
    from kn_edit.facts import Case, Relation

OPTION = "option"


class Kind(StrEnum):
    """What an edit does, as the ledger records it."""

    UPDATE = "update"
    ERASE = "erase"


class Need(StrEnum):
    """What a method looks at beside the fact; what none needs is not computed."""

    ATTRIBUTION = "attribution"  # the fact's knowledge neurons
    NEIGHBOURS = "neighbours"  # prompts about other subjects, to be held in place
    STATISTICS = "statistics"  # coefficients in ordinary text


@dataclass(frozen=True)
class Option:
    """One option of a method, as a user sees it.

    least, above: bounds of a number; words: what a user writes for each value; read: what makes a
    value of a user's text; implies: naming the option names its method
    """

    flag: str
    help: str
    metavar: str | None = None
    least: int | None = None
    above: float | None = None
    words: Mapping[str, object] | None = None
    implies: bool = False
    read: Callable[[str], object] | None = None


def option(default: Any, flag: str, help: str, **details: Any) -> Any:
    """A dataclass field that is an option of the command line too; see Option."""
    return field(default=default, metadata={OPTION: Option(flag, help, **details)})


@dataclass(frozen=True)
class UpdateRequest:
    """Change the answer of a fact. edited: an edit changed it before."""

    case: Case
    to: str
    edited: bool = False


@dataclass(frozen=True)
class UpdatesRequest:
    """Change the answers of several facts by one edit, of a method that takes many."""

    updates: tuple[UpdateRequest, ...]


@dataclass(frozen=True)
class EraseRequest:
    """Erase what the model knows of a relation."""

    relation: Relation


@dataclass(frozen=True)
class Cost:
    """What an update runs, in tokens, counted on the demo model; for a forecast.

    asking: forward, before a solver begins; locating: likewise, for each prompt
    rows: texts that one step of the solver sees beside the prompts
    longer: tokens that the longest of them has more than the longest prompt
    step: runs forward that one step comes to, which goes back as well; steps: that are usual
    measuring: forward
    """

    asking: int = 500
    locating: int = 0
    rows: int = 0
    longer: int = 0
    step: float = 0.0
    steps: int = 0
    measuring: int = 4000


@runtime_checkable
class EditMethod(Protocol):
    """A way to edit. What implements it is a frozen dataclass; its fields are its options.

    One of which a single edit may change several facts says so by `many: ClassVar[bool] = True`.
    """

    name: ClassVar[str]  # as users and records say it
    kind: ClassVar[Kind]
    source: ClassVar[str]  # the paper, or the decision record, that it comes from
    edits: ClassVar[str]  # which weights it changes, in words
    needs: ClassVar[frozenset[Need]]

    def propose(self, context: EditContext, request: Any) -> Proposal:
        """Compute an edit on the context's version; records and measures nothing.

        request: an UpdateRequest or an EraseRequest, by the method's kind; an UpdatesRequest where
            the method takes many facts, and there are some
        """
        ...


def options_of(method: type[EditMethod] | EditMethod) -> dict[str, tuple[Option, Field[Any]]]:
    """The options of a method that the command line has, by the names of their fields."""
    return {
        entry.name: (entry.metadata[OPTION], entry)
        for entry in fields(method)  # type: ignore[arg-type]
        if OPTION in entry.metadata
    }


def takes_many(method: type[EditMethod] | EditMethod) -> bool:
    """Whether one edit of a method may change several facts."""
    return getattr(method, "many", False) is True


def summary_of(method: type[EditMethod]) -> str:
    """What a method does: the first paragraph of its docstring, on one line."""
    return (getdoc(method) or "").split("\n\n")[0].replace("\n", " ")
