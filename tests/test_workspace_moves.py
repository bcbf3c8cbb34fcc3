"""Any sequence of edits, reverts, rewinds, composes and tags: the fold of the list is the truth.

The reference folds with loops over single numbers, in numpy's float64, and rounds to the dtype of
the base by looking for the nearest number there. It shares nothing with the code it checks.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from safetensors.torch import save_file
from workspaces import BITS, DTYPES, contents

from kn_edit.checkpoints.digests import digests
from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import (
    AlreadyThere,
    EditAlreadyApplied,
    EditNotApplied,
    SlotOverlap,
    TagExists,
)
from kn_edit.ledger import Advance, NewEdit
from kn_edit.models.shards import Shards
from kn_edit.neuron import NeuronId
from kn_edit.workspace import Workspace

LAYERS, D_FF, D_MODEL = 2, 9, 4
EDITS = 7
NAMES = tuple(f"model.layers.{layer}.mlp.down_proj.weight" for layer in range(LAYERS))
TAGS = ("v1", "v2")
ODD = (0.0, -0.0, 1e-40, -3.0e-3, 2.0**-25, 1 + 2.0**-8 + 2.0**-20, 300.0)
NAN = {torch.float32: 0x7FC00000, torch.float16: 0x7E00, torch.bfloat16: 0x7FC0}

Recipe = tuple[int, ...]  # edits by their number, in order
Slots = dict[tuple[int, int], tuple[Mode, np.ndarray]]  # what an edit does to (layer, index)


def base_bits(dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Bits of all kinds: NaN payloads, infinities, -0.0, subnormals, halfway numbers."""
    source = torch.Generator().manual_seed(5)
    low, high = torch.iinfo(BITS[dtype]).min, torch.iinfo(BITS[dtype]).max
    tensors = {}
    for name in (*NAMES, "model.embed_tokens.weight"):
        wild = torch.randint(low, high, (D_MODEL, D_FF), dtype=BITS[dtype], generator=source)
        tame = torch.randn((D_MODEL, D_FF), generator=source).to(dtype).view(BITS[dtype])
        bits = torch.where(torch.rand((D_MODEL, D_FF), generator=source) < 0.4, wild, tame)
        bits[0, :3] = torch.tensor(-0.0, dtype=dtype).view(BITS[dtype])
        bits[1, :3] = torch.tensor(math.inf, dtype=dtype).view(BITS[dtype]) + 1  # signalling NaN
        tensors[name] = bits.view(dtype)
    return tensors


def made_up_edit(number: int) -> Slots:
    """Some adds and some sets, overlapping with other edits here and there."""
    source = np.random.default_rng(number)
    slots: Slots = {}
    for layer in range(LAYERS):
        for index in sorted(source.choice(D_FF, size=2, replace=False).tolist()):
            value = source.normal(size=D_MODEL).astype(np.float32)
            value[source.integers(D_MODEL)] = source.choice(ODD)
            slots[layer, index] = (Mode(int(source.random() < 0.3)), value)
    return slots


MADE_UP = [made_up_edit(number) for number in range(EDITS)]


def delta_of(slots: Slots, base: BaseRef, axis: str) -> Delta:
    tensors = {}
    for layer, name in enumerate(NAMES):
        here = {index: what for (at, index), what in sorted(slots.items()) if at == layer}
        tensors[name] = SlotChanges(
            axis,
            torch.tensor(list(here)),
            torch.tensor([mode for mode, _ in here.values()], dtype=torch.uint8),
            torch.from_numpy(np.stack([value for _, value in here.values()])),
        )
    return Delta(base, tensors)


def overlap(one: int, other: int) -> bool:
    return bool(MADE_UP[one].keys() & MADE_UP[other].keys())


# --- the slow truth -------------------------------------------------------------------------------


