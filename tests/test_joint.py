"""Many facts in one least-squares solution: the algebra, the order, every family, the way back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from samples import TORTURE
from workspaces import CAPITALS, SHAPES, about, contents, exported, new_workspace

from kn_edit.editing import joint_base
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.joint_base import JointBase
from kn_edit.editing.joint_held import JointSurroundings
from kn_edit.editing.joint_members import member_fact
from kn_edit.editing.joint_subjects import ShiftSearch, SubjectShift, held_rows
from kn_edit.editing.locating import Locator, prompts_for
from kn_edit.editing.neighbours import JUDGES
from kn_edit.edits.joint import JointTask, solve_jointly
from kn_edit.edits.members import STAYS, Place, ShiftRow
from kn_edit.edits.settings import JointSettings
from kn_edit.errors import BadSetting
from kn_edit.evaluation.gate import Gate
from kn_edit.facts import Fact, Prompt, Relation
from kn_edit.models.model import Model
from kn_edit.models.predict import first_tokens, lead, log_p
from kn_edit.models.questions import Chain, ask_openly
from kn_edit.workspace import How, Joint, Workspace, case_of

FREE = Gate(efficacy=0, specificity=0)
HOW = How(Joint(), gate=FREE)
# Random weights take longer steps, and more of them; and nothing but the facts is to count.
ALONE = JointSettings(w_held=0.0, w_answer_held=0.0, w_text=1e-5, steps=80, step=1.0, margin=3.0)
STRONG = How(Joint(ALONE), gate=FREE)
ROWS = (("France", "Rome"), ("Japan", "Cairo"), ("Italy", "Oslo"))
CAPITAL_OF = {"France": "Paris", "Japan": "Tokyo", "Italy": "Rome"}
D_FF, D_MODEL = 12, 5


# A random network reads little from places in front of the one where it is asked.
ENDING = ["the capital of [X] [Y]", "[X] [Y]"]


def rows(pairs=ROWS):
    return [(about(subject), to) for subject, to in pairs]


def ending_rows():
    """The same facts, in prompts that end with their subject."""
    return [
        (case_of(subject=subject, answer=CAPITAL_OF[subject], prompts=ENDING), to)
        for subject, to in ROWS
    ]


@pytest.fixture
def workspace(tmp_path) -> Iterator[Workspace]:
    with new_workspace(tmp_path) as workspace:
        yield workspace


def task(count: int = 3, seed: int = 0, **changed: Any) -> JointTask:
    """Three wordings for each target, and forty held places of weight 2, drawn."""
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    text = normal(50, D_FF)
    parts: dict[str, Any] = {
        "keys": normal(3 * count, D_FF),
        "target_of": torch.arange(count).repeat_interleave(3),
        "targets": normal(count, D_MODEL),
        "held": normal(40, D_FF),
        "moment": text.T @ text / 50,
        "w_text": 8.0,
    }
    parts |= changed
    parts.setdefault("weights", torch.full((len(parts["held"]),), 2.0))
    return JointTask(**parts)


def shifts(solution) -> np.ndarray:
    return (solution.u.double().T @ solution.v.double()).numpy()


# --- the solution --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_least_squares_solution_of_its_targets(seed):
    """Beside numpy's `lstsq` over rows: keys, held places, and a root of each other term."""
    weights = torch.rand(40, generator=torch.Generator().manual_seed(seed))
    given = task(seed=seed, weights=weights)
    solution = solve_jointly(given)
    keys, held, moment = (part.double().numpy() for part in (given.keys, given.held, given.moment))
    held = held * weights.double().sqrt().numpy()[:, None]
    curvature = keys.T @ keys + held.T @ held + given.w_text * moment
    ridge = 1e-5 * np.diagonal(curvature).mean()
    root = np.linalg.cholesky(given.w_text * moment + ridge * np.eye(D_FF)).T
    stacked = np.concatenate([keys, held, root])
    wanted = given.targets.double().numpy()[given.target_of.numpy()]
    right = np.concatenate([wanted, np.zeros((len(held) + D_FF, D_MODEL))])
    reference = np.linalg.lstsq(stacked, right, rcond=None)[0]
    assert np.abs(shifts(solution) - reference).max() < 1e-5 * np.abs(reference).max()


