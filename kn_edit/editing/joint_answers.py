"""What a joint update writes late in a network, where answers are: what is left to be said there.

The more subjects are edited, the more of what is written where they end is heard, a little of each,
at all other tokens. So with that written the facts' prompts are asked again, and prompts about
others. Where a new answer lacks its margin, or what the base answers its lead, the least shift at
the answer that brings it there is looked for, and all of these are spread over a few late layers: a
prompt that nearly says a new answer has other coefficients there than one that says another.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kn_edit.editing.joint_base import place_of
from kn_edit.editing.joint_held import JointSurroundings
from kn_edit.editing.joint_spread import Held, Spread, SpreadTask, Targets, spread
from kn_edit.editing.joint_subjects import ShiftSearch, SubjectRow, subject_shifts
from kn_edit.edits.delta import Delta
from kn_edit.edits.members import STAYS, Member, Place
from kn_edit.edits.settings import JointSettings
from kn_edit.edits.suffix import Suffix
from kn_edit.engine.engine import Engine
from kn_edit.engine.shares import shared
from kn_edit.models.encoding import Ids
from kn_edit.models.finite import first_non_finite
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, batched

TOGETHER = 64  # questions that run together, whoever computes them
HELD_LEAD = 0.5  # of log-probability, that what the base answers gets back; half of its own at most
STEPS = 6  # of a search, at most
ENOUGH = 0.002  # of the hidden state's length, which is long there: a shorter step ends a search


@dataclass(frozen=True)
class WantedLead:
    """A question, whose token is to lead by a margin, of log-probability, with the edit.

    target: what is written for one fact's token is the same in all of its wordings
    """

    question: Question
    margin: float
    target: Hashable


@dataclass(frozen=True, eq=False)
class AnswersTask:
    """What is to be said with the edit, and what is written for it.

    layers: that write; new: answers of the facts; held: what the base answers to other prompts
    moments: of each layer, (d_ff, d_ff); w_text: of them; w_held: of what is answered as it was
    step: length of one step of a search, at most, in units of the hidden state
    """

    layers: tuple[int, ...]
    new: tuple[WantedLead, ...]
    held: tuple[WantedLead, ...]
    moments: Mapping[int, Tensor]
    w_text: float
    w_held: float
    step: float

    @classmethod
    def of(cls, surroundings: JointSurroundings) -> AnswersTask | None:
        """None where nothing is asked, or the network has no layer for it. Raises NotFinite."""
        base = surroundings.base
        settings = base.settings
        layers = base.answer_layers
        new = _new_answers(surroundings.members, settings)
        if not layers or not new:
            return None
        return cls(
            layers=layers,
            new=new,
            held=tuple(
                WantedLead(question, min(HELD_LEAD, lead / 2), question)
                for question, lead in surroundings.held_answers().items()
            ),
            moments=base.answer_moments,
            w_text=settings.w_answer_text,
            w_held=settings.w_answer_held,
            step=settings.step,
        )


@dataclass(frozen=True, eq=False)
class AnswersPart:
    """What is written where answers are.

    missing: answers of the facts that lacked their margin; lost: of the others, their lead
    """

    task: AnswersTask
    written: Spread
    missing: int
    lost: int

    @property
    def provenance(self) -> dict[str, Any]:
        """As it is recorded."""
        return {
            "layers": list(self.task.layers),
            "asked": len(self.task.new),
            "missing": self.missing,
            "held": len(self.task.held),
            "lost": self.lost,
            "share": self.written.share,
            "reach": self.written.reach,
        }


@dataclass(frozen=True, eq=False)
class Lacking:
    """What a question lacks whose answer is short of its margin. On the CPU.

    shift: the least of the last layer's output that brings the answer there, (d_model,)
    text: of the question at the input of the lowest layer that writes late, (tokens, d_model):
    who spreads the shift need not run it from below again
    """

    shift: Tensor
    text: Tensor


@dataclass(frozen=True, eq=False)
class Standing:
    """How a question stands. On the CPU.

    keys: coefficients of the layers there, float32, (layers, d_ff)
    lacking: None where the answer has its margin, or nearly
    """

    keys: Tensor
    lacking: Lacking | None


@dataclass(frozen=True, eq=False)
class StandingsShare:
    """Questions that one worker asks of the edited model. layers: that write; step: of a search"""

    wanted: tuple[WantedLead, ...]
    layers: tuple[int, ...]
    step: float

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> list[Standing]:
        """How each stands with these deltas. Raises NotFinite."""
        standings: list[Standing] = []
        # Grad is off where a caller works in inference mode: nothing could be found there.
        with engine.at(deltas) as live, torch.inference_mode(False):
            for start in range(0, len(self.wanted), TOGETHER):
                engine.progress("asking again", start, len(self.wanted))
                standings += self._standings(live.model, self.wanted[start : start + TOGETHER])
        return standings

    def _standings(self, model: Model, wanted: Sequence[WantedLead]) -> Iterator[Standing]:
        """How questions stand that run together."""
        questions = [each.question for each in wanted]
        texts = [question.ids for question in questions]
        # What leads is asked from the top one on, and so is what brings there what does not.
        *lower, top = self.layers
        at_first = Suffix(model, self.layers[0], texts)
        at_top, coefficients = at_first.climbed(top, texts, lower)
        for ids, of_top in at_top.coefficients(texts, [top]):
            coefficients[ids] |= of_top
        leads = at_top.leads(questions).cpu()
        if bool(leads.isnan().any()):
            raise first_non_finite(model, batched(model, questions))
        short = [place for place, each in enumerate(wanted) if float(leads[place]) < each.margin]
        lacking: dict[int, Lacking] = {}
        for margin in sorted({wanted[place].margin for place in short}):
            places = [place for place in short if wanted[place].margin == margin]
            rows = [[SubjectRow(questions[place], questions[place].position)] for place in places]
            search = ShiftSearch(margin, STEPS, self.step)
            found = subject_shifts(model, rows, top, search, enough=ENOUGH, texts=at_top)
            for place, shift in zip(places, found.cpu(), strict=True):
                if bool(shift.any()):
                    text = at_first.input_of(texts[place])
                    lacking[place] = Lacking(shift.clone(), text.cpu().clone())
        for place, question in enumerate(questions):
            of_layers = coefficients[question.ids]
            keys = torch.stack([of_layers[layer][question.position] for layer in self.layers])
            yield Standing(keys.cpu(), lacking.get(place))


def answers_part(engine: Engine, at_ends: Delta, task: AnswersTask) -> AnswersPart | None:
    """What is left to be written where answers are, with what is written where subjects end.

    None where nothing is left. Raises NotFinite.
    """
    standings = _standings(engine, at_ends, task)
    short = [place for place, standing in enumerate(standings) if standing.lacking]
    if not short:
        return None
    engine.progress("solving", 0, 0)
    with engine.at([at_ends]) as live:
        written = spread(live.model, _spread_task(live.model, task, standings))
    missing = sum(place < len(task.new) for place in short)
    return AnswersPart(task, written, missing, lost=len(short) - missing)


def _standings(engine: Engine, at_ends: Delta, task: AnswersTask) -> list[Standing]:
    """How all questions stand with what is written where subjects end."""
    wanted = (*task.new, *task.held)
    # Texts that begin alike run together, and what they share runs once.
    keys = [(place_of(each.question), each.question.token) for each in wanted]
    order = sorted(range(len(wanted)), key=keys.__getitem__)
    share_of = partial(StandingsShare, layers=task.layers, step=task.step)
    tell = partial(engine.progress, "asking again")
    in_order = [wanted[place] for place in order]
    answers = shared(engine.workers, [at_ends], in_order, share_of, TOGETHER, tell=tell)
    standings = dict(zip(order, answers, strict=True))
    return [standings[place] for place in range(len(wanted))]


def _spread_task(model: Model, task: AnswersTask, standings: Sequence[Standing]) -> SpreadTask:
    """What the layers are to write: shifts where there are any, and nothing where all is well."""
    places: list[Place] = []
    texts: dict[Ids, Tensor] = {}
    shifts: dict[Hashable, list[Tensor]] = {}  # of each target
    targets: list[Hashable] = []
    keys: list[Tensor] = []
    weights: list[float] = []
    wanted = (*task.new, *task.held)
    for number, (each, standing) in enumerate(zip(wanted, standings, strict=True)):
        if standing.lacking is None:
            keys.append(standing.keys)
            weights.append(1.0 if number < len(task.new) else task.w_held)
        else:
            places.append(place_of(each.question))
            targets.append(each.target)
            texts[each.question.ids] = standing.lacking.text
            shifts.setdefault(each.target, []).append(standing.lacking.shift)
    numbers = {target: number for number, target in enumerate(shifts)}
    means = torch.stack([torch.stack(of_target).mean(0) for of_target in shifts.values()])
    none = standings[0].keys[:, None][:, :0]
    return SpreadTask(
        targets=Targets(
            places,
            torch.tensor([numbers[target] for target in targets], device=model.device),
            means.to(model.device),
        ),
        layers=task.layers,
        held=Held((torch.stack(keys, 1) if keys else none).to(model.device), torch.tensor(weights)),
        moments=task.moments,
        w_text=task.w_text,
        texts=Suffix.from_inputs(model, task.layers[0], texts),
    )


def _new_answers(members: Sequence[Member], settings: JointSettings) -> tuple[WantedLead, ...]:
    """What the facts' prompts are to be answered with, each prompt once."""
    margin = settings.answer_margin
    leads: dict[Question, WantedLead] = {}
    for member in members:
        for row in member.rows:
            if row.token != STAYS:
                question = Question(row.place.ids, row.place.position, row.token)
                leads.setdefault(question, WantedLead(question, margin, (member.id, row.token)))
    return tuple(leads.values())
