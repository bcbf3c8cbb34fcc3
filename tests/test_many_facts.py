"""One edit of many facts: proposed, measured by fact, judged by the means, recorded, undone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import ClassVar

import pytest
import torch
from workspaces import CAPITAL, CAPITALS, about, contents, exported, new_workspace, quick

from kn_edit.editing.earlier import NEWEST, EarlierAnswers
from kn_edit.editing.edited import EditedFacts
from kn_edit.editing.method import option
from kn_edit.editing.methods import METHODS
from kn_edit.editing.requests import earlier_updates
from kn_edit.editing.updates import Calibrated, UpdateMethod
from kn_edit.editing.updating import LowRankShifts, Shifts, UpdateTask
from kn_edit.edits.settings import Settings
from kn_edit.errors import (
    BadSetting,
    GateFailed,
    NoTarget,
    OneFactMethod,
    SameAnswer,
    TwoNewAnswers,
)
from kn_edit.evaluation import metrics
from kn_edit.evaluation.gate import Gate
from kn_edit.hub.records import check_publishable, read_record, record_json
from kn_edit.neuron import NeuronId
from kn_edit.workspace import FactChange, How, Workspace, add_method, takes_many

FREE = Gate(efficacy=0, specificity=0)
ROWS = (("France", "Rome"), ("Japan", "Cairo"), ("Italy", "Oslo"))


@dataclass(frozen=True)
class Together(UpdateMethod):
    """Write each fact's new answer into a slot of the last layer."""

    name: ClassVar[str] = "together"
    source: ClassVar[str] = "this test"
    edits: ClassVar[str] = "a value slot of the last layer for each fact"
    many: ClassVar[bool] = True

    size: float = option(0.01, "--write", "How much of the embedding to write (0.01).")

    def shifts(self, task: UpdateTask) -> Shifts:
        return self.shifts_of_many([task])

    def shifts_of_many(self, tasks: Sequence[UpdateTask]) -> Shifts:
        model = tasks[0].model
        rows = [model.output_embedding(task.new[0].questions[0].token).float() for task in tasks]
        neurons = [NeuronId(model.n_layers - 1, at) for at in range(len(tasks))]
        return Shifts(neurons, self.size * torch.stack(rows).cpu(), {}, {"size": self.size})


@pytest.fixture(autouse=True)
def together() -> Iterator[None]:
    add_method(Together)
    try:
        yield
    finally:
        METHODS.pop("together")


@pytest.fixture
def workspace(tmp_path) -> Iterator[Workspace]:
    with new_workspace(tmp_path) as workspace:
        yield workspace


def rows(*pairs: tuple[str, str]):
    return [(about(subject), to) for subject, to in pairs or ROWS]


HOW = How(Together(), gate=FREE)


# --- measured ------------------------------------------------------------------------------------


def test_one_edit_changes_every_fact_and_is_recorded_once(workspace):
    done = workspace.update_many(rows(), how=HOW)
    (edit,) = workspace.ledger.edits()
    assert (edit.id, edit.method) == (done.edit, "together")
    assert edit.facts == tuple(
        FactChange("capital", subject, CAPITAL.fact(subject).answer, to) for subject, to in ROWS
    )
    assert edit.message == "capital: France, Paris -> Rome, and 2 more facts"
    assert len(edit.neurons) == 3
    assert workspace.log(1)[0].message == edit.message
    check_publishable(edit)
    record = read_record(record_json(edit), Path("x"))
    assert record["found"]["by_fact"] == edit.found["by_fact"]
    assert workspace.verify() == []


def test_figures_are_of_each_fact_and_means_over_all_prompts(workspace):
    draft = workspace.update_many(rows(), how=HOW, dry_run=True).draft
    alone = [one["metrics"] for one in draft.found["by_fact"]]
    assert alone == [*draft.by_fact] and len(alone) == 3
    for name, of in (("efficacy", "prompts"), ("specificity", "neighbours")):
        total = sum(one[of] for one in alone)
        assert draft.metrics[of] == total
        assert draft.metrics[name] == pytest.approx(
            sum(one[name] * one[of] for one in alone if one[of]) / total
        )
    for name in ("p_old_before", "p_new_before", "p_new_after"):
        assert draft.metrics[name] == pytest.approx(fmean(one[name] for one in alone))
    assert len(draft.after) == sum(one["prompts"] for one in alone)
    assert [row["prompt"] for row in draft.found["says"]] == [
        f"The capital of {subject} is [Y] ." for subject, _ in ROWS
    ]


