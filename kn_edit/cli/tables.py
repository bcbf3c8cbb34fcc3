"""Results for people: tables that fit eighty columns, ids shortened, p with two digits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from kn_edit.neuron import NeuronId
from kn_edit.safetext import escaped, shortened

if TYPE_CHECKING:
    from kn_edit.workspace import Assessment, Evaluation, Located, Scaled
    from kn_edit.workspace.evaluating import Pair

DIGITS = 12  # of an id
MOST_ROWS = 12
MOST_CELL = 1000  # characters

Parts = Iterator[RenderableType]


class SafeTable(Table):
    """A table whose cells are text: nothing in them steers a terminal or fills pages."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*map(_safe, cells), **options)


def short(id_: str) -> str:
    return id_[:DIGITS]


def moment(text: str) -> str:
    """A recorded moment, UTC, to the minute."""
    return text[:16].replace("T", " ")


def count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def table(*columns: str, head: bool = True) -> Table:
    """A table without lines. A column `+name` may wrap, `>name` is set to the right."""
    made = SafeTable(box=None, show_header=head, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        name = column.lstrip("+>")
        justify: JustifyMethod = "right" if column.startswith(">") else "left"
        made.add_column(name, overflow="fold", no_wrap=column[:1] != "+", justify=justify)
    made.header_style = "bold"
    return made


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and what they stand for."""
    made = SafeTable(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, value)
    return made


def neurons(found: Sequence[NeuronId], most: int = 24) -> str:
    """`L9.2141 L10.7 and 3 more`."""
    words = [str(one) for one in found[:most]]
    rest = len(found) - most
    return " ".join(words) + (f" and {rest} more" if rest > 0 else "")


def cut(text: str) -> Text:
    """A cell of a `+column` that is cut to fit, and not wrapped."""
    return Text(safe(text), no_wrap=True, overflow="ellipsis")


def wrapped(indent: int, text: str) -> RenderableType:
    """Words that are broken to the width, each line set in."""
    from rich.padding import Padding

    return Padding(Text(safe(text)), (0, 0, 0, indent), expand=False)


def safe(text: str) -> str:
    """A text as a cell shows it."""
    return shortened(escaped(text), MOST_CELL)


def _safe(cell: RenderableType | None) -> RenderableType | None:
    if isinstance(cell, str):
        return safe(cell)
    if isinstance(cell, Text) and safe(cell.plain) != cell.plain:
        return Text(safe(cell.plain), no_wrap=cell.no_wrap, overflow=cell.overflow)
    return cell


def top(one: Assessment) -> str:
    """What the model says first, and how surely."""
    token, p = one.top[0]
    return f"{word(token)} {p:.2f}"


def word(token: str) -> str:
    bare = token.strip()
    return bare if bare and escaped(bare) == bare else safe(repr(token))


def assessments(found: Sequence[Assessment]) -> Parts:
    """One table a fact, its held-out prompts marked."""
    for first, group in groupby(found, key=lambda one: (one.prompt.fact, one.answer)):
        fact, answer = first
        yield f"{fact.relation}: {fact.subject}, {answer}"
        made = table("+prompt", "", ">p", ">rank", "the model says")
        for one in group:
            mark = "*" if one.prompt.template.held_out else ""
            made.add_row(cut(one.prompt.cloze), mark, f"{one.p:.2f}", str(one.rank), top(one))
        yield made
    if any(one.prompt.template.held_out for one in found):
        yield "* held out: it only measures edits"


def located(one: Located) -> Parts:
    """The neurons of one fact, with what to think of them."""
    head = f"{one.fact}: {count(len(one.neurons), 'neuron')} from {len(one.prompts)} prompts"
    yield head
    if one.neurons:
        made = table("neuron", ">score")
        for neuron, score in one.neurons:
            made.add_row(str(neuron), f"{score:.4f}")
        yield made
    if one.dropped:
        yield f"shared with other facts of the relation, left out: {len(one.dropped)}"
        yield wrapped(2, neurons(one.dropped))
    if one.gap:
        yield f"largest completeness gap of a layer: {max(one.gap):.1e}"


def located_row(one: Located) -> str:
    """The neurons of one fact among many, on one line."""
    found = neurons([neuron for neuron, _ in one.neurons], 5) or "none"
    return f"{one.fact.subject}, {one.fact.answer}: {found}"


def scaled(one: Scaled) -> Parts:
    """What moved when a fact's neurons were scaled."""
    yield f"{one.fact}: {count(len(one.neurons), 'neuron')} x {one.factor:g}"
    yield wrapped(2, neurons(one.neurons))
    made = table("p(answer) of", ">prompts", ">before", ">after", ">change")
    for each in one.moved:
        change = "-" if each.change is None else f"{each.change:+.0%}"
        made.add_row(
            each.what, str(each.prompts), f"{each.before:.3f}", f"{each.after:.3f}", change
        )
    yield made


def evaluation(one: Evaluation) -> Parts:
    """What a version's updates reach, teacher-forced and freely, and what they cost."""
    if one.updates:
        made = table("update", ">effic.", ">gener.", ">specif.", "says freely")
        for each in one.updates:
            fact = each.case.fact
            made.add_row(
                cut(f"{fact.subject}: {fact.answer} -> {each.target}"),
                share(each.efficacy),
                share(each.generalization),
                share(each.specificity),
                cut(word(each.says) if each.says else ""),
            )
        yield made
    rows = [
        (name, str(found) if found else "-")
        for name, found in (
            ("efficacy", one.efficacy),
            ("generalization", one.generalization),
            ("specificity", one.specificity),
        )
    ]
    rows.append(("their harmonic mean", share(one.score)))
    if one.by_seed:
        rows.append(("specificity by seed", " ".join(map(share, one.by_seed))))
    rows.append(("neutral perplexity", _pair(one.perplexity)))
    if one.entropy is not None:
        rows.append(("entropy, generated", _pair(one.entropy)))
    yield pairs(rows)


def _pair(one: Pair) -> str:
    return f"{one.version:.2f} (base {one.base:.2f})"


def share(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else "-"