class Truth:
    """What a dtype holds, number by number."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.base = {name: tensor.view(BITS[dtype]) for name, tensor in base_bits(dtype).items()}
        self.width = torch.iinfo(BITS[dtype]).bits

    def number(self, bits: int) -> float:
        """The exact value of a number, from its bits."""
        if self.dtype == torch.float16:
            return float(np.uint16(bits).view(np.float16))
        return float(np.uint32(bits << (32 - self.width)).view(np.float32))

    def rounded(self, value: float) -> int:
        """The bits of the number nearest to a value; of two, the one that ends in 0."""
        if math.isnan(value):
            return NAN[self.dtype]
        sign = 1 << (self.width - 1) if math.copysign(1.0, value) < 0 else 0
        size, low, high = abs(value), 0, self._infinity()
        while low < high:  # bits of positive numbers are in the order of the numbers
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.number(middle) <= size else (low, middle - 1)
        above = low + 1
        if size == self.number(low):
            return sign | low
        below_by, above_by = size - self.number(low), self.number(above) - size
        assert above_by != math.inf, "made-up edits stay in range"
        even = low if low % 2 == 0 else above
        nearest = even if below_by == above_by else low if below_by < above_by else above
        return sign | nearest

    def _infinity(self) -> int:
        return {16: 0x7C00, 32: 0x7F800000}[self.width] if self.dtype != torch.bfloat16 else 0x7F80

    def tensors(self, recipe: Recipe) -> dict[str, list[list[int]]]:
        """The bits of every tensor at a version."""
        found = {}
        for name, base in self.base.items():
            rows = [[bits % (1 << self.width) for bits in row] for row in base.tolist()]
            if name in NAMES:
                self._fold(rows, NAMES.index(name), recipe)
            found[name] = rows
        return found

    def _fold(self, rows: list[list[int]], layer: int, recipe: Recipe) -> None:
        for index in range(D_FF):
            writes = [
                MADE_UP[edit][layer, index] for edit in recipe if (layer, index) in MADE_UP[edit]
            ]
            for row in range(D_MODEL) if writes else ():
                value = np.float64(self.number(rows[row][index]))
                for mode, b in writes:
                    with np.errstate(invalid="ignore"):
                        own = np.float64(b[row])
                        value = own if mode == Mode.SET else value + own
                rows[row][index] = self.rounded(float(value))


# --- the machine ----------------------------------------------------------------------------------


class Moves(RuleBasedStateMachine):
    """A workspace, and beside it a list of recipes that any child could keep."""

    dtype: torch.dtype
    axis: str

    @initialize()
    def start(self) -> None:
        self.left = ExitStack()
        self.folder = Path(self.left.enter_context(tempfile.TemporaryDirectory()))
        model = self.folder / "model"
        model.mkdir()
        (model / "config.json").write_text(json.dumps({"model_type": "llama"}))
        tensors = {name: self._laid(one) for name, one in base_bits(self.dtype).items()}
        save_file(tensors, model / "model.safetensors", {"format": "pt"})
        self.workspace = self.left.enter_context(
            Workspace.init(
                str(model), self.folder / "work", clock=lambda: datetime(2026, 1, 1, tzinfo=UTC)
            )
        )
        base = BaseRef(None, None, self.workspace.base.fingerprint)
        self.deltas = [delta_of(slots, base, self.axis) for slots in MADE_UP]
        self.numbers = {delta.id: number for number, delta in enumerate(self.deltas)}
        self.truth = Truth(self.dtype)
        self.recorded: set[int] = set()
        self.recipes: dict[Recipe, str] = {(): self.workspace.head.id}
        self.head: Recipe = ()
        self.tags: dict[str, Recipe] = {}
        self.exports: dict[Recipe, dict[str, bytes]] = {(): contents(model)}

    def teardown(self) -> None:
        if hasattr(self, "left"):
            self.left.close()

    @rule(number=st.integers(0, EDITS - 1))
    def edit(self, number: int) -> None:
        delta = self.deltas[number]
        if number in self.head:
            with pytest.raises(EditAlreadyApplied):
                self.workspace.ledger.plan_edit(delta, "update")
            return
        plan = self.workspace.ledger.plan_edit(delta, "update", f"edit {number}")
        expected = [other for other in self.head if overlap(number, other)]
        assert [self.numbers[one.other] for one in plan.overlaps] == expected
        self._advance(plan, NewEdit(delta, "update", "r", str(number), "a", "b", "m", {}, {}, ""))
        self.recorded.add(number)
        self._moved((*self.head, number))

    @precondition(lambda self: self.recorded)
    @rule(data=st.data(), allow=st.booleans())
    def revert(self, data: st.DataObject, allow: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.recorded)))
        edit = self.deltas[number].id
        if number not in self.head:
            with pytest.raises(EditNotApplied):
                self.workspace.revert(edit, allow_overlap=allow)
            return
        later = self.head[self.head.index(number) + 1 :]
        if not allow and any(overlap(number, other) for other in later):
            with pytest.raises(SlotOverlap):
                self.workspace.revert(edit)
            return
        self.workspace.revert(edit[:12], allow_overlap=allow)
        self._moved(tuple(other for other in self.head if other != number))

    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        name, recipe = data.draw(st.sampled_from(self._names()))
        if recipe == self.head:
            with pytest.raises(AlreadyThere):
                self.workspace.rewind(name)
            return
        self.workspace.rewind(name)
        self._moved(recipe)

    @rule(data=st.data(), allow=st.booleans())
    def compose(self, data: st.DataObject, allow: bool) -> None:
        named = data.draw(st.lists(st.sampled_from(self._names()), min_size=1, max_size=3))
        recipes = [recipe for _, recipe in named]
        parents = recipes if len(named) > 1 else [self.head, *recipes]
        together = tuple(dict.fromkeys(edit for recipe in parents for edit in recipe))
        strangers = [
            (one, other)
            for at, one in enumerate(together)
            for other in together[at + 1 :]
            if overlap(one, other) and not any({one, other} <= {*recipe} for recipe in parents)
        ]
        names = [name for name, _ in named]
        if strangers and not allow:
            with pytest.raises(SlotOverlap):
                self.workspace.compose(names)
        elif together == self.head:
            with pytest.raises(AlreadyThere):
                self.workspace.compose(names, allow_overlap=allow)
        else:
            self.workspace.compose(names, allow_overlap=allow)
            self._moved(together)

    @rule(data=st.data(), tag=st.sampled_from(TAGS), move=st.booleans())
    def tag(self, data: st.DataObject, tag: str, move: bool) -> None:
        name, recipe = data.draw(st.sampled_from(self._names()))
        if tag in self.tags and self.tags[tag] != recipe and not move:
            with pytest.raises(TagExists):
                self.workspace.tag(tag, name)
            return
        self.workspace.tag(tag, name, move=move)
        self.tags[tag] = recipe

    @invariant()
    def the_head_is_the_fold_of_its_list(self) -> None:
        head = self.workspace.head
        assert tuple(self.numbers[edit] for edit in head.edits) == self.head
        assert self.recipes.setdefault(self.head, head.id) == head.id
        assert len({*self.recipes.values()}) == len(self.recipes)
        out = self.workspace.export(self.folder / "out")
        files = contents(out)
        if self.head not in self.exports:
            shards, width = Shards.open(out), 1 << self.truth.width
            for name, rows in self.truth.tensors(self.head).items():
                found = self._laid(shards.read(name)).view(BITS[self.dtype]).tolist()
                assert [[bits % width for bits in row] for row in found] == rows
            self.exports[self.head] = files
        assert files == self.exports[self.head]  # the same, whichever way led here
        shutil.rmtree(out)

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert self.workspace.verify() == []
        assert contents(self.folder / "model") == self.exports[()]
        for tag, recipe in self.tags.items():
            assert self.workspace.ledger.version(tag).id == self.recipes[recipe]
        for neuron in {(0, 0), (1, 4)}:
            found = {
                self.numbers[one.edit.id]: one for one in self.workspace.blame(NeuronId(*neuron))
            }
            assert {*found} == {edit for edit in self.recorded if neuron in MADE_UP[edit]}
            assert {edit for edit in found if found[edit].in_head} == {*found} & {*self.head}

    def _laid(self, tensor: torch.Tensor) -> torch.Tensor:
        """From (d_model, d_ff) to how the base keeps its weights, or back."""
        return tensor.T.contiguous() if self.axis == "row" else tensor

    def _names(self) -> list[tuple[str, Recipe]]:
        """Every version, by every kind of name."""
        by_id = [(id_[:10], recipe) for recipe, id_ in self.recipes.items()]
        return [("head", self.head), ("root", ()), *sorted(self.tags.items()), *by_id]

    def _advance(self, plan: Advance, edit: NewEdit) -> None:
        """Record an edit as the workspace does, but for finding its numbers."""
        deltas = [self.deltas[self.numbers[one]] for one in plan.recipe]
        found = digests(self.workspace.engine.shards, deltas)
        self.workspace.ledger.advance(plan, found, edit=edit)

    def _moved(self, recipe: Recipe) -> None:
        self.head = recipe
        self.recipes.setdefault(recipe, self.workspace.head.id)


@pytest.mark.parametrize(
    ("dtype", "axis"), [*((dtype, "column") for dtype in DTYPES), (torch.bfloat16, "row")], ids=str
)
def test_any_sequence_of_moves(dtype, axis):
    machine = type("MovesOf", (Moves,), {"dtype": dtype, "axis": axis})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8,
            stateful_step_count=10,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_some_of_the_made_up_edits_overlap_and_some_do_not():
    pairs = [overlap(one, other) for one in range(EDITS) for other in range(one)]
    assert 0 < sum(pairs) < len(pairs)
    modes = [mode for slots in MADE_UP for mode, _ in slots.values()]
    assert {*modes} == {Mode.ADD, Mode.SET}