def test_old_answers_that_the_model_did_not_know_are_told_in_one_sentence(workspace):
    notices = workspace.update_many(rows(), how=HOW, dry_run=True).draft.notices
    told = [notice for notice in notices if "did not know" in notice]
    which = "3 of the 3 facts: France (Paris), Japan (Tokyo) and Italy (Rome)"
    assert told == [f"the model did not know the old answer of {which}"]
    alone = workspace.update(*rows()[0], how=HOW, dry_run=True).draft.notices
    assert "the model did not know the old answer: no prompt of it gave Paris" in alone


def test_a_fact_is_measured_as_if_it_stood_alone(workspace):
    """Its prompts are its own; its figures before the edit are those of an edit of it alone."""
    many = workspace.update_many(rows(), how=HOW, dry_run=True).draft
    for (case, to), own in zip(rows(), many.by_fact, strict=True):
        alone = workspace.update(case, to, how=HOW, dry_run=True).draft
        for name in ("prompts", "paraphrases", "p_old_before", "p_new_before"):
            assert alone.metrics[name] == pytest.approx(own[name])


def test_what_the_edit_changes_judges_none_of_its_facts(workspace):
    every = rows(*((subject, "Rome") for subject in ("France", "Japan", "Egypt", "Norway", "Cuba")))
    draft = workspace.update_many(every, how=HOW, dry_run=True).draft
    edited = {case.fact.subject for case, _ in every}
    for one in draft.found["by_fact"]:
        judges = one["judged_by"]["neighbours"]
        assert judges
        assert not [text for text in judges if any(name in text.split() for name in edited)]
    assert draft.metrics["neighbours"] > 0


def test_prompts_of_the_edit_are_left_out_of_whatever_stands_beside_its_facts(workspace):
    cases = [about("France"), about("Japan")]
    model = workspace.engine.model
    edited = EditedFacts.of(model, cases)
    beside = replace(
        cases[0],
        neighbours=tuple(CAPITAL.prompts(CAPITAL.fact("Japan"))),
        judges=tuple(CAPITAL.prompts(CAPITAL.fact("Cuba"))),
        beside=("Japan", "Spain"),
    )
    left = edited.beside(beside)
    assert left.neighbours == () and len(left.judges) == len(beside.judges)
    assert left.beside == ("Spain",)
    assert {fact.subject for fact in left.relation.facts} == {
        "Italy", "Egypt", "Norway", "Cuba", "Spain"
    }  # fmt: skip


def test_the_gate_looks_at_the_means_and_names_the_facts_that_fail(workspace):
    with pytest.raises(GateFailed) as caught:
        workspace.update_many(rows(), how=Together())
    faults = caught.value.faults
    assert "first on" in faults[0]
    assert any("it fails on 3 of its 3 facts: France, Japan and Italy" in fault for fault in faults)
    assert caught.value.misses
    assert workspace.ledger.edits() == []
    done = workspace.update_many(rows(), how=Together(), accept=True)
    assert "3 of its 3 facts" in " ".join(workspace.ledger.edit(done.edit).faults)


def test_a_fact_that_fails_alone_is_noticed_where_the_means_pass(workspace):
    """The model answers all prompts about Cuba by `of`, and a very small edit changes nothing."""
    some = rows(("Cuba", "of"), ("Japan", "Cairo"))
    tiny = Together(size=1e-6)
    draft = workspace.update_many(some, how=How(tiny, gate=FREE), dry_run=True).draft
    assert [one["efficacy"] for one in draft.by_fact] == [1.0, 0.0]
    assert draft.metrics["efficacy"] == 0.5
    lenient, strict = Gate(efficacy=0.5, specificity=0), Gate(efficacy=0.6, specificity=0)
    draft = workspace.update_many(some, how=How(tiny, gate=lenient), dry_run=True).draft
    assert draft.faults == ()
    assert "the means pass the gate, and 1 of its 2 facts would not alone: Japan" in draft.notices
    with pytest.raises(GateFailed, match="it fails on 1 of its 2 facts: Japan"):
        workspace.update_many(some, how=How(tiny, gate=strict))