def test_rows_get_their_targets_where_nothing_stands_in_the_way():
    keys = torch.eye(D_FF)[:6]
    parts = {"targets": torch.eye(D_MODEL)[:2], "held": torch.eye(D_FF)[8:]}
    given = task(2, keys=keys, moment=torch.zeros(D_FF, D_FF), **parts)
    got = keys.double().numpy() @ shifts(solve_jointly(given))
    assert got == pytest.approx(given.targets[given.target_of].numpy(), abs=1e-4)


def test_what_is_held_gets_less_the_more_it_is_held():
    """Half of the directions are free: there the targets are written in the end."""
    held = torch.cat([task().held[:, : D_FF // 2], torch.zeros(40, D_FF // 2)], 1)
    reached = [
        solve_jointly(task(held=held, weights=torch.full((40,), weight))).reach
        for weight in (0.0, 1.0, 10.0, 1e4)
    ]
    assert reached == sorted(reached, reverse=True) and reached[-1] < 0.1 * reached[0]


def test_its_rank_is_the_number_of_targets_and_no_more_than_a_slot_is_long():
    few, many = solve_jointly(task(3)), solve_jointly(task(8))
    assert few.u.shape == (3, D_FF) and few.v.shape == (3, D_MODEL)
    assert many.u.shape == (D_MODEL, D_FF) and many.v.shape == (D_MODEL, D_MODEL)


def test_nothing_held_and_nothing_known_of_text_is_solved_too():
    bare = task(held=torch.empty(0, D_FF), moment=torch.zeros(D_FF, D_FF))
    solution = solve_jointly(bare)
    assert bool(solution.u.isfinite().all()) and solution.reach == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"margin": 0},
        {"share": -1},
        {"w_held": -1},
        {"w_answer_held": -1},
        {"answer_margin": 0},
        {"w_answer_text": 0},
        {"answer_layers": -1},
        {"steps": 0},
        {"step": 0},
        {"held_facts": -1},
        {"w_text": "1"},
        {"layers": 0},
        {"wordings": 0},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(BadSetting):
        JointSettings(**wrong)


# --- facts ---------------------------------------------------------------------------------------


def test_one_edit_says_all_new_answers_and_goes_back_bit_for_bit(workspace):
    before = contents(exported(workspace, "base"))
    done = workspace.update_many(ending_rows(), how=STRONG)
    (edit,) = workspace.ledger.edits()
    assert edit.method == "joint" and len(edit.facts) == 3
    assert [one["efficacy"] for one in done.draft.by_fact] == [1.0, 1.0, 1.0]
    assert [change.layer for change in edit.layers] == [0]  # of two: the last one reads it
    assert edit.found["places"] == 3 * 4  # a fact's two prompts, and two behind other text
    assert workspace.verify() == []
    workspace.revert(done.edit)
    assert contents(exported(workspace, "head")) == before


def test_a_set_of_facts_has_one_delta_in_whatever_order_they_come(workspace):
    every = [(subject, "Rome") for subject in CAPITALS if subject != "Italy"]
    draw, deltas = Random(0), set()
    for _ in range(20 if TORTURE else 4):
        draw.shuffle(every)
        deltas.add(workspace.update_many(rows(every), how=HOW, dry_run=True).draft.delta.id)
    assert len(deltas) == 1
    fewer = workspace.update_many(rows(every[1:]), how=HOW, dry_run=True).draft.delta.id
    assert fewer not in deltas


def test_facts_about_one_subject_get_one_shift_that_is_found_for_all_of_them(
    workspace, monkeypatch
):
    """They are written at the same places, where each alone would be in the way of the others."""
    searches: list[tuple[set[ShiftRow], int]] = []
    shift = JointBase.shift

    def counting(base: JointBase, rows, facts: int = 1) -> torch.Tensor:
        searches.append((set(rows), facts))
        return shift(base, rows, facts)

    monkeypatch.setattr(JointBase, "shift", counting)
    own = [
        (case_of(subject="France", answer="Paris", prompts=["the capital of [X] [Y]"]), "Rome"),
        (case_of(subject="France", answer="euro", prompts=["the currency of [X] [Y]"]), "yen"),
    ]
    draft = workspace.update_many(own, how=STRONG, dry_run=True).draft
    (capital, _), (currency, _), (together, facts) = searches
    asked = {row for row in capital | currency if row.token != STAYS}
    assert facts == 2 and {row for row in together if row.token != STAYS} == asked
    assert not {row.place for row in asked} & {row.place for row in together if row.token == STAYS}
    assert draft.found["share"] == pytest.approx(1.0, abs=0.05)
    (layer,) = draft.delta.tensors.values()
    assert layer.rank == 1


@pytest.mark.parametrize(("facts", "steps"), [(1, 5), (2, 10), (4, 20), (5, 20), (1000, 20)])
def test_a_shift_for_many_facts_takes_no_more_steps_than_one_for_a_few(
    workspace, tmp_path, monkeypatch, facts, steps
):
    """Else what it takes would grow with the square of their number."""
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))  # which keeps no shift yet
    searches: list[ShiftSearch] = []

    def counting(model, _rows, layer, search):
        searches.append(search)
        return SubjectShift(layer, torch.zeros(model.d_model))

    monkeypatch.setattr(joint_base, "subject_shift", counting)
    with workspace.engine.at([]) as live:
        base = JointBase.of(EditContext(workspace.engine), live, JointSettings(steps=5))
        base.shift([ShiftRow(Place((1, 2, 3), 2), 1, 4)], facts)
    (search,) = searches
    assert search.steps == steps


