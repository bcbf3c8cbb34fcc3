"""Sections as a page or as Markdown: nothing to fetch, plots inside or beside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kn_edit.atomic import is_leftover_name, make_folders, remove_leftover, write_atomically
from kn_edit.errors import CannotWrite, reason_of
from kn_edit.evaluation.section import Claim, Section, Table
from kn_edit.safetext import escaped, inert_markdown, shortened

MOST = 4000  # characters of one text
LONG = 30  # rows; a longer table is folded
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem } h2 { font-size: 1.25rem; margin-top: 2.5rem;
  border-top: 1px solid #ddd; padding-top: 1rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .85rem; margin: .5rem 0 }
caption, summary { text-align: left; font-weight: 600; font-size: .85rem; padding: .3rem 0 }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #e4e4e4;
  vertical-align: top; font-variant-numeric: tabular-nums }
ul.claims { list-style: none; padding: 0 } .claims li { padding-left: 7rem; text-indent: -7rem }
.claims b { display: inline-block; width: 7rem; text-indent: 0 }
.holds { color: #005a8c } .fails { color: #a33c00 }
figure { margin: 1rem 0 } figure svg { max-width: 100%; height: auto }
figcaption, .facts { color: #555; font-size: .9rem }
@media print { body { max-width: none } h2 { break-after: avoid } figure { break-inside: avoid } }
</style>
<h1>{{ title }}</h1>
{% for line in facts %}<div class="facts">{{ line }}</div>
{% endfor %}
{% for section in sections %}
<h2>{{ section.title }}</h2>
<p>{{ section.text }}</p>
{% if section.claims %}<ul class="claims">
{% for claim in section.claims %}<li class="{{ 'holds' if claim.holds else 'fails' }}">\
<b>{{ 'holds' if claim.holds else 'does not hold' }}</b>{{ claim.words }}</li>
{% endfor %}</ul>{% endif %}
{% for plot in section.plots %}<figure>{{ plot.svg|safe }}<figcaption>{{ plot.caption }}\
</figcaption></figure>
{% endfor %}
{% for table in section.tables %}{% set long = table.rows|length > LONG %}
{% if long %}<details><summary>{{ table.caption }}</summary>{% endif %}
<div class="scroll"><table>{% if not long %}<caption>{{ table.caption }}</caption>{% endif %}
<tr>{% for name in table.columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table></div>{% if long %}</details>{% endif %}
{% endfor %}
{% endfor %}
</html>
"""


def page(title: str, facts: Sequence[str], sections: Sequence[Section]) -> str:
    """One HTML page that needs no network and runs no script; every value is escaped."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, finalize=_readable)
    template = environment.from_string(PAGE)
    return template.render(title=title, facts=facts, sections=sections, LONG=LONG)


def markdown(title: str, facts: Sequence[str], sections: Sequence[Section], plots: str) -> str:
    """A report as Markdown. plots: the folder of the plots, from where the text will lie."""
    parts = [f"# {inert_markdown(title)}", *map(_text, facts)]
    for section in sections:
        parts += [f"## {inert_markdown(section.title)}", _text(section.text)]
        if section.claims:
            parts.append("\n".join(_claim(claim) for claim in section.claims))
        parts += [
            f"![{inert_markdown(plot.caption)}]({plots}/{plot.name}.svg)" for plot in section.plots
        ]
        parts += [_table(table) for table in section.tables]
    return "\n\n".join(parts) + "\n"


def made_folder(folder: Path) -> None:
    """Make a folder, on disk, before long work that is to be written there. Raises CannotWrite.

    Files that a killed command left on their way into it are removed.
    """
    try:
        make_folders(folder)
        for path in folder.iterdir():
            if is_leftover_name(path.name):
                remove_leftover(path, old=False)
    except OSError as error:
        raise CannotWrite(folder, reason_of(error)) from error


def write(file: Path, text: str) -> None:
    """Write a text, whole or not at all. Raises CannotWrite, WriteUnknown."""
    try:
        write_atomically(file, text)
    except OSError as error:
        raise CannotWrite(file, reason_of(error)) from error


def write_plots(folder: Path, sections: Sequence[Section]) -> None:
    made_folder(folder)
    for section in sections:
        for plot in section.plots:
            write(folder / f"{plot.name}.svg", plot.svg)


def _readable(value: object) -> object:
    """A text without what hides, reorders or floods; SVG, which is markup already, as it is."""
    if isinstance(value, str) and not hasattr(value, "__html__"):
        return _text(value)
    return value


def _text(value: str) -> str:
    return shortened(escaped(value, keep="\n"), MOST)


def _claim(claim: Claim) -> str:
    return f"- **{'holds' if claim.holds else 'does not hold'}**: {inert_markdown(claim.words)}"


def _table(table: Table) -> str:
    cells = [[inert_markdown(shortened(cell, MOST)) for cell in row] for row in table.rows]
    lines = [table.columns, tuple("---" for _ in table.columns), *cells]
    rows = ["| " + " | ".join(line) + " |" for line in lines]
    return f"{inert_markdown(table.caption)}:\n\n" + "\n".join(rows)