def test_it_can_be_of_low_rank(workspace, monkeypatch):
    def low_rank(self: Together, tasks: Sequence[UpdateTask]) -> LowRankShifts:
        shifts, model = shifts_of_many(self, tasks), tasks[0].model
        u = torch.full((len(tasks), model.d_ff), 0.1)
        return LowRankShifts({model.n_layers - 1: (u, shifts.b)}, {"rank": len(tasks)})

    shifts_of_many = Together.shifts_of_many
    monkeypatch.setattr(Together, "shifts_of_many", low_rank)
    done = workspace.update_many(rows(), how=HOW)
    edit = workspace.ledger.edit(done.edit)
    assert [change.rank for change in edit.layers] == [3] and edit.neurons == ()
    assert len(edit.facts) == 3 and workspace.verify() == []


# --- solved for together -------------------------------------------------------------------------


SOLVED = How(Calibrated(settings=Settings(fewest=6, most_neurons=6, most_steps=40)), gate=FREE)


def test_one_solver_finds_the_slots_of_every_fact(workspace):
    done = workspace.update_many(rows(), how=SOLVED)
    (edit,) = workspace.ledger.edits()
    assert edit.method == "calibrated" and len(edit.facts) == 3
    assert 6 < len(edit.neurons) <= 18  # each fact brings six, and some are of two
    assert edit.found["margin"] > 0
    by_fact = done.draft.by_fact
    assert [one["efficacy"] for one in by_fact] == [1.0, 1.0, 1.0]
    assert workspace.verify() == []
    before = contents(exported(workspace, "base"))
    workspace.revert(done.edit)
    assert contents(exported(workspace, "head")) == before


def test_facts_that_are_solved_for_together_need_no_order(workspace):
    forth = workspace.update_many(rows(), how=SOLVED, dry_run=True).draft
    back = workspace.update_many(rows(*reversed(ROWS)), how=SOLVED, dry_run=True).draft
    assert {*map(str, dict(forth.neurons))} == {*map(str, dict(back.neurons))}
    for one, other in zip(forth.by_fact, reversed(back.by_fact), strict=True):
        assert one["p_new_after"] == pytest.approx(other["p_new_after"], abs=1e-3)


def test_one_fact_is_solved_for_as_by_itself(workspace):
    alone = workspace.update(about("France"), "Rome", how=SOLVED, dry_run=True).draft
    method = workspace.update_many(rows(ROWS[0]), how=SOLVED, dry_run=True).draft
    assert alone.neurons == method.neurons and alone.metrics == method.metrics


def test_named_neurons_are_those_of_all_facts(workspace):
    named = Calibrated(neurons=("L0.1", "L0.2"), settings=Settings(most_steps=2))
    draft = workspace.update_many(rows(), how=How(named, gate=FREE), dry_run=True).draft
    assert [str(neuron) for neuron, _ in draft.neurons] == ["L0.1", "L0.2"]


# --- what is asked for ---------------------------------------------------------------------------


def test_a_method_says_whether_it_takes_many(workspace):
    assert takes_many(Together) and takes_many(Together()) and takes_many(METHODS["calibrated"])
    assert not any(takes_many(METHODS[name]) for name in ("auto", "correction", "specific"))
    with pytest.raises(OneFactMethod, match="choose how=calibrated, joint or together"):
        workspace.update_many(rows(), how="closed-form")
    with pytest.raises(OneFactMethod):
        workspace.update_many(rows())


def test_one_fact_alone_takes_any_method(workspace):
    done = workspace.update_many(rows(ROWS[0]), how=HOW)
    edit = workspace.ledger.edit(done.edit)
    assert edit.facts == (FactChange("capital", "France", "Paris", "Rome"),)
    assert "by_fact" not in edit.found and edit.found["templates"]
    one = workspace.update_many(rows(ROWS[1]), how=quick((1, 3)), dry_run=True)
    assert (one.draft.method, one.draft.by_fact) == ("calibrated", ())


@pytest.mark.parametrize("wrong", [[], "France", ["France"], [("France", "Rome")], None, [None], 3])
def test_what_is_no_list_of_cases_is_refused(wrong, workspace):
    with pytest.raises(BadSetting):
        workspace.update_many(wrong, how=HOW)


