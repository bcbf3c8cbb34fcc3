"""Checkpoints that strangers could have made: what to do to a sound one, by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

Change = Callable[[Path], None]


@dataclass(frozen=True)
class Vector:
    """One thing that is wrong with a checkpoint of a family."""

    name: str
    shape: str
    change: Change

    def __str__(self) -> str:
        return f"{self.shape}: {self.name}"


def vectors() -> list[Vector]:
    """All of them."""
    return [
        *_configs(),
        *_files(),
        *_tensors(),
        *_headers(),
        *_indexes(),
        *_tokenizers(),
        *_tokenizer_settings(),
    ]


def _json(name: str, **changes: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / name
        facts = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(facts | changes))

    return change


def _without(name: str, *keys: str) -> Change:
    def change(folder: Path) -> None:
        facts = json.loads((folder / name).read_text())
        kept = {key: value for key, value in facts.items() if key not in keys}
        (folder / name).write_text(json.dumps(kept))

    return change


def _text(name: str, data: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(data)

    return change


# --- config.json ---------------------------------------------------------------------------------

SIZES = (0, -1, 2**31, 2**70, 10**400, True, None, "32", [32], {}, 1.5, float("nan"), float("inf"))
LAYERS = (0, -1, 3, 10**6, 2**62, True, "2", [2], 2.0, float("nan"))
_LLAMA_SIZES = (
    *("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"),
    *("vocab_size", "max_position_embeddings"),
)
_LLAMA_ODD: dict[str, tuple[Any, ...]] = {
    "model_type": ("", "albert", "mamba", "LLAMA", 3, None, ["llama"], {"a": 1}, "x" * 10_000),
    "hidden_act": ("none", 3, None, "torch.load", ["silu"], "x" * 1000, ""),
    "rms_norm_eps": ("x", -1, None, [], 1e308, {}, True),
    "head_dim": (0, -8, 7, 10**9, "8", True, 2**70),
    "rope_parameters": (
        *(3, [], {"rope_type": "none"}, {"rope_type": "linear"}, {"rope_theta": "x"}),
        *({"rope_type": "yarn", "factor": -1}, {"rope_type": "longrope"}, {"rope_type": ["a"]}),
        *({"rope_type": "dynamic", "factor": 0.0, "rope_theta": 1}, {"rope_theta": 0}),
    ),
    "rope_scaling": (3, {"type": "none"}, {"type": "dynamic", "factor": 10**300}, {"factor": []}),
    "rope_theta": ("x", 0, -1, [1.0], 10**300),
    "tie_word_embeddings": ("no", 3, None, [], True),
    "pad_token_id": (10**9, -5, "x", [1], 2**70),
    "bos_token_id": (10**9, "x", {}, -1),
    "eos_token_id": ("x", {}, [10**9], [[1]]),
    "attention_bias": (True, "x", 3),
    "mlp_bias": (True, "x"),
    "attention_dropout": ("x", -1.0, 7.0),
    "dtype": ("float99", 3, "os.system", ["float32"], "quint8", "__class__"),
    "torch_dtype": ("float99", "torch.load", {}),
    "quantization_config": ({"quant_method": "x"}, {}, 3, [], "gptq", {"quant_method": "y" * 9999}),
    "attn_implementation": (3, [], "org/kernel:fn", "flash_attention_2", {"": "eager"}),
    "architectures": (3, "x", ["Evil"], [3], {}),
    "layer_types": (3, [], ["full_attention"], ["x", "y"], ["full_attention"] * 10**5),
    "id2label": (3, "x", {"a": "b"}, {str(n): "x" for n in range(1000)}),
    "num_labels": (10**12, -1, "x"),
    "transformers_weights": ("other.safetensors", "/etc/passwd", 3),
    "auto_map": (3, {"AutoModelForCausalLM": "x.X"}, [], "x"),
    "fusion_config": ({"all": True}, 3),
    "output_attentions": (True, "x"),
    "return_dict": (False, "x"),
    "use_cache": (False, "x", 3),
    "final_logit_softcapping": ("x", 0.0, -1),
    "__class__": ("x", 3),
    "to_dict": ("x", 3),
    "attribute_map": ({"a": "b"}, 3),
    "pruned_heads": ({"0": [0]}, 3),
    "initializer_range": ("x", -1),
    "pretraining_tp": (4, "x"),
    "transformers_version": (3, "x" * 10_000, None),
    "chunk_size_feed_forward": (4, -1, "x"),
    "is_decoder": (True, "x"),
    "problem_type": ("x",),
}
_OTHERS: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("bert", "num_hidden_layers", LAYERS),
    ("bert", "hidden_act", ("none", 3)),
    ("bert", "position_embedding_type", ("relative_key", "x", 3)),
    ("bert", "type_vocab_size", (0, 1, 3, "x")),
    ("bert", "layer_norm_eps", ("x", -1)),
    ("bert", "pad_token_id", (10**6, "x")),
    ("bert", "is_decoder", (True, "x")),
    ("bert", "add_cross_attention", (True,)),
    ("gpt2", "n_layer", LAYERS),
    ("gpt2", "num_hidden_layers", (10**9,)),
    ("gpt2", "n_positions", (0, 10**9, "x")),
    ("gpt2", "n_inner", (None, 10**9, "x", 3)),
    ("gpt2", "activation_function", ("none", 3)),
    ("gpt2", "scale_attn_weights", ("x", False)),
    ("gpt_neo", "num_layers", LAYERS),
    ("gpt_neo", "attention_types", ([[["global"], 10**12]], [], 3, [[["x"], 2]], [["global"]])),
    ("gpt_neo", "attention_layers", ([], ["x", "y"], 3)),
    ("gpt_neo", "window_size", (0, -1, 10**9, "x")),
    ("gptj", "n_positions", (0, 10**9, 10**12, "x")),
    ("gptj", "rotary_dim", (0, -2, 7, 10**9, "x")),
    ("gemma3_text", "sliding_window_pattern", (0, -1, "x")),
    ("gemma3_text", "final_logit_softcapping", ("x", 0.0)),
    ("gemma3_text", "query_pre_attn_scalar", (0, -1, "x")),
    ("gemma2", "attn_logit_softcapping", ("x", 0.0)),
    ("opt", "do_layer_norm_before", ("x", False)),
    ("opt", "word_embed_proj_dim", (7, 0, "x")),
    ("phi3", "partial_rotary_factor", (0, 2.0, "x")),
    ("mistral", "sliding_window", (0, -1, "x", 10**12)),
)
TEXTS = {
    "empty": b"",
    "garbage": b"\xff\xfe\x00garbage",
    "a list": b"[]",
    "a number": b"3",
    "cut short": b'{"model_type": "lla',
    "deep": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "lists": b'{"a":[' + b"[]," * 400_000 + b"[]]}",
    "a repeated key": b'{"model_type": "llama", "model_type": "gpt2"}',
    "half a character": b'{"\\ud800": 1}',
    "a number of digits": b'{"vocab_size": ' + b"9" * 10_000 + b"}",
    "infinity": b'{"vocab_size": Infinity, "model_type": "llama"}',
}


def _configs() -> list[Vector]:
    rows: list[tuple[str, str, Any]] = [
        *(("llama", name, value) for name in _LLAMA_SIZES for value in SIZES),
        *(("llama", "num_hidden_layers", value) for value in LAYERS),
        *(("llama", name, value) for name, values in _LLAMA_ODD.items() for value in values),
        *((shape, name, value) for shape, name, values in _OTHERS for value in values),
    ]
    changed = [
        Vector(f"{name} = {str(value)[:24]}", shape, _json("config.json", **{name: value}))
        for shape, name, value in rows
    ]
    missing = [
        Vector(f"config without {name}", "llama", _without("config.json", name))
        for name in ("model_type", "hidden_size", "num_hidden_layers", "vocab_size", "rms_norm_eps")
    ]
    others = [
        Vector(f"config of {other}", "llama", _json("config.json", model_type=other))
        for other in ("gpt2", "bert", "gemma2", "phi3", "opt", "gpt_neox", "olmo2", "qwen2")
    ]
    texts = [Vector(f"config {n}", "llama", _text("config.json", t)) for n, t in TEXTS.items()]
    generation = [
        Vector(f"generation {n}", "llama", _text("generation_config.json", t))
        for n, t in TEXTS.items()
    ]
    more = [
        Vector(f"generation {name}", "llama", _json("generation_config.json", **{name: value}))
        for name, value in (
            *(("max_length", "x"), ("temperature", []), ("cache_implementation", 3)),
            *(("watermarking_config", 3), ("compile_config", "x"), ("__class__", "x")),
        )
    ]
    return [*changed, *missing, *others, *texts, *generation, *more]


# --- what stands where a file should --------------------------------------------------------------


def _fifo(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return change


def _link(name: str, target: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return change


def _directory(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return change


def _sparse(name: str, size: int) -> Change:
    """A file of so many zeros that takes no room."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        with (folder / name).open("wb") as file:
            file.truncate(size)

    return change


