"""Results for people: tables that fit eighty columns, ids shortened, p with two digits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from kn_edit import figures
from kn_edit.evaluation.metric import in_columns
from kn_edit.evaluation.protocols import MEANINGS, EvaluationProtocol
from kn_edit.figures import count
from kn_edit.neuron import NeuronId
from kn_edit.safetext import escaped, shortened
from kn_edit.workspace.to_json import evaluated

if TYPE_CHECKING:
    from kn_edit.workspace import Assessment, Comparison, Evaluation, Located, Scaled

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


def table(*columns: str, head: bool = True) -> Table:
    """A table without lines. A column `+name` may wrap, `>name` is set to the right."""
    listing = SafeTable(box=None, show_header=head, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        name = column.lstrip("+>")
        justify: JustifyMethod = "right" if column.startswith(">") else "left"
        listing.add_column(name, overflow="fold", no_wrap=column[:1] != "+", justify=justify)
    listing.header_style = "bold"
    return listing


def pairs(rows: Iterable[tuple[str, str]]) -> Table:
    """Names and what they stand for."""
    listing = SafeTable(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    listing.add_column(no_wrap=True)
    listing.add_column(overflow="fold")
    for name, value in rows:
        listing.add_row(name, value)
    return listing


def neurons(neuron_ids: Sequence[NeuronId], most: int = 24) -> str:
    """`L9.2141 L10.7 and 3 more`."""
    names = [str(neuron) for neuron in neuron_ids[:most]]
    rest = len(neuron_ids) - most
    return " ".join(names) + (f" and {rest} more" if rest > 0 else "")


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


def prompt(assessment: Assessment) -> str:
    """Its prompt, for a cell of a `+column`; the two ends of a long one."""
    return fitted(assessment.prompt.cloze, MOST_PROMPT)


def says_cell(assessment: Assessment) -> str:
    """What the model says, as many tokens as the answer has, and how surely."""
    if not assessment.finite:
        return assessment.top[0][0]
    if not assessment.says:
        token, p = assessment.top[0]
        return f"{word(token)} {p:.2f}"
    return f"{answer_cell(assessment.says)} {assessment.says_p:.2f}"


def answer_cell(text: str) -> str:
    """What a model says, for a cell of a `+column`."""
    return fitted(word(text), MOST_ANSWER) if text else ""


def word(token: str) -> str:
    bare = token.strip()
    return bare if bare and escaped(bare) == bare else safe(repr(token))


def assessments(answers: Sequence[Assessment]) -> Parts:
    """One table a fact, its held-out prompts marked."""
    for (fact, answer), group in groupby(
        answers, key=lambda assessment: (assessment.prompt.fact, assessment.answer)
    ):
        yield f"{fact.relation}: {fact.subject}, {answer}"
        listing = table("+prompt", "", ">p", ">rank", "+the model says")
        for assessment in group:
            mark = "*" if assessment.prompt.template.held_out else ""
            listing.add_row(
                prompt(assessment),
                mark,
                f"{assessment.p:.2f}",
                str(assessment.rank),
                says_cell(assessment),
            )
        yield listing
    if any(assessment.prompt.template.held_out for assessment in answers):
        yield "* held out: it only measures edits"


def located(attribution: Located) -> Parts:
    """The neurons of one fact, with what to think of them."""
    size = count(len(attribution.neurons), "neuron")
    yield f"{attribution.fact}: {size} from {len(attribution.prompts)} prompts"
    if attribution.neurons:
        listing = table("neuron", ">score")
        for neuron, score in attribution.neurons:
            listing.add_row(str(neuron), f"{score:.4f}")
        yield listing
    if attribution.dropped:
        yield f"shared with other facts of the relation, left out: {len(attribution.dropped)}"
        yield wrapped(2, neurons(attribution.dropped))
    if attribution.gap:
        yield f"largest completeness gap of a layer: {max(attribution.gap):.1e}"


def located_row(attribution: Located) -> str:
    """The neurons of one fact among many, on one line."""
    names = neurons([neuron for neuron, _ in attribution.neurons], 5) or "none"
    return f"{attribution.fact.subject}, {attribution.fact.answer}: {names}"


def scaled(effect: Scaled) -> Parts:
    """What moved when a fact's neurons were scaled."""
    yield f"{effect.fact}: {count(len(effect.neurons), 'neuron')} x {effect.factor:g}"
    yield wrapped(2, neurons(effect.neurons))
    listing = table("p(answer) of", ">prompts", ">before", ">after", ">change")
    for group in effect.moved:
        change = "-" if group.change is None else f"{group.change:+.0%}"
        listing.add_row(
            group.group, str(group.prompts), f"{group.before:.3f}", f"{group.after:.3f}", change
        )
    yield listing


def evaluation(result: Evaluation) -> Parts:
    """What a version's updates reach, teacher-forced and freely, and what they cost."""
    if result.updates:
        columns = [metric for metric in evaluated(result) if metric.column]
        listing = table("+update", *(f">{metric.column}" for metric in columns), "+says")
        for update in result.updates:
            fact = update.case.fact
            listing.add_row(
                fitted(f"{fact.subject}: {fact.answer} -> {update.target}", MOST_PROMPT),
                *(share(update.value_of(metric)) for metric in columns),
                answer_cell(update.answer),
            )
        yield listing
    measured = [(metric, result.estimates[metric.name]) for metric in evaluated(result)]
    rows = [(metric.label, str(value) if value else "-") for metric, value in measured[:SCORED]]
    rows.append(("their harmonic mean", share(result.score)))
    rows += [(metric.label, str(value)) for metric, value in measured[SCORED:]]
    if result.by_seed:
        rows.append(("specificity by seed", " ".join(map(share, result.by_seed))))
    rows.append(("neutral perplexity", _pair(result.perplexity)))
    if result.entropy is not None:
        rows.append(("entropy, generated", _pair(result.entropy)))
    if result.rounding is not None:
        rows.append(("weights rounded to", result.rounding.value))
        rows.append(("efficacy unrounded", str(result.unrounded or "-")))
        rows.append(("efficacy left", share(result.efficacy_left)))
    yield pairs(rows)
    for name in result.protocols:
        yield ""
        yield from _protocol(name, result)


def _protocol(name: EvaluationProtocol, result: Evaluation) -> Parts:
    """What one protocol says: its meaning, its figures, and what is said about each update."""
    yield wrapped(0, f"{name.value}: {MEANINGS[name]}")
    yield pairs(
        (label.replace("_", " "), str(value or "-"))
        for label, value in result.protocols[name].items()
    )
    answers = [
        (update.case.fact, update.target, update.protocols[name]) for update in result.updates
    ]
    texts = [(fact, target, text) for fact, target, answer in answers for text in answer.texts[:1]]
    if texts:
        listing = table("+update", "+says first")
        for fact, target, text in texts:
            update = fitted(f"{fact.subject}: {fact.answer} -> {target}", MOST_PROMPT)
            listing.add_row(update, fitted(text, MOST_ANSWER))
        yield listing


def _pair(comparison: Comparison) -> str:
    return f"{comparison.version:.2f} (base {comparison.base:.2f})"


def share(value: object) -> str:
    return figures.share(value, unknown="-")
