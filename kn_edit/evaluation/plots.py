"""Plots as SVG text. Colours of Okabe and Ito, and markers that tell lines apart in grey print."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kn_edit.evaluation.statistics import Estimate
from kn_edit.neuron import NeuronId
from kn_edit.safetext import escaped, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
MOST_LABEL = 60  # characters
SIZE = (7.0, 3.6)  # inches


def curves(
    lines: Mapping[str, Mapping[float, Estimate]],
    across: str,
    up: str,
    *,
    unit: float = 1.0,
    logarithmic: bool = False,
) -> str:
    """Lines with intervals: label -> place -> estimate.

    unit: values are divided by it; logarithmic: places are, which are above zero
    """

    def draw(axes: Axes) -> None:
        for index, (label, points) in enumerate(lines.items()):
            values = [estimate.value / unit for estimate in points.values()]
            low = [max(estimate.value - estimate.low, 0) / unit for estimate in points.values()]
            high = [max(estimate.high - estimate.value, 0) / unit for estimate in points.values()]
            axes.errorbar(
                list(points), values, [low, high], label=_label(label), capsize=3, **_look(index)
            )
        axes.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        if logarithmic:
            axes.set_xscale("log")
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        _legend(axes)

    return _drawn(draw)


def series(lines: Mapping[str, Mapping[float, float]], across: str, up: str) -> str:
    """Lines without intervals: label -> place -> value."""

    def draw(axes: Axes) -> None:
        for index, (label, points) in enumerate(lines.items()):
            axes.plot(list(points), list(points.values()), label=_label(label), **_look(index))
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        axes.set_ylim(bottom=0)
        _legend(axes)

    return _drawn(draw)


def bars(groups: Mapping[str, Sequence[float]], names: Sequence[str], across: str, up: str) -> str:
    """Bars side by side: label -> a value for every name."""

    def draw(axes: Axes) -> None:
        width = 0.8 / len(groups)
        for index, (label, values) in enumerate(groups.items()):
            places = [
                number + (index - (len(groups) - 1) / 2) * width for number in range(len(names))
            ]
            hatch = ("", "//", "..", "xx")[index % 4]
            axes.bar(
                places,
                values,
                width,
                label=_label(label),
                color=COLOURS[index],
                hatch=hatch,
                alpha=0.9,
            )
        step = max(1, len(names) // 16)
        axes.set_xticks(range(0, len(names), step), [_label(name) for name in names][::step])
        axes.set_xlabel(across)
        axes.set_ylabel(up)
        _legend(axes)

    return _drawn(draw)


def neuron_map(
    neurons: Sequence[tuple[NeuronId, float]], n_layers: int, d_ff: int, *, chosen: set[NeuronId]
) -> str:
    """Layer by neuron: area by score, and which of them an edit writes."""

    def draw(axes: Axes) -> None:
        largest = max((abs(score) for _, score in neurons), default=1.0) or 1.0
        for label, inside, colour, marker in (
            ("candidates", False, "0.55", "o"),
            ("written by the edit", True, COLOURS[1], "D"),
        ):
            scored = [(neuron, score) for neuron, score in neurons if (neuron in chosen) == inside]
            axes.scatter(
                [neuron.index for neuron, _ in scored],
                [neuron.layer for neuron, _ in scored],
                s=[12 + 120 * abs(score) / largest for _, score in scored],
                c=colour,
                marker=marker,
                alpha=0.75,
                label=_label(label),
            )
        axes.set_xlim(-0.02 * d_ff, 1.02 * d_ff)
        axes.set_ylim(-1, n_layers)
        axes.set_xlabel("neuron")
        axes.set_ylabel("layer")
        _legend(axes)

    return _drawn(draw)


def _legend(axes: Axes) -> None:
    """Above the plot, where nothing is drawn; none where the plot is empty."""
    labels = axes.get_legend_handles_labels()[0]
    if not labels:
        return
    columns = 3 if len(labels) == 3 else 2
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1.0)}
    axes.legend(frameon=False, fontsize=9, ncol=columns, borderaxespad=0, **place)


def _label(text: str) -> str:
    """A text that is drawn as it is: no formula, nothing hidden, and never left out."""
    drawn = shortened(escaped(text), MOST_LABEL).replace("$", r"\$")
    return f" {drawn}" if drawn.startswith("_") else drawn


def _look(index: int) -> dict[str, Any]:
    # The seventh line has the first one's colour again, with another marker and other dashes.
    turn = index + index // len(COLOURS)
    style = {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[turn % len(MARKERS)],
        "linestyle": STYLES[turn % len(STYLES)],
    }
    return {**style, "markersize": 5, "linewidth": 1.6}


def _drawn(draw: Any) -> str:
    """One plot as SVG without a date or random ids, so that equal numbers give equal files."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with (
        warnings.catch_warnings(),
        rc_context({"svg.hashsalt": "kn-edit", "svg.fonttype": "none", "font.size": 10}),
    ):
        # Only the size of such a letter is guessed; the page's own font draws it.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return re.sub(r"^.*?(?=<svg)", "", text, count=1, flags=re.DOTALL)
