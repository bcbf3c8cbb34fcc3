"""Paraphrases that judge an edit: the relation's held-out ones, else rewordings of its prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from kn_edit.editing.locating import prompts_for
from kn_edit.errors import CannotAsk
from kn_edit.facts import Fact, Prompt, Relation, Template
from kn_edit.facts.paraphrases import ChatFrame, Rewording, chosen, for_judging, for_solver
from kn_edit.models.chat import chat_frame
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question, ask, with_unknown_words
from kn_edit.seeds import USUAL, generator

REWORDED = 3  # times that a masked LM is asked each prompt with a word of it unknown
PARAPHRASES = 8  # rewordings that judge, where a relation has no held-out paraphrase

Reword = Callable[[Template, ChatFrame | None], tuple[Rewording, ...]]


def judging_paraphrases(
    model: Model, relation: Relation, fact: Fact, answer: str
) -> tuple[Prompt, ...]:
    """Held-out prompts that can be asked for an answer.

    Those of the relation; where it has none for this model, rewordings of its prompts. Where a
    tokenizer lacks words, some read like one that a solver trains on; they judge if no other can.
    """
    held_out = prompts_for(model, relation, fact, held_out=True)
    if held_out:
        return held_out
    trained = prompts_for(model, relation, fact)
    training = reworded(model, trained, answer, for_solver)
    judging = reworded(
        model, (*trained, *training), answer, for_judging, PARAPHRASES, of=len(trained)
    )
    return judging or reworded(model, trained, answer, for_judging, PARAPHRASES)


def reworded(
    model: Model,
    prompts: Sequence[Prompt],
    answer: str,
    reword: Reword,
    most: int | None = None,
    *,
    of: int | None = None,
) -> tuple[Prompt, ...]:
    """Reword prompts: at most `most` rewordings, those that can be asked for an answer.

    One that reads like a prompt itself to the model, or like another, is left out.
    of: reword only the first so many of them
    """
    frame = chat_frame(model)
    groups = [reword(prompt.template, frame) for prompt in prompts[:of]]
    known_questions = {ask(model, prompt, answer).questions for prompt in prompts}
    rewordings: list[Prompt] = []
    for rewording in chosen(groups):
        prompt = Prompt(prompts[0].fact, rewording.template)
        with suppress(CannotAsk):  # too long for the model
            questions = ask(model, prompt, answer).questions
            if questions not in known_questions:
                known_questions.add(questions)
                rewordings.append(prompt)
        if len(rewordings) == most:
            break
    return tuple(rewordings)


def less_own_words(model: Model, chains: Sequence[Chain], seed: int = USUAL) -> list[Question]:
    """A masked LM's prompts with words of them unknown, so that a change outlives a paraphrase.

    None of a causal LM.
    """
    if model.causal:
        return []
    draw = generator(seed, "unknown words")
    return [
        question
        for chain in chains
        for question in with_unknown_words(model, chain, REWORDED, draw)
    ]
