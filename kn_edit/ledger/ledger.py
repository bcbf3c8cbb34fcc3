"""The ledger: every edit and version of one base model, and the branches that point at some.

A move of a branch has two parts. `plan_…` says what the new recipe is, so that the caller can
build its weights and take their digests; `advance` records it, or nothing.
"""

from __future__ import annotations

from kn_edit.ledger.verbs.planning import PlanningVerbs
from kn_edit.ledger.verbs.reading import ReadingVerbs
from kn_edit.ledger.verbs.upkeep import UpkeepVerbs
from kn_edit.ledger.verbs.writing import WritingVerbs


class Ledger(ReadingVerbs, PlanningVerbs, WritingVerbs, UpkeepVerbs):
    """A ledger that is open. Use `create` or `open`, and it as a context manager.

    Its verbs stand in `kn_edit.ledger.verbs`: those that ask, plan, record, and look after it.
    """
