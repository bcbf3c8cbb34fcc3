"""What a model says today of a fact whose answer nobody stated."""

from __future__ import annotations

import re

from kn_edit.errors import AnswerUnknown
from kn_edit.evaluation.fluency import generated
from kn_edit.facts import Case
from kn_edit.models.model import Model
from kn_edit.models.predict import first_tokens
from kn_edit.models.questions import ask_openly, asked_text
from kn_edit.workspace.locating import prompts_for

TOKENS = 6  # that a causal LM goes on for
WORDS = 3  # of these, at most so many are its answer
_STOP = re.compile(r"[^\w\s'’.-]|[.](?!\w)|[\r\n\t\v\f]")  # where an answer ends


def said(model: Model, case: Case) -> str:
    """The answer that a model gives to a case's first prompt. Raises AnswerUnknown, NothingToAsk.

    A causal LM's ends at the first punctuation, or after a few words; a masked one's is one token.
    """
    prompt = prompts_for(model, case.relation, case.fact)[0]
    if model.causal:
        words = _STOP.split(generated(model, asked_text(prompt), TOKENS).strip())[0].split()
        answer = " ".join(words[:WORDS])
    else:
        (token,) = first_tokens(model, [ask_openly(model, prompt)])
        answer = str(model.tokenizer.decode([token])).strip()
    if not re.search(r"\w", answer) or token_is_special(model, answer):
        raise AnswerUnknown(case.fact.subject)
    return answer


def token_is_special(model: Model, answer: str) -> bool:
    """Whether an answer is a mark of the tokenizer, such as its unknown token."""
    return any(mark in answer for mark in model.tokenizer.all_special_tokens)