def test_rows_that_do_not_fit_together_are_refused_before_anything_is_computed(workspace):
    with pytest.raises(TwoNewAnswers):
        workspace.update_many(rows(("France", "Rome"), ("France", "Oslo")), how=HOW)
    with pytest.raises(SameAnswer):
        workspace.update_many(rows(("France", "Rome"), ("Japan", "Tokyo")), how=HOW)
    with pytest.raises(NoTarget):
        workspace.update_many([about("France"), about("Japan")], how=HOW)
    twice = workspace.update_many(rows(*ROWS, ROWS[0]), how=HOW, dry_run=True)
    assert len(twice.draft.facts) == 3
    targets = [replace(case, target=to) for case, to in rows()]
    assert workspace.update_many(targets, how=HOW, dry_run=True).draft.facts == twice.draft.facts


# --- afterwards ----------------------------------------------------------------------------------


def test_every_fact_is_evaluated_and_has_its_new_answer_from_then_on(workspace):
    workspace.update_many(rows(), how=HOW)
    found = workspace.evaluate()
    assert [(one.case.fact.subject, one.target) for one in found.updates] == [*ROWS]
    assert found.passed_over == ()
    done = workspace.plan(rows()).done
    assert [case.fact.subject for case, _ in done] == ["France", "Japan", "Italy"]
    again = workspace.update(about("Japan"), "Havana", how=HOW)
    assert again.draft.answer == "Cairo"
    assert [(one.case.fact.subject, one.target) for one in workspace.evaluate().updates] == [
        ("France", "Rome"), ("Italy", "Oslo"), ("Japan", "Havana")
    ]  # fmt: skip


def test_a_later_edit_is_measured_by_every_fact_of_an_earlier_one(workspace):
    workspace.update_many(rows(), how=HOW)
    updates, _ = earlier_updates(workspace.ledger.edits())
    model = workspace.engine.model
    asked = EarlierAnswers.of(model, updates.values()).prompts
    assert [update.case.fact.subject for update, _ in asked] == ["France", "Japan", "Italy"]
    own = EarlierAnswers.of(model, updates.values(), ["Japan", "Italy"]).prompts
    counts = Counter(update.case.fact.subject for update, _ in own)
    assert counts["France"] == 1 and min(counts["Japan"], counts["Italy"]) > 1


def test_of_the_newest_updates_none_is_parted_from_the_others_of_its_edit(workspace):
    workspace.update_many(rows(), how=HOW)
    updates, _ = earlier_updates(workspace.ledger.edits())
    three = updates.values()
    single = [replace(three[0], edit=f"{at:064d}") for at in range(NEWEST - 1)]
    asked = EarlierAnswers.of(workspace.engine.model, [*three, *single]).prompts
    assert [update.edit for update, _ in asked[:4]] == [three[0].edit] * 3 + [single[0].edit]
    alone = [replace(three[0], edit=f"{at:064d}") for at in range(NEWEST + 5)]
    assert len(EarlierAnswers.of(workspace.engine.model, alone).prompts) == NEWEST


def test_an_edit_that_another_one_overtakes_is_measured_again(workspace, tmp_path, monkeypatch):
    with Workspace.open(workspace.folder) as other:
        propose = Together.propose

        def overtaken(self, context, request):
            monkeypatch.setattr(Together, "propose", propose)
            proposal = propose(self, context, request)
            other.update(about("Japan"), "Havana", how=HOW)
            return proposal

        monkeypatch.setattr(Together, "propose", overtaken)
        done = workspace.update_many(rows(), how=HOW)
    edit = workspace.ledger.edit(done.edit)
    assert [fact.answer for fact in edit.facts] == ["Paris", "Havana", "Rome"]
    assert edit.found["measured_again"] == 1
    assert workspace.verify() == []


def test_it_is_reverted_as_one_and_leaves_the_bytes_of_the_base(workspace):
    done = workspace.update_many(rows(), how=HOW)
    workspace.revert(done.edit)
    assert contents(exported(workspace)) == contents(Path(workspace.base.source))
    assert workspace.evaluate().updates == ()


# --- the command line ----------------------------------------------------------------------------


PROMPTS = ["The capital of [X] is [Y].", "the capital city of [X] is [Y]."]


