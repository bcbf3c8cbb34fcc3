"""What counts as the answer today where nobody states one: what the model says, or would say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from tiny_models import VOCABULARY, tiny

from kn_edit.editing import stated
from kn_edit.editing.stated import model_answer
from kn_edit.errors import AnswerUnknown
from kn_edit.models.model import Model
from kn_edit.workspace import case_of

CUBA = case_of(statement="The city of [X: Cuba] is [Y: Oslo]")


@pytest.fixture
def saying(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """A model that says the given words one after the other, and the last one for ever."""

    def make(*words: str, family: str = "llama") -> Model:
        model, left = tiny(family), list(words)

        def log_p(_: Model, questions):
            word = left.pop(0) if len(left) > 1 else left[0]
            row = torch.full((len(VOCABULARY),), -20.0)
            row[VOCABULARY[word]] = -0.1
            row[VOCABULARY["Havana"]] = -3.0  # comes second everywhere
            return iter([row] * len(questions))

        monkeypatch.setattr(stated, "log_p", log_p)
        return model

    return make


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (("New", "York", "city", "is", "the"), "New York city"),
        (("Rome", ",", "Italy"), "Rome"),
        (("Rome", "</s>"), "Rome"),
        (("</s>", "</s>"), "Havana"),
        ((".", "</s>"), "Havana"),
        (("[UNK]", "</s>"), "Havana"),
    ],
)
def test_a_causal_model_says_words_up_to_a_mark(saying, words, answer):
    assert model_answer(saying(*words), CUBA) == answer


@pytest.mark.parametrize("word", ["Rome", "[UNK]", "."])
def test_a_masked_model_says_one_word(saying, word):
    assert model_answer(saying(word, family="bert"), CUBA) == (
        "Rome" if word == "Rome" else "Havana"
    )


def test_a_model_that_knows_no_word_has_no_answer(saying, monkeypatch):
    monkeypatch.setattr(stated, "TRIED", 1)
    with pytest.raises(AnswerUnknown):
        model_answer(saying("</s>"), CUBA)
