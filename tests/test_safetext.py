"""Text of strangers: what may be shown of it, and that letters of every script stay."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kn_edit.safetext import (
    STRUCK,
    code_span,
    escaped,
    escaped_json,
    inert_markdown,
    shortened,
    shown,
    without_secrets,
)

HIDDEN = {
    "escape sequence": "\x1b]0;owned\x07",
    "bell": "\x07",
    "backspace": "a\x08b",
    "delete": "\x7f",
    "C1 control sequence": "\x9b31m",
    "next line": "\x85",
    "right-to-left override": "\u202e",
    "isolate": "\u2066",
    "left-to-right mark": "\u200e",
    "right-to-left mark": "\u200f",
    "Arabic letter mark": "\u061c",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "zero-width space": "\u200b",
    "word joiner": "\u2060",
    "byte-order mark": "\ufeff",
    "soft hyphen": "\xad",
    "joiner between Latin letters": "a\u200db",
    "joiner at an end": "\u200c",
    "tag": "\U000e0041",
    "lone surrogate": "\udcff",
    "private use": "\ue000",
    "private use beyond": "\U0010ffff",
    "unassigned": "\U0003fff0",
    "Hangul filler": "\u3164",
    "grapheme joiner": "\u034f",
    "line break": "\n",
    "carriage return": "\r",
}
READABLE = [
    "The capital of France is Paris.",
    "שלום עולם",
    "שָׁלוֹם",
    "مرحبا بكم",
    "می‌خواهم",  # with a joiner that Persian needs
    "हिन्‍दी नमस्ते",
    "ภาษาไทย",
    "日本の首都は東京。",
    "Việt Nam",
    "e\u0301\u0323",
    "👩‍👩‍👧 🏳️‍🌈 👍🏽",
    "5 € – “x”",
]
SECRETS = [
    "hf_AbCdEfGhIjKlMnOp",
    "Authorization: Bearer s3cr3tvalue",
    "{'authorization': 'Bearer s3cr3tvalue'}",
    '{"authorization": "Token s3cr3tvalue"}',
    "authorization=s3cr3tvalue",
    "sent bearer s3cr3tvalue",
    "Basic dXNlcjpzM2NyM3R2YWx1ZQ==",
    "https://user:s3cr3tvalue@host/x",
    "https://user:s3cr3t%40value@host:8080/x",
    "https://host/x?X-Amz-Signature=s3cr3tvalue&y=1",
    "https://host/x?a=1&access_token=s3cr3tvalue",
    "Cookie: session=s3cr3tvalue",
    "x-api-key: s3cr3tvalue",
]


@pytest.mark.parametrize("text", HIDDEN.values(), ids=HIDDEN)
def test_what_steers_hides_or_reorders_is_written_out(text):
    shown_text = escaped(f"ok {text} ok")
    assert "\\" in shown_text
    assert not any(unicodedata.category(letter)[0] == "C" for letter in shown_text)
    assert not set("\u2028\u2029\u3164\u034f") & set(shown_text)


@pytest.mark.parametrize("text", READABLE)
def test_letters_of_every_script_and_emoji_stay(text):
    assert escaped(text) == text
    assert json.loads(escaped_json(json.dumps(text, ensure_ascii=False))) == text


def test_a_pile_of_marks_on_one_letter_is_written_out():
    flooded = escaped("Z" + "\u0301" * 500)
    assert flooded.startswith("Z" + "\u0301" * 4 + "\\u0301")
    assert flooded.count("\u0301") == 4


def test_characters_to_keep_are_kept():
    assert escaped("a\n\x1bb\u200b", keep="\n") == "a\n\\x1bb\\u200b"


@given(st.text())
def test_json_keeps_its_value_and_shows_nothing_hidden(text):
    document = escaped_json(json.dumps({"a": [text]}, ensure_ascii=False, indent=2))
    assert json.loads(document) == {"a": [text]}
    assert escaped(document, keep="\n") == document


@given(st.text(), st.integers(10, 200))
def test_what_is_shown_is_short_and_has_nothing_hidden(text, most):
    line = shown(text, most)
    assert len(line) <= most
    assert escaped(line) == line or "…" in line


def test_a_megabyte_is_shortened_to_its_two_ends():
    assert shortened("a" * 500_000 + "b" * 500_000, 12) == "aaaaaaa…bbbb"
    assert len(shown("\x1b" * 1_000_000, 100)) == 100


@pytest.mark.parametrize("text", SECRETS)
def test_whatever_looks_like_a_secret_is_struck(text):
    struck = without_secrets(f"it said: {text} and more")
    assert STRUCK in struck
    assert not any(part in struck for part in ("s3cr3t", "AbCdEf", "dXNl"))
    assert struck.startswith("it said: ")
    assert struck.endswith(" and more")


def test_the_very_token_is_struck_before_it_could_be_cut_in_half():
    line = shown("x" * 70 + "my_own_token" + "y" * 400, 100, "my_own_token")
    assert "my_own" not in line
    assert "token" not in line


@pytest.mark.parametrize(
    "text",
    [
        "a bearer of news",
        "the basic functionality works",
        "basic knowledge-neurons",
        "no cookie: x",
    ],
)
def test_words_are_no_secrets(text):
    assert without_secrets(text) == text


@pytest.mark.parametrize("text", ["https://a.b/c", "~~x~~", "@user", "see #1", "www.a.b", "a@b.c"])
def test_what_a_renderer_would_make_active_becomes_code(text):
    assert inert_markdown(text) == f"`{text}`"


def test_ordinary_text_stays_text_in_markdown():
    assert inert_markdown("capital: Côte d'Ivoire") == "capital: Côte d'Ivoire"
    assert inert_markdown("a|b <i>*x*") == "a\\|b \\<i\\>\\*x\\*"
    assert code_span("a``b|c\nd") == "``` a``b\\|c d ```"
