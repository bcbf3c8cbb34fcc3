"""One live model that goes from version to version by writing the slots that differ."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from kn_edit.edits.delta import Delta
from kn_edit.edits.live import FoldedVersion
from kn_edit.models.model import Model

MOST_BYTES = 512 << 20  # of slots that are kept ready


class VersionSwapper:
    """Brings a model from one version to another; by one thread at a time.

    model: holds the base's slots, and is nobody else's; deltas_of: the deltas of a version by its
    id, in order; most_bytes: of the folded slots of versions that were asked for lately
    """

    def __init__(
        self,
        model: Model,
        deltas_of: Callable[[str], Sequence[Delta]],
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._model = model
        self._deltas_of = deltas_of
        self._most_bytes = most_bytes
        self._ready: OrderedDict[str, FoldedVersion] = OrderedDict()  # the latest last
        self._current: tuple[str, FoldedVersion] | None = None  # None: the base's slots

    def model_at(self, version: str) -> Model:
        """The model with the weights of a version, until it is asked for another.

        version: a full id. A version that was asked for lately is only written; else its deltas
        are read and folded first. Raises UnknownId, DeltaMisfit, SlotOverflow; then the model holds
        the base's slots.
        """
        if self._current is None or self._current[0] != version:
            self.put_back()
            folded = self._folded(version)
            self._current = (version, folded)
            folded.write()
        return self._model

    def put_back(self) -> Model:
        """The model with the base's slots, bit for bit."""
        if self._current is not None:
            self._current[1].put_back()
            self._current = None
        return self._model

    def _folded(self, version: str) -> FoldedVersion:
        """A version's slots. The model holds the base's."""
        folded = self._ready.pop(version, None)
        if folded is None:
            folded = FoldedVersion(self._model, self._deltas_of(version))
        self._ready[version] = folded
        while len(self._ready) > 1 and self._bytes > self._most_bytes:
            self._ready.popitem(last=False)
        return folded

    @property
    def _bytes(self) -> int:
        return sum(folded.bytes for folded in self._ready.values())
