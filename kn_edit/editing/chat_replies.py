"""A fact as a chat speaks of it, so that an update is heard there too.

A template is asked as a user's question, and the answer is what completes a reply: the template's
own words, or what the model itself says up to its answer. On the way there and behind the new
answer, the model is to go on as before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from kn_edit.errors import BadTemplate, CannotAsk
from kn_edit.facts import ANSWER, SUBJECT, Case, Fact, Prompt, Template
from kn_edit.facts.paraphrases import ChatFrame, chat_turns
from kn_edit.models.chat import chat_frame
from kn_edit.models.greedy import likeliest_paths, words_of
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question, ask, ask_openly

IN_OWN_WORDS = 2  # templates that a reply repeats
TURNS = 16  # that the model replies to
REPLIES = 6  # of the model, that name its answer
TOKENS = 24  # of each reply
HELD = 4  # places of each, on the way to the answer, that are to stay


@dataclass(frozen=True)
class ChatReplies:
    """Replies in a model's chat format that an answer completes.

    chains: each asks for the new answer; held: places around it, in what the model itself says,
    which are to stay
    """

    chains: tuple[Chain, ...] = ()
    held: tuple[Question, ...] = ()


def chat_replies(model: Model, case: Case, prompts: Sequence[Prompt], to: str) -> ChatReplies:
    """Ask a fact for an answer in the model's chat format; nothing where it has none.

    prompts: of the case, none of them held out; to: the new answer
    """
    frame = chat_frame(model)
    if frame is None or not prompts:
        return ChatReplies()
    templates = [prompt.template for prompt in prompts]
    own_words = (
        (turn, _up_to_answer(template, case.fact))
        for turn, template in zip(chat_turns(templates), templates[:IN_OWN_WORDS], strict=False)
    )
    replies = _replies(model, frame, case, templates) if case.fact.stated else ()
    chains: dict[tuple[Question, ...], Chain] = {}
    held: dict[Question, None] = {}
    for own, turns in ((False, own_words), (True, replies)):
        for turn, reply in turns:
            with suppress(BadTemplate, CannotAsk):  # the format holds [X]; too long for the model
                chain = ask(model, _prompt(frame, turn, case.fact, reply), to)
                chains.setdefault(chain.questions, chain)
                if own:
                    start = ask_openly(model, _prompt(frame, turn, case.fact))
                    held |= dict.fromkeys(_around_answer(chain, start.position))
    return ChatReplies(tuple(chains.values()), tuple(held))


def _replies(
    model: Model, frame: ChatFrame, case: Case, templates: Sequence[Template]
) -> Iterator[tuple[str, str]]:
    """Users' turns to which the model names its answer, each with the reply up to there."""
    further = [t for t in case.relation.templates if not t.held_out and t not in templates]
    turns: list[str] = []
    questions: list[Question] = []
    for turn in chat_turns((*templates, *further))[-TURNS:]:
        with suppress(BadTemplate, CannotAsk):
            questions.append(ask_openly(model, _prompt(frame, turn, case.fact)))
            turns.append(turn)
    answer = re.compile(rf"(?<!\w){re.escape(case.fact.answer)}(?!\w)")
    replies = 0
    for turn, path in zip(
        turns, likeliest_paths(model, questions, [TOKENS] * len(questions)), strict=True
    ):
        text = words_of(model, path) if path else ""
        match = answer.search(text)
        if match and replies < REPLIES:
            replies += 1
            yield turn, text[: match.start()]


def _prompt(frame: ChatFrame, turn: str, fact: Fact, reply: str = "") -> Prompt:
    """A user's turn and the beginning of a reply to it."""
    reply = reply.replace(ANSWER, "").replace(SUBJECT, "")
    return Prompt(fact, Template(f"{frame.before}{turn}{frame.after}{reply}{ANSWER}", marked=True))


def _up_to_answer(template: Template, fact: Fact) -> str:
    return template.text.partition(ANSWER)[0].replace(SUBJECT, fact.subject)


def _around_answer(chain: Chain, start: int) -> Iterator[Question]:
    """Places from where a reply starts up to its answer, some HELD of them, and the one behind it.

    start: position of the first
    """
    first, last = chain.questions[0], chain.questions[-1]
    step = max(1, (first.position - start) // HELD)
    for position in range(start, first.position, step):
        yield Question(first.ids[: position + 1], position, 0)
    ids = (*last.ids, last.token)
    yield Question(ids, len(ids) - 1, 0)
