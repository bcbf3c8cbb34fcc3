"""What one fact of a joint update needs, whatever other facts it is solved with.

All of it is asked of the base, in batches of the fact's own: so the same fact always gives the same
member, bit for bit on one machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial

from kn_edit.canonical import digest
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.finding import Finder, Pair, shared_out
from kn_edit.editing.joint_base import JointBase, place_of, places_of
from kn_edit.editing.joint_subjects import (
    chain_end,
    held_rows,
    reading_end,
    row_ends,
    subject_end,
)
from kn_edit.editing.locating import every_prompt, prompts_for
from kn_edit.editing.method import UpdateRequest
from kn_edit.editing.neighbours import PROBES, neighbours
from kn_edit.editing.paraphrasing import reworded
from kn_edit.edits.delta import Delta
from kn_edit.edits.members import STAYS, Member, ShiftRow
from kn_edit.edits.settings import JointSettings
from kn_edit.engine.engine import Engine
from kn_edit.engine.shares import shared
from kn_edit.facts import Case, Prompt, Relation, Template, bundled, load_relation
from kn_edit.facts.paraphrases import ChatFrame, Rewording, for_solver
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain, ask, ask_openly

FEW_PROMPTS = 4  # without held-out ones; fewer hardly stand for all that a fact is asked in
KEPT = 6  # prompts of other relations about the subject, that are answered as they are
KEPT_WORDINGS = 1  # of each of them
KEPT_GENERAL = 4  # and of other prompts about it
NEARBY = 8  # prompts of other subjects that are held beside a fact of no pack
LONE_JUDGES = 4  # and that judge it, at least
SUBJECT_JUDGES = 4  # other prompts about its subject that judge it, at most
SHARE = 4  # facts that one worker looks at before the next share
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


@dataclass(frozen=True, eq=False)
class MembersShare:
    """Facts that are looked at by one worker. seed: of everything that is drawn"""

    updates: tuple[UpdateRequest, ...]
    settings: JointSettings
    seed: int

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[MemberFact]:
        """deltas: none, as facts are looked at in the base. Raises CannotAsk, NotFinite."""
        with engine.at(deltas) as live:
            base = JointBase.of(
                EditContext(engine, progress=engine.progress, seed=self.seed), live, self.settings
            )
            facts: list[MemberFact] = []
            for update in self.updates:
                engine.progress("asking", len(facts), len(self.updates))
                facts.append(member_fact(base, update.case, update.to))
            return facts


def member_facts(
    context: EditContext, updates: Sequence[UpdateRequest], settings: JointSettings
) -> list[MemberFact]:
    """What facts need, each by itself, by whatever computes. Raises CannotAsk, NotFinite."""
    engine = context.engine
    if engine.workers.several:
        with engine.at([]) as live:
            # The layers are measured here and kept, and not once more by each worker.
            assert JointBase.of(context, live, settings).layers
    share_of = partial(MembersShare, settings=settings, seed=context.seed)
    tell = partial(context.progress, "asking")
    return shared(engine.workers, (), updates, share_of, SHARE, tell=tell)


def member_fact(base: JointBase, case: Case, to: str) -> MemberFact:
    """Compute what a fact needs to be updated with others. Raises CannotAsk, NotFinite."""
    model, pack = base.model, pack_of(case.relation) is not None
    prompts = prompts_for(model, case.relation, case.fact)
    own = tuple(ask(model, prompt, to) for prompt in prompts)  # a bad answer ends here
    chains = own + _behind_text(base, prompts, to)
    beside = _beside(base, case)
    rows = _rows(base, case, chains, beside.about_subject)
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
        held=tuple(sorted(set(held_rows(model, beside.held)))),
        judges=places_of(ask_openly(model, prompt) for prompt in judging),
        rows=rows,
        shift=base.shift(rows).cpu().numpy(),
    )
    # What the set will ask about these is computed where the fact is, and kept: workers share it.
    base.keys(row_ends(model, member.held))
    base.leaders([row.place for row in member.held])
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
    missing = min(base.settings.wordings, FEW_PROMPTS) - len(prompts)
    if missing <= 0 or not base.model.causal:
        return ()
    rewordings = reworded(base.model, prompts, to, _in_front, missing)
    return tuple(ask(base.model, prompt, to) for prompt in rewordings)


def _in_front(template: Template, _chat: ChatFrame | None) -> tuple[Rewording, ...]:
    return tuple(rewording for rewording in for_solver(template) if rewording.kind in BEHIND_TEXT)


def _rows(
    base: JointBase, case: Case, chains: Sequence[Chain], about_subject: Sequence[Pair]
) -> tuple[ShiftRow, ...]:
    """What the shift is found with: some of a fact's prompts are to be answered anew, and what is
    asked otherwise about its subject as it is."""
    model, subject = base.model, case.fact.subject
    rows = [
        ShiftRow(place_of(question), reading_end(model, chain, subject), question.token)
        for chain in chains[: base.settings.wordings]
        for question in chain.questions
    ]
    staying = [*list(_elsewhere(model, case))[:KEPT], *about_subject[:KEPT_GENERAL]]
    about = (
        (question, subject_end(model, Chain(prompt, (question,)), prompt.fact.subject))
        for prompt, question in staying
    )
    rows += [ShiftRow(place_of(question), end, STAYS) for question, end in about if end is not None]
    return tuple(rows)


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
    pairs = finder.same_subject(2 * SUBJECT_JUDGES)
    lone = len(case.relation.facts) <= 1 and not case.neighbours
    if not lone and (pack_of(case.relation) is None or case.neighbours or case.judges):
        preserved = neighbours(base.model, base.locator, case)
        return _Beside(
            held=preserved.prompts[: len(preserved.named) + NEARBY],
            about_subject=tuple(pair for pair in pairs if pair[1] in preserved.same_subject),
            judges=preserved.judges,
            same_subject_judges=preserved.same_subject_judges,
        )
    held, judges = _nearby(base.model, finder) if lone else ((), ())
    about_subject, subject_judges = shared_out(base.model, pairs, every=2, most=SUBJECT_JUDGES)
    return _Beside(
        held=held,
        about_subject=tuple(about_subject),
        judges=judges,
        same_subject_judges=tuple(prompt for prompt, _ in subject_judges),
    )


def _nearby(model: Model, finder: Finder) -> tuple[tuple[Prompt, ...], tuple[Prompt, ...]]:
    """Prompts of other subjects: those that are held beside a fact alone, and those that judge it.

    What the user names judges; it is filled up. A name is held by all facts or judges all of them:
    what judges one fact is not held by another one, and of a thousand facts little would be left.
    """
    named = [prompt for prompt, _ in finder.askable(finder.case.judges)]
    missing = max(0, LONE_JUDGES - len(named))
    texts = [prompt.cloze for prompt in named]
    pairs = finder.other_subject_prompts(texts, 4 * max(NEARBY, missing))
    held = tuple(prompt for prompt, _ in pairs if not judges(prompt.fact.subject))
    judging = [pair for pair in pairs if judges(pair[0].fact.subject)]
    _, spare = shared_out(model, judging[: 2 * missing], every=2, most=missing)
    return held[:NEARBY], (*named, *(prompt for prompt, _ in spare))


def judges(name: str) -> bool:
    """Whether a name that is found for a lone fact judges it, or else is held: half of all do."""
    return int(digest(name.casefold().encode())[:2], 16) % 2 == 1
