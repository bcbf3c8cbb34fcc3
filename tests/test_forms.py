"""Forms of export: one that is added in a few lines is known to every command and verb."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hub import Hub
from hub_desk import Desk
from installed import install
from test_docs import DOCS, blocks
from workspaces import QUICK, about, new_workspace

from kn_edit.checkpoints.form import ExportForm
from kn_edit.checkpoints.forms import FORMS, CheckpointForm, add_form, form_of, forms
from kn_edit.errors import BadSetting
from kn_edit.workspace import Workspace

REPO = "ann/model"
ENTRY_POINTS = "[kn_edit.forms]\nslots = their_form:SlotList\n"


@pytest.fixture
def their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the form of the docs in a file of its own, as an installed package."""
    code = next(code for _, code in blocks(DOCS / "extending.md", "python") if "@add_form" in code)
    assert len(code.splitlines()) <= 30
    return install(tmp_path, "their_form", code, ENTRY_POINTS, monkeypatch)


@pytest.fixture
def slots(their_package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Any]]:
    """The form itself, in the table for one test."""
    monkeypatch.syspath_prepend(their_package)
    try:
        yield import_module("their_form").SlotList
    finally:
        FORMS.pop("slots", None)
        sys.modules.pop("their_form", None)


def edited(folder: Path) -> tuple[str, int]:
    """A workspace in `folder/work` with one edit: its id, and how many slots it writes."""
    with new_workspace(folder) as workspace:
        done = workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        assert done.edit is not None
        return done.edit, len(done.draft.delta.neurons())


@pytest.mark.parametrize("name", FORMS)
def test_every_form_says_what_it_is(name):
    form = form_of(name)
    assert form.name == name
    assert form.summary and form.library and form.holds.endswith(".")
    assert form.relation in {"finetune", "adapter"}


def test_the_first_form_is_the_usual_one_and_a_patch_is_not_published():
    assert next(iter(forms())) == "checkpoint"
    assert {*forms()} - {*forms(publishable=True)} == {"patch"}
    with pytest.raises(BadSetting, match="one of checkpoint, adapter, delta"):
        form_of("patch", publishable=True)


@pytest.mark.parametrize("name", ["checkpoint", "Slots", "a-b", "", "a" * 17])
def test_a_name_that_is_taken_or_that_no_ledger_can_hold_is_refused(name):
    with pytest.raises(BadSetting):
        add_form(type("Other", (CheckpointForm,), {"name": name}))
    assert name not in FORMS or FORMS[name] is CheckpointForm


def test_a_form_of_ones_own_is_written_from_python(slots, tmp_path):
    edit, count = edited(tmp_path)
    with Workspace.open(tmp_path / "work") as workspace:
        folder = workspace.export(tmp_path / "out", form="slots")
    header, *rows = (folder / "slots.csv").read_text(encoding="utf-8").splitlines()
    assert header == "edit,layer,neuron"
    assert len(rows) == count > 0
    assert {row.split(",")[0] for row in rows} == {edit}


def test_an_installed_form_is_exported_published_and_pulled(their_package, tmp_path, monkeypatch):
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    for folder in (ann, bob):
        folder.mkdir()
    edit, _ = edited(ann)
    new_workspace(bob).close()
    with Hub() as hub, ExitStack() as stack:
        hub.token("ann")
        desk = Desk(hub)  # a process in which the package is installed
        stack.callback(desk.close)
        work = ann / "work"
        assert "slots" in desk("export", "--help").out
        assert "slots" in desk("push", "--help").out
        exported = desk("export", str(tmp_path / "out"), "--as", "slots", "--json", workspace=work)
        assert exported.json["as"] == "slots"
        assert (tmp_path / "out" / "slots.csv").is_file()
        pushed = desk("push", REPO, "--as", "slots", "--json", workspace=work)
        assert (pushed.code, pushed.json["as"]) == (0, "slots")
        assert b"slots.csv" not in hub.read(REPO, "kn_edit.json")
        assert hub.read(REPO, "slots.csv").startswith(b"edit,layer,neuron")
        card = hub.read(REPO, "README.md").decode()
        assert "library_name: csv" in card
        assert "holds a list of the neurons" in card
        assert "# slots.csv of ann/model" in card
        monkeypatch.setenv("PYTHONPATH", os.environ["PYTHONPATH"].partition(os.pathsep)[2])
        other = Desk(hub)  # one that never heard of the form
        stack.callback(other.close)
        assert other("pull", REPO, workspace=bob / "work").code == 0
        assert "slots" in other("log", REPO, workspace=bob / "work").out
        assert other("push", REPO, "--as", "slots", workspace=bob / "work").code == 2
    with Workspace.open(bob / "work") as workspace:
        assert [one.id for one in workspace.ledger.edits()] == [edit]


def test_a_rank_belongs_to_forms_that_have_one(tmp_path, slots):
    ranked = [name for name, form in forms().items() if form.ranked]
    assert ranked == ["adapter"]
    assert issubclass(slots, ExportForm) and not slots.ranked
