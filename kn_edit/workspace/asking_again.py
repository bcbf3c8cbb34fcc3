"""Facts of recorded edits, asked again: what this model cannot be asked is passed over.

A ledger outlives the rules under which its edits were recorded, and edits come from other people's
ledgers: an answer that the tokenizer does not know, a prompt beyond the model's positions, words
after the answer of a causal LM. Such an edit must not stop a command about another fact.
"""

from __future__ import annotations

from kn_edit.errors import ExitCode, KnEditError
from kn_edit.facts import Case
from kn_edit.models.model import Model
from kn_edit.models.questions import ask, ask_openly
from kn_edit.workspace.locating import prompts_for


def refusal(model: Model, case: Case, target: str | None = None) -> str | None:
    """Why a recorded case cannot be asked, in words; None where it can be.

    target: also the answer that must be askable; without one the prompts alone count
    """
    relation, fact = case.relation, case.fact
    try:
        own = prompts_for(model, relation, fact)
        for prompt in (*own, *prompts_for(model, relation, fact, held_out=True)):
            if target is None:
                ask_openly(model, prompt)
            else:
                ask(model, prompt, target)
    except KnEditError as error:
        if error.exit_code not in (ExitCode.USAGE, ExitCode.ERROR):
            raise
        return str(error).partition(";")[0]
    return None
