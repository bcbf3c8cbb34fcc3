"""An edit that was measured and not recorded, kept so that it can be recorded as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from kn_edit.edits.delta import Delta
from kn_edit.edits.kept import KeptDelta
from kn_edit.errors import GateFailed, HeadMoved
from kn_edit.ledger import Advance, FactChange, NewEdit
from kn_edit.workspace.edited import Edited

MEMBERS = ("kind", "relation", "subject", "answer", "target", "method", "message")


@dataclass(frozen=True, eq=False, kw_only=True)
class MeasuredEdit:
    """An edit that was measured on top of a version, and not recorded.

    head: that version; faults: why the gate refuses it; unsound: why it must not be recorded even
    if the user accepts it; misses: the prompts that fail
    """

    edit: NewEdit
    head: str
    faults: tuple[str, ...]
    unsound: tuple[str, ...]
    misses: tuple[str, ...]

    @classmethod
    def of(cls, edited: Edited) -> Self:
        """The edit of a dry run, or one that the gate refused."""
        draft = edited.draft
        return cls(
            edit=draft.new_edit(),
            head=edited.head,
            faults=draft.faults,
            unsound=draft.unsound,
            misses=draft.misses,
        )

    @property
    def delta(self) -> Delta:
        """What it does to the weights."""
        delta = self.edit.delta
        return delta.load() if isinstance(delta, KeptDelta) else delta

    def document(self) -> dict[str, Any]:
        """All but the delta, as JSON."""
        edit = self.edit
        return {name: getattr(edit, name) for name in MEMBERS} | {
            "delta": edit.delta.id,
            "found": dict(edit.found),
            "metrics": dict(edit.metrics),
            "further": [*map(asdict, edit.further)],
            "replaces": edit.replaces,
            "head": self.head,
            "faults": [*self.faults],
            "unsound": [*self.unsound],
            "misses": [*self.misses],
        }

    @classmethod
    def read(cls, document: Mapping[str, Any], delta: bytes) -> Self:
        """An edit from its document and its delta file. Raises DeltaDigestDiffers, InvalidDelta."""
        edit = NewEdit(
            **{name: document[name] for name in MEMBERS},
            delta=Delta.from_bytes(delta, document["delta"]),
            found=document["found"],
            metrics=document["metrics"],
            further=tuple(FactChange(**fact) for fact in document["further"]),
            replaces=document.get("replaces"),
        )
        return cls(
            edit=edit,
            head=document["head"],
            faults=tuple(document["faults"]),
            unsound=tuple(document["unsound"]),
            misses=tuple(document["misses"]),
        )

    def require_recordable(self, plan: Advance, *, accept: bool) -> None:
        """Raise HeadMoved where a move starts from another version, GateFailed where it is refused.

        accept: although the gate refuses it
        """
        if plan.from_head != self.head:
            raise HeadMoved(self.head, plan.from_head)
        reasons = (*self.unsound, *self.faults) if self.unsound or not accept else ()
        if reasons:
            raise GateFailed(
                reasons,
                None,
                final=bool(self.unsound),
                misses=() if self.unsound else self.misses,
                update=self.edit.kind == "update",
            )
