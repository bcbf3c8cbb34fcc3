"""The name of a neuron, `L9.2141`: layer 9, intermediate unit 2141, both from 0."""

from __future__ import annotations

import re
from contextlib import suppress
from operator import index
from typing import NamedTuple

from kn_edit.errors import NotANeuron

_WRITTEN = re.compile(r"L(\d{1,6})\.(\d{1,9})", re.ASCII)


def whole_layer(layer: int) -> str:
    """All neurons of a layer, as they are shown: `L9 (all)`."""
    return f"L{layer} (all)"


class NeuronId(NamedTuple):
    """One FFN neuron of a model."""

    layer: int
    index: int  # type: ignore[assignment]  # hides a method of tuples that nobody needs here

    def __str__(self) -> str:
        return f"L{self.layer}.{self.index}"

    @classmethod
    def parse(cls, text: str) -> NeuronId:
        """Read `L9.2141`. Raises NotANeuron."""
        match = _WRITTEN.fullmatch(text.strip())
        if match is None:
            raise NotANeuron(text)
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def of(cls, named: object) -> NeuronId:
        """A neuron as people name it: itself, `L9.2141`, or a pair of whole numbers.

        The numbers may be numpy's, which neither a database nor JSON would write as numbers.
        Raises NotANeuron.
        """
        if isinstance(named, str):
            return cls.parse(named)
        if isinstance(named, (tuple, list)) and len(named) == 2:
            with suppress(TypeError):
                return cls(index(named[0]), index(named[1]))
        raise NotANeuron(str(named))
