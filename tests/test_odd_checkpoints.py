"""Odd but sound checkpoints: what transformers loads is loaded alike, and used as it is stored."""

from __future__ import annotations

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import POSITIONS, VOCABULARY, tiny_folder
from workspaces import QUICK, about, bits, changed, plainly_loaded

from kn_edit.errors import (
    CheckpointNamesCode,
    CheckpointUnloadable,
    NotFinite,
    PromptTooLong,
    TokenNotEmbedded,
    WeightsMissing,
)
from kn_edit.models.logging import quiet_loading
from kn_edit.models.model import load
from kn_edit.models.predict import log_p
from kn_edit.models.questions import ask_between
from kn_edit.models.trace import trace
from kn_edit.workspace import Workspace


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))


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


# --- number formats ------------------------------------------------------------------------------


def retyped(folder: Path, change: Any, **config: Any) -> Path:
    """Store tensors in other number formats, and let config.json say what it likes."""
    weights = folder / "model.safetensors"
    save_file({name: change(name, w) for name, w in load_file(weights).items()}, weights)
    changed_json(folder / "config.json", **config)
    return folder


FORMATS = {
    "bf16 called float32": (lambda name, w: w.bfloat16(), "float32", torch.bfloat16),
    "f16 called bfloat16": (lambda name, w: w.half(), "bfloat16", torch.float16),
    "f32 called float16": (lambda name, w: w, "float16", torch.float32),
    "f32 called nonsense": (lambda name, w: w, "float99", torch.float32),
    "bf16 MLP in f32": (lambda name, w: w.bfloat16() if "mlp" in name else w, None, torch.float32),
    "f32 norms in bf16": (lambda n, w: w if "norm" in n else w.bfloat16(), None, torch.float32),
    "f16 MLP in bf16": (lambda n, w: w.half() if "mlp" in n else w.bfloat16(), None, torch.float32),
}


@pytest.mark.parametrize(("change", "named", "dtype"), FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_the_model_measured_is_the_model_exported_in_any_number_format(
    change, named, dtype, key, tmp_path
):
    retyped(tiny_folder("llama", tmp_path / "model"), change, **{"dtype": None, key: named})
    with Workspace.init(str(tmp_path / "model"), tmp_path / "work") as workspace:
        workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        assert workspace.engine.model.dtype == dtype
        live = workspace.load().state_dict()
        stored = load_file(workspace.export(tmp_path / "out") / "model.safetensors")
    base = load_file(tmp_path / "model" / "model.safetensors")
    assert live.keys() == stored.keys()
    wide = {name: (live[name].double(), stored[name].double()) for name in live}
    assert [name for name, pair in wide.items() if not torch.equal(*pair)] == []
    assert {name: w.dtype for name, w in stored.items()} == {n: w.dtype for n, w in base.items()}
    assert [name for name in base if not torch.equal(base[name], stored[name])] != []


def test_what_no_edit_could_be_written_into_is_refused_by_its_format(tmp_path):
    folder = retyped(tiny_folder("llama", tmp_path / "m"), lambda n, w: w.to(torch.float8_e4m3fn))
    with pytest.raises(CheckpointUnloadable, match="float8_e4m3fn"):
        Workspace.init(str(folder), tmp_path / "work")


# --- code ----------------------------------------------------------------------------------------

EVIL = "open({ran!r}, 'w').write('ran')\nfrom transformers import PreTrainedTokenizerFast as X\n"


def with_code(folder: Path) -> Path:
    """Every way that a checkpoint can name code of its own. Returns what the code would write."""
    ran = folder.parent / "RAN"
    for name in ("tokenization_x", "modeling_x", "configuration_x", "torch_helper", "tokenizers_"):
        (folder / f"{name}.py").write_text(EVIL.format(ran=str(ran)))
    named = {"AutoConfig": "configuration_x.X", "AutoModelForCausalLM": "modeling_x.X"}
    named |= {"AutoTokenizer": ["tokenization_x.X", "tokenization_x.X"]}
    changed_json(folder / "config.json", auto_map=named, custom_pipelines={"x": {"impl": "x.X"}})
    changed_json(folder / "tokenizer_config.json", auto_map=named)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(EVIL.format(ran=str(ran)))
    return ran


def test_code_beside_a_model_that_transformers_knows_is_passed_over(tmp_path, monkeypatch, capfd):
    folder = tiny_folder("llama", tmp_path / "model")
    plain = load(folder)
    ran = with_code(folder)
    monkeypatch.chdir(folder)  # nor is anything imported from where one stands
    monkeypatch.setattr("sys.stdin", StringIO("y\ny\ny\n"))
    model = load(folder)
    ids = torch.tensor([model.tokenizer("the capital of France is")["input_ids"]])
    assert torch.equal(model.net(input_ids=ids).logits, plain.net(input_ids=ids).logits)
    assert not ran.exists()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["XTokenizer", "XTokenizerFast", "evil", 7])
