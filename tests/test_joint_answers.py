"""What a joint update writes where answers are: what is left to be said there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from standings import same_standing
from tiny_models import deep_folder
from workspaces import CAPITAL, CAPITALS, SHAPES, about, contents, exported, new_workspace

from kn_edit.editing import joint_answers
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.joint_answers import (
    AnswersTask,
    StandingsShare,
    WantedLead,
    answers_part,
)
from kn_edit.editing.joint_base import JointBase
from kn_edit.editing.joint_held import JointSurroundings
from kn_edit.editing.joint_members import member_fact
from kn_edit.editing.neutral import everywhere
from kn_edit.edits.build import low_rank_delta
from kn_edit.edits.delta import Delta
from kn_edit.edits.members import STAYS, Member
from kn_edit.edits.settings import JointSettings
from kn_edit.evaluation.gate import Gate
from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models.predict import coefficients, first_tokens, lead, log_p
from kn_edit.models.questions import Question, ask, ask_openly
from kn_edit.workspace import How, Joint, case_of

FREE = Gate(efficacy=0, specificity=0)
MARGIN = 2.0
NEW = {"France": "Rome", "Japan": "Cairo", "Cuba": "Oslo"}
LAST = (1,)  # of two layers


@pytest.fixture(params=SHAPES)
def workspace(request, tmp_path):
    with new_workspace(tmp_path, request.param) as workspace:
        yield workspace


def prompt(subject: str) -> Prompt:
    return Prompt(Fact("capital", subject, CAPITALS[subject]), CAPITAL.templates[0])


def task(model, **changed: Any) -> AnswersTask:
    """New answers to three prompts, and what the model says to the others; little else counts."""
    new = [ask(model, prompt(subject), to).questions[0] for subject, to in NEW.items()]
    openly = [ask_openly(model, prompt(subject)) for subject in CAPITALS if subject not in NEW]
    leaders = first_tokens(model, openly)
    held = [replace(question, token=token) for question, token in zip(openly, leaders, strict=True)]
    parts: dict[str, Any] = {
        "layers": LAST,
        "new": tuple(WantedLead(question, MARGIN, question) for question in new),
        "held": tuple(WantedLead(question, 0.1, question) for question in held),
        "moments": {layer: torch.eye(model.d_ff).double() for layer in range(model.n_layers)},
        "w_text": 1e-7,
        "w_held": 1.0,
        "step": 1.0,
    }
    return AnswersTask(**parts | changed)


def at_ends(engine, size: float) -> Delta:
    """A change of the first layer, as of other facts."""
    draw = torch.Generator().manual_seed(0)
    u = torch.randn(2, engine.model.d_ff, generator=draw)
    v = size * torch.randn(2, engine.model.d_model, generator=draw)
    return low_rank_delta(engine.place, {0: (u, v)})


def leads(model, questions) -> list[float]:
    rows = torch.stack([*log_p(model, questions)])
    return lead(rows, torch.tensor([question.token for question in questions])).tolist()


def questions(wanted) -> list[Question]:
    return [each.question for each in wanted]


def test_new_answers_get_their_margin_and_others_their_lead_back(workspace):
    engine = workspace.engine
    with engine.at([]) as live:
        wanted = task(live.model)
    early = at_ends(engine, 0.3)
    with engine.at([early]) as live:
        before = leads(live.model, questions(wanted.held))
    part = answers_part(engine, early, wanted)
    assert part is not None and part.written.share == pytest.approx(1.0, abs=0.1)
    assert part.lost == sum(value < 0.1 for value in before) > 0
    assert part.provenance["asked"] == 3 and part.provenance["held"] == 4
    with engine.at([early, low_rank_delta(engine.place, part.written.factors)]) as live:
        assert min(leads(live.model, questions(wanted.new))) > 0.7 * MARGIN
        assert min(leads(live.model, questions(wanted.held))) > 0


def test_what_is_written_for_one_fact_is_the_same_in_all_wordings(workspace):
    engine, early = workspace.engine, at_ends(workspace.engine, 0.0)
    with engine.at([]) as live:
        wanted = task(live.model)
    shared = tuple(replace(each, target="a fact") for each in wanted.new)
    part = answers_part(engine, early, replace(wanted, new=shared, held=()))
    alone = answers_part(engine, early, replace(wanted, held=()))
    assert part is not None and alone is not None and part.missing == alone.missing > 1
    assert len(part.written.solutions[1].u) == 1
    assert len(alone.written.solutions[1].u) == alone.missing


def test_nothing_is_written_where_nothing_is_missing(workspace):
    engine = workspace.engine
    with engine.at([]) as live:
        wanted = task(live.model)
    new = tuple(WantedLead(question, -100.0, question) for question in questions(wanted.new))
    held = tuple(WantedLead(question, 0.0, question) for question in questions(wanted.held))
    nothing = replace(wanted, new=new, held=held)
    assert answers_part(engine, at_ends(engine, 0.0), nothing) is None


def test_questions_stand_as_in_the_whole_network_whatever_is_asked_beside_them(
    workspace, monkeypatch
):
    monkeypatch.setattr(joint_answers, "TOGETHER", 2)
    engine, early = workspace.engine, at_ends(workspace.engine, 0.3)
    with engine.at([]) as live:
        wanted = (*task(live.model).new, *task(live.model).held)
    standings = StandingsShare(wanted, LAST, 1.0).computed(engine, [early])
    with engine.at([early]) as live:
        keys = coefficients(live.model, questions(wanted))[:, list(LAST)]
        missing = [
            value < each.margin
            for value, each in zip(leads(live.model, questions(wanted)), wanted, strict=True)
        ]
    for standing, rows, short in zip(standings, keys, missing, strict=True):
        torch.testing.assert_close(standing.keys, rows, atol=1e-5, rtol=1e-4)
        assert (standing.lacking is not None) == short
    parts = [
        standing
        for start in range(0, len(wanted), 2)
        for standing in StandingsShare(wanted[start : start + 2], LAST, 1.0).computed(
            engine, [early]
        )
    ]
    for standing, alone in zip(standings, parts, strict=True):
        assert same_standing(standing, alone)


def test_an_edit_writes_late_what_is_left_to_be_said(tmp_path, monkeypatch):
    monkeypatch.setattr("workspaces.tiny_folder", deep_folder)
    facts = [(about(subject), to) for subject, to in NEW.items()]
    settings = JointSettings(
        w_held=0.0, w_text=1e-5, w_answer_held=0.0, w_answer_text=1e-5, step=1.0, steps=4
    )
    with new_workspace(tmp_path) as workspace:
        before = contents(exported(workspace, "base"))
        without = workspace.update_many(
            facts, how=How(Joint(replace(settings, answer_layers=0)), gate=FREE), dry_run=True
        ).draft
        backwards = workspace.update_many(
            facts[::-1], how=How(Joint(settings), gate=FREE), dry_run=True
        )
        done = workspace.update_many(facts, how=How(Joint(settings), gate=FREE))
        (edit,) = workspace.ledger.edits()
        late = edit.found["answers"]["layers"]
        assert without.found["answers"] is None and edit.found["answers"]["missing"] > 0
        assert min(late) > max(edit.found["layers"])
        assert len(done.draft.delta.tensors) == len(edit.found["layers"]) + len(late)
        assert done.draft.metrics["p_new_after"] > without.metrics["p_new_after"]
        assert backwards.draft.delta.id == done.edit
        workspace.revert(done.edit)
        assert contents(exported(workspace, "head")) == before


def test_without_a_fact_its_answers_were_never_written(tmp_path, monkeypatch):
    monkeypatch.setattr("workspaces.tiny_folder", deep_folder)
    facts = [(about(subject), to) for subject, to in NEW.items()]
    how = How(Joint(JointSettings(w_text=1e-3, w_answer_text=1e-3, steps=4)), gate=FREE)
    with new_workspace(tmp_path) as workspace:
        without = workspace.update_many(facts[:2], how=how, dry_run=True).draft
        workspace.update_many(facts, how=how)
        workspace.revert("capital: Cuba")
        assert workspace.head.edits == (without.delta.id,)
    assert without.found["answers"]["missing"] > 0


def test_an_answer_is_to_lead_by_its_margin(tmp_path, monkeypatch):
    monkeypatch.setattr("workspaces.tiny_folder", deep_folder)
    settings = JointSettings(answer_margin=2.0)
    with new_workspace(tmp_path) as workspace, workspace.engine.at([]) as live:
        base = JointBase.of(EditContext(workspace.engine), live, settings)
        member = member_fact(base, about("Japan"), "Cairo").member
        task = AnswersTask.of(JointSurroundings.of(base, [member]))
    wanted = {row.token for row in member.rows} - {STAYS}
    assert task is not None and {each.margin for each in task.new} == {2.0}
    assert {each.question.token for each in task.new} == wanted
    assert {each.margin for each in task.held} and all(each.margin <= 0.5 for each in task.held)


def test_held_out_prompts_change_nothing_that_is_asked(workspace):
    """What no solver sees is not to change an edit: fewer than four are asked behind text, too."""
    texts = ["the capital of [X] [Y]", "the city of [X] [Y]", "the river of [X] [Y]", "[X] [Y]"]

    def member(*templates: Template) -> Member:
        case = case_of(subject="Japan", answer="Tokyo", prompts=texts)
        case = replace(case, relation=replace(case.relation, templates=templates))
        return member_fact(base, case, "Cairo").member

    with workspace.engine.at([]) as live:
        base = JointBase.of(EditContext(workspace.engine), live, JointSettings())
        *three, fourth = map(Template, texts)
        few, many = member(*three), member(*three, fourth)
        beside = member(*three, replace(fourth, held_out=True))
    assert beside.rows == few.rows != many.rows
    assert len(many.ends) == 4 and len(few.ends) == (4 if base.model.causal else 3)


def test_a_network_of_few_layers_writes_at_no_answer(workspace):
    with workspace.engine.at([]) as live:
        base = JointBase.of(EditContext(workspace.engine), live, JointSettings())
        assert base.answer_layers == ()


def test_a_masked_model_is_read_where_its_text_is_masked(tmp_path, monkeypatch):
    """It answers nowhere else."""
    monkeypatch.setattr("workspaces.tiny_folder", deep_folder)
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    with new_workspace(tmp_path / "w", "bert") as workspace, workspace.engine.at([]) as live:
        base = JointBase.of(EditContext(workspace.engine), live, JointSettings())
        moments = base.answer_moments
        rows = coefficients(live.model, everywhere(live.model, base.seed)).double()
    assert moments and tuple(moments) == base.answer_layers
    for layer, moment in moments.items():
        expected = rows[:, layer].T @ rows[:, layer] / len(rows)
        torch.testing.assert_close(moment, expected, atol=1e-4, rtol=1e-4)
