"""The tables of what edits write: single slots, and layers whose slots are changed all at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any

from sqlalchemy import Select

from kn_edit.ledger.connection import Connection, select
from kn_edit.ledger.parts import parts
from kn_edit.ledger.stored import DamagedRow, Row
from kn_edit.ledger.tables import edit_layers, edit_slots
from kn_edit.ledger.writes import LOW_RANK, NOTHING, Writes
from kn_edit.neuron import NeuronId


def add(connection: Connection, edit: str, writes: Writes) -> None:
    """Add a row for each slot that an edit writes, and for each layer that it writes all of."""
    slots = [
        {"edit_id": edit, "layer": slot.layer, "neuron": slot.index, "mode": mode}
        for slot, mode in writes.slots.items()
    ]
    layers = [{"edit_id": edit, **vars(change)} for change in writes.changes]
    connection.insert(edit_slots, slots)
    connection.insert(edit_layers, layers)


def of_edit(connection: Connection, edit: str) -> Writes:
    """What an edit writes."""
    return of_edits(connection, [edit]).get(edit, NOTHING)


def of_edits(connection: Connection, ids: Collection[str] | None = None) -> dict[str, Writes]:
    """What each of these edits writes, or each of all. Raises DamagedRow."""
    slots: dict[str, dict[NeuronId, str]] = defaultdict(dict)
    query = select(edit_slots).order_by(edit_slots.c.layer, edit_slots.c.neuron)
    for part in parts(query, edit_slots.c.edit_id, ids):
        for values in connection.execute(part).mappings():
            row = Row("edit_slots", values)
            slots[row.text("edit_id")][_neuron(row)] = row.text("mode")
    layers: dict[str, dict[int, int]] = defaultdict(dict)
    layer_query = select(edit_layers).order_by(edit_layers.c.layer)
    for part in parts(layer_query, edit_layers.c.edit_id, ids):
        _take_layers(connection, part, layers)
    edits_ = slots.keys() | layers.keys()
    return {edit: Writes(slots.get(edit, {}), layers.get(edit, {})) for edit in edits_}


def _take_layers(
    connection: Connection, query: Select[Any], layers: dict[str, dict[int, int]]
) -> None:
    """Add rows of edit_layers to the ranks by edit and layer. Raises DamagedRow."""
    for values in connection.execute(query).mappings():
        row = Row("edit_layers", values)
        if row.text("kind") != LOW_RANK:
            raise DamagedRow("a row of edit_layers is of no kind that kn-edit knows")
        layers[row.text("edit_id")][row.number("layer")] = row.number("rank")


def sharing(connection: Connection, writes: Writes) -> dict[str, Writes]:
    """The edits that write some of what is written here, each with what it writes of it."""
    slots: dict[str, dict[NeuronId, str]] = defaultdict(dict)
    columns = (edit_slots.c.edit_id, edit_slots.c.layer, edit_slots.c.neuron, edit_slots.c.mode)
    single: dict[int, list[int]] = defaultdict(list)
    for slot in writes.slots:
        if slot.layer not in writes.layers:
            single[slot.layer].append(slot.index)
    # A query for each layer: for pairs of layer and neuron SQLite would look at every row.
    in_layer = {
        layer: select(*columns).where(edit_slots.c.layer == layer) for layer in sorted(single)
    }
    queries = [
        *(
            query
            for layer, of_layer in in_layer.items()
            for query in parts(of_layer, edit_slots.c.neuron, single[layer])
        ),
        *parts(select(*columns), edit_slots.c.layer, writes.layers),
    ]
    for query in queries:
        for row in connection.execute(query):
            slots[row.edit_id][NeuronId(row.layer, row.neuron)] = row.mode
    layers: dict[str, dict[int, int]] = defaultdict(dict)
    for part in parts(select(edit_layers), edit_layers.c.layer, writes.in_layers):
        _take_layers(connection, part, layers)
    edits_ = slots.keys() | layers.keys()
    return {edit: Writes(slots.get(edit, {}), layers.get(edit, {})) for edit in edits_}


def modes(connection: Connection, neuron: NeuronId) -> dict[str, str]:
    """How each edit writes the slot of a neuron: "add", "set", or "low-rank" with all its layer."""
    query = select(edit_slots.c.edit_id, edit_slots.c.mode).where(
        edit_slots.c.layer == neuron.layer, edit_slots.c.neuron == neuron.index
    )
    rows = (Row("edit_slots", row) for row in connection.execute(query).mappings())
    slot_modes = {row.text("edit_id"): row.text("mode") for row in rows}
    layers: dict[str, dict[int, int]] = defaultdict(dict)
    _take_layers(connection, select(edit_layers).where(edit_layers.c.layer == neuron.layer), layers)
    return slot_modes | dict.fromkeys(layers, LOW_RANK)


def _neuron(row: Row) -> NeuronId:
    return NeuronId(row.number("layer"), row.number("neuron"))