def test_a_tokenizer_that_is_a_program_is_refused_and_nothing_is_asked(
    name, tmp_path, monkeypatch, capfd
):
    folder = tiny_folder("llama", tmp_path / "model")
    ran = with_code(folder)
    changed_json(folder / "tokenizer_config.json", tokenizer_class=name)
    monkeypatch.setattr("sys.stdin", StringIO("y\ny\ny\n"))
    with pytest.raises(CheckpointNamesCode, match="never runs code"):
        Workspace.init(str(folder), tmp_path / "work")
    assert not ran.exists()
    assert capfd.readouterr() == ("", "")
    assert not (tmp_path / "work").exists()


def test_no_file_that_a_setting_names_is_opened(tmp_path):
    """tokenizer_config.json could name any file of the machine as its vocabulary."""
    folder = tiny_folder("llama", tmp_path / "model")
    os.mkfifo(tmp_path / "pipe")  # opening it would never end
    names = ("tokenizer_file", "vocab_file", "merges_file", "special_tokens_map_file", "gguf_file")
    changed_json(folder / "tokenizer_config.json", **dict.fromkeys(names, str(tmp_path / "pipe")))
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(tmp_path / "pipe"), "peft_type": "LORA"})
    )
    assert load(folder).tokenizer("France")["input_ids"][-1] == VOCABULARY["France"]


# --- tensors in odd places -----------------------------------------------------------------------