def test_a_fact_alone_is_updated_by_it_too(workspace):
    (case, to), *_ = ending_rows()
    done = workspace.update(case, to, how=STRONG)
    assert done.draft.metrics["efficacy"] == 1.0
    assert workspace.ledger.edit(done.edit).found["places"] == 4


def test_facts_in_prompts_of_ones_own_need_no_relation(workspace):
    """Each has its own templates, so what is held for one is not asked in the other's words."""
    own = [
        (case_of(subject="France", answer="Paris", prompts=["The capital of [X] [Y]"]), "Rome"),
        (case_of(subject="Cuba", answer="Havana", prompts=["the city of [X] [Y]"]), "Oslo"),
    ]
    draft = workspace.update_many(own, how=STRONG, dry_run=True).draft
    assert [one["efficacy"] for one in draft.by_fact] == [1.0, 1.0]
    assert draft.found["places"] == 6 and draft.found["held_places"] > 0
    assert all(one["neighbours"] > 0 for one in draft.by_fact)


@pytest.mark.parametrize("shape", ["llama", "gpt2", "gpt_neox", "olmo2"])
def test_the_answers_are_said_in_every_family_where_nothing_is_held(shape, tmp_path):
    """Slots in columns and rows, a norm behind the FFN."""
    with new_workspace(tmp_path, shape) as workspace:
        draft = workspace.update_many(ending_rows(), how=STRONG, dry_run=True).draft
    assert draft.metrics["efficacy"] == 1.0


@pytest.mark.parametrize("shape", [*SHAPES, "gpt_neox", "olmo2", "gemma2", "gemma3_text"])
def test_shifts_come_where_subjects_end_in_every_family(shape, tmp_path):
    """Also behind norms, which limit what is written: there it is looked for what to write."""
    with new_workspace(tmp_path, shape) as workspace:
        draft = workspace.update_many(ending_rows(), how=STRONG, dry_run=True).draft
    assert draft.found["share"] == pytest.approx(1.0, abs=0.15)
    assert draft.metrics["p_new_after"] > 3 * draft.metrics["p_new_before"]


def test_a_subject_that_is_edited_is_held_by_no_relation_and_judges_none(workspace, monkeypatch):
    """Where it ends its coefficients are much the same, whatever is asked about it."""
    held: list[tuple[str, str]] = []

    def counting(model: Model, relation: Relation, fact: Fact) -> tuple[Prompt, ...]:
        held.append((relation.name, fact.subject))
        return prompts_for(model, relation, fact)

    monkeypatch.setattr("kn_edit.editing.joint_held.prompts_for", counting)
    own = [
        (case_of(relation="capital", subject="France"), "Rome"),
        (case_of(relation="currency", subject="Japan"), "euro"),
    ]
    found = workspace.update_many(own, how=HOW, dry_run=True).draft.found
    assert {relation for relation, _ in held} == {"capital", "currency"}
    assert not {"France", "Japan"} & {subject for _, subject in held}
    judges = [text for one in found["by_fact"] for text in one["judged_by"]["neighbours"]]
    assert judges and not [text for text in judges if "France" in text or "Japan" in text]


