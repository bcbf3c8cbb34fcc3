"""A tokenizer that loads and fails on some text: one typed error, and nothing else is printed."""

from __future__ import annotations

import base64
import copy
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import tiny, tiny_folder
from workspaces import CAPITAL, about

from kn_edit.errors import TokenizerFailed
from kn_edit.facts import Case, Fact
from kn_edit.models.encoding import text_ids
from kn_edit.models.guarded import GuardedTokenizer
from kn_edit.models.model import load
from kn_edit.workspace import Workspace

LETTER = ord("Z")


def character_map() -> str:
    """A map whose answer for `Z` lies far behind the end of its text: the library panics there."""
    units = [0] * 256
    units[LETTER] = LETTER | 1 << 8 | 0x80 << 10  # the letter, a leaf, where its value stands
    units[LETTER ^ 0x80] = 10_000
    trie = struct.pack("<256I", *units)
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + b"a\0").decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tiny_folder("llama", tmp_path_factory.mktemp("models") / "model")
    path = folder / "tokenizer.json"
    facts = json.loads(path.read_text())
    facts["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": character_map()}
    path.write_text(json.dumps(facts))
    return folder


def test_a_panic_while_asking_is_one_typed_error(folder, capfd):
    model = load(folder)
    assert text_ids(model, "the capital of France is")
    with pytest.raises(TokenizerFailed, match=r"Zaire.*PanicException"):
        text_ids(model, "the capital of Zaire is")
    assert text_ids(model, "the capital of France is")
    assert capfd.readouterr() == ("", "")


def test_every_method_is_guarded(folder, capfd):
    tokenizer = GuardedTokenizer(load(folder).tokenizer)
    for ask in (tokenizer, tokenizer.encode, tokenizer.tokenize):
        with pytest.raises(TokenizerFailed):
            ask("Zaire")
    for ask in (tokenizer.decode, tokenizer.convert_ids_to_tokens):
        with pytest.raises(TokenizerFailed):
            ask([-1, 1 << 70])
    assert capfd.readouterr() == ("", "")


def test_verbs_raise_it_and_the_next_fact_is_asked(folder, tmp_path):
    with Workspace.init(str(folder), tmp_path / "work") as workspace:
        with pytest.raises(TokenizerFailed):
            workspace.assess(Case(CAPITAL, Fact("capital", "Zaire", "Paris"), None, ()))
        assert workspace.assess(about("France"))
        assert workspace.ledger.edits() == []


def test_a_command_says_it_in_one_sentence(folder, tmp_path):
    Workspace.init(str(folder), tmp_path).close()
    words = ("--subject", "Zaire", "--prompt", "the capital of [X] is [Y]", "--answer", "Paris")
    ran = subprocess.run(
        [sys.executable, "-m", "kn_edit.cli", "assess", *words, "--workspace", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == TokenizerFailed.exit_code
    (*_, line) = ran.stderr.splitlines()  # before it, on a busy machine, what is under way
    assert "Traceback" not in ran.stderr
    assert "tokenizer fails on" in line and "Zaire" in line and ran.stdout == ""


def test_it_is_the_tokenizer_in_everything_else(folder):
    guarded = tiny("llama").tokenizer
    plain = guarded.plain
    assert len(guarded) == len(plain) and guarded.all_special_ids == plain.all_special_ids
    assert guarded("France is").input_ids == plain("France is").input_ids
    assert GuardedTokenizer(guarded).plain is plain
    assert copy.deepcopy(guarded)("France").input_ids == plain("France").input_ids
    with pytest.raises(AttributeError):
        guarded.nothing  # noqa: B018


def test_what_others_print_meanwhile_is_not_lost(capfd):
    class Loud:
        def __call__(self, text: str) -> str:
            os.write(2, b"from elsewhere\n")
            return text

    assert GuardedTokenizer(Loud())("x") == "x"
    assert capfd.readouterr().err == "from elsewhere\n"


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_a_stop_stays_a_stop(stop):
    class Stopped:
        def decode(self, ids: object) -> str:
            raise stop

    with pytest.raises(stop):
        GuardedTokenizer(Stopped()).decode([1])
