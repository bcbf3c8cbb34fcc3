"""What each method makes of a row, on one engine: the work of a worker that has rows to correct."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from random import Random

import torch
from baselines import Rome, fine_tuned
from correction_rows import Judge, Row, asked, neutral_perplexity
from correction_table import COUNTED, Result

from kn_edit.editing.correcting import CorrectionTask, correction
from kn_edit.editing.correction_keys import written_layers
from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.locating import prompts_for
from kn_edit.editing.measuring import UpdateExam
from kn_edit.editing.method import UpdateRequest
from kn_edit.editing.neighbours import neighbours
from kn_edit.editing.paraphrasing import judging_paraphrases
from kn_edit.editing.updates import ClosedForm, Correction
from kn_edit.editing.updating import LowRankShifts, Shifts
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.edits.update import closed_form
from kn_edit.engine.engine import Engine
from kn_edit.engine.version import ModelVersion
from kn_edit.errors import KnEditError
from kn_edit.evaluation.metrics import Probes
from kn_edit.models.model import Model
from kn_edit.models.questions import ask
from kn_edit.neuron import NeuronId

SOLVED = ("steps", "margin", "kl", "spill")  # what a solver says of itself
ON_ITS_SLOTS = {"closed-form", "random"}  # of the correction, or of its layers
RANDOM_SLOTS = 40  # of each layer


class Methods:
    """The methods on one engine; each gives the delta that corrects a row."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.context = EditContext(engine)

    @cached_property
    def rome(self) -> Rome:
        """ROME with what all rows share, made with the unedited model."""
        with self.engine.at([]) as live:
            return Rome(live.model)

    def edit(self, method: str, row: Row, slots: Sequence[NeuronId]) -> tuple[Delta, Result]:
        """The delta of a method that is not kn-edit's, and what the method says of itself."""
        own: dict[str, Callable[[ModelVersion], Shifts | LowRankShifts]] = {
            "closed-form": lambda live: self._closed(live.model, row, slots),
            "random": lambda live: self._random(live, row),
            "rome": lambda live: self.rome.edit(row.case, row.to),
            "finetune": lambda live: fine_tuned(live.model, row.case, row.to),
        }
        if method == "rome":
            assert self.rome  # before the model is in use
        with self.engine.at([]) as live:
            shifts = own[method](live)
        return shifts.delta(self.engine.place), shifts.provenance

    def _closed(self, model: Model, row: Row, slots: Sequence[NeuronId]) -> Shifts:
        prompt = prompts_for(model, row.case.relation, row.case.fact)[0]
        old, new = (ask(model, prompt, to).questions[0].token for to in (None, row.to))
        b = closed_form(model, slots, old, new, ClosedForm.scale)
        return Shifts(tuple(slots), b, {}, {"scale": ClosedForm.scale})

    def _random(self, live: ModelVersion, row: Row) -> LowRankShifts:
        model = live.model
        # Seeded by the row, so that it is the same whatever else is drawn.
        rng = Random(f"{row.file} {row.index}")
        elsewhere = [
            NeuronId(layer, at)
            for layer in written_layers(model)
            for at in sorted(rng.sample(range(model.d_ff), RANDOM_SLOTS))
        ]
        others = neighbours(model, self.context.locator(live), row.case)
        task = CorrectionTask(
            case=row.case,
            to=row.to,
            chains=asked(model, row),
            neighbours=others,
            slots=elsewhere,
        )
        solved = correction(model, task, Correction().settings_for(model))
        return LowRankShifts(solved.factors, {key: solved.provenance[key] for key in SOLVED})

    def exam(self, row: Row) -> UpdateExam:
        """What kn-edit measures an update of this row by."""
        case = row.case
        with self.engine.at([]) as live:
            model = live.model
            edited = prompts_for(model, case.relation, case.fact)
            others = neighbours(model, self.context.locator(live), case)
            held_out = judging_paraphrases(model, case.relation, case.fact, row.to)
            old = tuple(ask(model, prompt) for prompt in edited)
        probes = Probes(edited, held_out, others.judges, others.same_subject_judges)
        return UpdateExam(probes, old, row.to, case.answered_by_model)


class Maker:
    """Makes results on one engine, with what its rows have in common."""

    def __init__(self, engine: Engine) -> None:
        self._methods = Methods(engine)
        with engine.at([]) as live:
            self._neutral = neutral_perplexity(live.model)

    def results(
        self, row: Row, names: Sequence[str], known: dict[str, Result]
    ) -> dict[str, Result]:
        """A row's result by each of these methods. known: of other methods of the row"""
        exam = self._methods.exam(row)
        judge = Judge(self._methods.engine, row, self._neutral)
        made: dict[str, Result] = {}
        for name in names:
            made[name] = self._result(row, name, known | made, judge, exam)
        return made

    def _result(
        self, row: Row, name: str, made: Mapping[str, Result], judge: Judge, exam: UpdateExam
    ) -> Result:
        device = self._methods.engine.model.device.type
        clock = time.process_time if device == "cpu" else time.monotonic
        start = clock()
        provenance: Result
        # An edit that cannot be made leaves the model as it is; the row counts all the same.
        delta = Delta(BaseRef(None, None, self._methods.engine.base.fingerprint), {})
        metrics: Result | None = None
        best: list[list[int]] = []
        try:
            if name == "correction":
                update = draft(self._methods.context, UpdateRequest(row.case, row.to))
                delta, metrics = update.delta, update.metrics
                provenance = {key: update.found.get(key) for key in SOLVED}
                provenance |= {"method": update.method, "faults": update.faults}
                best = [[one["layer"], one["index"]] for one in update.found["neurons"]]
            else:
                slots: list[NeuronId] = []
                if name in ON_ITS_SLOTS:
                    slots = [NeuronId(*each) for each in made["correction"]["neurons"]]
                delta, provenance = self._methods.edit(name, row, slots)
        except KnEditError as error:
            provenance = {"error": str(error)}
        if metrics is None:
            metrics = exam.measure(self._methods.context, delta).metrics
        seconds = clock() - start
        return {
            "file": row.file,
            "row": row.index,
            "subject": row.case.fact.subject,
            "target": row.to,
            "method": name,
            **judge(delta),
            **{key: metrics.get(key) for pair in COUNTED.items() for key in pair},
            "seconds": seconds,
            "device": device,
            "bytes": len(delta.to_bytes()),
            "story": provenance,
            "neurons": best,
        }


@dataclass(frozen=True, eq=False)
class RowShare:
    """A row that a worker corrects by some methods. known: its results by others"""

    row: Row
    names: tuple[str, ...]
    known: dict[str, Result]

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> dict[str, Result]:
        """A result for each method."""
        torch.set_num_threads(1)  # its seconds are those of one thread
        return maker_of(engine).results(self.row, self.names, self.known)


@cache
def maker_of(engine: Engine) -> Maker:
    """The maker of an engine, which keeps what all rows share."""
    return Maker(engine)
