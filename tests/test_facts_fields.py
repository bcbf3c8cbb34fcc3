"""What may stand in a subject, an answer or a template: one rule for readers and for publishing."""

from __future__ import annotations

import pytest

from kn_edit.errors import BadField, EmptyField, ExitCode
from kn_edit.facts import MOST_LETTERS, check_field
from kn_edit.workspace import case_of

ONE_LINE = [name for name in MOST_LETTERS if name != "template"]


@pytest.mark.parametrize("name", ONE_LINE)
@pytest.mark.parametrize(
    "text",
    [
        "Côte d'Ivoire",
        "巴黎",
        "\u202bישראל\u202c",  # an embedding, as Wikidata's labels have it
        "\u200fمصر\u200e",
        "می\u200cخواهم",  # a joiner
        "👩\u200d🚀",
        "\u2067שלום\u2069",
        "soft\u00adhyphen",
        "no\u00a0break",
        "x" * 1_000,
    ],
)
def test_names_of_every_script_with_their_marks_are_taken(name, text):
    assert check_field(f" {text} ", name) == text


@pytest.mark.parametrize("name", ONE_LINE)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A\tB", "a tab"),
        ("A\nB", "line break"),
        ("A\rB", "line break"),
        ("A\u2028B", "line break"),
        ("A\x85B", "line break"),
        ("A\0B", "U+0000"),
        ("\x1b[2J", "U+001B"),
        ("A\x9bB", "U+009B"),
        ("A\x7f", "U+007F"),
        ("\ud800", "surrogate"),
        ("C\udcf4te", "not UTF-8"),
        ("x" * 5_001, "5,001 letters"),
    ],
)
def test_what_no_line_of_text_holds_is_refused_in_a_sentence(name, text, said):
    with pytest.raises(BadField) as refusal:
        check_field(text, name)
    assert said in str(refusal.value)
    assert name in str(refusal.value)
    assert len(str(refusal.value)) < 200
    assert refusal.value.exit_code == ExitCode.USAGE


def test_a_template_keeps_its_line_breaks_and_the_space_around_it():
    text = " Capital of [X]?\n\tAnswer:\n[Y]\n"
    assert check_field(text, "template") == text
    for letter in "\0\r\x1b\ud800\u2028":
        with pytest.raises(BadField):
            check_field(f"[X] is{letter}[Y]", "template")
    with pytest.raises(BadField, match="10,001"):
        check_field("x" * 10_001, "template")


@pytest.mark.parametrize("text", ["", "  ", "\n"])
@pytest.mark.parametrize("name", MOST_LETTERS)
def test_an_empty_field_is_refused(name, text):
    with pytest.raises(EmptyField):
        check_field(text, name)


@pytest.mark.parametrize("field", ["subject", "answer", "prompts", "neighbours", "relation"])
@pytest.mark.parametrize("bad", ["\udcff", "a\0", "\x1b]0;x\x07"])
def test_what_a_user_types_goes_by_the_same_rule(field, bad):
    fact = {"subject": "Lyra", "answer": "Oxford", "prompts": ["[X] is [Y]"], "neighbours": []}
    bad_value = {"prompts": [f"[X] {bad} [Y]"], "neighbours": [bad]}.get(field, bad)
    with pytest.raises(BadField):
        case_of(**{**fact, field: bad_value})
