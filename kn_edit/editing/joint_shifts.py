"""One shift for each subject of a set of facts, found by whatever computes.

Several facts about one subject are written at the same places, so one shift is to do for all: each
alone would be what the others are not to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from kn_edit.editing.drafts import EditContext
from kn_edit.editing.joint_base import JointBase
from kn_edit.edits.delta import Delta
from kn_edit.edits.members import STAYS, Member, ShiftRow
from kn_edit.edits.settings import JointSettings
from kn_edit.engine.engine import Engine
from kn_edit.engine.shares import shared

SHARE = 1  # subjects whose shifts one worker finds before the next share


@dataclass(frozen=True, eq=False)
class ShiftsShare:
    """Subjects of several facts, each as its facts, whose shifts one worker finds.

    seed: of everything that is drawn
    """

    subjects: tuple[tuple[Member, ...], ...]
    settings: JointSettings
    seed: int

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[Tensor]:
        """Each (d_model,), float32. deltas: none, as it is looked for in the base.

        Raises NotFinite.
        """
        shifts: list[Tensor] = []
        with engine.at(deltas) as live:
            context = EditContext(engine, progress=engine.progress, seed=self.seed)
            base = JointBase.of(context, live, self.settings)
            for facts in self.subjects:
                engine.progress("asking together", len(shifts), len(self.subjects))
                shifts.append(base.shift(_rows_of_all(facts), len(facts)).cpu())
        return shifts


def shifts_by_subject(
    context: EditContext, members: Sequence[Member], settings: JointSettings
) -> dict[str, Tensor]:
    """The shift of each subject of a set, (d_model,), float32, on the CPU.

    Where there is one fact about it, that fact's own. Raises NotFinite.
    """
    facts_about: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda member: member.order):
        facts_about.setdefault(member.subject, []).append(member)
    shifts = {subject: torch.tensor(facts[0].shift) for subject, facts in facts_about.items()}
    several = {subject: tuple(facts) for subject, facts in facts_about.items() if len(facts) > 1}
    if several:
        share_of = partial(ShiftsShare, settings=settings, seed=context.seed)
        tell, workers = partial(context.progress, "asking together"), context.engine.workers
        found = shared(workers, (), [*several.values()], share_of, SHARE, tell=tell)
        shifts |= zip(several, found, strict=True)
    return shifts


def _rows_of_all(facts: Sequence[Member]) -> list[ShiftRow]:
    """The rows of facts about one subject: what one of them answers anew, no other one keeps."""
    rows = dict.fromkeys(row for member in facts for row in member.rows)
    anew = {row.place for row in rows if row.token != STAYS}
    return [row for row in rows if row.token != STAYS or row.place not in anew]
