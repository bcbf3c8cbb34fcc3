"""Many facts in one least-squares solution: the algebra, the order, every family, the way back."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from samples import TORTURE
from tiny_models import tiny
from workspaces import CAPITALS, SHAPES, about, contents, exported, new_workspace

from kn_edit.editing.joint_base import written_layer
from kn_edit.edits.joint import JointTask, solve_jointly
from kn_edit.edits.settings import JointSettings
from kn_edit.errors import BadSetting
from kn_edit.evaluation.gate import Gate
from kn_edit.workspace import How, Joint, Workspace, case_of, takes_many

FREE = Gate(efficacy=0, specificity=0)
HOW = How(Joint(), gate=FREE)
ROWS = (("France", "Rome"), ("Japan", "Cairo"), ("Italy", "Oslo"))
D_FF, D_MODEL = 12, 5


def rows(pairs=ROWS):
    return [(about(subject), to) for subject, to in pairs]


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
        "w_text": 0.1,
        "stretch": 1.5,
    }
    parts |= changed
    parts.setdefault("weights", torch.full((len(parts["held"]),), 2.0))
    return JointTask(**parts)


def shifts(solution) -> np.ndarray:
    return (solution.u.double().T @ solution.v.double()).numpy()


# --- the solution --------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_least_squares_solution_of_its_stretched_targets(seed):
    """Beside numpy's `lstsq` over rows: keys, held places, and a root of each other term."""
    weights = torch.rand(40, generator=torch.Generator().manual_seed(seed))
    given = task(seed=seed, weights=weights)
    solution = solve_jointly(given)
    keys, held, moment = (part.double().numpy() for part in (given.keys, given.held, given.moment))
    held = held * weights.double().sqrt().numpy()[:, None]
    count = len(keys) + len(held)
    curvature = keys.T @ keys + held.T @ held + given.w_text * count * moment
    ridge = 1e-5 * np.diagonal(curvature).mean()
    root = np.linalg.cholesky(given.w_text * count * moment + ridge * np.eye(D_FF)).T
    stacked = np.concatenate([keys, held, root])
    wanted = solution.v.double().numpy()[given.target_of.numpy()]
    right = np.concatenate([wanted, np.zeros((len(held) + D_FF, D_MODEL))])
    reference = np.linalg.lstsq(stacked, right, rcond=None)[0]
    assert np.abs(shifts(solution) - reference).max() < 1e-5 * np.abs(reference).max()


def test_the_rows_of_a_target_get_it_stretched_in_the_mean():
    """Where targets do not stand in each other's way, exactly so."""
    keys = torch.eye(D_FF)[:6]
    parts = {"targets": torch.eye(D_MODEL)[:2], "held": torch.eye(D_FF)[8:]}
    apart = task(2, keys=keys, moment=torch.eye(D_FF), stretch=1.7, **parts)
    solution = solve_jointly(apart)
    got = torch.from_numpy(keys.double().numpy() @ shifts(solution))
    for number in range(2):
        along = got[apart.target_of == number] @ apart.targets[number].double()
        assert float(along.mean()) == pytest.approx(1.7, rel=1e-2)
    assert float(solution.shares.mean()) == pytest.approx(1.7, rel=1e-2)


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
        {"stretch": -1},
        {"w_held": -1},
        {"steps": 0},
        {"below": -1},
        {"w_text": "1"},
        {"subject_share": -1},
        {"subject_margin": 0},
        {"subject_wordings": 0},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong):
    with pytest.raises(BadSetting):
        JointSettings(**wrong)


# --- facts ---------------------------------------------------------------------------------------


def test_one_edit_says_all_new_answers_and_goes_back_bit_for_bit(workspace):
    before = contents(exported(workspace, "base"))
    done = workspace.update_many(rows(), how=HOW)
    (edit,) = workspace.ledger.edits()
    assert edit.method == "joint" and len(edit.facts) == 3
    assert [one["efficacy"] for one in done.draft.by_fact] == [1.0, 1.0, 1.0]
    layer = workspace.engine.model.n_layers - 1
    assert [change.layer for change in edit.layers] == [layer]
    assert edit.found["places"] == 2 * 9 and edit.found["targets"] == 3  # three rewordings each
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


def test_a_fact_alone_is_updated_by_it_too(workspace):
    done = workspace.update(about("France"), "Rome", how=HOW)
    assert done.draft.metrics["efficacy"] == 1.0
    assert workspace.ledger.edit(done.edit).found["places"] == 2 * 3


# Nine places, so that 64 neurons can tell them apart, and steps enough for random weights.
ALONE = JointSettings(w_held=0.0, w_text=1e-4, steps=80)


def test_facts_in_prompts_of_ones_own_need_no_relation(workspace):
    """Each has its own templates, so what is held for one is not asked in the other's words."""
    france, cuba = "The capital of [X] is [Y] .", "[X] is a country , it is [Y]"
    own = [
        (case_of(subject="France", answer="Paris", prompts=[france]), "Rome"),
        (case_of(subject="Cuba", answer="Havana", prompts=[cuba]), "Oslo"),
    ]
    draft = workspace.update_many(own, how=HOW, dry_run=True).draft
    assert [one["efficacy"] for one in draft.by_fact] == [1.0, 1.0]
    assert draft.found["places"] == 6 and draft.found["held_places"] > 0  # two rewordings each
    assert all(one["neighbours"] > 0 for one in draft.by_fact)


@pytest.mark.parametrize("shape", [*SHAPES, "gpt_neox", "olmo2"])
def test_targets_say_the_answers_in_every_family_where_nothing_is_held(shape, tmp_path):
    """Slots in columns and rows, a masked LM, a norm behind the FFN."""
    with new_workspace(tmp_path, shape) as workspace:
        how = How(Joint(ALONE), gate=FREE)
        draft = workspace.update_many(rows(), how=how, dry_run=True).draft
    assert draft.metrics["efficacy"] == 1.0


@pytest.mark.parametrize("shape", ["gemma2", "gemma3_text"])
def test_targets_go_where_the_answers_are_where_a_norm_limits_what_is_written(shape, tmp_path):
    with new_workspace(tmp_path, shape) as workspace:
        how = How(Joint(ALONE), gate=FREE)
        draft = workspace.update_many(rows(), how=how, dry_run=True).draft
    assert draft.metrics["p_new_after"] > 3 * draft.metrics["p_new_before"]


def test_what_judges_is_not_held(workspace, monkeypatch):
    held: list[int] = []

    def counting(given: JointTask):
        held.append(len(given.held))
        return solve_jointly(given)

    monkeypatch.setattr("kn_edit.editing.joint_update.solve_jointly", counting)
    found = workspace.update_many(rows(), how=HOW, dry_run=True).draft.found
    judges = {text for one in found["by_fact"] for text in one["judged_by"]["neighbours"]}
    assert judges and held == [found["held_places"]]


def test_the_last_layer_is_left_alone_where_there_are_layers_enough(tmp_path, workspace):
    assert takes_many(Joint)
    settings = JointSettings()
    assert written_layer(workspace.engine.model, settings) == 1  # of two
    deep = tiny("llama", num_hidden_layers=6)
    assert written_layer(deep, settings) == 4
    assert written_layer(deep, JointSettings(below=0)) == 5
    assert written_layer(tiny("bert", num_hidden_layers=6), settings) == 5  # says it at one place
