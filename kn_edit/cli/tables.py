"""Results for people: tables that fit eighty columns, ids shortened, p with two digits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from kn_edit.evaluation.metric import in_columns
from kn_edit.neuron import NeuronId
from kn_edit.safetext import escaped, shortened
from kn_edit.workspace.to_json import evaluated

if TYPE_CHECKING:
    from kn_edit.workspace import Assessment, Comparison, Evaluation, Located, Scaled

DIGITS = 12  # of an id
MOST_ROWS = 12
MOST_CELL = 1000  # characters
MOST_PROMPT = 100  # columns, in a table that shows answers beside it
MOST_ANSWER = 160
SCORED = 3  # metrics that the score is the harmonic mean of: the first ones of the table

Parts = Iterator[RenderableType]


class SafeTable(Table):
    """A table whose cells are text: nothing in them steers a terminal or fills pages."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*map(_safe, cells), **options)


def headings() -> tuple[str, ...]:
    """The headings of the metrics with a column in tables of many, aligned to the right."""
    return tuple(f">{metric.column}" for metric in in_columns())


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


def fitted(text: str, cells: int) -> str:
    """A text, or its two ends where a terminal needs more columns for it than so many.

    Chinese, Japanese and Korean letters take two columns each, combining marks none.
    """
    from rich.cells import cell_len, chop_cells

    text = safe(text)
    if cell_len(text) <= cells:
        return text
    tail = cells // 3
    backwards = chop_cells(text[::-1], tail)[0]
    return f"{chop_cells(text, cells - tail - 1)[0].rstrip()}…{backwards[::-1].lstrip()}"


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


def prompt(one: Assessment) -> str:
    """Its prompt, for a cell of a `+column`; the two ends of a long one."""
    return fitted(one.prompt.cloze, MOST_PROMPT)


def said(one: Assessment) -> str:
    """What the model says, as many tokens as the answer has, and how surely."""
    if not one.finite:
        return one.top[0][0]
    if not one.says:
        token, p = one.top[0]
        return f"{word(token)} {p:.2f}"
    return f"{answer_cell(one.says)} {one.says_p:.2f}"


def answer_cell(text: str) -> str:
    """What a model says, for a cell of a `+column`."""
    return fitted(word(text), MOST_ANSWER) if text else ""


def word(token: str) -> str:
    bare = token.strip()
    return bare if bare and escaped(bare) == bare else safe(repr(token))


def assessments(found: Sequence[Assessment]) -> Parts:
    """One table a fact, its held-out prompts marked."""
    for (fact, asked), group in groupby(found, key=lambda one: (one.prompt.fact, one.answer)):
        yield f"{fact.relation}: {fact.subject}, {asked}"
        made = table("+prompt", "", ">p", ">rank", "+the model says")
        for one in group:
            mark = "*" if one.prompt.template.held_out else ""
            made.add_row(prompt(one), mark, f"{one.p:.2f}", str(one.rank), said(one))
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
            each.group, str(each.prompts), f"{each.before:.3f}", f"{each.after:.3f}", change
        )
    yield made


def evaluation(one: Evaluation) -> Parts:
    """What a version's updates reach, teacher-forced and freely, and what they cost."""
    if one.updates:
        columns = [metric for metric in evaluated(one) if metric.column]
        made = table("+update", *(f">{metric.column}" for metric in columns), "+says")
        for each in one.updates:
            fact = each.case.fact
            made.add_row(
                fitted(f"{fact.subject}: {fact.answer} -> {each.target}", MOST_PROMPT),
                *(share(each.value_of(metric)) for metric in columns),
                answer_cell(each.answer),
            )
        yield made
    measured = [(metric, one.estimates[metric.name]) for metric in evaluated(one)]
    rows = [(metric.label, str(value) if value else "-") for metric, value in measured[:SCORED]]
    rows.append(("their harmonic mean", share(one.score)))
    rows += [(metric.label, str(value)) for metric, value in measured[SCORED:]]
    if one.by_seed:
        rows.append(("specificity by seed", " ".join(map(share, one.by_seed))))
    rows.append(("neutral perplexity", _pair(one.perplexity)))
    if one.entropy is not None:
        rows.append(("entropy, generated", _pair(one.entropy)))
    yield pairs(rows)


def _pair(one: Comparison) -> str:
    return f"{one.version:.2f} (base {one.base:.2f})"


def share(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else "-"
