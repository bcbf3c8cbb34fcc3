"""Every error: one sentence that may be shown, whatever its facts hold."""

from __future__ import annotations

import dataclasses
import json
import pickle
import re
import typing
from pathlib import Path

import pytest

import kn_edit.errors as errors
from kn_edit.errors import KnEditError, TagExists, UnknownFamily, UnknownId, listed
from kn_edit.errors.base import MAX_SENTENCE
from kn_edit.safetext import escaped

CLASSES = [
    cls
    for name in errors.__all__
    if isinstance(cls := getattr(errors, name), type)
    and issubclass(cls, KnEditError)
    and dataclasses.is_dataclass(cls)  # else it only stands for its kinds
]
HOSTILE = {
    "escape": "\x1b]0;owned\x07\x1b[2J",
    "C1": "a\x9b2Jb\x85",
    "bidi": "a\u202eb\u2066c\u200e\u061c",
    "lines": "a\nb\r\nc\u2028d\u2029",
    "surrogate": "a\udcffb",
    "hidden": "a\u200b\u2060\ufeff\U000e0041\ue000\u3164",
    "flood": "Z" + "\u0301" * 1000,
    "megabyte": "x" * 1_000_000,
    "megabyte of escapes": "\x1b[2J" * 250_000,
    "token": "Authorization: Bearer hf_AbCdEfGhIjKlMnOp",
    "own token": "the very-own-token said",
    "quotes": "'\"\\",
    "empty": "",
}


def value_of(hint: object, text: str) -> object:
    """A value of this type that is made of this text."""
    if hint is str or hint == (str | None):
        return text
    if hint is Path:
        return Path(text.replace("\0", ""))
    if hint in (int, int | None, float, bool):
        return 7
    if typing.get_origin(hint) is tuple:
        inner, *rest = typing.get_args(hint)
        if rest == [Ellipsis]:
            return (value_of(inner, text),) * 12
        return tuple(value_of(each, text) for each in (inner, *rest))
    return text


def hostile(cls: type[KnEditError], text: str) -> KnEditError:
    hints = typing.get_type_hints(cls)
    return cls(**{one.name: value_of(hints[one.name], text) for one in dataclasses.fields(cls)})


def own_words(error: KnEditError) -> list[str]:
    """The last words of a sentence that the class says, not its facts of x."""
    words = re.sub(r"\bx+(…x+)?\b", "", str(error)).replace("…", "").split()
    return words[-5:]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_the_sentence_of_every_error_may_be_shown(text, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "very-own-token")
    for cls in CLASSES:
        error = hostile(cls, text)
        sentence = str(error)
        assert 3 < len(sentence) <= MAX_SENTENCE, cls
        assert escaped(sentence) == sentence, cls
        assert "AbCdEf" not in sentence, cls
        assert "very-own" not in sentence, cls
        detail = json.dumps(error.detail())
        assert len(detail) < 2_000_000, cls
        assert "AbCdEf" not in detail, cls
        assert "very-own" not in detail, cls


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_advice_survives_facts_of_any_length(cls):
    """The words that a class itself writes stand behind facts of a megabyte too."""
    own, long = (own_words(hostile(cls, "x" * length)) for length in (1, 1_000_000))
    assert own == long


def test_every_error_comes_whole_from_another_process():
    for cls in CLASSES:
        error = hostile(cls, "x")  # its facts given by keyword
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is cls
        assert (str(again), again.detail()) == (str(error), error.detail()), cls


def test_ordinary_names_stand_as_they_are():
    assert str(TagExists("v1", "0" * 64)) == (
        "tag 'v1' names version 000000000000; pass move=True to move it, or choose another name"
    )
    assert "'it''s'" not in str(UnknownId("version", "it's"))
    assert '"it\'s"' in str(UnknownId("version", "it's"))
    assert "'東京'" in str(UnknownId("version", "東京"))


def test_an_escape_is_not_escaped_twice():
    assert r"'a\x1bb'" in str(UnknownId("version", "a\x1bb"))
    assert r"'\u202eevil'" in str(UnknownFamily("\u202eevil", ("bert",)))


def test_the_facts_themselves_are_untouched():
    error = UnknownId("version", "a\x1bb")
    str(error)
    assert error.name == "a\x1bb"
    assert error.detail()["name"] == "a\x1bb"


def test_a_list_of_nothing_is_a_word():
    assert listed(()) == "nothing"
