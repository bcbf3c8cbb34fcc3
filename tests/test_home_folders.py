"""`~` wherever a path is named, and what no file can be called."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from kn_edit.errors import BadPath, ExitCode
from kn_edit.workspace import Workspace
from kn_edit.workspace.folder import chosen_folder, user_path


@pytest.fixture
def home(edited, tmp_path, monkeypatch):
    """A home folder that holds a workspace `w`, a model and files; the shell is elsewhere."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(".kn-edit", home / "w" / ".kn-edit")
    shutil.copytree(edited.model, home / "model")
    shutil.copy(edited.pack, home / "pack.json")
    row = {"prompt": "[X] is in [Y].", "subject": "France", "answer": "Rome"}
    (home / "facts.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(home))
    return home


def test_every_path_of_the_command_line_knows_the_home_folder(edited, home):
    before = ("--workspace", "~/w")
    for args in (
        (*before, "status"),
        ("status", *before),
        ("assess", "--facts", "~/facts.jsonl", *before),
        ("assess", "--relation", "~/pack.json", "--subject", "France", *before),
        ("backup", "~/b.tar", *before),
        ("export", "~/out", "--as", "delta", *before),
        ("init", "~/model", "--workspace", "~/new"),
        ("restore", "~/b.tar", "--workspace", "~/again"),
        ("base", "set", "~/model", *before),
        ("report", "~/page", *before),
    ):
        ran = edited(*args)
        assert ran.code == 0, (args, ran.err)
    assert {"b.tar", "out", "new", "again", "page"} <= {path.name for path in home.iterdir()}
    assert [*Path().iterdir()] == []


def test_variables_know_it_too(edited, home, monkeypatch):
    monkeypatch.setenv("KN_EDIT_WORKSPACE", "~/w")
    monkeypatch.setenv("KN_EDIT_CACHE", "~/cache")
    assert edited("status").code == 0
    ran = edited(
        "locate", "--relation", "~/pack.json", "--subject", "France", "--rule", "activation"
    )
    assert ran.code == 0
    assert [*Path().iterdir()] == []
    assert edited("doctor", "--json").json["findings"]
    assert str(home / "cache") in edited("doctor").out.replace("\n", "").replace(" ", "")


def test_an_empty_variable_is_as_good_as_none(edited, home, monkeypatch):
    monkeypatch.setenv("KN_EDIT_WORKSPACE", "")
    assert edited("status", "--json").error["error"] == "NoWorkspace"


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 5000, "x" * 256, "a/" * 2048, "\ud800"])
def test_what_no_file_can_be_called_is_refused(edited, monkeypatch, path):
    for args in (("export", path), ("backup", path), ("status", "--workspace", path)):
        assert edited(*args).code == ExitCode.USAGE
    with pytest.raises(BadPath):
        Workspace.open(path)
    with pytest.raises(BadPath):
        user_path(path)


def test_a_user_that_nobody_is_stays_as_written():
    assert chosen_folder("~nobody-of-this-name/x") == Path("~nobody-of-this-name/x")


def test_bytes_that_are_no_utf8_can_name_files(edited):
    name = "\udcff\udcfe"
    assert edited("backup", name).code == 0
    assert edited("restore", name, "--workspace", "\udcfd").code == 0
    ran = edited("status", "--workspace", "\udcfd")
    assert ran.code == 0
    ran.out.encode()
