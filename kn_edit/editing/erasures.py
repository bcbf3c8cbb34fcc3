"""The ways to erase a relation that ship. Importing them needs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from kn_edit.editing.method import EraseRequest, Kind, Need, option
from kn_edit.errors import require_number, require_whole
from kn_edit.later import later

if TYPE_CHECKING:
    from kn_edit.editing import erasing
    from kn_edit.editing.drafts import EditContext, Proposal
    from kn_edit.edits import erase
else:
    erasing = later("kn_edit.editing.erasing")
    erase = later("kn_edit.edits.erase")

AIM = 2.0  # times as perplexing: less is told


@dataclass(frozen=True)
class EraseMethod(ABC):
    """A way to choose the neurons of a relation; their slots are overwritten for it.

    zero: with zero, also where there is an unknown token; facts: known ones that are looked at
    """

    name: ClassVar[str]
    kind: ClassVar[Kind] = Kind.ERASE
    source: ClassVar[str]
    edits: ClassVar[str]
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ATTRIBUTION})

    zero: bool = option(
        False,
        "--with",
        "What their slots become: the unknown token's embedding, or zero (unk).",
        words={"unk": False, "zero": True},
    )
    facts: int = option(20, "--limit", "Look at so many known facts (20).", metavar="N", least=1)

    def __post_init__(self) -> None:
        require_whole("the count of facts", self.facts, 1)

    @property
    def aim(self) -> float:
        """How many times as perplexing the relation shall become."""
        return AIM

    def propose(self, context: EditContext, request: EraseRequest) -> Proposal:
        """Compute the erasure of a relation. Raises what `propose_erasure` raises."""
        return erasing.propose_erasure(context, request, self)

    @abstractmethod
    def choose(self, task: erasing.EraseTask) -> erasing.Chosen:
        """The neurons whose slots are overwritten."""


@dataclass(frozen=True)
class Specific(EraseMethod):
    """As few neurons that serve the relation and little else as make it so much more perplexing."""

    name: ClassVar[str] = "specific"
    source: ClassVar[str] = "decision 0013"
    edits: ClassVar[str] = "value slots of neurons that serve the relation and spare others"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ATTRIBUTION, Need.NEIGHBOURS})

    times: float = option(
        AIM,
        "--times",
        "Enough is forgotten when its perplexity is so much (2).",
        metavar="X",
        above=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("times", self.times, above=1)

    @property
    def aim(self) -> float:
        return self.times

    def choose(self, task: erasing.EraseTask) -> erasing.Chosen:
        words = f"serve the relation only, until it is {self.times:g} times as perplexing"
        return erasing.Chosen(erasing.serving_neurons(task, self.times), words)


@dataclass(frozen=True)
class Shared(EraseMethod):
    """The neurons that carry at least m of the relation's facts."""

    name: ClassVar[str] = "shared"
    source: ClassVar[str] = "Dai et al., 2022, section 5.2"
    edits: ClassVar[str] = "value slots of knowledge neurons of at least m facts"

    least: int = option(
        5,
        "--at-least",
        "Instead: the neurons of at least so many facts.",
        metavar="M",
        least=1,
        implies=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole("least", self.least, 1)

    def choose(self, task: erasing.EraseTask) -> erasing.Chosen:
        whose = f"at least {self.least} facts"
        neurons = erase.shared_by_at_least(task.sets, self.least)
        return erasing.Chosen(neurons, f"knowledge neurons of {whose}", whose)


@dataclass(frozen=True)
class Frequent(EraseMethod):
    """The neurons that carry most of the relation's facts, so many."""

    name: ClassVar[str] = "frequent"
    source: ClassVar[str] = "the code of Dai et al., 2022"
    edits: ClassVar[str] = "value slots of the most frequent knowledge neurons"

    top: int = option(
        20, "--top-k", "Instead: the N most frequent.", metavar="N", least=1, implies=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_whole("top", self.top, 1)

    def choose(self, task: erasing.EraseTask) -> erasing.Chosen:
        neurons = erase.most_frequent(task.sets, self.top)
        return erasing.Chosen(neurons, f"the {self.top} most frequent")
