"""One seed reaches everything that is drawn; the usual one draws as it always did."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from workspaces import CAPITAL, Way, about, new_workspace, quick

from kn_edit.editing.neutral import everywhere, held_in_place
from kn_edit.errors import BadSetting
from kn_edit.experiments.reproduce import plan_of
from kn_edit.facts.subjects import chance
from kn_edit.seeds import MOST, USUAL, checked, generator
from kn_edit.workspace import How, Workspace, to_json

PACKAGE = Path(__file__).resolve().parents[1] / "kn_edit"
SEVEN = ("--seed", "7")
FREE = {"accept": True, "dry_run": True}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    folder = tmp_path_factory.mktemp("seeds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KN_EDIT_CACHE", str(folder / "cache"))
        with new_workspace(folder) as workspace:
            yield workspace


def test_the_usual_seed_draws_what_it_drew_before_seeds_could_be_chosen():
    templates = CAPITAL.templates[:2]
    name = "|".join(("France", *(template.text for template in templates)))
    assert generator(USUAL, "random neurons").random() == Random(0).random()
    assert chance("France", templates).random() == Random(name).random()


def test_purposes_and_seeds_have_numbers_of_their_own():
    drawn = [generator(seed, name).random() for seed in (1, 2, -1) for name in ("a", "b")]
    assert len({*drawn}) == 6
    assert drawn == [generator(seed, name).random() for seed in (1, 2, -1) for name in ("a", "b")]


@pytest.mark.parametrize("seed", [True, 1.0, "1", None, MOST + 1, -MOST - 1])
def test_what_is_no_seed_is_refused(seed, workspace):
    for call in (
        lambda: checked(seed),
        lambda: How(seed=seed),
        lambda: plan_of(seed=seed),
        lambda: workspace.evaluate(seed=seed),
        lambda: workspace.locate(about("France"), search="activation", seed=seed),
    ):
        with pytest.raises(BadSetting, match="the seed"):
            call()
    assert type(checked(np.int64(3))) is int


def test_an_update_records_its_seed_and_gives_the_same_numbers_again(workspace):
    def update(seed: int) -> dict[str, object]:
        way = Way(seed=seed)
        return to_json.edited(workspace.update(about("France"), "Rome", how=way, **FREE))

    usual, again, other = (update(seed) for seed in (0, 0, 3))
    assert usual == again
    assert usual["found"]["seed"] == 0 and other["found"]["seed"] == 3
    assert usual["found"]["judged_by"] != other["found"]["judged_by"]
    assert json.dumps(other)  # as it is recorded


def test_an_erasure_records_its_seed_too(workspace):
    erased = workspace.erase(CAPITAL, how=Way(seed=5, erasure=quick(top=3).erasure), **FREE)
    assert erased.draft.found["seed"] == 5


def test_locate_says_its_seed(workspace):
    located = workspace.locate(about("France"), search="activation", seed=4)
    assert to_json.located(located)["seed"] == 4


def test_neutral_text_is_drawn_by_the_seed(workspace):
    model = workspace.engine.model
    assert held_in_place(model, 1) == held_in_place(model, 1) != held_in_place(model)
    assert everywhere(model, 1) == everywhere(model)  # a causal LM sees every place


def test_every_command_that_draws_takes_a_seed_and_shows_it(edited):
    fact = ("--prompt", "The city of [X] is [Y].", "--subject", "Cuba", "--answer", "Havana")
    for command in (("locate", *fact), ("evaluate",)):
        assert edited(*command, *SEVEN, "--json").json["seed"] == 7
    usual, other = (edited("amplify", *fact, *seed, "--json").json for seed in ((), SEVEN))
    assert (usual["seed"], other["seed"]) == (0, 7)
    drawn = [
        next(group for group in effect["p"] if group["of"] == "the fact, random neurons")["after"]
        for effect in (usual, other)
    ]
    assert drawn[0] != drawn[1]
    draft = edited("update", *fact, "--to", "Oslo", "--method", "closed-form", *SEVEN)
    assert "--seed 7" in draft.err  # what to try has it as well


def test_random_numbers_come_from_one_module():
    makers = {"Random", "SystemRandom", "default_rng", "RandomState", "Generator", "manual_seed"}
    calls = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in makers
    }
    # Intervals are drawn by numpy, always alike: they are no part of what was measured.
    assert calls == {"seeds.py", "evaluation/statistics.py"}
