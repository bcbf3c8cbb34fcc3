"""Hostile text inside a ledger, a checkpoint, a delta: nothing of it steers what is printed."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest
import torch
from safetensors.torch import load_file, save_file

from kn_edit.cli.run import run
from kn_edit.errors.base import MAX_SENTENCE
from kn_edit.safetext import escaped

HOSTILE = {
    "C1": "\x9b31mred\x85",
    "bidi": "\u202egpj.exe\u2066",
    "marks": "a\u200e\u061c\u200b\u2060b",
    "flood": "Z" + "\u0301" * 40,
    "private": "\ue000\U000e0041",
    "escape": "\x1b]0;owned\x07\x1b[2J",
    "separator": "a\u2028b",
}
FORMS = [(), ("--json",), ("-q",)]


def clean(ran) -> None:
    for text in (ran.out, ran.err):
        assert escaped(text, keep="\n") == text
    assert "unexpected" not in ran.err
    for line in ran.err.splitlines():
        sentence = json.loads(line)["message"] if line.startswith("{") else line
        assert len(sentence) <= MAX_SENTENCE + len("kn-edit: ")


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_names_and_facts_on_the_command_line(edited, form):
    for text in HOSTILE.values():
        ran = edited("tag", text, *form)
        clean(ran)
        clean(edited("update", "--prompt", f"[X] {text} in [Y].", "--subject", text, "--to", text))
        clean(edited("assess", "--prompt", "[X] [Y]", "--subject", text, "--answer", text, *form))
        clean(edited("blame", text, *form))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_files_of_facts(edited, text):
    row = {"relation": text, "subject": text, "answer": text, "prompt": f"[X] {text} [Y]", text: 1}
    Path("facts.jsonl").write_text(json.dumps(row) + "\n")
    clean(edited("update", "--facts", "facts.jsonl"))
    clean(edited("assess", "--facts", "facts.jsonl", "--json"))
    pack = {"name": text, "templates": [{"text": "[X] [Y]"}], "facts": [[text, text]]}
    Path("pack.json").write_text(json.dumps(pack))
    clean(edited("assess", "--relation", "pack.json", "--subject", text))
    clean(edited("locate", "--relation", "pack.json"))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_tensors_and_configurations_of_a_checkpoint(shell, tmp_path, text):
    folder = tmp_path / "model"
    shutil.copytree(shell.model, folder)
    config = json.loads((folder / "config.json").read_text())
    changes = (
        {"model_type": text},
        {"quantization_config": {"quant_method": text}},
        {"architectures": [text]},
        {"torch_dtype": text, "dtype": text},
        {"hidden_act": text},
        {"rope_scaling": {"rope_type": text, "factor": 2.0}},
    )
    for change in changes:
        (folder / "config.json").write_text(json.dumps(config | change))
        clean(shell("init", str(folder), "--workspace", "w"))
        if Path("w").exists():
            clean(
                shell("assess", "--workspace", "w", "--relation", shell.pack, "--subject", "Cuba")
            )
            shutil.rmtree("w")
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {text: torch.zeros(2)}, folder / "model.safetensors")
    clean(shell("init", str(folder), "--workspace", "w"))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_paths(edited, tmp_path, text):
    home = tmp_path / f"h {text}"
    shutil.copytree(".kn-edit", home / ".kn-edit")
    for args in (("status",), ("doctor",), ("backup", f"{text}.tar"), ("gc",), ("verify",)):
        for form in FORMS:
            clean(edited(*args, *form, "--workspace", str(home)))
    clean(edited("export", text, "--as", "delta"))
    clean(edited("init", str(tmp_path / text)))
    assert Path(f"{text}.tar").exists()


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_rows_of_a_ledger_of_strangers(edited, form):
    """Whoever sends a workspace chooses every text in it."""
    first, second = edited("show", "head", "--json").json["edits"]
    for text in HOSTILE.values():
        shutil.copytree(".kn-edit", "other/.kn-edit")
        with closing(connect("other/.kn-edit/ledger.db")) as ledger, ledger:
            ledger.execute("UPDATE edits SET message = ?, method = ?", (text, text))
            ledger.execute("UPDATE events SET message = ?", (text,))
            ledger.execute("UPDATE facts SET subject = ?, answer = ?, relation = ?", (text,) * 3)
            ledger.execute("UPDATE base_models SET name = ?, model_type = ?", (text, text))
        for args in (
            ("status",),
            ("log",),
            ("show", "head"),
            ("show", first[:12]),
            ("diff", "base"),
            ("blame", "L0.1"),
            ("revert", second[:12], "--allow-overlap"),
            ("verify",),
            ("doctor",),
        ):
            clean(edited(*args, *form, "--workspace", "other"))
        shutil.rmtree("other")


def test_json_keeps_the_values(edited):
    name = "h \u202e\x9b\U000e0041é東"
    shutil.copytree(".kn-edit", f"{name}/.kn-edit")
    ran = edited("status", "--json", "--workspace", name)
    clean(ran)
    assert ran.json["workspace"].endswith(name)
    assert "é東" in ran.out


def test_a_token_in_use_reaches_neither_a_sentence_nor_a_traceback(edited, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "very-own-token")
    monkeypatch.setenv("KN_EDIT_DEBUG", "1")
    for form in ((), ("--json",)):
        for args in (("show", "very-own-token"), ("pull", "very-own-token"), ("very-own-token",)):
            ran = edited(*args, *form)
            assert ran.code
            assert "very-own" not in ran.out + ran.err
            assert "[secret]" in ran.err


def test_a_traceback_steers_nothing(edited, monkeypatch):
    monkeypatch.setenv("KN_EDIT_DEBUG", "1")
    ran = edited("show", "\x1b[2J\u202e")
    assert "Traceback" in ran.err
    assert escaped(ran.err, keep="\n") == ran.err


def test_any_exception_is_one_sentence(edited, monkeypatch):
    from kn_edit.workspace import Workspace

    for error in (
        MemoryError(),
        RecursionError("maximum recursion depth exceeded"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        OSError(36, "File name too long", "\x1b" * 5000),
        OSError(21, "Is a directory", b"\xff"),
        OSError(24, "Too many open files"),
        OSError(5, "Input/output error", "a"),
        OSError(40, "Too many levels of symbolic links", "a"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried"),
    ):
        with monkeypatch.context() as patch:

            def fail(*_: object, error: Exception = error, **__: object) -> None:
                raise error

            patch.setattr(Workspace, "log", fail)
            ran = edited("log")
        clean(ran)
        assert ran.code in (1, 2, 4, 7)
        (sentence,) = ran.err.splitlines()
        assert sentence.startswith("kn-edit: ")


def test_run_takes_arguments_that_are_no_utf8(edited):
    assert run(["show", "\udcff"]) == 1
