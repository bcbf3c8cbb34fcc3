"""Updates of a version under the protocols that a call asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from kn_edit.editing.asking_again import Update
from kn_edit.editing.edited import EditedFacts
from kn_edit.editing.protocol_shares import (
    ChoiceShare,
    EditedFact,
    FreeShare,
    LocalityShare,
    PortabilityShare,
    ProtocolContext,
)
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.engine.shares import Share, shared
from kn_edit.errors import CannotContinue
from kn_edit.evaluation.protocols import (
    GENERATING,
    EvaluationProtocol,
    ProtocolAnswers,
    ProtocolPlan,
)
from kn_edit.models.model import Model

PER_SHARE = 8  # updates of a share

_SHARES: Mapping[EvaluationProtocol, Callable[..., Share[Sequence[ProtocolAnswers]]]] = {
    EvaluationProtocol.FREE: FreeShare,
    EvaluationProtocol.CHOICE: ChoiceShare,
    EvaluationProtocol.PORTABILITY: PortabilityShare,
    EvaluationProtocol.LOCALITY: LocalityShare,
}


def check_protocols(plan: ProtocolPlan, model: Model) -> None:
    """Raise CannotContinue where a masked LM would have to generate text."""
    if GENERATING.intersection(plan.names) and not model.causal:
        raise CannotContinue(model.family.model_type)


def with_protocols(
    engine: Engine,
    deltas: Sequence[Delta],
    facts: Sequence[EditedFact],
    updates: Sequence[Update],
    plan: ProtocolPlan,
) -> tuple[Update, ...]:
    """The updates of these facts, with what each protocol says of them. Raises NotFinite."""
    if not plan.names:
        return tuple(updates)
    edited = EditedFacts.of(engine.model, [case for case, _ in facts])
    context = ProtocolContext(options=plan.free, rounding=plan.rounding, edited=edited)
    for name in plan.names:
        share_of = partial(_SHARES[name], context=context)
        tell = partial(engine.progress, f"protocol {name.value}")
        answers = shared(engine.workers, deltas, facts, share_of, PER_SHARE, tell=tell)
        updates = [
            replace(update, protocols={**update.protocols, name: answer})
            for update, answer in zip(updates, answers, strict=True)
        ]
    return tuple(updates)
