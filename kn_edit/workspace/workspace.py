"""A workspace: one base model, its ledger, and every verb of kn-edit.

Verbs that need no model (`status`, `log`, `blame`, ...) import neither torch nor transformers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from kn_edit.checkpoints.form import ExportOptions
from kn_edit.checkpoints.forms import form_of
from kn_edit.editing.method import EditMethod, EraseRequest, Kind, UpdateRequest, UpdatesRequest
from kn_edit.editing.methods import How, method_of, require_many
from kn_edit.editing.requests import (
    Earlier,
    answers_of,
    case_pairs,
    check_case,
    each,
    earlier_updates,
    named_case,
)
from kn_edit.editing.updates import UpdateMethod
from kn_edit.engine.undisturbed import undisturbed, verb
from kn_edit.errors import (
    AlreadyThere,
    BadSetting,
    HeadMoved,
    NoTarget,
    SameAnswer,
    UnknownId,
    require_number,
)
from kn_edit.facts import ByFact, Case, Relation, fact_key
from kn_edit.ledger import (
    Advance,
    BaseRecord,
    Blame,
    BranchRecord,
    Difference,
    EditRecord,
    Ledger,
    NewEdit,
    Problem,
    Ref,
    Report,
    Step,
    VersionRecord,
)
from kn_edit.ledger.disk import refuse_inside
from kn_edit.ledger.tidying import GRACE
from kn_edit.models.placement import Placement
from kn_edit.neuron import NeuronId
from kn_edit.progress import Progress, silent
from kn_edit.untrusted import path_of
from kn_edit.workspace.batch import Batch, batch_rows
from kn_edit.workspace.calls import Calls
from kn_edit.workspace.folder import (
    LEDGER,
    chosen_folder,
    current_folder,
    named_workspace,
    nearest_folder,
    nearest_or_here,
    new_workspace_folder,
)
from kn_edit.workspace.merging import Join, Keep
from kn_edit.workspace.planning import Plan, Row, plan_rows
from kn_edit.workspace.recording import TRIES, Edited, Recorder
from kn_edit.workspace.settings import gate_of, placement_of

if TYPE_CHECKING:
    from kn_edit.editing.drafts import Bench, Proposal
    from kn_edit.editing.evaluating import Evaluation
    from kn_edit.editing.locating import Locator, Search
    from kn_edit.editing.pace import Forecast
    from kn_edit.editing.scaling import Scaled
    from kn_edit.edits.delta import Delta
    from kn_edit.engine.engine import Engine
    from kn_edit.evaluation.gate import Gate
    from kn_edit.hub.log import Release
    from kn_edit.hub.push import Pushed
    from kn_edit.models.model import Model
    from kn_edit.neurons.assess import Assessment
    from kn_edit.neurons.locate import Located
    from kn_edit.workspace.caches import Trimmed
    from kn_edit.workspace.publishing import Pulled

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Restored:
    """Where a backup was restored."""

    folder: Path  # of the workspace
    version: str  # its head
    edits: tuple[str, ...]  # of that version, in order
    aside: Path | None  # the former ledger, if there was one


def now() -> datetime:
    return datetime.now(UTC)


class Workspace:
    """An open workspace. Use `init` or `open`, and it as a context manager."""

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        progress: Progress = silent,
        *,
        device: str | None = None,
        dtype: str | None = None,
    ) -> None:
        named = {"device": device, "dtype": dtype}
        self._placed = {name: value for name, value in named.items() if value is not None}
        Placement(**self._placed)  # whoever named something wrong hears of it now
        self.folder = folder
        self.ledger = ledger
        self.closed = False
        self._progress = progress
        self._calls = Calls()

    @classmethod
    def init(
        cls,
        model: str | os.PathLike[str],
        folder: str | os.PathLike[str] | None = None,
        *,
        clock: Clock = now,
        progress: Progress = silent,
        device: str | None = None,
        dtype: str | None = None,
    ) -> Workspace:
        """Make a workspace for `demo`, `demo-bert`, a checkpoint folder, or a Hub id (pinned).

        One of this model in which nothing was recorded yet is taken as it is, so that an `init`
        that was cut off can be run again.
        device, dtype: of the live model, as of `open`
        Raises LedgerExists, TargetInsideLedger, UnknownFamily, SharedLayers, and what finding the
        model raises.
        """
        from kn_edit.engine.engine import STAMPS, write_stamps
        from kn_edit.workspace.starting import start

        folder = new_workspace_folder(chosen_folder(folder) or current_folder())
        with undisturbed():
            ledger, shards = start(model, folder / LEDGER, clock, progress)
        write_stamps(folder / LEDGER / STAMPS, shards)
        return cls(folder, ledger, progress, device=device, dtype=dtype)

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str] | None = None,
        *,
        clock: Clock = now,
        progress: Progress = silent,
        device: str | None = None,
        dtype: str | None = None,
    ) -> Workspace:
        """Open a workspace: the one given, that of KN_EDIT_WORKSPACE, or the nearest upwards.

        device: where its model runs: auto (a CUDA GPU where there is one), cpu, cuda, cuda:1, mps
        dtype: in which number format: auto (the checkpoint's), float32, bfloat16, float16. Where
        one is None, kn-edit.toml says, else it is auto.
        Raises NoWorkspace, NewerSchema, LedgerDamaged, BadSetting.
        """
        chosen = chosen_folder(folder)
        workspace_folder = named_workspace(chosen) if chosen else nearest_folder(current_folder())
        ledger = Ledger.open(workspace_folder / LEDGER, clock=clock)
        return cls(workspace_folder, ledger, progress, device=device, dtype=dtype)

    @classmethod
    def restore(
        cls,
        file: str | os.PathLike[str],
        folder: str | os.PathLike[str] | None = None,
        *,
        replace: bool = False,
        clock: Clock = now,
    ) -> Restored:
        """Make a workspace of a file that `backup` made, whole or not at all.

        replace: also where a ledger is, damaged or not; that one is kept aside
        Raises RestoreTargetTaken, TargetInsideLedger, BackupDamaged, NewerSchema, LinkInLedger,
        LedgerBusy, LedgerUnusable.
        """
        place = chosen_folder(folder) or (nearest_or_here() if replace else current_folder())
        new_workspace_folder(place)
        placed = Ledger.restore(path_of(file), place / LEDGER, clock=clock, replace=replace)
        return Restored(folder=place, version=placed.head, edits=placed.edits, aside=placed.aside)

    def close(self) -> None:
        """Give back what it holds. Its verbs raise WorkspaceClosed from now on."""
        self.closed = True
        self.ledger.close()

    def progress(self, task: str, done: int, total: int) -> None:
        """Tell how far a verb has come: to this call's listener, or to the workspace's."""
        self._calls.progress(self._progress, task, done, total)

    def call(
        self, *, progress: Progress | None = None, cancelled: Callable[[], bool] | None = None
    ) -> AbstractContextManager[None]:
        """Progress and cancellation of the verbs inside the block, in this thread.

        progress: told of them in place of the workspace's; cancelled: asked whenever a verb tells
        of its progress. Where it says yes, the verb raises Cancelled: nothing is recorded of it.
        """
        return self._calls.during(progress, cancelled)

    def _during_a_verb(self) -> AbstractContextManager[None]:
        """Each delta is read and hashed once in a verb."""
        return self.ledger.keeping_deltas()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def base(self) -> BaseRecord:
        return self.ledger.base

    @property
    @verb
    def gate(self) -> Gate:
        """The limits that edits are held to: of `kn-edit.toml`, or the usual ones.

        Raises BadSettingsFile.
        """
        return gate_of(self.folder)

    @cached_property
    def engine(self) -> Engine:
        """The live model; loaded by the first verb that needs it. Raises BadSettingsFile."""
        from kn_edit.engine.engine import Engine

        placement = replace(placement_of(self.folder), **self._placed)
        return Engine(self.base, self.ledger.folder, self.progress, placement)

    # --- asking the model ------------------------------------------------------------------------

    @verb
    def assess(
        self, case: Case, *, version: str = "head", answer: str | None = None
    ) -> list[Assessment]:
        """p(answer), rank, top 5 and what the model says for every prompt of a fact.

        Held-out prompts too.
        """
        from kn_edit.editing.locating import every_prompt
        from kn_edit.models.questions import ask
        from kn_edit.neurons.assess import assess

        if answer is None and not self._can_be_asked(case):
            case = self._stated(case, self.ledger.version(version))
        with self.engine.at(self._deltas(version)) as live:
            model = live.model
            prompts = every_prompt(model, case.relation, case.fact)
            chains = [ask(model, prompt, answer) for prompt in prompts]
            return assess(model, chains, answer, says=True)

    @verb
    def check(self, case: Case, to: str | None = None) -> None:
        """Whether the model can be asked a case, with a new answer too; changes nothing.

        The old answer of a benchmark's row need not be one that it can: then what it says counts.
        Raises EmptyField, BadField, NothingToAsk, CannotAsk.
        """
        from kn_edit.editing.locating import prompts_for
        from kn_edit.models.encoding import refuse_special
        from kn_edit.models.questions import ask, ask_openly

        check_case(case, to)
        model = self.engine.model
        for prompt in case.neighbours:
            if prompt.template.answer_last or not model.causal:
                refuse_special(model, prompt.before + prompt.after)
                ask_openly(model, prompt)
        for prompt in prompts_for(model, case.relation, case.fact):
            for answer in ("" if case.published else case.fact.answer, to):
                if answer:
                    ask(model, prompt, answer)

    @verb
    def asked_otherwise(self, case: Case) -> tuple[str, ...]:
        """A sentence for each prompt of a case that the tokenizer cannot say as it is written."""
        from kn_edit.editing.locating import every_prompt
        from kn_edit.models.questions import ask, asked_otherwise

        model = self.engine.model
        prompts = every_prompt(model, case.relation, case.fact) if self._can_be_asked(case) else ()
        return asked_otherwise([ask(model, prompt) for prompt in prompts])

    @verb
    def plan(self, rows: Sequence[tuple[Case, str]]) -> Plan:
        """Which rows of a run are left to do at the head, looked at as a whole.

        rows: cases with their new answers. Raises TwoNewAnswers, BadFacts.
        """
        return plan_rows(rows, self._answers(self.ledger.head()))

    @verb
    def batch(
        self,
        rows: Sequence[tuple[Case, str]],
        *,
        how: How | EditMethod | str | None = None,
        accept: bool = False,
        dry_run: bool = False,
    ) -> Batch:
        """Updates of many rows, looked at as a whole; iterating over it makes them, one by one.

        rows: cases with their new answers. Rows whose fact has its new answer already are passed
        over, so the same rows can be given again after a stop.
        Raises TwoNewAnswers, BadFacts, and what `check` raises of a row that is of no benchmark.
        """
        plan = self.plan(rows)
        update = partial(self.update, how=how, accept=accept, dry_run=dry_run)
        return Batch(plan, batch_rows(plan, self.check), update)

    @verb
    def locate(
        self, case: Case, *, search: Search | str | None = None, version: str = "head"
    ) -> Located:
        """The knowledge neurons of a fact."""
        fact = self._stated(case, self.ledger.version(version)).fact
        with self._locating(search, None) as (_, base):
            common = base.relation_neurons(case.relation, fact)
        with self._locating(search, version) as (_, head):
            return head.fact(case.relation, fact, common)

    @verb
    def locate_relation(
        self,
        relation: Relation,
        *,
        most: int | None = None,
        search: Search | str | None = None,
        version: str = "head",
    ) -> list[Located]:
        """The knowledge neurons of the facts of a relation that the model knows."""
        with self._locating(search, version) as (_, locator):
            return locator.relation(relation, locator.known_facts(relation)[:most])

    @verb
    def scale(
        self,
        case: Case,
        factor: float,
        *,
        search: Search | str | None = None,
        version: str = "head",
    ) -> Scaled:
        """Suppress (0) or amplify (2) a fact's neurons, beside controls. Raises NoNeurons."""
        from kn_edit.editing.scaling import scale

        require_number("the factor", factor)
        current = self._stated(case, self.ledger.version(version))
        located = self.locate(current, search=search, version=version)
        with self._locating(search, version) as (model, locator):
            return scale(model, locator, current, located, factor)

    @verb
    def evaluate(self, version: str = "head") -> Evaluation:
        """A version against the base: what its updates reach, and what they cost."""
        from kn_edit.editing.evaluating import evaluate

        record = self.ledger.version(version)
        edits = self.ledger.records(record.edits)
        return evaluate(self.engine, self.ledger.deltas(record.edits), edits, self.progress)

    @verb
    def passed_over(self, relation: Relation) -> int:
        """How many templates of a relation the model cannot be asked."""
        from kn_edit.editing.locating import passed_over

        return passed_over(self.engine.model, relation)

    # --- editing ---------------------------------------------------------------------------------

    @verb
    def forecast(
        self, case: Case, to: str, *, how: How | EditMethod | str | None = None
    ) -> Forecast | None:
        """How long an update will take on this machine, by its parts; runs the model a few times.

        None for a method that does not say what it costs. Raises what `check` raises, and
        NotFinite.
        """
        from kn_edit.editing.locating import Locator, Search, prompts_for
        from kn_edit.editing.pace import update_forecast
        from kn_edit.models.questions import ask

        chosen = method_of(Kind.UPDATE, How.of(how).method)
        if not isinstance(chosen, UpdateMethod):
            return None
        with self.engine.at([]) as live:
            model = live.model
            prompts = prompts_for(model, case.relation, case.fact)
            chains = [ask(model, prompt, to) for prompt in prompts]
            if case.fact.stated or case.relation.unnamed:  # what nobody stated is asked for later
                chosen = chosen.suited(model, Locator(live, Search(), silent), case)
            return update_forecast(model, chains, chosen.cost(causal=model.causal))

    @verb
    def update(
        self,
        case: Case | None = None,
        to: str | None = None,
        *,
        statement: str | Iterable[str] = (),
        how: How | EditMethod | str | None = None,
        accept: bool = False,
        dry_run: bool = False,
    ) -> Edited:
        """Change a fact's answer, and record the edit.

        to: the new answer; by default that of the case. statement: a sentence as it should be true,
        `The CEO of [X: Starbucks] is [Y: Brian Niccol].`, or several wordings of it, in place of
        a case; see `case_of`. how: a How; or a method, or its name.
        The gate's verdict comes as GateFailed, which carries what was measured; accept records
        all the same, dry_run records nothing.
        """
        way = How.of(how)
        chosen = method_of(Kind.UPDATE, way.method)
        row = self._row(named_case(case, statement, to), to)
        return self._update([row], way, chosen, accept=accept, dry_run=dry_run)

    @verb
    def update_many(
        self,
        updates: Iterable[Case | tuple[Case, str]],
        *,
        how: How | EditMethod | str | None = None,
        accept: bool = False,
        dry_run: bool = False,
    ) -> Edited:
        """Change the answers of several facts by one edit, and record it.

        updates: cases that name their new answers, or pairs of a case and its new answer. The
        method must take many, see `takes_many`; `how` and the gate, which looks at the means, are
        as for `update`.
        Raises OneFactMethod, TwoNewAnswers, NoTarget, SameAnswer for a fact that has its new answer
        already, and what `update` raises.
        """
        way = How.of(how)
        chosen = method_of(Kind.UPDATE, way.method)
        rows = [self._row(*pair) for pair in case_pairs(updates)]
        plan = plan_rows(rows, self._answers(self.ledger.head()))
        for case, to in plan.done[:1]:
            raise SameAnswer(case.fact.subject, to)
        for _, error in plan.refused[:1]:
            raise error
        if not plan.wanted:
            raise BadSetting("the facts to update", "none", "at least one")
        require_many(chosen, len(plan.wanted))
        return self._update(plan.wanted, way, chosen, accept=accept, dry_run=dry_run)

    @staticmethod
    def _row(case: Case, to: str | None) -> Row:
        """A case with its new answer. Raises NoTarget, EmptyField, BadField."""
        to = case.target if to is None else to
        if to is None:
            raise NoTarget(case.fact.subject)
        check_case(case, to)
        return case, to

    def _update(
        self, rows: Sequence[Row], way: How, chosen: EditMethod, *, accept: bool, dry_run: bool
    ) -> Edited:
        """Change the facts of all rows by one edit, and record it."""
        from kn_edit.editing.updating import asked_anew

        cases = [case for case, _ in rows]

        def ready(head: VersionRecord) -> tuple[Bench, list[Case]]:
            current = self._all_stated(cases, head)
            return self._bench(head, way, self._earlier(head, cases)), current

        def at_head(proposal: Proposal) -> tuple[Bench, Proposal]:
            bench, current = ready(self.ledger.version(branch))
            return bench, asked_anew(bench, proposal, current)

        branch = self.ledger.current_branch().name
        head = self.ledger.version(branch)
        bench, current = ready(head)
        answers = self._answers(head)
        requests = tuple(
            UpdateRequest(case, to, answers.get(fact_key(case.relation, case.fact)) is not None)
            for case, (_, to) in zip(current, rows, strict=True)
        )
        request = requests[0] if len(requests) == 1 else UpdatesRequest(requests)
        proposal = chosen.propose(bench, request)
        recorder = Recorder(self.ledger, self.progress, at_head, self._advance, branch)
        return recorder.record(bench, proposal, accept=accept, dry_run=dry_run)

    @verb
    def erase(
        self,
        relation: Relation,
        *,
        how: How | EditMethod | str | None = None,
        accept: bool = False,
        dry_run: bool = False,
    ) -> Edited:
        """Erase a relation, and record the edit. `how` and the gate as for `update`."""
        way = How.of(how)
        chosen = method_of(Kind.ERASE, way.method)

        def at_head(proposal: Proposal) -> tuple[Bench, Proposal]:
            head = self.ledger.version(branch)
            return self._bench(head, way, self._earlier(head)), proposal

        branch = self.ledger.current_branch().name
        head = self.ledger.version(branch)
        bench = self._bench(head, way, self._earlier(head))
        proposal = chosen.propose(bench, EraseRequest(relation))
        recorder = Recorder(self.ledger, self.progress, at_head, self._advance, branch)
        return recorder.record(bench, proposal, accept=accept, dry_run=dry_run)

    # --- history ---------------------------------------------------------------------------------

    @property
    @verb
    def head(self) -> VersionRecord:
        return self.ledger.head()

    @verb
    def log(self, most: int | None = None, *, branch: str = "head") -> list[Step]:
        """The moves that led to a branch, newest first, down to the root version, or so many.

        branch: by default the current one. Raises UnknownBranch.
        """
        return self.ledger.log(most, branch)

    @verb
    def graph(self, most: int | None = None) -> list[Step]:
        """The moves of all branches, newest first; `after` of each names those before it."""
        return self.ledger.graph(most)

    @verb
    def show(self, name: str) -> EditRecord | VersionRecord:
        """An edit or a version, by id prefix, branch, tag or name. Raises UnknownId."""
        for find in (self.ledger.version, self.ledger.edit):  # a tag may look like a short id
            with suppress(UnknownId):
                return find(name)
        raise UnknownId("version or edit", name)

    @verb
    def diff(self, a: str, b: str) -> Difference:
        """What sets two versions apart."""
        return self.ledger.diff(a, b)

    @verb
    def blame(self, neuron: NeuronId | str) -> list[Blame]:
        """The edits that write a neuron's slot, oldest first. Raises NotANeuron."""
        return self.ledger.blame(NeuronId.of(neuron))

    @verb
    def revert(self, edit: str, *, allow_overlap: bool = False) -> VersionRecord:
        """A new version without an edit, wherever it stands. Raises EditNotApplied, SlotOverlap."""
        on = self.ledger.current_branch().name
        plan = partial(self.ledger.plan_revert, edit, allow_overlap=allow_overlap, branch=on)
        return self._replanned(plan)

    @verb
    def rewind(self, version: str) -> VersionRecord:
        """Move the current branch to a version that exists."""
        return self._advance(self.ledger.plan_rewind(version))

    @verb
    def compose(
        self, versions: Iterable[str], *, allow_overlap: bool = False, keep: Keep | None = None
    ) -> VersionRecord:
        """A new version with the edits of several; one alone is put onto the head.

        keep: as for `merge`. Raises FactsDiffer, ChoicesClash, SlotOverlap, AlreadyThere.
        """
        versions = each(versions, "versions")
        again = len(versions) == 1 or "head" in versions  # on top of whatever the head is
        return self._joined("compose", versions, keep, allow_overlap, again=again)

    @verb
    def merge(
        self,
        versions: str | Iterable[str],
        *,
        allow_overlap: bool = False,
        keep: Keep | None = None,
    ) -> VersionRecord:
        """Put the edits of branches, or other versions, onto the current branch, one by one.

        keep: what stays where both sides give a fact different answers: `ours` (of the current
        branch and what was merged before), `theirs`, or `both`, in order; or a function that says
        it of each FactConflict. The edits of the other side about the fact are left out.
        Where the branch has all of the edits already, nothing is recorded: the head comes back.
        Raises FactsDiffer where nobody says, ChoicesClash, SlotOverlap, UnknownId.
        """
        names = each(versions, "versions")
        try:
            return self._joined("merge", names, keep, allow_overlap, again=True)
        except AlreadyThere:
            return self.ledger.head()

    @verb
    def tag(self, name: str, version: str = "head", *, move: bool = False) -> Ref:
        """Name a version."""
        return self.ledger.tag(name, version, move=move)

    @property
    @verb
    def current_branch(self) -> str:
        """The name of the branch that edits go to."""
        return self.ledger.current_branch().name

    @verb
    def branches(self) -> list[BranchRecord]:
        """Every branch by name, with its last edit and its last move."""
        return self.ledger.branches()

    @verb
    def branch(self, name: str, at: str = "head") -> Ref:
        """Make a branch at a version; the current one stays current.

        Raises BadBranchName, BranchExists, NameTaken, UnknownId.
        """
        return self.ledger.make_branch(name, at)

    @verb
    def switch(self, name: str, *, create: bool = False, at: str = "head") -> Ref:
        """Make a branch the current one, that edits go to from now on. No weights are touched.

        create: make it first, at the version `at`. Raises UnknownBranch, or what `branch` raises.
        """
        return (
            self.ledger.make_branch(name, at, switch=True) if create else self.ledger.switch(name)
        )

    @verb
    def delete_branch(self, name: str, *, force: bool = False) -> Ref:
        """Remove the name of a branch, and nothing else; where it was.

        force: also where no other branch or tag has its edits
        Raises UnknownBranch, BranchIsCurrent, OnlyThere.
        """
        return self.ledger.delete_branch(name, force=force)

    @verb
    def rename_branch(self, name: str, to: str) -> Ref:
        """Give a branch another name.

        Raises UnknownBranch, BadBranchName, BranchExists, NameTaken.
        """
        return self.ledger.rename_branch(name, to)

    # --- out of the ledger -----------------------------------------------------------------------

    @verb
    def export(
        self,
        target: str | os.PathLike[str],
        *,
        version: str = "head",
        form: str = "checkpoint",
        most_rank: int | None = None,
        follow_links: bool = False,
    ) -> Path:
        """Write a version to a new folder: a full checkpoint, or a small form of its edits.

        form: checkpoint, delta (with the recipe), adapter (PEFT LoRA), patch (sparse), or another
            of the table of forms
        most_rank: of an adapter
        follow_links: copy also what links of the model's folder point at outside of it
        Raises RankTooHigh, NothingToExport, LinkLeadsOutside, TargetInsideLedger.
        """
        from kn_edit.workspace.exporting import export_of

        kind = form_of(form)
        target = path_of(target)
        refuse_inside(target)
        options = ExportOptions(most_rank=most_rank, follow_links=follow_links)
        record = self.ledger.version(version)
        deltas = self.ledger.deltas(record.edits)
        export = export_of(
            engine=self.engine,
            version=record,
            deltas=deltas,
            form=kind,
            options=options,
            progress=self.progress,
        )
        return kind.write(export, target)

    @verb
    def set_base(self, folder: str | os.PathLike[str], *, accept_files: bool = False) -> BaseRecord:
        """Note where the base model lies now: a folder, or `demo`, `demo-bert`.

        Its weights must be the base's. accept_files: also where configuration or tokenizer are
        not those of `init`. Raises OtherBase, BaseFilesChanged, and what finding a model raises.
        """
        from kn_edit.workspace.base import place_base

        place_base(self.ledger, folder, accept_files=accept_files, progress=self.progress)
        self.__dict__.pop("engine", None)  # it stands where the base lay
        return self.base

    @verb
    def push(
        self,
        repo: str,
        *,
        version: str = "head",
        form: str = "checkpoint",
        branch: str = "main",
        tag: str | None = None,
        offer: bool = False,
        private: bool = False,
        most_rank: int | None = None,
        licence: str | None = None,
        follow_links: bool = False,
    ) -> Pushed:
        """Publish a version on the Hub, in one commit of what the repository lacks.

        form: checkpoint, adapter (PEFT LoRA) or delta; offer: as a pull request
        follow_links: publish also what links of the model's folder point at outside of it
        Raises BadRepoName, BadRevisionName, NotLoggedIn, NoWriteAccess, NotPrivate, TagTaken,
        RemoteMoved, CardRefused, HubFailed, CommitUnclear, NotFinished, NotNoted,
        UploadDiffers.
        """
        from kn_edit.hub.push import Order
        from kn_edit.workspace.publishing import Packing, push

        options = ExportOptions(most_rank=most_rank, follow_links=follow_links)
        packing = Packing(form_of(form, publishable=True), options, licence)
        record = self.ledger.version(version)
        order = Order(branch, tag, offer, private)
        return push(
            ledger=self.ledger,
            engine=self.engine,
            repo=repo,
            version=record,
            packing=packing,
            order=order,
            progress=self.progress,
        )

    @verb
    def pull(self, source: str) -> Pulled:
        """Take in what `owner/name` or `owner/name@revision` published, each digest compared.

        The branch moves on where its edits are the first ones of that version. Raises Diverged
        where they are not (the version is kept under the name of its source), DifferentBase,
        NoRecipe, InvalidRecipe, DeltaDigestDiffers, RepoNotFound, RevisionNotFound, HubFailed.
        """
        from kn_edit.workspace.publishing import pull

        return pull(self.ledger, self.engine, source, self.progress)

    @verb
    def rollback(self, repo: str, to: str, *, branch: str = "main") -> Pushed:
        """Restore what a repository held at a version, a tag or a commit, by a new commit.

        Raises NotPublished, RevisionNotFound, and what push raises.
        """
        from kn_edit.workspace.publishing import rollback

        return rollback(self.ledger, repo, to, branch, self.progress)

    @verb
    def published(self, source: str) -> list[Release]:
        """What kn-edit published in `owner/name`, or on a branch behind an @, newest first."""
        from kn_edit.workspace.publishing import published

        return published(source)

    @verb
    def load(self, version: str = "head") -> Any:
        """A live transformers model at a version, to keep; its tokenizer is `.tokenizer`'s."""
        return self.engine.fresh(self._deltas(version)).net

    @property
    @verb
    def tokenizer(self) -> Any:
        return self.engine.model.tokenizer.plain

    @verb
    def verify(self, version: str | None = None, *, since: str | None = None) -> list[Problem]:
        """Rebuild versions, compare every digest, and prove the ledger. Empty when all is well.

        version: only this one, instead of all that the head ever was
        since: a digest that `ledger.chain()` once gave; it has to stand in the journal
        Raises UnknownId, BadDigest.
        """
        return list(self.examine(version, since=since).problems)

    @verb
    def examine(self, version: str | None = None, *, since: str | None = None) -> Report:
        """As `verify`, with notes on what cannot be proven and the digest of the journal."""
        from kn_edit.workspace.soundness import examine

        return examine(self.ledger, lambda: self.engine, version, self.progress, since)

    @verb
    def backup(self, file: str | os.PathLike[str]) -> None:
        """Write the whole ledger to one new tar file, which `restore` takes back.

        Raises BackupExists, LedgerUnusable, DeltaMissing, DeltaDigestDiffers.
        """
        from kn_edit.models.cache import notes_folder

        self.ledger.backup(path_of(file), notes_folder())

    @verb
    def gc(self, *, older_than: timedelta = GRACE) -> list[Path]:
        """Remove deltas of no edit, and what killed commands left; which files they were.

        older_than: of deltas; younger ones spare a command that was cut off its work
        Raises LedgerBusy, LedgerUnusable.
        """
        from kn_edit.workspace.caches import remove_leftovers

        removed = map(Path, self.ledger.gc(older_than=older_than))
        return [*removed, *remove_leftovers()]

    @staticmethod
    def trim_cache() -> Trimmed:
        """Remove the oldest cached scores where the cache has grown beyond its bound."""
        from kn_edit.workspace.caches import trim_scores

        return trim_scores()

    # --- inside ----------------------------------------------------------------------------------

    @contextmanager
    def _locating(
        self, search: Search | str | None, version: str | None
    ) -> Iterator[tuple[Model, Locator]]:
        """The model at a version, the base for None, and what finds its neurons."""
        from kn_edit.editing.locating import Locator, Search

        recipe = self.ledger.version(version).edits if version else ()
        with self.engine.at(self.ledger.deltas(recipe)) as live:
            locator = Locator(live, Search.of(search or Search()), self.progress)
            yield live.model, locator

    def _deltas(self, version: str) -> list[Delta]:
        return self.ledger.deltas(self.ledger.version(version).edits)

    def _bench(
        self,
        head: VersionRecord,
        how: How,
        earlier: tuple[Earlier, ...],
    ) -> Bench:
        from kn_edit.editing.drafts import Bench
        from kn_edit.editing.locating import Search

        return Bench(
            engine=self.engine,
            recipe=tuple(head.edits),
            deltas=self.ledger.deltas(head.edits),
            search=Search.of(how.search or Search()),
            gate=how.gate or self.gate,
            progress=self.progress,
            earlier=earlier,
        )

    def _earlier(self, version: VersionRecord, without: Sequence[Case] = ()) -> tuple[Earlier, ...]:
        """The updates of other facts in a version, as far as they can be asked again."""
        updates, _ = earlier_updates(self.ledger.records(version.edits))
        for case in without:
            updates.drop(fact_key(case.relation, case.fact))
        return tuple(updates.values())

    def _answers(self, version: VersionRecord) -> ByFact[str]:
        return answers_of(self.ledger.records(version.edits))

    def _can_be_asked(self, case: Case) -> bool:
        """Whether a case states an answer; of a benchmark's row, one that the model can give."""
        from kn_edit.editing.stated import can_ask

        stated = case.fact.stated
        return stated and (not case.published or can_ask(self.engine.model, case, case.fact.answer))

    def _stated(self, case: Case, version: VersionRecord) -> Case:
        """The case with the answer that its fact has at a version: by an edit, or what it says."""
        return self._all_stated([case], version)[0]

    def _all_stated(self, cases: Sequence[Case], version: VersionRecord) -> list[Case]:
        """Cases, each with the answer that its fact has at a version."""
        from kn_edit.editing.stated import model_answer

        answers, stated = self._answers(version), []
        for case in cases:
            answer = answers.get(fact_key(case.relation, case.fact))
            if answer is not None:
                case = replace(case, fact=replace(case.fact, answer=answer))
            if not self._can_be_asked(case):
                with self.engine.at(self.ledger.deltas(version.edits)) as live:
                    model = live.model
                    fact = replace(case.fact, answer=model_answer(model, case))
                    case = replace(case, fact=fact, answered_by_model=True)
            stated.append(case)
        return stated

    def _joined(
        self,
        kind: str,
        versions: tuple[str, ...],
        keep: Keep | None,
        allow_overlap: bool,
        *,
        again: bool,
    ) -> VersionRecord:
        """Join versions. again: also on another head, if that moves meanwhile"""
        if not versions:
            raise BadSetting("the versions", "none", "at least one")
        join = Join(kind, versions, keep, allow_overlap, self.ledger.current_branch().name)
        plan = partial(join.plan, self.ledger)
        return self._replanned(plan) if again else self._advance(plan())

    def _replanned(self, plan: Callable[[], Advance]) -> VersionRecord:
        """Make a move that means the same on every head. Raises HeadMoved after many tries."""
        for _ in range(TRIES):
            with suppress(HeadMoved):
                return self._advance(plan())
        return self._advance(plan())

    def _advance(self, plan: Advance, edit: NewEdit | None = None) -> VersionRecord:
        """Rebuild the planned version for its digests, then record it."""
        from kn_edit.checkpoints.materialise import digests
        from kn_edit.edits.kept import LoadedDeltas

        recorded = [id_ for id_ in plan.recipe if edit is None or id_ != edit.delta.id]
        deltas = LoadedDeltas([*self.ledger.deltas(recorded), *([edit.delta] if edit else [])])
        return self.ledger.advance(plan, digests(self.engine.shards, deltas), edit=edit)
