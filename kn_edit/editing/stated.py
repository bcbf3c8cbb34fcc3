"""What a model says today of a fact whose answer nobody stated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from kn_edit.editing.locating import prompts_for
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.errors import AnswerUnknown, CannotAsk
from kn_edit.facts import Case
from kn_edit.models.model import Model
from kn_edit.models.predict import log_p
from kn_edit.models.questions import Question, ask, ask_openly

TOKENS = 6  # that a causal LM goes on for
WORDS = 3  # of these, at most so many are its answer
TRIED = 64  # likeliest tokens that an answer may begin with
_PREAMBLE = re.compile(r"\A(?:the (?:correct )?answer is|it is|it was)\b[:\s]*", re.IGNORECASE)
_STOP = re.compile(r"[^\w\s'’.-]|[.](?!\w)|[\r\n\t\v\f]")  # where an answer ends


def answered(engine: Engine, deltas: Sequence[Delta], case: Case) -> Case:
    """A case with an answer: its own, or what the model says at the version of these deltas.

    Raises AnswerUnknown, NothingToAsk.
    """
    if can_be_asked(engine, case):
        return case
    with engine.at(deltas) as live:
        fact = replace(case.fact, answer=model_answer(live.model, case))
    return replace(case, fact=fact, answered_by_model=True)


def can_be_asked(engine: Engine, case: Case) -> bool:
    """Whether a case states an answer; of a benchmark's row, one that the model can give."""
    if not case.fact.stated:
        return False
    return not case.published or can_ask(engine.model, case, case.fact.answer)


def model_answer(model: Model, case: Case) -> str:
    """The answer that a model gives to a case's first prompt. Raises AnswerUnknown, NothingToAsk.

    A causal LM's ends at the first punctuation, or after a few words; a masked one's is one token.
    A model that would say nothing, as many do behind a question, or go on with a line break or a
    mark, is asked for the likeliest word that it could begin with.
    """
    prompt = prompts_for(model, case.relation, case.fact)[0]
    question = ask_openly(model, prompt)
    (row,) = log_p(model, [question])
    for token in row.topk(min(TRIED, len(row))).indices.tolist():
        if not re.search(r"\w", _text(model, token)) or _is_special(model, token):
            continue
        answer = _continued(model, question, token) if model.causal else _text(model, token).strip()
        if re.search(r"\w", answer) and can_ask(model, case, answer):
            return answer
    raise AnswerUnknown(case.fact.subject)


def _continued(model: Model, question: Question, token: int) -> str:
    """What a causal LM says from its first token on, the likeliest token each time."""
    tokens = [token]
    while len(tokens) < TOKENS * (2 if _PREAMBLE.match(_text(model, *tokens).strip()) else 1):
        ids = (*question.ids, *tokens)
        (row,) = log_p(model, [replace(question, ids=ids, position=len(ids) - 1)])
        token = int(row.argmax())
        if _is_special(model, token) or _STOP.search(_answer(_text(model, *tokens))):
            break
        tokens.append(token)
    text = _text(model, *tokens).strip()
    words = _STOP.split(_answer(text))[0].split() or _STOP.split(text)[0].split()
    return " ".join(words[:WORDS])


def _answer(text: str) -> str:
    """A text without what leads to its answer, such as `The answer is`."""
    return _PREAMBLE.sub("", text.strip()).strip()


def can_ask(model: Model, case: Case, answer: str) -> bool:
    """Whether a model can be asked for an answer; for half a letter, say, it cannot."""
    try:
        for prompt in prompts_for(model, case.relation, case.fact):
            ask(model, prompt, answer)
    except CannotAsk:
        return False
    return True


def _text(model: Model, *tokens: int) -> str:
    return str(model.tokenizer.decode(list(tokens)))


def _is_special(model: Model, token: int) -> bool:
    """Whether a token is a mark of the tokenizer, such as its unknown token."""
    return token in model.tokenizer.all_special_ids
