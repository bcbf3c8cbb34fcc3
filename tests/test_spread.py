"""A model whose layers lie on several devices gives the numbers of one that lies on one.

Every layer has a pretended device of its own (pretend_gpu.py), and what is outside of the layers
another one. The devices give the numbers of the CPU, so results have to be the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pretend_gpu import PretendGpu, gpus  # noqa: F401  (a fixture)
from test_attribution import a_question
from test_memory import free
from test_switches import deeper, surroundings
from tiny_models import SHAPES, tiny, tiny_folder
from torch import Tensor

from kn_edit.editing import correction_keys
from kn_edit.editing.correction_keys import Writing, writing_of
from kn_edit.edits import switches
from kn_edit.edits.settings import CorrectionSettings
from kn_edit.errors import OutOfMemory
from kn_edit.models.greedy import answers
from kn_edit.models.model import Model, load
from kn_edit.models.predict import coefficients
from kn_edit.models.spread import places
from kn_edit.models.usage import usual_sizes
from kn_edit.neurons.attribution import Adaptive, Riemann, attribute_many

MEMORY = 600_000_000  # for locating, as on the CPU


@pytest.fixture
def pretended() -> Iterator[None]:
    with PretendGpu():
        yield


def spread(model: Model) -> Model:
    """The model with each layer on a device of its own."""
    net = model.net.to("cuda:0")
    for number, layer in enumerate(model.layers, 1):
        layer.to(f"cuda:{number}")
    spread_model = Model(net, model.tokenizer)
    spread_model.memory = MEMORY
    return spread_model


def numbers(value: Any) -> Any:
    """Tensors as lists, also those in fields and lists."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [numbers(part) for part in value]
    if isinstance(value, dict):
        return {name: numbers(part) for name, part in value.items()}
    return numbers(vars(value)) if hasattr(value, "__dataclass_fields__") else value


def located(model: Model) -> dict[str, Any]:
    """The scores of prompts of several lengths by every rule, and what they rest on."""
    questions = [a_question(model, tokens, seed) for tokens, seed in ((9, 0), (5, 1), (8, 2))]
    texts = [question.ids for question in questions]
    return {
        "riemann": dict(attribute_many(model, questions, Riemann(5))),
        "adaptive": dict(attribute_many(model, questions, Adaptive())),
        "activations": coefficients(model, questions),
        "sizes": usual_sizes(model, texts),
        "answers": answers(model, questions, [4, 3, 2]),
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_every_family_is_located_in_with_the_scores_of_one_device(shape, pretended):
    expected = located(tiny(shape))
    model = spread(tiny(shape))
    assert [str(device) for device in model.layer_shares] == ["cuda:0", "cuda:1", "cuda:2"]
    assert numbers(located(model)) == numbers(expected)


def written(model: Model) -> Writing:
    """What a correction of a fact would write, its switches among it."""
    return writing_of(model, list(range(5)), surroundings(model), CorrectionSettings())


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_the_switches_of_a_correction_are_those_of_one_device(shape, pretended, monkeypatch):
    monkeypatch.setattr(switches, "FIRED", 0.2)
    monkeypatch.setattr(correction_keys, "LOUDEST", float("inf"))
    expected = written(deeper(shape))
    assert expected.mark
    assert numbers(written(spread(deeper(shape)))) == numbers(expected)


@pytest.mark.parametrize("shape", ["llama"])
def test_the_switches_of_a_correction_need_no_float64_of_a_gpu(shape, pretended, monkeypatch):
    monkeypatch.setattr(switches, "FIRED", 0.2)
    monkeypatch.setattr(correction_keys, "LOUDEST", float("inf"))
    expected = written(deeper(shape))
    model = deeper(shape)
    model.net.to("mps")
    assert numbers(written(model)) == numbers(expected)


@pytest.mark.parametrize(
    ("layers", "outside", "rooms", "expected"),
    [
        ([10] * 4, 0, [100, 100], [0, 0, 1, 1]),  # the same share of each
        ([10] * 4, 20, [100, 100], [0, 1, 1, 1]),  # what is outside counts on the first
        ([10] * 6, 0, [100, 50], [0, 0, 0, 0, 1, 1]),
        ([10] * 6, 0, [20, 20], [0, 0, 1, 1, 2, 2]),  # what is left goes to the last
        ([10] * 3, 30, [20, 20], [1, 2, 2]),
        ([10] * 10, 0, [40, 40, 40], [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]),
        ([10] * 2, 4, [6, 6], [2, 2]),  # half a layer has room on none
        ([10] * 3, 5, [0], [1, 1, 1]),
        ([10] * 3, 5, [], [0, 0, 0]),
    ],
)
def test_layers_go_to_devices_by_their_room(layers, outside, rooms, expected):
    assert places(layers, outside, rooms) == expected


def test_weights_that_no_device_has_room_for_are_refused_unread(tmp_path, gpus, monkeypatch):  # noqa: F811
    folder = tiny_folder("llama", tmp_path / "model")
    weights = load(folder).weight_bytes
    devices = ["cuda:0", "cuda:1", "cpu"]
    gpus[:] = [weights // 4, weights // 4]
    free(monkeypatch, weights, tmp_path)
    model = load(folder, device=[torch.device(name) for name in devices])
    assert [str(model.device), *map(str, map(model.device_of, range(2)))] == [
        "cuda:0",
        "cpu",
        "cpu",
    ]
    free(monkeypatch, weights // 2, tmp_path)
    with pytest.raises(OutOfMemory, match="cuda:0, cuda:1, cpu have") as error:
        load(folder, device=[torch.device(name) for name in devices])
    assert error.value.weights == weights
    gpus[:] = [weights // 2, 0]
    with pytest.raises(OutOfMemory, match="device='spread'"):
        load(folder, device="cuda:0")


def test_a_network_that_others_have_spread_is_taken_as_it_lies(pretended):
    """What moves between devices is moved by the layers, whoever put them there."""
    net = tiny("llama").net.to("cuda:0")
    net.model.layers[1].to("cuda:1")
    model = Model(net, tiny("llama").tokenizer)
    with torch.no_grad():
        logits = net(torch.tensor([[9, 11, 15]], device="cuda:0")).logits
    assert logits.device == model.device
    assert torch.equal(logits.cpu(), tiny("llama").net(torch.tensor([[9, 11, 15]])).logits)
