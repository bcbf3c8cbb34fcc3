"""What the documentation says is true: links, tables, settings, and the code on its pages."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from tiny_models import tiny_folder

import kn_edit.workspace
from kn_edit.cli.run import run as run_command
from kn_edit.edits.settings import Settings
from kn_edit.facts import bundled, load_relation, read_cases
from kn_edit.ledger.tables import metadata
from kn_edit.models.families import FAMILIES
from kn_edit.neurons.attribution import Adaptive
from kn_edit.neurons.selection import Thresholds
from kn_edit.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))

LINK = re.compile(r"\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDERS = "kn_edit|tests|scripts|benchmarks|migrations|docs"
NAMED_FILE = re.compile(rf"`((?:{FOLDERS})/[\w./-]+)`")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def words(page: Path) -> str:
    """A page without its blocks of code."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [(language, text) for language, text in found if language in languages]


def anchors(page: Path) -> set[str]:
    """The names that headings of a page go by in links."""
    titles = re.findall(r"^#+ (.+)$", words(page), re.MULTILINE)
    bare = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return {title.replace(" ", "-") for title in bare}


# --- links ---------------------------------------------------------------------------------------


@every_page
def test_links_lead_somewhere(page):
    lost = []
    for link in LINK.findall(words(page)):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


@every_page
def test_files_that_are_named_exist(page):
    assert [path for path in NAMED_FILE.findall(words(page)) if not (ROOT / path).exists()] == []


def test_every_promise_names_tests_that_there_are():
    """docs/reliability.md: a promise without its test is a hope."""
    page = (DOCS / "reliability.md").read_text(encoding="utf-8")
    promised = page.partition("## What is not promised")[0]
    promises = [line for line in promised.splitlines() if line.startswith("| ")]
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", page)
    missing = [
        f"{file}::{test}"
        for file, test in named
        if f"\ndef {test}(" not in (ROOT / "tests" / file).read_text(encoding="utf-8")
    ]
    assert missing == []
    unproven = [line for line in promises if "::test_" not in line and line != "| promise | test |"]
    assert unproven == []
    assert len(named) > 50


def test_the_index_names_every_page():
    index = LINK.findall((DOCS / "README.md").read_text(encoding="utf-8"))
    named = {(DOCS / link).resolve() for link in index}
    assert [name_of(page) for page in DOCS.rglob("*.md") if page not in named] == ["docs/README.md"]


