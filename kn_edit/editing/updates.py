"""The ways to update a fact that ship. Importing them needs no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from kn_edit.editing.method import Cost, Kind, Need, UpdateRequest, UpdatesRequest, option
from kn_edit.edits.settings import (
    CAUSAL,
    MASKED,
    MASKED_CORRECTION,
    CorrectionSettings,
    JointSettings,
    Settings,
)
from kn_edit.errors import BadSetting, require_number, require_whole
from kn_edit.later import later
from kn_edit.neuron import NeuronId

if TYPE_CHECKING:
    from kn_edit.editing import solving, updating
    from kn_edit.editing.drafts import EditContext, Proposal
    from kn_edit.editing.locating import Locator
    from kn_edit.editing.updating import LowRankShifts, Shifts, UpdateTask
    from kn_edit.facts import Case
    from kn_edit.models.model import Model
else:
    solving = later("kn_edit.editing.solving")
    updating = later("kn_edit.editing.updating")

DAI = "Dai et al., 2022, section 5.1"
NEURONS = "Write the slots of these neurons and no others, as `locate -q` names them."
IN_CHAT = (
    "Of one fact, calibrated: replies in the model's chat format are to name the new answer too, "
    "as far as what must stay allows; takes nearly twice as long."
)
SLOTS = "Write so many slots (as suits the model)."


def neurons_in(text: str) -> tuple[NeuronId, ...]:
    """Neurons as people list them, with commas or spaces between. Raises NotANeuron."""
    return tuple(map(NeuronId.parse, text.replace(",", " ").split()))


@dataclass(frozen=True)
class UpdateMethod(ABC):
    """A way to update that adds shifts to value slots; asking and judging are done for it."""

    name: ClassVar[str]
    kind: ClassVar[Kind] = Kind.UPDATE
    source: ClassVar[str]
    edits: ClassVar[str]
    needs: ClassVar[frozenset[Need]] = frozenset()
    many: ClassVar[bool] = False  # whether one edit may change several facts

    def propose(self, context: EditContext, request: UpdateRequest | UpdatesRequest) -> Proposal:
        """Compute an update of one fact or several. Raises what `propose_update` raises."""
        if isinstance(request, UpdatesRequest):
            return updating.propose_updates(context, request, self)
        return updating.propose_update(context, request, self)

    def suited(self, model: Model, base: Locator, case: Case) -> UpdateMethod:
        """The method that this fact is edited by: another one, where that is left to the fact."""
        return self

    @abstractmethod
    def shifts(self, task: UpdateTask) -> Shifts | LowRankShifts:
        """What to add to which value slots, for a fact that was asked."""

    def shifts_of_many(self, tasks: Sequence[UpdateTask]) -> Shifts | LowRankShifts:
        """What to add to which value slots, for several facts at once; of a method of many."""
        raise NotImplementedError("a method that says that it takes many facts makes their edit")

    def cost(self, *, causal: bool) -> Cost:
        """What it runs, for a forecast."""
        return Cost()


@dataclass(frozen=True)
class _OnNeurons(UpdateMethod):
    """A way to update that writes slots of a fact's own neurons, or of those that a user names."""

    neurons: tuple[NeuronId, ...] = option(
        (), "--neurons", NEURONS, metavar="N,...", read=neurons_in
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "neurons", tuple(map(NeuronId.of, self.neurons)))


@dataclass(frozen=True)
class _OnSlots(_OnNeurons):
    """A way to update that writes a chosen count of slots, unless neurons are named."""

    slots: int | None = option(None, "--slots", SLOTS, metavar="N", least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_slots(self.slots, self.neurons)


@dataclass(frozen=True)
class Calibrated(_OnSlots):
    """Solve for shifts of a fact's knowledge neurons: a hinge, and a divergence elsewhere.

    settings: of the solver; by default as suits the model; in_chat: of one fact, to change replies
    in the model's chat format too (decision 0062)
    """

    name: ClassVar[str] = "calibrated"
    source: ClassVar[str] = "neurons: Dai et al., 2022; solver: decision 0004"
    edits: ClassVar[str] = "20 to 50 value slots of the fact's knowledge neurons and the next best"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ATTRIBUTION, Need.NEIGHBOURS})
    many: ClassVar[bool] = True

    settings: Settings | None = None
    in_chat: bool = option(False, "--in-chat", IN_CHAT)

    def settings_for(self, model: Model) -> Settings:
        """How it solves on this model."""
        settings = self.settings or (CAUSAL if model.causal else MASKED)
        if self.slots is None:
            return settings
        return replace(settings, fewest=self.slots, most_neurons=self.slots)

    def shifts(self, task: UpdateTask) -> Shifts:
        settings = self.settings_for(task.model)
        return solving.calibrated_shifts(task, self.neurons, settings, in_chat=self.in_chat)

    def shifts_of_many(self, tasks: Sequence[UpdateTask]) -> Shifts:
        settings = self.settings_for(tasks[0].model)
        return solving.calibrated_shifts_of_many(tasks, self.neurons, settings)

    def cost(self, *, causal: bool) -> Cost:
        return Cost(locating=1500, rows=50, longer=4, step=1.0, steps=18)


