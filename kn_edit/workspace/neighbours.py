"""What an edit must leave alone: prompts that the solver holds in place, and prompts that judge."""

from __future__ import annotations

import random
from dataclasses import dataclass

from kn_edit.facts import Case, Fact, Prompt, bundled, load_relation, neutral_sentences
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, ask, ask_openly
from kn_edit.workspace.locating import Locator, prompts_for

SEED = 0
HELD = 16  # other facts that the solver holds in place, a prompt of each
PROBES = 2  # prompts of every other fact that judges, trained and held out alike
NEUTRAL_TEXTS = 6
NEUTRAL_TOKENS = 12  # of each text
NEUTRAL_PLACES = 4  # asked in each
OTHER_FACTS = 4  # of every other bundled relation, to see whether an erasure spares them


@dataclass(frozen=True)
class Neighbours:
    """Other subjects of the relation. None is on both sides."""

    held: tuple[Question, ...]  # the solver holds these in place
    judges: tuple[Prompt, ...]  # and is judged by these


def neighbours(model: Model, base: Locator, case: Case) -> Neighbours:
    """Share a fact's neighbours out. The model must be the base, so that all edits share them."""
    tried = base.tried(case.relation, case.fact)
    if case.neighbours:
        # Readers pair each neighbour with every template, also with those passed over.
        causal = model.causal
        kept = [p for p in case.neighbours if p.template.answer_last or not causal]
    else:
        # Half of what the model knows is held in place and half judges; what it says of facts that
        # it does not know is to stay as well.
        known = base.known(case.relation, case.fact)
        near = [*known[::2], *(fact for fact in tried if fact not in known)][:HELD]
        turns = [prompts_for(model, case.relation, fact) for fact in near]
        kept = [prompts[at % len(prompts)] for at, prompts in enumerate(turns)]
    held = {prompt.fact.subject for prompt in kept}
    judges = [fact for fact in tried if fact.subject not in held]
    judging = [prompt for fact in judges for prompt in _probes(model, case, fact)]
    # A prompt that the model gets wrong anyway says little about harm.
    stated = [prompt for prompt in judging if prompt.fact.stated]
    right = iter(base.right([ask(model, prompt) for prompt in stated]))
    judging = [p for p in judging if not p.fact.stated or next(right)]
    return Neighbours(tuple(ask_openly(model, prompt) for prompt in kept), tuple(judging))


def neutral_questions(model: Model) -> list[Question]:
    """Places in neutral text whose predictions must stay; in a masked LM each is masked."""
    rng = random.Random(SEED)
    questions = []
    for text in neutral_sentences()[:NEUTRAL_TEXTS]:
        ids = tuple(model.tokenizer(text)["input_ids"])[:NEUTRAL_TOKENS]
        for place in sorted(rng.sample(range(2, len(ids) - 1), NEUTRAL_PLACES)):
            if model.causal:
                questions.append(Question(ids, place, 0))
            else:
                masked = (*ids[:place], model.tokenizer.mask_token_id, *ids[place + 1 :])
                questions.append(Question(masked, place, 0))
    return questions


def other_relations(model: Model, name: str) -> list[Question]:
    """Places whose first token an erasure must not change."""
    questions = []
    for other in (load_relation(pack) for pack in bundled() if pack != name):
        facts = list(other.facts)
        random.Random(SEED).shuffle(facts)
        prompts = [p for fact in facts[:OTHER_FACTS] for p in prompts_for(model, other, fact)]
        questions += [ask_openly(model, prompt) for prompt in prompts]
    return questions


def _probes(model: Model, case: Case, fact: Fact) -> tuple[Prompt, ...]:
    trained = prompts_for(model, case.relation, fact)[:PROBES]
    return (*trained, *prompts_for(model, case.relation, fact, held_out=True)[:PROBES])
