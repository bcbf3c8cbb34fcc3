"""Odd but sound checkpoints: what transformers loads is loaded alike, and used as it is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import POSITIONS, VOCABULARY, tiny_folder

from kn_edit.errors import PromptTooLong, TokenNotEmbedded
from kn_edit.models.model import load
from kn_edit.models.predict import log_p
from kn_edit.models.questions import ask_between
from kn_edit.models.trace import trace


def changed_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def with_token(folder: Path, content: str, name: str | None = None) -> Path:
    """Give the tokenizer one token more than the model has embeddings for."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    added = {"id": len(VOCABULARY), "content": content, "single_word": False, "lstrip": False}
    added |= {"rstrip": False, "normalized": False, "special": True}
    tokenizer["added_tokens"].append(added)
    path.write_text(json.dumps(tokenizer))
    if name is not None:
        changed_json(folder / "tokenizer_config.json", **{name: content})
    return folder


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert", "roberta"])
def test_a_pad_token_beyond_the_embeddings_does_not_matter(shape, tmp_path):
    plain = load(tiny_folder(shape, tmp_path / "plain"))
    padded = load(with_token(tiny_folder(shape, tmp_path / "padded"), "<pad>", "pad_token"))
    assert padded.tokenizer.pad_token_id == padded.n_tokens
    texts = (("the capital of France is", "."), ("Japan is", ""))
    rows = [
        list(log_p(model, [ask_between(model, *text) for text in texts]))
        for model in (plain, padded)
    ]
    for expected, found in zip(*rows, strict=True):
        assert torch.equal(expected, found)


def test_a_text_of_a_token_without_embedding_is_refused_by_its_name(tmp_path):
    model = load(with_token(tiny_folder("llama", tmp_path / "model"), "<extra>"))
    question = ask_between(model, "France <extra> is", "")
    with pytest.raises(TokenNotEmbedded, match="<extra>"):
        list(log_p(model, [question]))


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert", "roberta", "opt", "gptj"])
def test_a_text_beyond_the_positions_is_refused_with_both_numbers(shape, tmp_path):
    model = load(tiny_folder(shape, tmp_path / "model"))
    most = model.max_length
    assert most == POSITIONS - (shape == "roberta")
    fitting = torch.full((1, most), VOCABULARY["the"])
    assert trace(model, fitting).output is not None
    with pytest.raises(PromptTooLong, match=rf"{most + 1} tokens.*{most};"):
        trace(model, torch.full((1, most + 1), VOCABULARY["the"]))