def _gone(name: str) -> Change:
    return lambda folder: (folder / name).unlink()


FILES = (
    *("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    *("generation_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt"),
)


def _files() -> list[Vector]:
    ways: dict[str, Callable[[str], Change]] = {
        "a pipe": _fifo,
        "zeros": lambda name: _link(name, "/dev/zero"),
        "nothing": lambda name: _link(name, "/dev/null"),
        "a link to nowhere": lambda name: _link(name, "nowhere"),
        "a link to itself": lambda name: _link(name, name),
        "a folder": _directory,
        "huge": lambda name: _sparse(name, 1 << 36),
        "empty": lambda name: _text(name, b""),
    }
    return [
        *(
            Vector(f"{name} is {way}", "llama", make(name))
            for name in FILES
            for way, make in ways.items()
        ),
        *(Vector(f"{name} is gone", "llama", _gone(name)) for name in FILES[:4]),
        Vector("an adapter beside it", "llama", _json("adapter_config.json", peft_type="LORA")),
        Vector("an index beside it", "llama", _fifo("model.safetensors.index.json")),
        Vector("a template is a pipe", "llama", _fifo("chat_template.jinja")),
    ]


# --- tensors --------------------------------------------------------------------------------------

Tensors = dict[str, torch.Tensor]
DOWN, EMBEDDING, NORM = (
    "model.layers.1.mlp.down_proj.weight",
    "model.embed_tokens.weight",
    "model.norm.weight",
)


def _stored(change: Callable[[Tensors], Tensors | None]) -> Change:
    def changed(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = load_file(path)
        tensors = change(tensors) or tensors
        save_file({n: w.contiguous() for n, w in tensors.items()}, path, {"format": "pt"})

    return changed


def _put(name: str, make: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return _stored(lambda tensors: tensors | {name: make(tensors[name])})


def _tensors() -> list[Vector]:
    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "cut": lambda w: w[: len(w) // 2],
        "longer": lambda w: torch.cat([w, w]),
        "flat": lambda w: w.flatten(),
        "of one axis more": lambda w: w[None],
        "a number": lambda w: torch.tensor(1.0),
        "empty": lambda w: torch.empty(0, *w.shape[1:]),
        "transposed": lambda w: w.T if w.ndim == 2 else w[None].T,
        "whole numbers": lambda w: w.to(torch.int32),
        "bytes": lambda w: w.to(torch.uint8),
        "truths": lambda w: w > 0,
        "float8": lambda w: w.to(torch.float8_e4m3fn),
        "complex": lambda w: w.to(torch.complex64),
        "float64": lambda w: w.double(),
        "half": lambda w: w.half(),
        "NaN": lambda w: w * float("nan"),
        "infinite": lambda w: w * float("inf"),
        "huge numbers": lambda w: w * 1e37,
        "zeros": lambda w: w * 0,
    }
    changed = [
        Vector(f"{name.split('.', 1)[1]} {way}", "llama", _put(name, make))
        for name in (DOWN, EMBEDDING, NORM)
        for way, make in ways.items()
    ]
    gone = [
        Vector(
            f"no {name}", "llama", _stored(lambda t, n=name: {k: w for k, w in t.items() if k != n})
        )
        for name in (DOWN, EMBEDDING, NORM, "lm_head.weight")
    ]
    names = {
        "slashes": "../../x", "a null": "a\0b", "letters": "x" * 10_000,
        "controls": "\x1b[2J\u202e", "nothing": "",
        "dots": "." * 1000, "numbers": "1.2.3.4.5", "a method": "__class__",
        "a layer": "model.layers.999999.mlp.down_proj.weight",
        "a huge layer": f"model.layers.{10**30}.mlp.down_proj.weight",
    }  # fmt: skip
    added = [
        Vector(f"a tensor of {n}", "llama", _stored(lambda t, n=name: t | {n: torch.zeros(2, 2)}))
        for n, name in names.items()
    ]
    renamed = [
        Vector(
            f"a weight of {n}",
            "llama",
            _stored(lambda t, n=name: {(n if k == DOWN else k): w for k, w in t.items()}),
        )
        for n, name in names.items()
    ]
    prefixed = [
        Vector(
            f"prefix {prefix}",
            "llama",
            _stored(lambda t, p=prefix: {p + k: w for k, w in t.items()}),
        )
        for prefix in ("base_model.model.", "model.", "module.", "_orig_mod.", "x" * 5000)
    ]
    return [
        *(*changed, *gone, *added, *renamed, *prefixed),
        Vector("no tensors", "llama", _stored(lambda t: {"x": torch.zeros(1)})),
        Vector("many empty tensors", "llama", _many_empty),
        Vector("other weights", "bert", _stored(lambda t: {"x": torch.zeros(3)})),
        Vector(
            "no head", "bert", _stored(lambda t: {k: w for k, w in t.items() if "cls" not in k})
        ),
    ]


def _many_empty(folder: Path) -> None:
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    end = len(raw) - 8 - length
    empty = {"dtype": "F32", "shape": [0], "data_offsets": [end, end]}
    _with_header(folder, header | {f"model.layers.{n}.x": empty for n in range(100_000)})


def _with_header(folder: Path, header: object) -> None:
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])


def _headers() -> list[Vector]:
    def header(text: bytes) -> Change:
        return lambda folder: _with_header(folder, text)

    texts = {name: header(text) for name, text in TEXTS.items()}
    texts |= {
        "metadata of lists": header(b'{"__metadata__": [' + b"[]," * 10_000 + b"[]]}"),
        "a shape of many axes": header(
            b'{"a":{"dtype":"F32","shape":[' + b"1," * 100_000 + b'1],"data_offsets":[0,4]}}'
        ),
        "an endless length": lambda folder: (
            (folder / "model.safetensors").write_bytes(b"\xff" * 64) and None
        ),
        "cut": lambda folder: os.truncate(folder / "model.safetensors", 5000),
        "longer": lambda folder: os.truncate(folder / "model.safetensors", 10**7),
    }
    return [Vector(f"header {name}", "llama", change) for name, change in texts.items()]


# --- indexes --------------------------------------------------------------------------------------


def _index(change: Callable[[dict[str, Any]], object]) -> Change:
    def changed(folder: Path) -> None:
        path = folder / "model.safetensors"
        tensors = load_file(path)
        path.unlink()
        files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
        weight_map = {name: files[number % 2] for number, name in enumerate(sorted(tensors))}
        for file in files:
            part = {name: w for name, w in tensors.items() if weight_map[name] == file}
            save_file(part, folder / file, {"format": "pt"})
        index = change(weight_map)
        text = index if isinstance(index, bytes) else json.dumps(index).encode()
        (folder / "model.safetensors.index.json").write_bytes(text)

    return changed


def _indexes() -> list[Vector]:
    def all_in(file: object) -> Callable[[dict[str, Any]], object]:
        return lambda weight_map: {"weight_map": dict.fromkeys(weight_map, file)}

    places = {
        "the parent": "../x.safetensors", "an absolute path": "/dev/zero", "a null": "a\0b",
        "itself": "model.safetensors.index.json", "letters": "x" * 10_000, "controls": "\x1b[2J",
        "a number": 3, "a list": [], "config": "config.json", "here": ".", "nothing": "",
    }  # fmt: skip
    ways: dict[str, Callable[[dict[str, Any]], object]] = {
        **{f"in {name}": all_in(file) for name, file in places.items()},
        **{f"text {name}": lambda _, t=text: t for name, text in TEXTS.items()},
        "no map": lambda _: {},
        "an empty map": lambda _: {"weight_map": {}},
        "a map of lists": lambda m: {"weight_map": [m]},
        "swapped": lambda m: {"weight_map": dict(zip(m, reversed(m.values()), strict=True))},
        "a name too many": lambda m: {"weight_map": m | {"x" * 10_000: next(iter(m.values()))}},
        "half": lambda m: {"weight_map": dict(list(m.items())[::2])},
        "metadata": lambda m: {"weight_map": m, "metadata": "x"},
    }
    return [Vector(f"index {name}", "llama", _index(way)) for name, way in ways.items()]


# --- tokenizers -----------------------------------------------------------------------------------


def _tokenizer(change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Change:
    def changed(folder: Path) -> None:
        path = folder / "tokenizer.json"
        facts = json.loads(path.read_text())
        path.write_text(json.dumps(change(facts) or facts))

    return changed


def _replace(pattern: object, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _tokenizers() -> list[Vector]:
    bombs = {
        "11^6": [_replace({"String": "a"}, "a" * 11)] * 6,
        "2^40": [_replace({"String": "a"}, "aa")] * 40,
        "of an expression": [_replace({"Regex": "."}, "a" * 1000)] * 3,
        "of nothing": [_replace({"Regex": ""}, "a" * 1000)] * 3,
        "of byte levels": [{"type": "ByteLevel"}] * 30,
        "in front": [{"type": "Prepend", "prepend": "a" * 1_000_000}] * 10,
        "of no character map": [{"type": "Precompiled", "precompiled_charsmap": "AAAA"}],
        "of a wild character map": [{"type": "Precompiled", "precompiled_charsmap": "/" * 4000}],
    }
    parts: list[tuple[str, Any]] = [
        *((part, value) for part in ("model", "normalizer", "pre_tokenizer", "post_processor",
           "decoder", "added_tokens", "truncation", "padding", "version")
          for value in ({}, [], 3, "x", {"type": "None"}, {"type": "Sequence"}))
    ]  # fmt: skip
    changed = [
        Vector(
            f"tokenizer {part} = {value}",
            "llama",
            _tokenizer(lambda t, p=part, v=value: t | {p: v}),
        )
        for part, value in parts
    ]
    grown = [
        Vector(
            f"{part} bomb {name}",
            "llama",
            _tokenizer(lambda t, p=part, s=steps, k=kind: t | {p: {"type": "Sequence", k: s}}),
        )
        for part, kind in (("normalizer", "normalizers"), ("decoder", "decoders"))
        for name, steps in bombs.items()
    ]
    texts = [
        Vector(f"tokenizer {name}", "llama", _text("tokenizer.json", text))
        for name, text in TEXTS.items()
    ]
    padding = {"strategy": {"Fixed": 10**9}, "direction": "Right", "pad_to_multiple_of": None,
               "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}  # fmt: skip
    mark = {"SpecialToken": {"id": "<none>", "type_id": 0}}
    marks = {"special_tokens": {}, "type": "TemplateProcessing", "pair": []}
    marks |= {"single": [mark] * 1000}
    words = {
        "no vocabulary": {"vocab": {}},
        "ids beyond": {"vocab": {"the": 10**6, "[UNK]": 10**6 + 1}},
        "negative ids": {"vocab": {"the": -1, "[UNK]": 1}},
        "ids of text": {"vocab": {"the": "x"}},
        "no unknown": {"unk_token": "[NONE]"},
        "another type": {"type": "BPE"},
        "Unigram": {"type": "Unigram", "vocab": []},
    }
    return [
        *(*changed, *grown, *texts),
        *(
            Vector(f"tokenizer of {name}", "llama", _tokenizer(lambda t, w=way: _with_model(t, w)))
            for name, way in words.items()
        ),
        Vector("tokenizer padding", "llama", _tokenizer(lambda t: t | {"padding": padding})),
        Vector("tokenizer marks", "llama", _tokenizer(lambda t: t | {"post_processor": marks})),
        Vector("tokenizer of 20 MB", "llama", _sparse("tokenizer.json", 20 << 20)),
        Vector("tokenizer without a mask", "bert", _unmasked),
        Vector("no mask token", "bert", _without("tokenizer_config.json", "mask_token")),
    ]  # fmt: skip


def _with_model(facts: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return facts | {"model": facts["model"] | change}


def _unmasked(folder: Path) -> None:
    _without("tokenizer_config.json", "mask_token")(folder)
    _tokenizer(
        lambda t: t | {"added_tokens": [a for a in t["added_tokens"] if a["content"] != "[MASK]"]}
    )(folder)


def _tokenizer_settings() -> list[Vector]:
    values: dict[str, tuple[Any, ...]] = {
        "tokenizer_class": (
            *(3, [], "x", "AutoModel", "pipeline", "Trainer", "BertTokenizer", "GPT2Tokenizer"),
            *("T5Tokenizer", "TransfoXLTokenizer", "os.system", "x" * 10_000, "LlamaTokenizer", ""),
        ),
        "auto_map": (3, [], {}, {"AutoTokenizer": 3}, {"AutoTokenizer": []}, "x.X", ["x.X", None]),
        "model_max_length": ("x", -1, 10**400, None, []),
        "added_tokens_decoder": (3, [], {"x": {}}, {"0": 3}, {"99999999": {"content": "x"}}),
        "extra_special_tokens": (3, [3], {"a": 3}, {"mask_token": "x"}),
        "additional_special_tokens": (3, [3], ["x"] * 1000),
        "bos_token": (3, [], {"content": 3}, {}, "x" * 10_000),
        "unk_token": (3, [], {"__type": "AddedToken"}, None),
        "pad_token": ("<none>", 3),
        "tokenizer_file": ("/dev/zero", 3),
        "vocab_file": ("/dev/zero", 3),
        "name_or_path": ("/etc/passwd", 3),
        "chat_template": (3, "{{ 9 ** 9 ** 9 }}", [], {}),
        "add_eos_token": (True, "x"),
        "add_bos_token": (True, "x"),
        "backend": ("x", 3),
        "is_local": (False, 3),
        "local_files_only": (False,),
        "trust_remote_code": (True,),
        "__class__": ("x",),
        "from_slow": (True,),
        "use_fast": (False,),
        "padding_side": ("x", 3),
        "clean_up_tokenization_spaces": ("x", 3),
        "split_special_tokens": (True, "x"),
        "model_input_names": (3, ["x"], []),
    }  # fmt: skip
    settings = [
        Vector(
            f"{name} = {str(value)[:24]}", "llama", _json("tokenizer_config.json", **{name: value})
        )
        for name, choices in values.items()
        for value in choices
    ]
    texts = [
        Vector(f"{file} {name}", "llama", _text(file, text))
        for file in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
        for name, text in TEXTS.items()
    ]
    masked = [
        Vector(f"mask_token = {value}", "bert", _json("tokenizer_config.json", mask_token=value))
        for value in (None, 3, "", "<none>", [], {"content": "x"})
    ]
    return [*settings, *texts, *masked]
