"""Rewordings of any prompt: two sets that share nothing, each with every kind that suits."""

from __future__ import annotations

import pytest

from kn_edit.facts import ANSWER, SUBJECT, Template
from kn_edit.facts.paraphrases import ChatFrame, chosen, for_judging, for_solver

CHAT = ChatFrame("<|user|>\n", "<|end|>\n<|assistant|>\n")
TEMPLATES = (
    "The CEO of [X] is [Y].",
    "[X] was founded in the year [Y]",
    "In which city did [X] pass away? [Y]",
    "who has the [X] in nba history [Y]",
    "[X]的首都是[Y]",
    "[Y] was the occupation of [X] .",
    "[X] [Y]",
    "[X]'s capital is [Y]",
    "1. The CEO of [X] is [Y].",
)


def texts(rewordings):
    return [one.template.text for one in rewordings]


@pytest.mark.parametrize("text", TEMPLATES)
def test_what_trains_and_what_judges_share_no_rewording(text):
    solving = for_solver(Template(text), CHAT)
    judging = for_judging(Template(text), CHAT)
    assert not {*texts(solving)} & {*texts(judging)}
    assert text not in texts((*solving, *judging))
    assert not any(one.template.held_out for one in solving)
    assert all(one.template.held_out for one in judging)


@pytest.mark.parametrize("text", TEMPLATES)
def test_every_prompt_is_reworded_in_several_ways_without_a_chat_format_too(text):
    for reword in (for_solver, for_judging):
        rewordings = reword(Template(text))
        assert len(rewordings) >= 2
        assert all(
            one.template.text.count(mark) == 1 for one in rewordings for mark in (SUBJECT, ANSWER)
        )
        assert not any(one.template.marked for one in rewordings)


@pytest.mark.parametrize("text", [text for text in TEMPLATES if Template(text).answer_last])
def test_a_causal_lm_can_be_asked_what_it_could_be_asked_before(text):
    rewordings = (*for_solver(Template(text), CHAT), *for_judging(Template(text), CHAT))
    assert all(one.template.answer_last for one in rewordings)


def test_the_chat_format_stands_around_the_users_turn():
    chats = [one for one in for_solver(Template("Where is [X]? [Y]"), CHAT) if one.template.marked]
    assert texts(chats) == ["<|user|>\nWhere is [X]?<|end|>\n<|assistant|>\n[Y]"]


@pytest.mark.parametrize(
    ("text", "reworded"),
    [
        ("The CEO of [X] is [Y].", "[X]'s CEO is [Y]."),
        ("[X]'s capital is [Y]", "The capital of [X] is [Y]"),
        ("The sea is near [X]: [Y]", "As far as anybody knows, the sea is near [X]: [Y]"),
    ],
)
def test_a_statement_is_put_in_another_order(text, reworded):
    assert reworded in texts(for_judging(Template(text)))


def test_lower_case_leaves_the_name_and_the_answer_as_they_are():
    assert "the ceo of [X] is [Y]." in texts(for_judging(Template("The CEO of [X] is [Y].")))


def test_words_of_english_do_not_stand_beside_another_script():
    solving, judging = (reword(Template("[X]的首都是[Y]")) for reword in (for_solver, for_judging))
    assert {one.kind for one in (*solving, *judging)} == {"question and answer", "list", "quoted"}


def test_a_chat_format_that_holds_a_placeholder_is_left_out():
    odd = ChatFrame("[X] says: ", " -> ")
    assert for_judging(Template("Where is [X]? [Y]"), odd) == for_judging(
        Template("Where is [X]? [Y]")
    )


def test_several_prompts_give_different_kinds_in_turn():
    groups = [for_judging(Template(text)) for text in TEMPLATES[:3]]
    assert len({one.kind for one in chosen(groups)[:3]}) == 3
    assert len(chosen(groups)) == sum(map(len, groups))