def test_decisions_are_numbered_and_have_their_three_parts():
    assert [int(page.name[:4]) for page in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    for page in DECISIONS:
        text = page.read_text(encoding="utf-8")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == [
            "Context",
            "Decision",
            "Consequences",
        ], page.name
        assert text.startswith(f"# {page.name[:4]}. ")


# --- tables --------------------------------------------------------------------------------------


def test_tables_made_from_the_code_are_current():
    script = runpy.run_path(str(ROOT / "scripts" / "docs_tables.py"))
    assert script["PAGES"].keys() == {"families.md", "facts.md", "methods.md", "service.md"}
    for name, make in script["PAGES"].items():
        page = DOCS / name
        stale = f"docs/{name} is out of date; run: python scripts/docs_tables.py"
        assert page.read_text(encoding="utf-8") == script["filled"](page, make()), stale


def test_every_family_has_a_row():
    page = (DOCS / "families.md").read_text(encoding="utf-8")
    for family in FAMILIES.values():
        assert f"\n| `{family.model_type}` | {family.kind} | `{family.layers}` |" in page


def test_every_pack_has_a_row_with_its_counts_source_and_license():
    page = (DOCS / "facts.md").read_text(encoding="utf-8")
    for name in bundled():
        relation = load_relation(name)
        (row,) = re.findall(rf"^\| `{name}` .+$", page, re.MULTILINE)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        held_out = sum(template.held_out for template in relation.templates)
        assert cells[2:4] == [str(len(relation.facts)), str(len(relation.templates))]
        assert cells[5:] == [str(held_out), relation.source, relation.license]


@pytest.mark.parametrize(
    ("page", "settings"),
    [
        ("attribution.md", Adaptive()),
        ("attribution.md", Thresholds()),
        ("decisions/0004-calibrated-solver.md", Settings()),
    ],
)
def test_settings_stand_there_as_they_are(page, settings):
    text = (DOCS / page).read_text(encoding="utf-8")
    for field in fields(settings):
        value = getattr(settings, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        shown = ", ".join(f"{number:g}" for number in numbers)
        assert f"\n| `{field.name}` | {shown} | " in text


def test_every_table_of_the_ledger_is_described():
    page = (DOCS / "ledger.md").read_text(encoding="utf-8")
    described = re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE)
    assert sorted({*described} & {*metadata.tables}) == sorted(metadata.tables)


def test_every_verb_and_every_name_for_python_users_is_described():
    page = (DOCS / "python.md").read_text(encoding="utf-8")
    verbs = [name for name in dir(Workspace) if not name.startswith("_")]
    for name in (*verbs, *kn_edit.workspace.__all__):
        assert re.search(rf"\b{name}\b", page), name


# --- examples ------------------------------------------------------------------------------------


def run(code: str, names: dict[str, Any]) -> str:
    """Run a block of a page; what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs", "exec"), names)
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines())


def followed(found: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Blocks of Python with the output that the page shows below each."""
    for (language, code), (below, shown) in zip(found[::2], found[1::2], strict=True):
        assert (language, below) == ("python", "text")
        yield code, shown


def test_the_examples_of_the_delta_format_print_what_the_page_shows():
    found = blocks(DOCS / "delta-format.md", "python", "text")
    # One block of text is a listing of a folder.
    found = [block for block in found if not block[1].startswith("DIR/")]
    names: dict[str, Any] = {}
    for code, shown in followed(found):
        assert run(code, names) == shown.rstrip("\n")
    assert len(found) >= 10


def test_undoing_by_subtraction_loses_bits_as_the_page_shows():
    page = DOCS / "how-it-works.md"
    text = page.read_text(encoding="utf-8")
    ((_, code),) = blocks(page, "python")
    assert f"{code}```\n\n```text\n{run(code, {})}\n```" in text


def test_the_python_page_runs_from_top_to_bottom(tmp_path, monkeypatch):
    model = tiny_folder("llama", tmp_path / "model")
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KN_EDIT_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    code = "".join(text for _, text in blocks(DOCS / "python.md", "python"))
    assert code.count('"demo"') == 1
    names: dict[str, Any] = {}
    printed = run(code.replace('"demo"', repr(str(model))), names)
    assert (tmp_path / "edited-model" / "model.safetensors").is_file()
    assert (tmp_path / "recipe" / "kn_edit.json").is_file()
    assert "exporting" in printed
    with Workspace.open(Path("edits")) as workspace:
        assert [step.kind for step in workspace.log()[::-1]] == [
            *("init", "update", "update", "revert", "compose", "rewind"),
            *("update", "merge", "rewind"),
        ]
        assert [branch.name for branch in workspace.branches()] == ["main"]
        assert workspace.head.edits == (names["edited"].edit,)


def test_the_walk_through_branches_prints_what_it_shows(tmp_path, monkeypatch, capsys):
    """On a tiny model: what is not of the model, such as ids and times, is as on the page."""
    page = (DOCS / "branches.md").read_text(encoding="utf-8")
    script = runpy.run_path(str(ROOT / "scripts" / "branches.py"))
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KN_EDIT_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    model = f"./{tiny_folder('llama', tmp_path / 'demo-bert').name}"
    # Where every edit passes the gate, as those of the page do, no step is marked.
    (tmp_path / "kn-edit.toml").write_text("[gate]\nefficacy = 0\nspecificity = 0\n")
    console = "\n".join(text for _, text in blocks(DOCS / "branches.md", "console"))
    shown = iter(console.split("$ kn-edit ")[1:])

    def run_tiny(words: list[str]) -> str:
        on_page = next(shown).partition("\n")[2].rstrip("\n") + "\n"
        args = [model if word == "demo-bert" else word for word in words[1:]]
        run_command([*args, "--accept"] if args[0] == "update" else args)
        captured = capsys.readouterr()
        printed = captured.out + captured.err
        if args[0] not in (*script["LONG"], "diff", "status"):  # which show more of the model
            assert without_ids(printed) == without_ids(on_page), words
        return on_page

    assert script["filled"](page, run_tiny) == page
    assert list(shown) == []


def without_ids(text: str) -> str:
    """A text in which ids and times are not told apart, nor where a model lies."""
    text = re.sub(r"init \S+", "init", text)
    text = re.sub(r"[0-9a-f]{64}|[0-9a-f]{12}", "ID", text)
    return re.sub(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2})?", "DATE", text)


@pytest.mark.parametrize("number", range(5))
def test_the_examples_of_fact_files_are_read(number, tmp_path):
    language, text = blocks(DOCS / "facts.md", "json", "jsonl")[number]
    file = tmp_path / f"example.{language}"
    file.write_text(text, encoding="utf-8")
    cases = read_cases(file)
    assert [case.fact.subject for case in cases] == [
        ["Emma", "Ulysses"],
        ["France", "Lyra"],
        ["Danielle Darrieux"],
        ["France"],
        ["France"],
    ][number]
