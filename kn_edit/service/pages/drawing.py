"""What pages draw, as numbers: the graph of moves, and where an edit writes."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kn_edit.neuron import NeuronId
from kn_edit.untrusted import JsonProblem, parse_object, read_bounded
from kn_edit.workspace import BaseRecord, LayerChange, Step
from kn_edit.workspace.lanes import Place, laid_out

COLUMN = 14  # pixels from one column of the graph to the next
DOT = 22  # pixels from the top of a row to its dot
MOST_COLUMNS = 10  # lines further to the right are drawn in the last one

MAP_WIDTH, MAP_HEIGHT = 640, 320
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 44, 16, 12, 44
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_NEURONS = ("intermediate_size", "n_inner", "ffn_dim", "hidden_dim")
_MAX_CONFIG = 4 << 20  # bytes


@dataclass(frozen=True)
class Line:
    """A line of one row of the graph. upper: from its top to the dot, else from there to its end"""

    start: int
    end: int
    upper: bool


@dataclass(frozen=True)
class Row:
    """A row of the history: a move, its dot, the lines beside it."""

    step: Step
    dot: int
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Graph:
    """Rows of the history, newest first. width: in pixels, of the widest row"""

    rows: tuple[Row, ...]
    width: int


def graph(steps: Iterable[Step], first: int = 0) -> Graph:
    """The graph of moves, newest first. first: how many rows are passed over"""
    rows = [_row(place) for place in laid_out(steps)][first:]
    ends = (max(line.start, line.end) for row in rows for line in row.lines)
    return Graph(tuple(rows), max((*ends, *(row.dot for row in rows)), default=0) + COLUMN)


def _row(place: Place) -> Row:
    return Row(place.step, _x(place.column), (*_upper(place), *_lower(place)))


def _upper(place: Place) -> Iterator[Line]:
    for column, seq in enumerate(place.arriving):
        if seq is not None:
            end = place.column if column in place.ends else column
            yield Line(_x(column), _x(end), upper=True)


def _lower(place: Place) -> Iterator[Line]:
    for column, seq in enumerate(place.leaving):
        came = column < len(place.passing) and place.passing[column] is not None
        if seq is not None and (came or column == place.column):
            yield Line(_x(column), _x(column), upper=False)
    for column in place.starts:
        yield Line(_x(place.column), _x(column), upper=False)


def _x(column: int) -> int:
    return COLUMN // 2 + COLUMN * min(column, MOST_COLUMNS - 1)


@dataclass(frozen=True)
class Mark:
    """A neuron on the map, in pixels. ring: drawn as one, in place of a dot"""

    name: str
    x: float
    y: float
    ring: bool = False


@dataclass(frozen=True)
class Band:
    """A layer of which an edit changes all slots."""

    name: str
    rank: int
    y: float


@dataclass(frozen=True)
class Tick:
    """A number beside an axis, in pixels from its start."""

    label: str
    place: float


@dataclass(frozen=True)
class NeuronMap:
    """Layer by neuron: where an edit writes. Layer 0 is at the bottom, as the model reads."""

    marks: tuple[Mark, ...]
    bands: tuple[Band, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    layers: int
    neurons: int


def neuron_map(
    neurons: Collection[NeuronId],
    layers: Sequence[LayerChange],
    base: BaseRecord,
    rings: Collection[NeuronId] = (),
) -> NeuronMap:
    """The map of an edit, or of a fact; as large as what it shows if the model's size is unknown.

    neurons: drawn as dots; layers: as bars; rings: neurons that are drawn as rings
    """
    config = _config(Path(base.source))
    drawn = [*rings, *neurons]  # dots lie above rings
    highest = [neuron.layer for neuron in drawn] + [change.layer for change in layers]
    n_layers = _sized(config, _LAYERS, max(highest, default=0) + 1)
    d_ff = _sized(config, _NEURONS, max((neuron.index for neuron in drawn), default=0) + 1)
    marks = (
        Mark(
            name=str(neuron),
            x=_across(neuron.index, d_ff),
            y=_up(neuron.layer, n_layers),
            ring=place < len(rings),
        )
        for place, neuron in enumerate(drawn)
    )
    bands = (
        Band(f"L{change.layer}", change.rank, _up(change.layer, n_layers)) for change in layers
    )
    return NeuronMap(
        marks=tuple(marks),
        bands=tuple(bands),
        across=tuple(Tick(f"{index:,}", _across(index, d_ff)) for index in _ticks(d_ff, 4)),
        up=tuple(Tick(str(layer), _up(layer, n_layers)) for layer in _ticks(n_layers, 6)),
        layers=n_layers,
        neurons=d_ff,
    )


def _across(index: int, d_ff: int) -> float:
    width = MAP_WIDTH - MARGIN_LEFT - MARGIN_RIGHT
    return round(MARGIN_LEFT + width * (index + 0.5) / d_ff, 1)


def _up(layer: int, n_layers: int) -> float:
    height = MAP_HEIGHT - MARGIN_TOP - MARGIN_BOTTOM
    return round(MAP_HEIGHT - MARGIN_BOTTOM - height * (layer + 0.5) / n_layers, 1)


def _ticks(count: int, most: int) -> Iterator[int]:
    """Round numbers from 0 up to a count."""
    rough = max(count / most, 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(int(power * factor) for factor in (1, 2, 5, 10) if power * factor >= rough)
    return iter(range(0, count, step))


def _config(folder: Path) -> dict[str, Any]:
    """The config.json of a checkpoint, with its text model's; empty where it cannot be read."""
    try:
        config = parse_object(read_bounded(folder / "config.json", _MAX_CONFIG))
    except (JsonProblem, OSError):
        return {}
    text = config.get("text_config")
    return config | (text if isinstance(text, dict) else {})


def _sized(config: dict[str, Any], names: Sequence[str], least: int) -> int:
    """A size that a configuration states, and at least what an edit needs."""
    sizes = (config.get(name) for name in names)
    return max(least, next((size for size in sizes if type(size) is int and size < 1 << 24), 0))
