"""Cards, pages and plots: what facts say stays text."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET

import pytest
from test_safetext import HIDDEN

from kn_edit.evaluation.plots import bars, series
from kn_edit.evaluation.report import markdown, page
from kn_edit.evaluation.section import Claim, Plot, Section, Table
from kn_edit.hub.card import _cell, _code

ACTIVE = {
    "link": "https://evil.example/x",
    "www": "www.evil.example",
    "host": "evil.example",
    "address": "me@evil.example",
    "mention": "@somebody",
    "issue": "#1",
    "strike": "~~gone~~",
    "formula": "$x^2$",
    "html": "<img src=x onerror=alert(1)>",
    "markdown link": "[x](http://evil.example)",
    "image": "![x](http://evil.example/y.png)",
    "code": "`` ` ``` https://evil.example",
    "row": "a | b\n| c |\n\n# head",
    "comment": "<!-- x -->",
    "commit": "0123456789abcdef0123456789abcdef01234567",
}


def sections(text: str) -> list[Section]:
    table = Table(text, ("what",), ((text,), ("0.81 [0.75, 0.86]",)))
    plot = Plot("plot", text, series({text: {0.0: 1.0}}, "x", "y"))
    return [Section(text, text, (table,), (Claim(text, True),), (plot,))]


def without_code(line: str) -> str:
    return re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)


@pytest.mark.parametrize("text", ACTIVE.values(), ids=ACTIVE)
def test_nothing_in_a_cell_becomes_active(text):
    cells = (_cell(text), _code(text))
    report = markdown("title", (), sections(text), "plots")
    row = (
        next(line for line in report.splitlines() if line.startswith("| ") and "evil" in line)
        if ("evil" in text)
        else ""
    )
    for line in (*cells, row):
        bare = without_code(line)
        assert "://" not in bare
        assert not re.search(r"www\.|@\w|(?<!\\)#\w|~~|(?<!\\)<|(?<!\\)\[|\$|evil\.", bare)
        assert not re.search(r"(?<!\\)\|", bare.removeprefix("| ").removesuffix(" |"))
        assert "\n" not in line


HIDDEN_IN_A_LINE = {name: text for name, text in HIDDEN.items() if text != "\n"}


@pytest.mark.parametrize("text", HIDDEN_IN_A_LINE.values(), ids=HIDDEN_IN_A_LINE)
def test_nothing_hidden_reaches_a_page_a_report_or_a_card(text):
    text = f"ok {text} ok"
    web, report = page(text, (text,), sections(text)), markdown(text, (text,), sections(text), "p")
    for written in (web, report, _cell(text), _code(text)):
        assert text not in written
        written.encode()


def test_figures_stay_as_they_are():
    assert _cell("0.81") == "0.81"
    assert _cell("capital: Côte d'Ivoire, 東京") == "capital: Côte d'Ivoire, 東京"


@pytest.mark.parametrize(
    "text", ["$\\frac", "$a$", "_hidden", "東京", "\x1b[2J", "\udcff", "a" * 999]
)
def test_labels_of_plots_are_drawn_as_they_are(text):
    svg = series({text: {0.0: 1.0, 1.0: 2.0}}, "x", "y") + bars({"a": [1.0]}, [text], "x", "y")
    for one in svg.split("<svg ")[1:]:
        ET.fromstring("<svg " + one[: one.rindex("</svg>") + 6])
    assert svg.count(text.replace("$", "").strip("_")[:4]) > 0 or not text.isprintable()


def test_a_page_still_holds_its_plots():
    web = page("t", (), sections("plain"))
    assert web.count("<svg ") == 1
    assert "plain" in web


@pytest.mark.parametrize(
    "text",
    [
        *ACTIVE.values(),
        "a\\|b",
        "`a",
        "a\\",
        "||",
        "<https://a.b>",
        "&lt;b&gt;",
        "__b__",
        "- a",
        "&#64;a",
    ],
)
def test_a_renderer_shows_a_cell_as_the_text_it_is(text):
    from markdown_it import MarkdownIt  # comes with rich

    renderer = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    page_of_it = renderer.render(f"| a | b |\n|---|---|\n| {_cell(text)} | END |\n")
    cells = re.findall("<td>(.*?)</td>", page_of_it)
    assert cells[1:] == ["END"]
    shown = re.sub("</?code>", "", cells[0])
    assert html.unescape(shown).split() == text.split()
    assert not re.search("<[a-z]", shown)
