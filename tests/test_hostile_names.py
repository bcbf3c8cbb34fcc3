"""Names that nobody would choose, wherever a name can be given: one sentence, or it works."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kn_edit.errors.base import MAX_SENTENCE
from kn_edit.safetext import escaped

NAMES = {
    "empty": "",
    "space": " ",
    "newline": "a\nb",
    "tab": "\t",
    "no UTF-8": "\udcff\udcfe",
    "half a pair": "\ud800",
    "NUL": "a\0b",
    "escape": "\x1b]0;owned\x07\x1b[2J",
    "C1": "\x9b31m",
    "bidi": "\u202eevil\u2066",
    "marks": "\u200e\u061c\u200b\ufeff",
    "line separator": "a\u2028b",
    "flood": "Z" + "\u0301" * 300,
    "private": "\ue000\U0010ffff",
    "5,000 letters": "x" * 5000,
    "5,000 digits": "1" * 5000,
    "hex": "abcdef0123456789" * 4,
    "100,000 letters": "y" * 100_000,
    "deep": "a/" * 600 + "b",
    "up": "../../../../etc/passwd",
    "percent": "%s%n%(x)s{0}%_",
    "quote": "'\"`;--",
    "backslash": "a\\b\\",
    "dash": "-",
    "at": "a@b@c",
    "home of nobody": "~nobody-of-this-name/x",
    "Chinese": "东京",
    "emoji": "👩‍👩‍👧",
    "Turkish i": "İı",
    "other digits": "L٣.٤",
    "markup": "[bold]x[/bold] :smile: [/]",
    "token": "hf_AbCdEfGhIjKlMnOpQrSt",
}
# Where a name goes; {} is the name. What is found out without a model, and writes nothing.
PLACES = [
    ("show", "{}"),
    ("diff", "{}"),
    ("diff", "base", "{}"),
    ("blame", "{}"),
    ("revert", "{}"),
    ("rewind", "{}"),
    ("compose", "{}", "base"),
    ("tag", "v1", "{}"),
    ("verify", "{}"),
    ("evaluate", "{}"),
    ("log", "{}"),
    ("push", "{}"),
    ("push", "a/b", "--branch", "{}"),
    ("push", "a/b", "--tag", "{}"),
    ("push", "a/b", "--version", "{}"),
    ("pull", "{}"),
    ("pull", "a/b@{}"),
    ("rollback", "{}", "--to", "v1"),
    ("rollback", "a/b", "--to", "{}"),
    ("base", "set", "{}"),
    ("restore", "{}"),
    ("assess", "--facts", "{}"),
    ("assess", "--relation", "{}", "--subject", "France"),
    ("assess", "--relation", "capital", "--subject", "{}"),
    ("assess", "--prompt", "{}", "--subject", "a", "--answer", "b"),
    ("assess", "--prompt", "[X] is in [Y] {}.", "--subject", "", "--answer", "b"),
    ("locate", "--relation", "capital", "--subject", "France", "--threshold", "{}"),
    ("locate", "--relation", "capital", "--subject", "France", "--rule", "{}"),
    ("update", "--relation", "{}", "--subject", "a", "--to", "b"),
    ("erase", "--relation", "{}"),
    ("erase", "--relation", "capital", "--times", "{}"),
    ("export", "e", "--version", "{}"),
    ("export", "e", "--as", "{}"),
    ("export", "e", "--max-rank", "{}"),
    ("gc", "--older-than", "{}"),
    ("report", "r", "--edit", "{}"),
    ("report", "r", "--version", "{}"),
    ("reproduce", "r", "--relation", "{}"),
    ("status", "--workspace", "{}"),
    ("{}",),
    ("status", "{}"),
    ("status", "--{}"),
    ("completion", "{}"),
]
WRITING = [("tag", "{}"), ("backup", "{}"), ("export", "{}", "--as", "delta")]
VARIABLES = [
    "KN_EDIT_WORKSPACE",
    "KN_EDIT_CACHE",
    "COLUMNS",
    "HF_TOKEN",
    "HF_HOME",
    "HF_TOKEN_PATH",
]


def check(ran) -> None:
    """What every command owes to every name."""
    assert "unexpected" not in ran.err
    assert "Traceback" not in ran.err
    for text in (ran.out, ran.err):
        assert escaped(text, keep="\n") == text
        text.encode()
    assert ran.code in range(9)
    if ran.code:
        *notes, sentence = ran.err.splitlines()
        assert sentence.startswith("kn-edit: ")
        assert len(sentence) <= MAX_SENTENCE + len("kn-edit: ")
        assert all(note.startswith("note: ") for note in notes)


@pytest.fixture(scope="module")
def template(place, tmp_path_factory):
    """One workspace for all names that must not change it."""
    folder = tmp_path_factory.mktemp("names") / "w"
    shutil.copytree(place / "edited", folder)
    return folder


@pytest.mark.parametrize("args", PLACES, ids=" ".join)
def test_a_name_of_any_kind_is_refused_in_one_sentence(shell, template, monkeypatch, args):
    monkeypatch.chdir(template)
    before = {path: path.read_bytes() for path in template.rglob("*") if path.is_file()}
    for name in NAMES.values():
        check(shell(*(part.replace("{}", name) for part in args)))
    after = {path: path.read_bytes() for path in template.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("args", WRITING, ids=" ".join)
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_of_any_kind_is_written_or_refused(edited, monkeypatch, tmp_path, args, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    inside = tmp_path / "w" / "a" / "b" / "c" / "d"  # where ../../../.. stays in the test's folder
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    ran = edited(*(part.replace("{}", name) for part in args))
    check(ran)
    assert edited("log").code == 0


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_of_any_kind_is_used_or_refused(edited, monkeypatch, variable):
    for name in NAMES.values():
        if "\0" in name or "\ud800" in name:
            continue  # no environment can hold it
        with monkeypatch.context() as patch:
            patch.setenv(variable, name)
            check(edited("status"))
            check(edited("show", "nothing"))


def test_links_that_lead_to_themselves(edited):
    Path("loop").symlink_to("loop")
    for args in (
        ("export", "loop/x"),
        ("export", "loop"),
        ("backup", "loop"),
        ("restore", "loop"),
        ("status", "--workspace", "loop"),
        ("init", "loop"),
        ("init", "demo-bert", "--workspace", "loop/x"),
        ("assess", "--facts", "loop"),
        ("base", "set", "loop"),
        ("report", "loop"),
    ):
        ran = edited(*args)
        check(ran)
        assert ran.code, args


def test_folders_and_devices_in_the_place_of_files(edited):
    Path("file").write_text("")
    Path("folder").mkdir()
    for args in (
        ("export", "file"),
        ("export", "file/x"),
        ("backup", "folder"),
        ("backup", "/dev/full"),
        ("backup", "file/x"),
        ("restore", "folder"),
        ("restore", "/dev/zero"),
        ("status", "--workspace", "file"),
        ("status", "--workspace", "file/x"),
        ("init", "file"),
        ("init", "folder", "--workspace", "file"),
        ("assess", "--facts", "folder"),
        ("assess", "--relation", "folder", "--subject", "a"),
        ("base", "set", "file"),
        ("report", "file"),
    ):
        ran = edited(*args)
        check(ran)
        assert ran.code, args


def test_a_model_of_any_name_is_refused(shell, tmp_path):
    for name in NAMES.values():
        ran = shell("init", name, "--workspace", "new")
        check(ran)
        assert ran.code
    assert not Path("new/.kn-edit").exists()