@dataclass(frozen=True)
class Correction(UpdateMethod):
    """Solve along keys: directions that hear the subject and little else.

    settings: of the solver; by default as suits the model
    """

    name: ClassVar[str] = "correction"
    source: ClassVar[str] = "keys: Meng et al., 2022; solver: decision 0020"
    edits: ClassVar[str] = (
        "in a causal LM two value slots, which a mark of rank one in three layers turns on; in a "
        "masked LM all value slots of up to eight layers, at rank eight"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({Need.NEIGHBOURS, Need.STATISTICS})

    slots: int | None = option(None, "--slots", SLOTS, metavar="N", least=1)
    settings: CorrectionSettings | None = None

    def __post_init__(self) -> None:
        _check_slots(self.slots)

    def settings_for(self, model: Model) -> CorrectionSettings:
        """How it solves on this model."""
        settings = self.settings or (CorrectionSettings() if model.causal else MASKED_CORRECTION)
        return settings if self.slots is None else replace(settings, slots=self.slots)

    def shifts(self, task: UpdateTask) -> LowRankShifts:
        return solving.corrected_shifts(task, self.settings_for(task.model))

    def cost(self, *, causal: bool) -> Cost:
        steps = 32 if causal else 70
        return Cost(9000, 0, rows=20, longer=12, step=1.65, steps=steps, measuring=2500)


@dataclass(frozen=True)
class Joint(UpdateMethod):
    """Solve for many facts at once: a least-squares solution for each of a few layers.

    settings: of the solver; by default the usual ones
    """

    name: ClassVar[str] = "joint"
    source: ClassVar[str] = "least squares over keys: Meng et al., 2023; decisions 0061, 0063, 0064"
    edits: ClassVar[str] = "all value slots of a few layers, a direction for each fact"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.NEIGHBOURS, Need.STATISTICS})
    many: ClassVar[bool] = True

    settings: JointSettings | None = None

    @property
    def solver(self) -> JointSettings:
        """How it solves."""
        return self.settings or JointSettings()

    def propose(self, context: EditContext, request: UpdateRequest | UpdatesRequest) -> Proposal:
        """Compute the edit of the facts, and of those of the context's set, which they join."""
        updates = request.updates if isinstance(request, UpdatesRequest) else (request,)
        return solving.propose_joint(context, updates, self.solver)

    def shifts(self, task: UpdateTask) -> LowRankShifts:
        raise NotImplementedError("a joint update is solved for a set of facts")

    def cost(self, *, causal: bool) -> Cost:
        return Cost(asking=40000, rows=0, step=1.0, steps=16)


@dataclass(frozen=True)
class ClosedForm(_OnNeurons):
    """The paper's formula: take l1 of the old answer's embedding, give l2 of the new one's."""

    name: ClassVar[str] = "closed-form"
    source: ClassVar[str] = DAI
    edits: ClassVar[str] = "value slots of the fact's knowledge neurons"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ATTRIBUTION})

    scale: tuple[float, float] = option(
        (1.0, 8.0),
        "--scale",
        "Of the closed form: how much of the old answer to take, of the new to give (1 8).",
        metavar="L1 L2",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for number in self.scale:
            require_number("the scale", number)

    def shifts(self, task: UpdateTask) -> Shifts:
        return solving.closed_form_shifts(task, self.neurons, self.scale)

    def cost(self, *, causal: bool) -> Cost:
        return Cost(locating=1500)


@dataclass(frozen=True)
class Auto(_OnSlots):
    """Calibrated where neurons carry the fact, else a correction."""

    name: ClassVar[str] = "auto"
    source: ClassVar[str] = "decision 0020"
    edits: ClassVar[str] = "what the method that suits the fact edits"
    needs: ClassVar[frozenset[Need]] = Calibrated.needs | Correction.needs

    def suited(self, model: Model, base: Locator, case: Case) -> UpdateMethod:
        if self.neurons or not updating.is_unknown(model, base, case):
            return Calibrated(self.neurons, self.slots)
        return Correction(self.slots)

    def shifts(self, task: UpdateTask) -> Shifts:
        raise NotImplementedError("the method that suits the fact makes the edit")


def _check_slots(slots: int | None, neurons: tuple[NeuronId, ...] = ()) -> None:
    """Raise BadSetting for a count that cannot be written, or that neurons say already."""
    if slots is not None:
        require_whole("the count of slots", slots, 1)
        if neurons:
            raise BadSetting("the count of slots", slots, "none where neurons are named")
