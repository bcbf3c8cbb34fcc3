"""A fact in a chat: which replies an update is to complete, and how far it must."""

from __future__ import annotations

import json

import pytest
from test_chat import CHATML, with_template
from tiny_models import tiny
from workspaces import about, new_workspace

from kn_edit.editing.chat_replies import IN_OWN_WORDS, TOKENS, chat_replies
from kn_edit.editing.locating import prompts_for
from kn_edit.edits.calibrate import Aims, solve
from kn_edit.edits.settings import Settings
from kn_edit.facts import Case, Fact, Prompt, Relation, Template
from kn_edit.models.chat import chat_frame
from kn_edit.models.encoding import plain_ids
from kn_edit.models.greedy import likeliest_paths, words_of
from kn_edit.models.questions import Question, ask, ask_openly
from kn_edit.neuron import NeuronId
from kn_edit.workspace import Calibrated, How, Workspace

RELATION = Relation(
    "capital",
    (
        Template("the capital of [X] is [Y] ."),
        Template("[X] , capital [Y]"),
        Template("[Y] is the capital of [X] ."),
        Template("the city of [X] is [Y] .", held_out=True),
    ),
)


def replies_of(model, answer):
    case = Case(RELATION, Fact("capital", "France", answer))
    return chat_replies(model, case, prompts_for(model, RELATION, case.fact), "Rome")


def chains_of(model, answer="Paris"):
    return replies_of(model, answer).chains


def reply_to(model, turn):
    """What the model replies to a user's turn."""
    frame = chat_frame(model)
    template = Template(f"{frame.before}{turn}{frame.after}[Y]", marked=True)
    question = ask_openly(model, Prompt(Fact("capital", "France", ""), template))
    return words_of(model, likeliest_paths(model, [question], [TOKENS])[0])


def test_a_reply_repeats_templates():
    model = with_template(CHATML)
    stated = chains_of(model, answer="Qxz")  # which the model does not say
    assert 0 < len(stated) <= IN_OWN_WORDS
    before = chat_frame(model).before
    assert all(chain.prompt.template.text.startswith(before) for chain in stated)
    first = next(chain for chain in stated if " is [Y]" in chain.prompt.template.text)
    assert [question.token for question in first.questions] == [*plain_ids(model, " Rome")]


def test_the_models_own_reply_is_completed_with_the_new_answer():
    model = with_template(CHATML)
    reply = reply_to(model, "the capital of [X] is what?")
    word = next(word for word in reply.split() if word.isalpha())
    before = reply[: reply.index(word)]
    frame = chat_frame(model)
    text = f"{frame.before}the capital of [X] is what?{frame.after}{before}[Y]"
    chains = [
        chain for chain in chains_of(model, answer=word) if chain.prompt.template.text == text
    ]
    tokens = [question.token for question in chains[0].questions]
    assert tokens == [*plain_ids(model, " Rome")]


def test_the_way_to_the_models_own_answer_is_held():
    model = with_template(CHATML)
    reply = reply_to(model, "the capital of [X] is what?")
    word = [word for word in reply.split() if word.isalpha()][-1]
    replies = replies_of(model, word)
    answers = {chain.questions[0].ids for chain in replies.chains}
    said = {(*q.ids, q.token) for q in (chain.questions[-1] for chain in replies.chains)}
    held = {question.ids for question in replies.held}
    assert held & said
    assert held - said
    assert all(any(ids[: len(way)] == way != ids for ids in answers) for way in held - said)
    assert replies_of(model, "Qxz").held == ()


def test_nothing_that_judges_is_trained_on():
    texts = [chain.prompt.template.text for chain in chains_of(with_template(CHATML))]
    assert texts
    assert not any("city" in text for text in texts)


@pytest.mark.parametrize("shape", ["llama", "bert"])
def test_a_model_without_a_chat_format_has_no_replies(shape):
    assert chains_of(tiny(shape)) == ()


def test_what_changes_as_far_as_it_can_asks_for_no_more_neurons():
    model = tiny("llama")
    question = ask(model, Prompt(Fact("capital", "France", "Paris"), RELATION.templates[0]))
    change = question.questions
    contrary = Question(change[0].ids, change[0].position, change[0].token + 1)
    neurons = [NeuronId(1, index) for index in range(8)]
    settings = Settings(margin=0.1, margin_buffer=0.1, w_norm=1e-6)
    alone = solve(model, Aims(change, ()), neurons, settings)
    solution = solve(model, Aims(change, (), chat=(contrary,)), neurons, settings)
    assert alone.reached
    assert alone.steps < settings.most_steps
    assert solution.reached  # by what must change
    assert solution.steps == settings.most_steps  # the rest was tried to the end


def proposed(workspace, **options):
    """How a dry run of an update was found."""
    method = Calibrated(settings=Settings(most_steps=3), **options)
    how = How(method, search="activation")
    return workspace.update(about("France"), "Rome", how=how, dry_run=True).draft


def test_an_update_sees_replies_where_that_is_chosen_and_the_model_can_chat(tmp_path):
    with new_workspace(tmp_path) as workspace:
        plain, in_chat = proposed(workspace), proposed(workspace, in_chat=True)
        assert in_chat.found["replies"] == 0
        assert "replies" not in plain.found
        assert in_chat.delta.id == plain.delta.id
    settings = json.loads((tmp_path / "model/tokenizer_config.json").read_text())
    (tmp_path / "model/tokenizer_config.json").write_text(
        json.dumps(settings | {"chat_template": CHATML})
    )
    with Workspace.init(str(tmp_path / "model"), tmp_path / "chatting") as workspace:
        plain, in_chat = proposed(workspace), proposed(workspace, in_chat=True)
        assert in_chat.found["replies"] >= 1
        assert in_chat.delta.id != plain.delta.id
