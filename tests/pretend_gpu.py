"""A GPU that is none: tensors on it are on the CPU, marked, and refuse to meet unmarked ones.

Where there is no GPU, code that forgets to put a tensor on the model's device still fails here, as
it would on one: products of a marked and an unmarked tensor, numpy on a marked one, an unmarked
tensor indexed by a marked one. Not seen is what happens inside a call of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

GPU = torch.device("cuda")
INDEXING = (Tensor.__getitem__, Tensor.__setitem__)
CROSSING = (Tensor.copy_, torch._has_compatible_shallow_copy_type)  # take tensors of any device
TO_NUMPY = (Tensor.numpy, Tensor.__array__)
SETTING_DATA = Tensor.data.__set__  # type: ignore[attr-defined]
DEVICE = Tensor.device.__get__  # type: ignore[attr-defined]


class PretendGpu(TorchFunctionMode):
    """While it is entered, `cuda` is a device that torch has."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func == DEVICE:
            return GPU if _marked(args[0]) else func(*args)
        if func in TO_NUMPY and _marked(args[0]):
            raise TypeError("can't convert cuda device type tensor to numpy")
        if func in (Tensor.to, Tensor.cpu, Tensor.cuda):
            return _moved(func, args, named)
        if func == SETTING_DATA:
            func(*args)
            _mark(args[0], _marked(args[1]))
            return None
        device = named.pop("device", None)
        if device is not None and torch.device(device).type != "cuda":
            named["device"] = device
        _check(func, [*_tensors(args), *_tensors(named.values())])
        result = func(*args, **named)
        if device is not None:
            on = torch.device(device).type == "cuda"
        else:
            on = any(map(_marked, [*_tensors(args), *_tensors(named.values())]))
        for tensor in _tensors([result]):
            _mark(tensor, on)
        return result


def _moved(func: Callable[..., Any], args: Sequence[Any], named: dict[str, Any]) -> Tensor:
    """The result of `to`, `cpu` or `cuda`: a tensor of its own where the device changes."""
    tensor: Tensor = args[0]
    on, rest = _marked(tensor), []
    if func is Tensor.to:
        for value in args[1:]:
            if isinstance(value, Tensor):
                on = _marked(value)
            if isinstance(value, (str, torch.device)):
                on = torch.device(value).type == "cuda"
            else:
                rest.append(value)
        device = named.pop("device", None)
        if device is not None:
            on = torch.device(device).type == "cuda"
    else:
        on = func is Tensor.cuda
    rest = [value for value in rest if isinstance(value, (torch.dtype, Tensor))]
    result = tensor.to(*rest, **named) if rest or named else tensor
    if on != _marked(tensor) and result is tensor:
        result = tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().clone()
    _mark(result, on)
    return result


def _check(func: Callable[..., Any], tensors: Sequence[Tensor]) -> None:
    """Refuse what torch refuses: tensors of two devices in one call, numbers aside."""
    shaped = [tensor for tensor in tensors if tensor.dim()]
    devices = {_marked(tensor) for tensor in shaped}
    if len(devices) < 2 or func in CROSSING:
        return
    indexed = func in INDEXING and _marked(shaped[0])
    if indexed and (func is Tensor.__getitem__ or _marked(shaped[-1])):
        return  # indices may lie on the CPU
    raise RuntimeError(f"tensors on two devices, cuda and cpu, in {func}")


def _marked(tensor: Any) -> bool:
    return bool(getattr(tensor, "_pretended", False))


def _mark(tensor: Tensor, on: bool) -> None:
    if on or _marked(tensor):
        tensor._pretended = on  # type: ignore[attr-defined]


def _tensors(values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple, set, frozenset)):
            found += _tensors(value)
        elif isinstance(value, Mapping):
            found += _tensors(value.values())
    return found


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One pretended GPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 << 30, 8 << 30))
    with PretendGpu():
        yield
