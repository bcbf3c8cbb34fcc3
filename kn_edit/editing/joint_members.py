"""What one fact of a joint update needs, whatever other facts it is solved with.

All of it is asked of the base, in batches of the fact's own: so the same fact always gives the same
member, bit for bit on one machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from operator import eq

import torch
from torch import Tensor

from kn_edit.editing.finding import Finder, Pair, shared_out
from kn_edit.editing.joint_base import JointBase, place_of, places_of
from kn_edit.editing.joint_subjects import (
    SubjectRow,
    SubjectShift,
    end_place,
    subject_end,
    subject_shift,
)
from kn_edit.editing.joint_targets import RowsAtLayer, TargetRow, targets_of
from kn_edit.editing.locating import every_prompt, prompts_for
from kn_edit.editing.neighbours import SAME, neighbours
from kn_edit.editing.paraphrasing import less_own_words, reworded
from kn_edit.edits.members import Member
from kn_edit.facts import Case, Prompt, Relation, Template, bundled, load_relation
from kn_edit.facts.paraphrases import ChatFrame, Rewording, for_solver
from kn_edit.models.encoding import Ids
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, Question, ask, ask_openly

KEPT = 4  # prompts about the subject, that what is written where it ends must leave as they are
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

    about_subject: those held that ask otherwise about its subject, with their prompts
    """

    held: tuple[Question, ...]
    about_subject: tuple[Pair, ...]
    judges: tuple[Prompt, ...]
    same_subject_judges: tuple[Prompt, ...]


def member_fact(base: JointBase, case: Case, to: str) -> MemberFact:
    """Compute what a fact needs to be updated with others. Raises CannotAsk, NotFinite."""
    model, pack = base.model, pack_of(case.relation) is not None
    prompts = prompts_for(model, case.relation, case.fact)
    own = tuple(ask(model, prompt, to) for prompt in prompts)  # a bad answer ends here
    chains = own + _behind_text(base, prompts, to)
    rows = _rows(base, chains)
    beside = _beside(base, case)
    ends = _ends(model, chains, case.fact.subject)
    # Grad is off where a caller works in inference mode, and nothing could be solved there.
    with torch.inference_mode(False):
        shift = _subject_shift(base, chains, ends, beside.about_subject)
        shares = base.settings.shares(pack=pack)
        states = _states(base, rows, [share * shift.shift for share in shares], ends)
        targets = targets_of(RowsAtLayer.joined(states), base.settings, base.usual)
    judging = (*beside.judges, *beside.same_subject_judges)
    member = Member(
        base=base.fingerprint,
        relation=case.relation.name,
        subject=case.fact.subject,
        to=to,
        pack=pack,
        prompts=tuple(p.cloze for p in every_prompt(model, case.relation, case.fact)),
        layer=base.layer,
        subject_layer=base.subject_layer,
        seed=base.seed,
        settings=asdict(base.settings),
        places=tuple(place_of(row.question) for row in rows),
        target_of=tuple(row.target for row in rows),
        held=places_of(beside.held),
        judges=places_of(ask_openly(model, prompt) for prompt in judging),
        keys=torch.stack([state.keys for state in states]).mean(0).cpu().numpy(),
        targets=targets.detach().float().cpu().numpy(),
        ends=tuple(sorted({end_place(model, ids, end) for ids, end in ends.items()})),
        shift=shift.shift.float().cpu().numpy(),
    )
    return MemberFact(
        case=case,
        member=member,
        prompts=prompts,
        judges=beside.judges,
        same_subject_judges=beside.same_subject_judges,
    )


def _states(
    base: JointBase, rows: Sequence[TargetRow], shifts: Sequence[Tensor], ends: dict[Ids, int]
) -> list[RowsAtLayer]:
    """The rows with as much of a shift as the least wording hears, and with all that is written.

    Targets are to do in both: the last tokens of a long answer come and go with it.
    shifts: (d_model,) each; one state is enough where none is
    """
    model, layer = base.model, base.subject_layer
    places = _ends_of(model, [row.question for row in rows], ends)
    return [
        RowsAtLayer.of(model, rows, base.layer, SubjectShift(layer, shift).at_ends(model, places))
        for shift in (shifts if shifts[0].any() else shifts[:1])
    ]