def sharded(folder: Path, **index: str) -> dict[str, str]:
    """Spread a checkpoint over two shards of another name. index: what it says of more tensors."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"pytorch_model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, folder / file, {"format": "pt"})
        weight_map.update(dict.fromkeys(part, file))
    text = json.dumps({"metadata": {}, "weight_map": weight_map | index})
    (folder / "model.safetensors.index.json").write_text(text)
    return weight_map


def without_head(folder: Path, *, tied: bool) -> Path:
    weights = folder / "model.safetensors"
    tensors = {name: w for name, w in load_file(weights).items() if name != "lm_head.weight"}
    save_file(tensors, weights, {"format": "pt"})
    changed_json(folder / "config.json", tie_word_embeddings=tied)
    return folder


def test_an_index_may_list_the_head_that_is_tied(tmp_path):
    folder = without_head(tiny_folder("llama", tmp_path / "model"), tied=True)
    sharded(folder, **{"lm_head.weight": "pytorch_model-00001-of-00002.safetensors"})
    with Workspace.init(str(folder), tmp_path / "work") as workspace:
        net = workspace.engine.model.net
        assert net.lm_head.weight is net.model.embed_tokens.weight


def test_a_head_that_is_listed_and_missing_is_named(tmp_path):
    folder = without_head(tiny_folder("llama", tmp_path / "model"), tied=False)
    sharded(folder, **{"lm_head.weight": "pytorch_model-00001-of-00002.safetensors"})
    with pytest.raises(WeightsMissing, match=r"lm_head\.weight"):
        Workspace.init(str(folder), tmp_path / "work")


def test_a_tensor_in_two_shards_is_edited_in_both(tmp_path):
    """Programs differ in which of the two they take."""
    folder = tiny_folder("llama", tmp_path / "model")
    weight_map = sharded(folder)
    first, second = sorted(set(weight_map.values()))
    both = load_file(folder / first) | load_file(folder / second)
    for file in (first, second):
        save_file(both, folder / file, {"format": "pt"})
    with Workspace.init(str(folder), tmp_path / "work") as workspace:
        workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        out = workspace.export(tmp_path / "out")
        live = workspace.load().state_dict()
        assert workspace.verify() == []
    for file in (first, second):
        stored = load_file(out / file)
        assert [name for name in live if not torch.equal(live[name], stored[name])] == []
    assert any(not torch.equal(both[name], live[name]) for name in live)


def test_a_tensor_is_edited_where_it_is_whatever_the_index_says(tmp_path):
    folder = tiny_folder("llama", tmp_path / "model")
    weight_map = sharded(folder)
    index = folder / "model.safetensors.index.json"
    wrong = dict(zip(weight_map, reversed(weight_map.values()), strict=True))
    changed_json(index, weight_map=wrong)
    with Workspace.init(str(folder), tmp_path / "work") as workspace:
        workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        out = workspace.export(tmp_path / "out")
        live = workspace.load().state_dict()
        assert workspace.verify() == []
    reloaded, base = plainly_loaded(out).state_dict(), plainly_loaded(folder).state_dict()
    assert [name for name in live if not torch.equal(live[name], reloaded[name])] == []
    assert any(not torch.equal(base[name], live[name]) for name in live)
    assert (out / index.name).read_bytes() == index.read_bytes()


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert", "opt", "gpt_neox"])
@pytest.mark.parametrize("way", ["missing", "extra"])
def test_names_with_a_prefix_too_few_or_too_many_are_read_as_transformers_reads_them(
    shape, way, tmp_path
):
    folder = tiny_folder(shape, tmp_path / "model")
    plain = load(folder)
    prefix = plain.net.base_model_prefix + "."
    tensors = load_file(folder / "model.safetensors")
    if way == "missing":
        renamed = {name.removeprefix(prefix): w for name, w in tensors.items()}
    else:
        renamed = {prefix + name: w for name, w in tensors.items()}
    save_file(renamed, folder / "model.safetensors", {"format": "pt"})
    kind = type(plain.net)
    with quiet_loading():
        _, report = kind.from_pretrained(folder, output_loading_info=True)
    if report["missing_keys"]:
        with pytest.raises(WeightsMissing, match=r"lm_head|cls|mlm"):
            Workspace.init(str(folder), tmp_path / "work")
        return
    with Workspace.init(str(folder), tmp_path / "work") as workspace:
        workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        live = workspace.load()
        exported = plainly_loaded(workspace.export(tmp_path / "out"))
    assert changed(bits(live), bits(exported)) == []
    assert changed(bits(live), bits(plain.net)) != []


# --- configurations ------------------------------------------------------------------------------

ELSEWHERE = ["flash_attention_2", "flash_attention_3", "flex_attention", "org/kernel", "no"]


@pytest.mark.parametrize("kind", ["eager", "sdpa", *ELSEWHERE])
@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_an_attention_kind_that_cannot_run_here_is_one_that_can(kind, key, tmp_path):
    folder = tiny_folder("llama", tmp_path / "model")
    changed_json(folder / "config.json", **{key: kind})
    net = load(folder).net
    assert net.config._attn_implementation == (kind if kind in ("eager", "sdpa") else "sdpa")


def test_fewer_layers_than_there_are_tensors_for_is_a_smaller_model(tmp_path):
    folder = tiny_folder("llama", tmp_path / "model")
    changed_json(folder / "config.json", num_hidden_layers=1, layer_types=None)
    with Workspace.init(str(folder), tmp_path / "work") as workspace:
        assert workspace.engine.model.n_layers == 1
        assert workspace.update(about("France"), "Rome", how=QUICK, accept=True).version


def test_a_soft_cap_is_only_for_families_that_have_one(tmp_path):
    folder = tiny_folder("llama", tmp_path / "model")
    changed_json(folder / "config.json", final_logit_softcapping=0.5)
    model = load(folder)
    question = ask_between(model, "the capital of France is", "")
    (row,) = log_p(model, [question])
    expected = model.net(input_ids=torch.tensor([question.ids])).logits[0, -1].log_softmax(-1)
    assert torch.allclose(row, expected, atol=1e-5)


# --- numbers that are none -----------------------------------------------------------------------


@pytest.mark.parametrize("tensor", ["model.layers.1.mlp.down_proj.weight", "model.norm.weight"])
def test_nan_in_the_weights_is_told_with_its_tensor(tensor, tmp_path):
    folder = tiny_folder("llama", tmp_path / "model")
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    tensors[tensor].view(-1)[3] = float("nan")
    save_file(tensors, weights, {"format": "pt"})
    with Workspace.init(str(folder), tmp_path / "work") as workspace:
        with pytest.raises(NotFinite, match=tensor):
            workspace.update(about("France"), "Rome", how=QUICK)
        with pytest.raises(NotFinite):
            workspace.assess(about("France"))


def test_an_infinite_mask_beside_the_weights_is_no_fault(tmp_path):
    folder = tiny_folder("gpt2", tmp_path / "model")
    weights = folder / "model.safetensors"
    mask = torch.full((1, 1, 4, 4), float("-inf"))
    odd = {"transformer.h.0.attn.bias": mask, "transformer.h.0.attn.masked_bias": mask * 0}
    save_file(load_file(weights) | odd, weights, {"format": "pt"})
    with Workspace.init(str(folder), tmp_path / "work") as workspace:
        assert workspace.assess(about("France"))
