"""Whom an update must leave alone: who is held in place, who judges, and that they differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from tiny_models import tiny

from kn_edit.editing.drafts import EditContext
from kn_edit.editing.finding import Finder
from kn_edit.editing.finding import shared_out as share_out
from kn_edit.editing.locating import prompts_for
from kn_edit.editing.neighbours import HELD, HELD_ELSEWHERE, Neighbours, nearest, neighbours
from kn_edit.facts import Case, Fact, Prompt, Template
from kn_edit.models.model import Model
from kn_edit.models.predict import log_p
from kn_edit.models.questions import Question, ask_openly
from kn_edit.workspace import Workspace, case_of

FRANCE = case_of(relation="capital", subject="France")


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EditContext]:
    with Workspace.init("demo-bert", tmp_path_factory.mktemp("work")) as workspace:
        yield EditContext(workspace.engine)


def shared_out(context: EditContext, case: Case) -> tuple[Model, Neighbours]:
    with context.engine.at([]) as live:
        return live.model, neighbours(live.model, context.locator(live), case)


def asked_about(model: Model, case: Case, subjects: set[str]) -> set[Question]:
    facts = [fact for fact in case.relation.facts if fact.subject in subjects]
    return {
        ask_openly(model, prompt)
        for fact in facts
        for held_out in (False, True)
        for prompt in prompts_for(model, case.relation, fact, held_out=held_out)
    }


def test_no_subject_that_judges_is_held_in_place(context):
    model, found = shared_out(context, FRANCE)
    judging = {prompt.fact.subject for prompt in found.judges}
    assert judging
    assert "France" not in judging
    assert not asked_about(model, FRANCE, judging | {"France"}) & {
        *found.other_subjects,
        *found.elsewhere,
    }


def test_one_prompt_of_every_other_subject_may_be_held(context):
    model, found = shared_out(context, FRANCE)
    assert len(found.other_subjects) == len(set(found.other_subjects)) >= HELD
    assert {*found.other_subjects} <= asked_about(
        model, FRANCE, {f.subject for f in FRANCE.relation.facts}
    )


def test_other_relations_are_held_as_well_also_beside_named_neighbours(context):
    model, found = shared_out(context, FRANCE)
    assert len(found.elsewhere) > HELD_ELSEWHERE
    of_capital = asked_about(model, FRANCE, {f.subject for f in FRANCE.relation.facts})
    assert not of_capital & {*found.elsewhere}
    named = case_of(relation="capital", subject="France", neighbours=["Spain"])
    _, beside = shared_out(context, named)
    assert (beside.other_subjects, beside.elsewhere) == ((), found.elsewhere)
    assert {*beside.named} <= asked_about(model, FRANCE, {"Spain"})


def test_the_nearest_are_those_whose_coefficients_point_the_same_way():
    near = [Question((number,), 0, 0) for number in range(4)]
    own = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
    others = torch.tensor([[1.0, 0], [0, 1], [-2, -1], [2, -1]])  # inner products 1, 2, -4, 0
    assert nearest(near, own, others, 3) == [near[2], near[1], near[0]]
    assert nearest([], own, torch.zeros(0, 2), 3) == []


@pytest.mark.parametrize(
    "case",
    [
        case_of(prompts=["The river of [X] is [Y]."], subject="Wakanda", answer="Nile"),
        case_of(prompts=["[X] [Y]"], subject="In which city did Ann Lee die?", answer="Oslo"),
        case_of(prompts=["The capital of [X] is [Y]."], subject="France", answer="Paris"),
    ],
)
def test_neighbours_are_found_where_nobody_names_any(context, case):
    model, found = shared_out(context, case)
    assert len(found.other_subjects) >= HELD
    assert len(found.judges) >= 12
    judging = {ask_openly(model, prompt) for prompt in found.judges}
    own = {ask_openly(model, prompt) for prompt in prompts_for(model, case.relation, case.fact)}
    assert not judging & {*found.other_subjects}
    assert not own & (judging | {*found.other_subjects})
    assert case.fact.subject not in {prompt.fact.subject for prompt in found.judges}
    assert shared_out(context, case)[1] == found


def test_other_prompts_about_the_same_subject_are_held_and_others_judge(context):
    case = case_of(prompts=["The capital of [X] is [Y]."], subject="France", answer="Paris")
    model, found = shared_out(context, case)
    judging = {ask_openly(model, prompt) for prompt in found.same_subject_judges}
    assert len(judging) == len(found.same_subject_judges) == len(found.same_subject) == 6
    assert not judging & {*found.same_subject}
    assert {prompt.fact.subject for prompt in found.same_subject_judges} == {"France"}
    assert not any("capital" in prompt.cloze for prompt in found.same_subject_judges)


def test_of_each_few_the_first_that_the_model_is_decided_about_judges(context):
    model = context.engine.model
    case = case_of(prompts=["The river of [X] is [Y]."], subject="Wakanda", answer="Nile")
    pairs = Finder.of(model, case).other_subject_prompts([], 36)
    rows = log_p(model, [question for _, question in pairs])
    ratios = [float(torch.exp(best[0] - best[1])) for best in (row.topk(2).values for row in rows)]
    held, judging = share_out(model, pairs, every=3, most=10)
    assert len(judging) == 10
    assert sorted(map(id, (*held, *judging))) == sorted(map(id, pairs))
    drawn = 0
    for start, judge in zip(range(0, 36, 3), judging, strict=False):
        decided = [at for at in range(start, start + 3) if ratios[at] >= 2]
        expected = decided[0] if decided else start
        assert judge is pairs[expected]
        drawn += expected == start
    assert 0 < drawn < 10  # both happen


def test_prompts_of_the_file_judge_and_are_not_held(context):
    case = case_of(prompts=["The river of [X] is [Y]."], subject="Wakanda", answer="Nile")
    judge = Prompt(Fact("own", "The capital of Japan is", ""), Template("[X] [Y]"))
    model, found = shared_out(context, replace(case, judges=(judge,)))
    assert found.judges[0] == judge
    assert len(found.judges) == 12
    assert ask_openly(model, judge) not in found.other_subjects


def test_rows_that_ask_the_same_come_first(context):
    case = case_of(prompts=["The river of [X] is [Y]."], subject="Wakanda", answer="Nile")
    beside = ("Brazil", "Kenya", "Spain")
    model, found = shared_out(context, replace(case, beside=beside))
    asked = {prompt.fact.subject for prompt in found.judges if prompt.fact.subject in beside}
    template = case.relation.templates[0]
    held = {
        name
        for name in beside
        if ask_openly(model, Prompt(Fact("own", name, ""), template)) in found.other_subjects
    }
    assert asked | held == {*beside}
    assert not asked & held


@pytest.mark.parametrize("shape", ["llama", "bert"])
def test_a_model_that_knows_few_words_has_neighbours_too(shape):
    """To it, most names are the unknown token, as the subject itself may be."""
    model = tiny(shape)
    case = case_of(prompts=["the capital of [X] is [Y]"], subject="Wakanda", answer="Paris")
    pairs = Finder.of(model, case).other_subject_prompts((), 36)
    own = ask_openly(model, prompts_for(model, case.relation, case.fact)[0])
    assert len(pairs) >= 6
    assert own not in {question for _, question in pairs}
    assert len({question for _, question in pairs}) == len(pairs)
    assert model.tokenizer.unk_token_id not in pairs[0][1].ids