def pack_of(relation: Relation) -> Relation | None:
    """The bundled pack that a relation is; None for one of other templates."""
    if relation.name not in bundled():
        return None
    pack = load_relation(relation.name)
    return pack if pack.templates == relation.templates else None


def _behind_text(base: JointBase, prompts: Sequence[Prompt], to: str) -> tuple[Chain, ...]:
    """A causal LM's prompts behind other text, where they are few: a change is to outlive it.

    Not in a chat or as a question: where all facts are asked in the same last words, the written
    layer hardly tells them apart, and what is stretched to be heard there is heard everywhere.
    """
    missing = base.settings.wordings - len(prompts)
    if missing <= 0 or not base.model.causal:
        return ()
    rewordings = reworded(base.model, prompts, to, _in_front, missing)
    return tuple(ask(base.model, prompt, to) for prompt in rewordings)


def _in_front(template: Template, _chat: ChatFrame | None) -> tuple[Rewording, ...]:
    return tuple(rewording for rewording in for_solver(template) if rewording.kind in BEHIND_TEXT)


def _rows(base: JointBase, chains: tuple[Chain, ...]) -> list[TargetRow]:
    """Every token of every prompt's new answer; that of all wordings has one target."""
    rows: dict[TargetRow, None] = {}
    for chain in chains:
        for token, question in enumerate(chain.questions):
            rows[TargetRow(question, token)] = None
    for question in less_own_words(base.model, chains, base.seed):
        rows[TargetRow(question, 0)] = None
    return list(rows)


def _ends(model: Model, chains: Sequence[Chain], subject: str) -> dict[Ids, int]:
    """Where the longest text of each prompt has the subject's last token, of those that have it."""
    ends = ((chain.questions[-1].ids, subject_end(model, chain, subject)) for chain in chains)
    return {ids: end for ids, end in ends if end is not None}


def _ends_of(model: Model, questions: Sequence[Question], ends: dict[Ids, int]) -> dict[Ids, int]:
    """The same, of questions about these prompts: about their beginnings in a causal LM, and with
    some words of them unknown in a masked one."""
    endings: dict[Ids, int] = {}
    for question in questions:
        ids = question.ids[: question.position + 1] if model.causal else question.ids
        for text, end in ends.items():
            alike = sum(map(eq, ids, text))
            missing = 0 if model.causal else 1
            if alike >= len(ids) - missing and (model.causal or len(ids) == len(text)):
                endings[ids] = end
    return endings


def _subject_shift(
    base: JointBase, chains: Sequence[Chain], ends: dict[Ids, int], about_subject: Sequence[Pair]
) -> SubjectShift:
    """What is written where the subject is named, for some of a fact's prompts to be answered anew.

    What is asked otherwise about the subject is to be answered as it is.
    """
    model, settings = base.model, base.settings
    naming = [chain for chain in chains if chain.questions[-1].ids in ends]
    rows = [
        SubjectRow(question, ends[chain.questions[-1].ids])
        for chain in naming[: settings.subject_wordings]
        for question in chain.questions
    ]
    about = (
        (question, subject_end(model, Chain(prompt, (question,)), prompt.fact.subject))
        for prompt, question in about_subject
    )
    pairs = [(question, end) for question, end in about if end is not None]
    rows += [SubjectRow(question, end, wanted=False) for question, end in pairs[:KEPT] if rows]
    return subject_shift(model, rows, base.subject_layer, settings)


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
            held=(*preserved.named, *preserved.other_subjects, *preserved.same_subject),
            about_subject=tuple(pair for pair in pairs if pair[1] in preserved.same_subject),
            judges=preserved.judges,
            same_subject_judges=preserved.same_subject_judges,
        )
    about_subject, judges = shared_out(base.model, pairs, every=2, most=SAME)
    return _Beside(
        held=tuple(question for _, question in about_subject),
        about_subject=tuple(about_subject),
        judges=(),
        same_subject_judges=tuple(prompt for prompt, _ in judges),
    )
