"""The table of families and the parts of a model, on a random model of every family."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from plain_attribution import down_projections
from safetensors import safe_open
from tiny_models import CAUSAL, D_FF, D_MODEL, LAYERS, MASKED, SHAPES, WINDOW, tiny, tiny_folder
from torch import Tensor
from transformers import AutoModelForMaskedLM

from kn_edit.edits.suffix import Shift, shifted
from kn_edit.errors import SharedLayers, SlotsNotStored, UnknownFamily, WeightsMissing
from kn_edit.models.coefficients import captured, replaced
from kn_edit.models.families import FAMILIES, family_of
from kn_edit.models.logging import quiet_loading
from kn_edit.models.model import Model, load
from kn_edit.models.trace import LayerCall, run_from, run_layer, trace, trace_last_token

SENTENCE = "the capital city of the country of France is the city of"
every_shape = pytest.mark.parametrize("shape", SHAPES)


def ids_of(model: Model, *texts: str) -> Tensor:
    """Sentences of equal length, (batch, tokens)."""
    return torch.tensor([model.tokenizer(text)["input_ids"] for text in texts or (SENTENCE,)])


def network_logits(model: Model, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return model.net(input_ids=ids, attention_mask=mask).logits


def hooks_on(model: Model) -> int:
    return sum(
        len(hooks)
        for module in model.net.modules()
        for name, hooks in vars(module).items()
        if name.endswith("_hooks") and hooks
    )


# Where the FFN of each family gets its input, as seen from a layer, and how its parts turn that
# into coefficients.
Parts = tuple[str, Callable[[Any, Tensor], Tensor]]


def _gpt(keys: str) -> Parts:
    return "mlp", lambda layer, x: layer.mlp.act(getattr(layer.mlp, keys)(x))


def _gated(layer: Any, x: Tensor) -> Tensor:
    return layer.mlp.act_fn(layer.mlp.gate_proj(x)) * layer.mlp.up_proj(x)


def _gated_in_one(layer: Any, x: Tensor) -> Tensor:
    gate, up = layer.mlp.gate_up_proj(x).chunk(2, dim=-1)
    return layer.mlp.activation_fn(gate) * up


_BERT: Parts = (
    "intermediate",
    lambda layer, x: layer.intermediate.intermediate_act_fn(layer.intermediate.dense(x)),
)
PARTS: dict[str, Parts] = {
    "bert": _BERT,
    "roberta": _BERT,
    "electra": _BERT,
    "distilbert": ("ffn", lambda layer, x: layer.ffn.activation(layer.ffn.lin1(x))),
    "gpt2": _gpt("c_fc"),
    "gpt_neo": _gpt("c_fc"),
    "gptj": _gpt("fc_in"),
    "gpt_neox": _gpt("dense_h_to_4h"),
    "opt": ("fc1", lambda layer, x: layer.activation_fn(layer.fc1(x))),
    "phi3": ("mlp", _gated_in_one),
}


@every_shape
def test_the_table_names_the_layers_and_their_down_projections(shape):
    model = tiny(shape)
    assert model.n_layers == LAYERS
    assert (model.d_ff, model.d_model) == (D_FF, D_MODEL)
    assert list(map(id, model.downs)) == list(map(id, down_projections(model.net, D_MODEL, D_FF)))
    for layer in range(LAYERS):
        assert model.net.get_parameter(model.slot_tensor(layer)) is model.downs[layer].weight


@every_shape
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_model_tells_its_dtype_and_is_frozen(shape, dtype):
    model = tiny(shape, dtype)
    assert model.dtype == dtype
    assert model.device == torch.device("cpu")
    assert not model.net.training
    assert not any(parameter.requires_grad for parameter in model.net.parameters())


@every_shape
def test_captured_coefficients_are_what_the_ffn_computes_in_front_of_the_down_projection(shape):
    model = tiny(shape)
    path, formula = PARTS.get(shape.partition("-")[0], ("mlp", _gated))
    inputs: list[Tensor] = []
    handles = [
        layer.get_submodule(path).register_forward_pre_hook(
            lambda _, given: inputs.append(given[0])
        )
        for layer in model.layers
    ]
    with torch.no_grad(), captured(model) as seen:
        model.net(input_ids=ids_of(model))
    for handle in handles:
        handle.remove()
    assert list(seen) == list(range(LAYERS))
    for layer, x in enumerate(inputs):
        with torch.no_grad():
            expected = formula(model.layers[layer], x)
        torch.testing.assert_close(seen[layer], expected, rtol=0, atol=0)
        assert expected.std() > 0.05  # the models are not too tame to tell parts apart


@every_shape
def test_a_down_projection_writes_the_sum_of_slots_times_coefficients(shape):
    model = tiny(shape, torch.float64)
    written: dict[int, Tensor] = {}
    handles = [
        down.register_forward_hook(
            lambda _, __, result, layer=layer: written.update({layer: result})
        )
        for layer, down in enumerate(model.downs)
    ]
    with torch.no_grad(), captured(model) as seen:
        model.net(input_ids=ids_of(model))
    for handle in handles:
        handle.remove()
    for layer, down in enumerate(model.downs):
        bias = 0 if down.bias is None else down.bias
        by_hand = torch.einsum("...n,nd->...d", seen[layer], model.slots(layer))
        torch.testing.assert_close(by_hand, written[layer] - bias, rtol=0, atol=1e-12)


@every_shape
def test_slots_are_a_view_of_the_weight(shape):
    model = tiny(shape)
    model.slots(1)[5] = 7.0
    weight = model.downs[1].weight
    assert bool((weight[5] if model.family.axis == "row" else weight[:, 5]).eq(7.0).all())


@every_shape
def test_replacing_a_coefficient_moves_the_output_by_its_slot(shape):
    model = tiny(shape, torch.float64)
    neuron, delta = 11, 0.75
    written: list[Tensor] = []

    def raised(coefficients: Tensor) -> Tensor:
        changed = coefficients.clone()
        changed.view(-1, D_FF)[3, neuron] += delta  # the fourth token
        return changed

    handle = model.downs[1].register_forward_hook(lambda _, __, result: written.append(result))
    before = network_logits(model, ids_of(model))
    with replaced(model, {1: raised}):
        after = network_logits(model, ids_of(model))
    handle.remove()
    moved = (written[1] - written[0]).view(-1, D_MODEL)
    expected = torch.zeros_like(moved)
    expected[3] = delta * model.slots(1)[neuron]
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-13)
    assert (after - before).abs().max() > 1e-3
    assert network_logits(model, ids_of(model)).equal(before)


@every_shape
def test_a_trace_and_the_head_give_the_networks_own_logits(shape):
    model = tiny(shape)
    ids = ids_of(model, SENTENCE, SENTENCE.replace("France", "Japan"))
    with torch.no_grad():
        run = trace(model, ids)
        logits = model.logits(run.output)
        assert logits.equal(network_logits(model, ids))
        for layer in range(LAYERS):
            assert run.coefficients[layer].shape == (*ids.shape, D_FF)
            again = run_from(model, layer, run.inputs[layer], run.calls)
            torch.testing.assert_close(again, run.output, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", MASKED)
def test_a_trace_heeds_the_padding_mask(shape):
    model = tiny(shape)
    ids, mask = ids_of(model), torch.ones_like(ids_of(model))
    padded = torch.cat([ids, torch.zeros(1, 3, dtype=torch.long)], dim=1)
    mask = torch.cat([mask, torch.zeros(1, 3, dtype=torch.long)], dim=1)
    with torch.no_grad():
        alone, run = trace(model, ids).output, trace(model, padded, mask=mask)
        torch.testing.assert_close(run.output[:, :-3], alone, rtol=0, atol=1e-5)
        assert model.logits(run.output).equal(network_logits(model, padded, mask))


@every_shape
def test_a_stopped_trace_notes_the_input_of_the_layer_and_runs_nothing_above(shape):
    model = tiny(shape)
    with torch.no_grad():
        whole, run = trace(model, ids_of(model)), trace(model, ids_of(model), stop_at=1)
    assert run.output is None
    assert list(run.coefficients) == [0]
    assert run.inputs[1].equal(whole.inputs[1])


@pytest.mark.parametrize("shape", CAUSAL)
@pytest.mark.parametrize("words", [1, 2, 4, 12])
def test_tracing_the_last_token_equals_the_last_position_of_the_whole_run(shape, words):
    model = tiny(shape, torch.float64)
    ids = ids_of(model, " ".join(SENTENCE.split()[:words]))
    with torch.no_grad():
        whole, last = trace(model, ids), trace_last_token(model, ids)
        logits = model.logits(last.output)
    # These two always attend in float32.
    close = {"rtol": 0, "atol": 1e-5 if shape in ("gpt_neo", "gptj") else 1e-12}
    torch.testing.assert_close(last.output[:, -1], whole.output[:, -1], **close)
    torch.testing.assert_close(logits[:, -1], network_logits(model, ids)[:, -1], **close)
    for layer in range(LAYERS):
        assert last.coefficients[layer].shape == (1, 1, D_FF)
        torch.testing.assert_close(
            last.coefficients[layer][:, -1], whole.coefficients[layer][:, -1], **close
        )


@pytest.mark.parametrize("shape", ["gpt_neo", "mistral", "gemma2", "gemma3_text"])
def test_the_local_families_do_attend_locally_here(shape):
    """Or the test above would say nothing about windows."""
    model = tiny(shape)
    name = "window_size" if shape == "gpt_neo" else "sliding_window"
    wide = tiny(shape, **{name: 64})
    ids = ids_of(model)
    assert ids.shape[1] > WINDOW + 1
    assert (network_logits(model, ids) - network_logits(wide, ids))[:, -1].abs().max() > 0.01


def several_rows(model: Model, dtype: torch.dtype) -> tuple[Tensor, dict[int, LayerCall]]:
    """Rows of hidden states in front of layer 0, and calls that were noted with one row."""
    with torch.no_grad():
        run = (trace_last_token if model.causal else trace)(model, ids_of(model))
    noise = torch.randn(3, *run.inputs[0].shape[1:], generator=torch.Generator().manual_seed(1))
    return run.inputs[0] + noise.to(dtype), run.calls


@every_shape
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.bfloat16, 0.25)]
)
def test_several_rows_at_once_run_as_each_alone(shape, dtype, tolerance):
    model = tiny(shape, dtype)
    rows, calls = several_rows(model, dtype)
    with torch.no_grad():
        once = run_layer(model, 0, rows, calls[0])
        one_by_one = torch.cat([run_layer(model, 0, row[None], calls[0]) for row in rows])
        top = run_from(model, 0, rows, calls)
        top_one_by_one = torch.cat([run_from(model, 0, row[None], calls) for row in rows])
    for ours, theirs in ((once, one_by_one), (top, top_one_by_one)):
        size = theirs.abs().max().item()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * max(1.0, size / 4))
    assert (top[0] - top[1]).abs().max() > 0.1  # the rows do differ


class Halt(Exception):
    """Raised on purpose."""


@every_shape
def test_nothing_stays_hooked_after_a_raise(shape):
    model = tiny(shape)
    before = hooks_on(model)

    def halt(_: Tensor) -> Tensor:
        raise Halt

    with pytest.raises(Halt), captured(model):
        assert hooks_on(model) > before
        raise Halt
    assert hooks_on(model) == before
    with pytest.raises(Halt), replaced(model, {0: halt, 1: halt}):
        network_logits(model, ids_of(model))
    assert hooks_on(model) == before
    shift = Shift(torch.tensor([D_FF]), torch.zeros(1, D_MODEL))  # no such neuron
    with pytest.raises(IndexError), shifted(model, {0: shift, 1: shift}):
        network_logits(model, ids_of(model))
    assert hooks_on(model) == before
    with replaced(model, {1: halt}):
        inside = hooks_on(model)
        with pytest.raises(Halt):
            trace(model, ids_of(model))
        assert hooks_on(model) == inside
    with pytest.raises(IndexError):
        trace(model, torch.tensor([[-(10**6)]]))
    trace(model, ids_of(model))
    trace(model, ids_of(model), stop_at=0)
    assert hooks_on(model) == before


@every_shape
def test_a_folder_loads_as_the_model_that_was_saved(shape, tmp_path):
    made = tiny(shape, torch.bfloat16)
    model = load(tiny_folder(shape, tmp_path, torch.bfloat16))
    assert model.dtype == torch.bfloat16
    assert network_logits(model, ids_of(made)).equal(network_logits(made, ids_of(made)))
    if shape != "qwen2":
        assert ids_of(model).equal(ids_of(made))
    with safe_open(tmp_path / "model.safetensors", "pt") as stored:
        for layer, name in model.stored_names(stored.keys()).items():
            assert stored.get_tensor(name).equal(model.downs[layer].weight)


def test_another_dtype_can_be_asked_for(tmp_path):
    tiny_folder("llama", tmp_path, torch.bfloat16)
    assert load(tmp_path, dtype=torch.float32).dtype == torch.float32


@pytest.mark.parametrize(
    ("model_type", "error", "words"),
    [
        ("albert", SharedLayers, "shares one layer among all depths"),
        ("bloom", UnknownFamily, "add a row to kn_edit/models/families.py"),
        ("from-the-future", UnknownFamily, "add a row to kn_edit/models/families.py"),
    ],
)
def test_other_families_are_refused_in_a_sentence(model_type, error, words, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(error, match=words) as refusal:
        load(tmp_path)
    assert model_type in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_refusal_of_an_unknown_family_names_the_known_ones():
    with pytest.raises(UnknownFamily) as refusal:
        family_of("bloom")
    assert all(name in str(refusal.value) for name in FAMILIES)


def test_a_checkpoint_without_its_head_is_refused(tmp_path):
    """transformers would invent a random one."""
    tiny_folder("bert", tmp_path)
    with quiet_loading():
        net = AutoModelForMaskedLM.from_pretrained(tmp_path)
        net.bert.save_pretrained(tmp_path)
    with pytest.raises(WeightsMissing, match="language-model head") as refusal:
        load(tmp_path)
    assert any(name.startswith("cls.") for name in refusal.value.tensors)


@pytest.mark.parametrize(("shape", "body"), [("bert", "bert"), ("gpt2", "transformer")])
def test_slots_are_found_in_a_checkpoint_without_the_prefix_of_the_task(shape, body, tmp_path):
    model = tiny(shape)
    with quiet_loading():
        getattr(model.net, body).save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as stored:
        names = model.stored_names(stored.keys())
        for layer in range(LAYERS):
            assert names[layer] == model.slot_tensor(layer).partition(".")[2]
            assert stored.get_tensor(names[layer]).equal(model.downs[layer].weight)


def test_a_checkpoint_without_the_slots_is_refused():
    model = tiny("llama")
    names = [model.slot_tensor(0), "model.norm.weight"]
    with pytest.raises(SlotsNotStored, match=r"model\.layers\.1\.mlp\.down_proj\.weight"):
        model.stored_names(names)


@every_shape
def test_the_output_embedding_is_the_row_that_scores_the_token(shape):
    model = tiny(shape)
    row = model.output_embedding(9)
    before = network_logits(model, ids_of(model))
    with torch.no_grad():
        model.net.get_output_embeddings().weight[9] += 1.0
    moved = (network_logits(model, ids_of(model)) - before).abs().amax((0, 1)) > 1e-4
    assert moved[9]
    assert row.shape == model.net.get_output_embeddings().weight[9].shape
