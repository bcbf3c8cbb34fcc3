"""What making an edit gives back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kn_edit.ledger import Overlap

if TYPE_CHECKING:
    from kn_edit.editing.drafts import Draft


@dataclass(frozen=True, eq=False)
class Edited:
    """What an update or an erasure did, and where it is recorded, if it is.

    head: the version on top of which it was measured
    """

    draft: Draft
    edit: str | None
    version: str | None
    overlaps: tuple[Overlap, ...]
    head: str