def test_the_last_ones_to_judge_are_about_no_edited_subject(workspace):
    """Prompts of other relations, where a relation has too few of its own."""
    with workspace.engine.at([]) as live:
        base = JointBase.of(EditContext(workspace.engine), live, JointSettings())
        last = JointSurroundings.of(base, []).last_judges("capital")
        subject, beside = last[0].fact.subject, [prompt.fact.subject for prompt in last]
        relation = case_of(relation=last[0].fact.relation, subject=subject)
        member = member_fact(base, relation, "Rome").member
        remaining = JointSurroundings.of(base, [member]).last_judges("capital")
    assert len(set(beside)) > 1 and remaining
    assert subject not in {prompt.fact.subject for prompt in remaining}


def test_the_last_ones_to_judge_are_those_that_the_base_gets_right(workspace, monkeypatch):
    asked: list[Prompt] = []
    known: list[Prompt] = []

    def right(_: Locator, chains: Sequence[Chain]) -> list[bool]:
        asked.extend(chain.prompt for chain in chains)
        return [chain.prompt in known for chain in chains]

    monkeypatch.setattr(Locator, "right", right)
    with workspace.engine.at([]) as live:
        base = JointBase.of(EditContext(workspace.engine), live, JointSettings())
        surroundings = JointSurroundings.of(base, [])
        assert len(surroundings.last_judges("capital")) == JUDGES  # whichever
        known.append(asked[-1])
        assert surroundings.last_judges("capital") == tuple(known)


def test_what_judges_is_not_held(workspace, monkeypatch):
    held: list[int] = []

    def counting(given: JointTask):
        held.append(len(given.held))
        return solve_jointly(given)

    monkeypatch.setattr("kn_edit.editing.joint_spread.solve_jointly", counting)
    found = workspace.update_many(rows(), how=HOW, dry_run=True).draft.found
    judges = {text for one in found["by_fact"] for text in one["judged_by"]["neighbours"]}
    assert judges and held == [found["held_places"]]


def test_answers_of_others_are_held_as_the_base_gives_them(workspace):
    """Neither what judges nor what is edited, nor anything about its subject; each place once."""
    with workspace.engine.at([]) as live:
        base = JointBase.of(EditContext(workspace.engine), live, JointSettings())
        fact = member_fact(base, case_of(relation="capital", subject="France"), "Rome")
        surroundings = JointSurroundings.of(base, [fact.member])
        leads = surroundings.held_answers()
        held = [*leads]
        assert [question.token for question in held] == first_tokens(live.model, held)
        rows = torch.stack([*log_p(live.model, held)])
        expected = lead(rows, torch.tensor([question.token for question in held]))
        assert [*leads.values()] == pytest.approx(expected.tolist(), abs=1e-4)
        texts = [live.model.tokenizer.decode(question.ids) for question in held]
        judges = surroundings.judges["capital"]
        judging = {ask_openly(live.model, prompt).ids for prompt in judges}
    assert judging and not judging & {question.ids for question in held}
    assert not [text for text in texts if "France" in text]
    assert len({(question.ids, question.position) for question in held}) == len(held) > 0


def test_the_more_facts_of_a_relation_are_edited_the_more_answers_of_others_are_held(
    workspace, monkeypatch
):
    monkeypatch.setattr("kn_edit.editing.joint_held.ANSWER_FACTS", 2)
    monkeypatch.setattr("kn_edit.editing.joint_held.ANSWERS_BESIDE", 3)
    asked: list[str] = []

    def noting(model: Model, prompts: Sequence[Prompt]) -> list[ShiftRow]:
        asked.extend(prompt.fact.subject for prompt in prompts)
        return held_rows(model, prompts)

    def facts_held(*edited: str) -> list[str]:
        """Facts of which several wordings are held, others are of every relation."""
        members = [
            member_fact(base, case_of(relation="capital", subject=subject), "Rome").member
            for subject in edited
        ]
        asked.clear()
        JointSurroundings.of(base, members).held_answers()
        return [subject for subject, one_more in pairwise(asked) if subject == one_more]

    monkeypatch.setattr("kn_edit.editing.joint_held.held_rows", noting)
    with workspace.engine.at([]) as live:
        base = JointBase.of(EditContext(workspace.engine), live, JointSettings())
        fewer, more = facts_held("France"), facts_held("France", "Japan")
    assert len(fewer) == 3 and len(more) == 6
    assert not {"France", "Japan"} & {*more}
