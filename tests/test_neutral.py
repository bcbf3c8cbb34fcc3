"""Neutral text: what solvers hold of it is not what judges them."""

from __future__ import annotations

import pytest

from kn_edit.workspace import Workspace
from kn_edit.workspace.neutral import held_in_place, speech, spoken, unseen_texts


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with (
        Workspace.init("demo-bert", tmp_path_factory.mktemp("neutral")) as workspace,
        workspace.engine.at([]) as model,
    ):
        yield model


def test_what_a_solver_holds_does_not_judge(model):
    judging = [tuple(model.tokenizer(text)["input_ids"]) for text in unseen_texts()]
    held = held_in_place(model)
    assert len(held) > 20
    for question in held:
        whole = list(question.ids)
        whole[question.position] = question.token  # the mask taken off again
        assert not any(text[: len(whole)] == tuple(whole) for text in judging)


def test_a_model_that_learned_the_text_is_hardly_perplexed(model):
    assert 1 < speech(model) < 10
    assert spoken(3.0, 4.0) == {"neutral_before": 3.0, "neutral_after": 4.0}
