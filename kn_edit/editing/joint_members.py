"""What one fact of a joint update needs, whatever other facts it is solved with.

All of it is asked of the base, in batches of the fact's own: so the same fact always gives the same
member, bit for bit on one machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from kn_edit.editing.finding import Finder, Pair, shared_out
from kn_edit.editing.joint_base import JointBase, places_of
from kn_edit.editing.joint_subjects import (
    ShiftSearch,
    SubjectRow,
    chain_end,
    prompt_ends,
    reading_end,
    subject_end,
    subject_shift,
)
from kn_edit.editing.locating import every_prompt, prompts_for
from kn_edit.editing.neighbours import PROBES, SAME, neighbours
from kn_edit.editing.paraphrasing import reworded
from kn_edit.edits.members import Member
from kn_edit.facts import Case, Prompt, Relation, Template, bundled, load_relation
from kn_edit.facts.paraphrases import ChatFrame, Rewording, for_solver
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, ask, ask_openly

KEPT = 12  # prompts of other relations about the subject, that are answered as they are
KEPT_WORDINGS = 2  # of each of them
KEPT_GENERAL = 4  # and of other prompts about it
NEARBY = 4  # prompts of other subjects that are held beside a fact of no pack
BEHIND_TEXT = ("sentence in front", "list")  # kinds of rewordings that a joint update looks at


@dataclass(frozen=True, eq=False)
class MemberFact:
    """A fact that was looked at for a joint update.

    judges: prompts of other subjects that judge it alone; those of a pack judge all of its facts
    same_subject_judges: other prompts about its subject
    """

    case: Case
    member: Member
    prompts: tuple[Prompt, ...]
    judges: tuple[Prompt, ...]
    same_subject_judges: tuple[Prompt, ...]


@dataclass(frozen=True)
class _Beside:
    """What stands beside a fact, whatever else is edited: what is held, and what judges.

    held: prompts of other subjects; about_subject: what asks otherwise about its own and is to stay
    """

    held: tuple[Prompt, ...]
    about_subject: tuple[Pair, ...]
    judges: tuple[Prompt, ...]
    same_subject_judges: tuple[Prompt, ...]


def member_fact(base: JointBase, case: Case, to: str) -> MemberFact:
    """Compute what a fact needs to be updated with others. Raises CannotAsk, NotFinite."""
    model, pack = base.model, pack_of(case.relation) is not None
    prompts = prompts_for(model, case.relation, case.fact)
    own = tuple(ask(model, prompt, to) for prompt in prompts)  # a bad answer ends here
    chains = own + _behind_text(base, prompts, to)
    beside = _beside(base, case)
    # Grad is off where a caller works in inference mode, and nothing could be found there.
    with torch.inference_mode(False):
        shift = _shift(base, case, chains, beside.about_subject)
    judging = (*beside.judges, *beside.same_subject_judges)
    member = Member(
        base=base.fingerprint,
        relation=case.relation.name,
        subject=case.fact.subject,
        to=to,
        pack=pack,
        prompts=tuple(p.cloze for p in every_prompt(model, case.relation, case.fact)),
        layers=base.layers,
        seed=base.seed,
        settings=asdict(base.settings),
        ends=tuple(sorted({chain_end(model, chain) for chain in chains})),
        held=prompt_ends(model, beside.held),
        judges=places_of(ask_openly(model, prompt) for prompt in judging),
        shift=shift.float().cpu().numpy(),
    )
    return MemberFact(
        case=case,
        member=member,
        prompts=prompts,
        judges=beside.judges,
        same_subject_judges=beside.same_subject_judges,
    )


def pack_of(relation: Relation) -> Relation | None:
    """The bundled pack that a relation is; None for one of other templates."""
    if relation.name not in bundled():
        return None
    pack = load_relation(relation.name)
    return pack if pack.templates == relation.templates else None


def _behind_text(base: JointBase, prompts: Sequence[Prompt], to: str) -> tuple[Chain, ...]:
    """A causal LM's prompts behind other text, where they are few: a change is to outlive it."""
    missing = base.settings.wordings - len(prompts)
    if missing <= 0 or not base.model.causal:
        return ()
    rewordings = reworded(base.model, prompts, to, _in_front, missing)
    return tuple(ask(base.model, prompt, to) for prompt in rewordings)


def _in_front(template: Template, _chat: ChatFrame | None) -> tuple[Rewording, ...]:
    return tuple(rewording for rewording in for_solver(template) if rewording.kind in BEHIND_TEXT)


def _shift(
    base: JointBase, case: Case, chains: Sequence[Chain], about_subject: Sequence[Pair]
) -> Tensor:
    """What is to come to the top layer's output where the subject ends, (d_model,).

    With it some of a fact's prompts are answered anew, and what is asked otherwise about its
    subject is answered as it is.
    """
    model, settings = base.model, base.settings
    rows = [
        SubjectRow(question, reading_end(model, chain, chain.prompt.fact.subject))
        for chain in chains[: settings.wordings]
        for question in chain.questions
    ]
    staying = [*list(_elsewhere(model, case))[:KEPT], *about_subject[:KEPT_GENERAL]]
    about = (
        (question, subject_end(model, Chain(prompt, (question,)), prompt.fact.subject))
        for prompt, question in staying
    )
    rows += [SubjectRow(question, end, wanted=False) for question, end in about if end is not None]
    search = ShiftSearch(settings.margin, settings.steps, settings.step)
    return subject_shift(model, rows, base.top_layer, search).shift


def _elsewhere(model: Model, case: Case) -> Iterator[Pair]:
    """What other bundled relations ask about the fact's subject, in wordings that judge nothing."""
    for name in bundled():
        if name == case.relation.name:
            continue
        relation = load_relation(name)
        for fact in relation.facts:
            if fact.subject == case.fact.subject:
                wordings = prompts_for(model, relation, fact)[PROBES : PROBES + KEPT_WORDINGS]
                yield from ((prompt, ask_openly(model, prompt)) for prompt in wordings)


def _beside(base: JointBase, case: Case) -> _Beside:
    """What is held of a fact alone, and what judges it alone.

    The other facts of a bundled relation are held and judge for all of its facts together
    (`joint_held`), unless the user named others.
    """
    finder = Finder.of(base.model, case, base.seed)
    pairs = finder.same_subject(2 * SAME)
    if pack_of(case.relation) is None or case.neighbours or case.judges:
        preserved = neighbours(base.model, base.locator, case)
        return _Beside(
            held=preserved.prompts[: len(preserved.named) + NEARBY],
            about_subject=tuple(pair for pair in pairs if pair[1] in preserved.same_subject),
            judges=preserved.judges,
            same_subject_judges=preserved.same_subject_judges,
        )
    about_subject, judges = shared_out(base.model, pairs, every=2, most=SAME)
    return _Beside(
        held=(),
        about_subject=tuple(about_subject),
        judges=(),
        same_subject_judges=tuple(prompt for prompt, _ in judges),
    )
