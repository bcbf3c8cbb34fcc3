"""Where subjects end, run through the layers that a joint update writes, one layer after the other.

What stands in front of a subject's end is as the base has it: what other facts write there is
little, and so one token of each text runs again. Where tokens hear each other, or cannot run as a
tree (`models.tree`), whole texts do, with all that is written in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kn_edit.editing.joint_subjects import writing
from kn_edit.edits.members import Place
from kn_edit.edits.suffix import LowRankShift, Suffix, TextGroup, TreeGroup, shifted
from kn_edit.models.coefficients import captured
from kn_edit.models.encoding import Ids
from kn_edit.models.model import Model
from kn_edit.models.trace import run_from
from kn_edit.models.tree import Branch

SAME = 1e-2  # of what is wanted: so little may be missing
SEARCHED = 30  # steps at most, where a norm stands behind what a layer writes

Climb = Callable[[Tensor, int, int], Tensor]  # hidden states from one layer up to another


@dataclass(frozen=True, eq=False)
class EndStates:
    """Places at the input of a layer, to which all layers below have written their part.

    top: the last layer that writes; groups: places that run together
    """

    model: Model
    layer: int
    top: int
    count: int
    groups: tuple[_Group, ...]

    @classmethod
    def of(
        cls,
        model: Model,
        places: Sequence[Place],
        layers: Sequence[int],
        texts: Suffix | None = None,
    ) -> EndStates:
        """Places at the first of the layers.

        texts: of the places, there; None runs them up to it
        """
        bottom, top = layers[0], layers[-1]
        number: dict[Ids, list[int]] = {}
        for index, place in enumerate(places):
            number.setdefault(place.ids, []).append(index)
        groups = tuple(
            _of_tree(group, places, number, top)
            if isinstance(group, TreeGroup)
            else _padded(model, group, places, number)
            for group in (texts or Suffix(model, bottom, number)).groups(number)
        )
        return cls(model, bottom, top, len(places), groups)

    def keys(self) -> Tensor:
        """The layer's coefficients, float32, (places, d_ff)."""
        keys = torch.empty(self.count, self.model.d_ff, device=self.model.device)
        for group in self.groups:
            with torch.no_grad(), captured(self.model) as by_layer:
                group.climb(group.hidden, self.layer, self.layer + 1)
            keys[group.places] = by_layer[self.layer].flatten(0, -2)[group.tokens].to(keys)
        return keys

    def at_top(self, writes: Tensor | None = None) -> Tensor:
        """The output of the last layer that writes, float32, (places, d_model).

        writes: what that layer writes more at the places, (places, d_model)
        """
        with torch.no_grad():
            return self._output(self.top, writes)

    def writes(self, wanted: Tensor) -> Tensor:
        """What the layer is to write at each place for its output to move so, (places, d_model).

        Just that, where its output is a sum that has what it writes in it. Where a norm stands
        behind, it is looked for (BFGS), as far as the norm lets it through. Which of both it is
        shows at the places that run together where most is wanted.
        """
        most = max(self.groups, key=lambda group: float(wanted[group.places].norm()))
        if replace(self, groups=(most,))._adds(wanted):
            return wanted
        with torch.no_grad():
            before = self._output(self.layer, None)
        size = wanted.norm(dim=1).square().mean().clamp_min(torch.finfo(wanted.dtype).tiny)
        writes = wanted.clone().requires_grad_()
        search = torch.optim.LBFGS([writes], max_iter=SEARCHED, line_search_fn="strong_wolfe")

        def loss() -> float:
            with torch.enable_grad():
                came = self._output(self.layer, writes) - before
                missing = (came - wanted).square().sum(1).mean() / size
            writes.grad = torch.autograd.grad(missing, writes)[0]
            return float(missing.detach())

        search.step(loss)  # type: ignore[no-untyped-call]
        return writes.detach()

    def _adds(self, wanted: Tensor) -> bool:
        """Whether the layer's output moves by what it writes more. wanted: (all places, d_model)"""
        places = sorted(place for group in self.groups for place in group.places)
        length = float(wanted[places].norm())
        if not length:
            return True
        with torch.no_grad():
            before = self._output(self.layer, None)
            # As long as the output is: less would be lost in the rounding of bfloat16.
            tried = wanted * (float(before.norm()) / length)
            came = self._output(self.layer, tried) - before
        missing = (came - tried[places]).norm()
        return float(missing) <= SAME * float(tried[places].norm())

    def _output(self, layer: int, writes: Tensor | None) -> Tensor:
        """A layer's output at the places, float32. writes: what it writes more there"""
        parts, order = [], list[int]()
        for group in self.groups:
            with ExitStack() as inside:
                if writes is not None:
                    additions = writes[group.places]
                    inside.enter_context(writing(self.model, layer, group.tokens, additions))
                output = group.climb(group.hidden, self.layer, layer + 1)
            parts.append(output.flatten(0, -2)[group.tokens])
            order += group.places
        number = torch.tensor(order, device=self.model.device).argsort()
        return torch.cat(parts).float()[number]

    def behind(self, shift: LowRankShift) -> EndStates:
        """The places at the input of the next layer, where this one also writes a shift."""
        with torch.no_grad(), shifted(self.model, {self.layer: shift}):
            groups = tuple(
                replace(group, hidden=group.climb(group.hidden, self.layer, self.layer + 1))
                for group in self.groups
            )
        return replace(self, layer=self.layer + 1, groups=groups)


@dataclass(frozen=True, eq=False)
class _Group:
    """Places of texts that run together. tokens: of each place, counted through all texts"""

    climb: Climb
    hidden: Tensor  # (..., d_model)
    places: list[int]
    tokens: list[int]


def _numbered(texts: Sequence[Ids], number: dict[Ids, list[int]]) -> Iterator[tuple[int, int]]:
    """Each place of some texts, with the number of its text."""
    return ((row, index) for row, ids in enumerate(texts) for index in number[ids])


def _of_tree(
    group: TreeGroup, places: Sequence[Place], number: dict[Ids, list[int]], top: int
) -> _Group:
    indices = [index for _, index in _numbered(group.texts, number)]
    branches = [Branch(places[index].ids, places[index].position) for index in indices]
    tokens, order = group.tree.branches(group.hidden, group.layer, branches, top + 1)

    def climb(hidden: Tensor, layer: int, stop_at: int) -> Tensor:
        return tokens.climb(hidden, layer, stop_at)[0]

    return _Group(climb, group.hidden[order], indices, list(range(len(indices))))


def _padded(
    model: Model, group: TextGroup, places: Sequence[Place], number: dict[Ids, list[int]]
) -> _Group:
    pairs = [*_numbered(group.texts, number)]
    length = group.hidden.shape[1]

    def climb(hidden: Tensor, layer: int, stop_at: int) -> Tensor:
        return run_from(model, layer, hidden, group.calls, stop_at)

    return _Group(
        climb,
        group.hidden,
        [index for _, index in pairs],
        [row * length + places[index].position for row, index in pairs],
    )