def facts_file(folder: Path, *pairs: tuple[str, str]) -> str:
    path = folder / "facts.jsonl"
    lines = (
        {"subject": subject, "answer": CAPITALS[subject], "prompts": PROMPTS, "to": to}
        for subject, to in pairs
    )
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return str(path)


AS_ONE = ("--as-one-edit", "--method", "together")


def test_a_file_makes_one_edit(edited, tmp_path):
    facts = facts_file(tmp_path, ("Egypt", "Oslo"), ("Norway", "Cairo"))
    before = len(edited("log", "--json").json)
    ran = edited("update", "--facts", facts, *AS_ONE, "--accept", "--json")
    assert ran.code == 0, ran.err
    assert [(one["subject"], one["target"]) for one in ran.json["facts"]] == [
        ("Egypt", "Oslo"), ("Norway", "Cairo")
    ]  # fmt: skip
    assert len(edited("log", "--json").json) == before + 1
    shown = edited("show", ran.json["edit"], "--json").json
    assert shown["facts"] == ran.json["facts"]
    text = edited("show", ran.json["edit"]).out
    assert "Egypt" in text and "Norway" in text and "p(new answers)" in text
    asked = edited("evaluate", "--json").json["updates"]
    assert {"Egypt", "Norway"} <= {one["subject"] for one in asked}
    page = tmp_path / "page"
    assert edited("report", str(page), "--edit", ran.json["edit"]).code == 0
    html = (page / "report.html").read_text(encoding="utf-8")
    assert "The facts of edit" in html and "Egypt" in html and "Norway" in html
    assert edited("report", str(tmp_path / "whole")).code == 0
    assert edited("verify").code == 0
    again = edited("update", "--facts", facts, *AS_ONE, "--json")
    assert (again.code, again.json) == (0, {"edit": None, "version": None, "facts": []})
    assert edited("revert", ran.json["edit"], "--allow-overlap").code == 0


def test_a_refused_edit_is_shown_by_fact_with_what_to_try(edited, tmp_path):
    facts = facts_file(tmp_path, ("Egypt", "Oslo"), ("Norway", "Cairo"))
    ran = edited("update", "--facts", facts, *AS_ONE)
    assert ran.code == 8
    assert "Egypt" in ran.out and "Norway" in ran.out and "eff." in ran.out
    assert "2 of its 2 facts: Egypt and Norway" in " ".join(ran.err.split())
    assert "an edit of each fact" in ran.err and "--accept" in ran.err
    dry = edited("update", "--facts", facts, *AS_ONE, "--dry-run")
    assert dry.code == 0 and "nothing was recorded" in dry.out


def test_what_makes_no_one_edit_is_refused(edited, tmp_path):
    facts = facts_file(tmp_path, ("Egypt", "Oslo"), ("Norway", "Cairo"))
    for options in (("--facts", facts, "--as-one-edit"), ("--facts", facts, *AS_ONE[:2], "auto")):
        ran = edited("update", *options)
        assert ran.code == 2
        assert "changes one fact, and 2 were given" in ran.err
        assert "--method calibrated" in ran.err and "together" in ran.err
    ran = edited.update("Egypt", "Oslo", "--as-one-edit", "--method", "together")
    assert ran.code == 2 and "--as-one-edit belongs to --facts" in ran.err
    ran = edited("update", "--facts", facts, "--alias", "NYC")
    assert ran.code == 2 and "name one fact" in ran.err


def test_what_judges_several_facts_is_asked_once_before_and_once_after(workspace, monkeypatch):
    asked: list[str] = []

    def noting(model, prompts, *rest, **named):
        asked.extend(prompt.cloze for prompt in prompts)
        return said_freely(model, prompts, *rest, **named)

    def noting_again(model, prompts, *rest, **named):
        asked.extend(prompt.cloze for prompt in prompts)
        return said_once_more(model, prompts, *rest, **named)

    said_freely, said_once_more = metrics.whole_answers, metrics.said_again
    monkeypatch.setattr(metrics, "whole_answers", noting)
    monkeypatch.setattr(metrics, "said_again", noting_again)
    draft = workspace.update_many(rows(), how=HOW, dry_run=True).draft
    judges = [one["judged_by"]["neighbours"] for one in draft.found["by_fact"]]
    assert {*judges[0]} & {*judges[1]}  # facts of one relation are judged by the same subjects
    assert {*map(asked.count, {text for texts in judges for text in texts})} == {2}
