"""Free generation: what is said with nothing fed in, and whether it repeats itself."""

from __future__ import annotations

import pytest
from known_model import CAPITAL, known_model
from test_chat import CHATML, with_template
from tiny_models import tiny

from kn_edit.errors import BadSetting, CannotContinue, PromptEmpty, PromptTooLong
from kn_edit.evaluation.free import (
    FreeAnswers,
    FreePrompt,
    FreeText,
    Names,
    Replies,
    free_replies,
    question_prompt,
)
from kn_edit.evaluation.protocols import FreeOptions, requested

FRANCE = FreePrompt("The capital of France")
ROME = Names(new=("Rome",), old=("Paris",), subject="France")


def spoken(*texts):
    greedy, *sampled = (FreeText(text, text, ended=True) for text in texts)
    return Replies(FRANCE, greedy, tuple(sampled))


def test_a_fact_that_the_model_knows_is_said_freely():
    model = known_model()
    prompts = [FreePrompt(f"The capital of {subject}") for subject in CAPITAL]
    replies = free_replies(model, prompts, FreeOptions(tokens=1, samples=0))
    assert [reply.greedy.text for reply in replies] == list(CAPITAL.values())
    answers = FreeAnswers(Names(new=("Paris",), subject="France"), replies[:1], replies[:1])
    assert (answers.greedy, answers.sampled) == (1.0, None)


def test_what_is_said_to_a_prompt_does_not_depend_on_the_others():
    model = tiny("llama")
    options = FreeOptions(tokens=8, samples=2, temperature=1.5, seed=7)
    prompts = [FRANCE, FreePrompt("people speak"), FreePrompt("known for")]
    together = free_replies(model, prompts, options)
    assert together[1:2] == free_replies(model, prompts[1:2], options)
    assert len({reply.texts for reply in together}) == 3
    assert len(together[0].sampled) == 2


def test_a_model_with_a_chat_format_is_asked_in_it():
    model = with_template(CHATML, "gpt2")
    assert question_prompt(model, "Where is Oslo?") == FreePrompt("Where is Oslo?", chat=True)
    assert not question_prompt(tiny("gpt2"), "Where is Oslo?").chat
    options = FreeOptions(tokens=6, samples=0)
    chat, plain = (
        free_replies(model, [FreePrompt("The capital of France", chat=chat)], options)[0].greedy
        for chat in (True, False)
    )
    frame = model.tokenizer.plain.apply_chat_template(
        [{"role": "user", "content": "The capital of France"}],
        tokenize=False,
        add_generation_prompt=True,
    )
    (as_text,) = free_replies(model, [FreePrompt(frame)], options)
    assert chat == as_text.greedy != plain


def test_right_is_what_names_the_new_answer_and_not_the_old_one():
    version = (spoken("Rome, surely.", "Rome, not Paris", "rome"), spoken("Oslo.", "Rome", ""))
    answers = FreeAnswers(ROME, version, version)
    assert answers.greedy == 0.5
    assert answers.sampled == pytest.approx(2 / 4)
    assert answers.figures["base_old"] == 0.0
    before = (spoken("Paris."), spoken("Rome or Paris"))
    assert FreeAnswers(ROME, before, version).figures["base_old"] == 0.5
    assert FreeAnswers(Names(new=("Rome",)), before, version).base_old is None
    plain = answers.plain()
    texts = [text for reply in plain["replies"] for text in reply["version"]]
    assert [text["text"] for text in texts][:2] == ["Rome, surely.", "Rome, not Paris"]
    assert [(text["new"], text["old"]) for text in texts][:2] == [(True, False), (True, True)]
    assert answers.texts == ("Rome, surely.", "Oslo.")


def test_a_loop_shows_in_the_share_of_the_entropy():
    base = (spoken("Its capital is the city of Paris, on the banks of the river Seine."),)
    sound = (spoken("Its capital is the city of Rome, on the banks of the river Tiber."),)
    loop = (spoken("la Rome, la Rome, la Rome, la Rome, la Rome, la Rome, la Rome"),)
    assert FreeAnswers(ROME, base, sound).figures["entropy_share"] == pytest.approx(1.0, abs=0.05)
    share = FreeAnswers(ROME, base, loop).figures["entropy_share"]
    assert share is not None
    assert share < 0.4
    silent = FreeAnswers(ROME, (spoken("Paris"),), sound)
    assert silent.entropy.base == 0
    assert silent.figures["entropy_share"] is None


def test_entropy_is_that_of_texts_of_one_length():
    model = with_template(CHATML, "gpt2")
    (reply,) = free_replies(model, [FreePrompt("France")], FreeOptions(tokens=9, samples=3))
    assert {len(text.goes_on.split()) for text in reply.texts} == {9}
    assert all(text.goes_on.startswith(text.text) for text in reply.texts)


def test_what_cannot_be_asked_freely_is_refused():
    with pytest.raises(CannotContinue, match="masked LM"):
        free_replies(tiny("bert"), [FRANCE])
    with pytest.raises(PromptEmpty):
        free_replies(tiny("gpt2"), [FreePrompt("")])
    with pytest.raises(PromptTooLong):
        free_replies(tiny("gpt2"), [FreePrompt("the " * 80)])
    for name, value in (("tokens", 0), ("samples", -1)):
        with pytest.raises(BadSetting):
            FreeOptions(**{name: value})
    with pytest.raises(BadSetting, match="protocol"):
        requested(["freely"])
    assert requested("free") == requested(["free", "all"])[:1]
