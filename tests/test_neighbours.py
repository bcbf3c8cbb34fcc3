"""Whom an update must leave alone: who is held in place, who judges, and that they differ."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from kn_edit.facts import Case
from kn_edit.models.model import Model
from kn_edit.models.questions import Question, ask_openly
from kn_edit.workspace import Workspace, case_of
from kn_edit.workspace.drafts import Bench, How
from kn_edit.workspace.locating import prompts_for
from kn_edit.workspace.neighbours import HELD, HELD_ELSEWHERE, Neighbours, nearest, neighbours
from kn_edit.workspace.progress import silent

FRANCE = case_of(relation="capital", subject="France")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Workspace.init("demo-bert", tmp_path_factory.mktemp("work")) as workspace:
        yield Bench(workspace.engine, (), (), How(), silent)


def shared_out(bench: Bench, case: Case) -> tuple[Model, Neighbours]:
    model = bench.engine.model
    return model, neighbours(model, bench.locator_at_base(model), case)


def asked_about(model: Model, case: Case, subjects: set[str]) -> set[Question]:
    facts = [fact for fact in case.relation.facts if fact.subject in subjects]
    return {
        ask_openly(model, prompt)
        for fact in facts
        for held_out in (False, True)
        for prompt in prompts_for(model, case.relation, fact, held_out=held_out)
    }


def test_no_subject_that_judges_is_held_in_place(bench):
    model, found = shared_out(bench, FRANCE)
    judging = {prompt.fact.subject for prompt in found.judges}
    assert judging
    assert "France" not in judging
    assert not asked_about(model, FRANCE, judging | {"France"}) & {*found.near, *found.elsewhere}


def test_one_prompt_of_every_other_subject_may_be_held(bench):
    model, found = shared_out(bench, FRANCE)
    assert len(found.near) == len(set(found.near)) >= HELD
    assert {*found.near} <= asked_about(model, FRANCE, {f.subject for f in FRANCE.relation.facts})


def test_other_relations_are_held_as_well_also_beside_named_neighbours(bench):
    model, found = shared_out(bench, FRANCE)
    assert len(found.elsewhere) > HELD_ELSEWHERE
    of_capital = asked_about(model, FRANCE, {f.subject for f in FRANCE.relation.facts})
    assert not of_capital & {*found.elsewhere}
    named = case_of(relation="capital", subject="France", neighbours=["Spain"])
    _, beside = shared_out(bench, named)
    assert (beside.near, beside.elsewhere) == ((), found.elsewhere)
    assert {*beside.named} <= asked_about(model, FRANCE, {"Spain"})


def test_the_nearest_are_those_whose_coefficients_point_the_same_way():
    near = [Question((number,), 0, 0) for number in range(4)]
    own = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    others = torch.tensor([[1.0, 0], [0, 1], [-2, -1], [2, -1]])  # inner products 1, 2, -4, 0
    assert nearest(near, own, others, 3) == [near[2], near[1], near[0]]
    assert nearest([], own, torch.zeros(0, 2), 3) == []
