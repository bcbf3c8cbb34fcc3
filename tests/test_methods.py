"""Editing methods: one table, and one of a user's own that is used everywhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hub import Hub
from hub_desk import Desk
from test_docs import DOCS, blocks
from workspaces import about, new_workspace

from kn_edit.editing.methods import METHODS
from kn_edit.edits.settings import Settings
from kn_edit.errors import BadSetting
from kn_edit.workspace import (
    Auto,
    Calibrated,
    ClosedForm,
    EditMethod,
    Frequent,
    Kind,
    Workspace,
    add_method,
    method_of,
    methods,
    options_of,
)

REPO = "ann/model"


@pytest.fixture
def loudest(tmp_path, monkeypatch) -> Iterator[type[Any]]:
    """The method of the docs in a file of its own, in the table for one test."""
    ((_, code),) = blocks(DOCS / "methods.md", "python")
    assert len(code.splitlines()) <= 40  # its imports among them
    (tmp_path / "their_method.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        yield import_module("their_method").Loudest
    finally:
        METHODS.pop("loudest", None)
        sys.modules.pop("their_method", None)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_is(name):
    method = METHODS[name]
    assert method.name == name
    assert method.source
    assert method.edits
    assert isinstance(method(), EditMethod)
    assert {*options_of(method)} <= {one.name for one in fields(method)}  # type: ignore[arg-type]


def test_the_usual_method_of_each_kind_comes_first():
    assert method_of(Kind.UPDATE, None) == Auto()
    assert next(iter(methods(Kind.ERASE))) == "specific"


def test_a_method_is_named_by_its_name_or_is_itself():
    assert method_of(Kind.UPDATE, "closed-form") == ClosedForm()
    assert method_of(Kind.ERASE, Frequent(top=3)) == Frequent(top=3)


@pytest.mark.parametrize("wrong", ["magic", "frequent", Frequent()])
def test_what_is_no_method_of_an_update_is_refused(wrong):
    with pytest.raises(BadSetting, match="auto, calibrated, correction, joint, closed-form"):
        method_of(Kind.UPDATE, wrong)


def test_no_method_takes_anothers_name():
    class Other(Calibrated):
        name = "auto"

    with pytest.raises(BadSetting, match="one that no other method has"):
        add_method(Other)
    assert METHODS["auto"] is Auto


def test_an_option_of_another_method_is_refused(edited):
    ran = edited.update("Italy", "Oslo", "--scale", "1", "8", "--dry-run")
    assert ran.code == 2
    assert "--scale belongs to --method closed-form" in ran.err
    ran = edited("erase", "--relation", edited.pack, "--top-k", "3", "--at-least", "2")
    assert ran.code == 2
    assert "--top-k are two ways to choose; give one" in ran.err


def test_a_method_of_ones_own_is_used_from_python(loudest, tmp_path):
    with new_workspace(tmp_path) as workspace:
        done = workspace.update(about("France"), "Rome", how=loudest(size=2.0), accept=True)
        assert done.draft.method == "loudest"
        assert len(done.draft.neurons) == 1
        assert done.draft.found["size"] == 2.0
        assert done.draft.metrics["neighbours"] > 0  # judged as any other
        named = workspace.update(about("Japan"), "Cairo", how="loudest", dry_run=True)
        assert named.draft.found["size"] == 0.5
        assert [one.target for one in workspace.evaluate().updates] == ["Rome"]
        assert workspace.verify() == []


def test_a_method_that_needs_no_attribution_does_not_run_it(loudest, tmp_path):
    told: list[str] = []
    with (
        new_workspace(tmp_path) as workspace,
        workspace.call(progress=lambda what, done, total: told.append(what)),
    ):
        workspace.update(about("France"), "Rome", how=loudest(), dry_run=True)
        assert not [what for what in told if what.startswith("locating")]
        workspace.update(
            about("France"), "Rome", how=Calibrated(settings=Settings(most_steps=1)), dry_run=True
        )
        assert [what for what in told if what.startswith("locating")]


def test_a_method_of_ones_own_is_used_from_the_command_line(loudest, edited, tmp_path):
    help_ = edited("update", "--help").out
    assert "--size" in help_
    assert "loudest: Write the new answer" in " ".join(help_.split())
    ran = edited.update(
        *("Italy", "Oslo", "--method", "loudest", "--size", "1.5", "--accept", "--json")
    )
    assert ran.json["method"] == "loudest"
    record = edited("show", ran.json["edit"], "--json").json
    assert record["found"]["size"] == 1.5
    assert "loudest" in edited("show", ran.json["edit"]).out
    assert edited("evaluate", "--json").json["updates"][-1]["target"] == "Oslo"
    assert edited("report", str(tmp_path / "page"), "--edit", ran.json["edit"]).code == 0
    assert "loudest" in (tmp_path / "page" / "report.html").read_text(encoding="utf-8")


def test_whoever_pulls_an_edit_needs_no_method(loudest, tmp_path, monkeypatch):
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    for folder in (ann, bob):
        folder.mkdir()
    with new_workspace(ann) as workspace:
        done = workspace.update(about("France"), "Rome", how=loudest(), accept=True)
    new_workspace(bob).close()
    with Hub() as hub, ExitStack() as stack:
        hub.token("ann")
        desk = Desk(hub)  # another process, which never heard of the method
        stack.callback(desk.close)
        assert desk("push", REPO, "--as", "delta", workspace=_found(ann)).code == 0
        assert desk("pull", REPO, workspace=_found(bob)).code == 0
    with Workspace.open(_found(bob)) as workspace:
        (edit,) = workspace.ledger.edits()
        assert (edit.id, edit.method) == (done.edit, "loudest")


def _found(folder: Path) -> Path:
    """The workspace's own folder."""
    return next(folder.rglob(".kn-edit")).parent
