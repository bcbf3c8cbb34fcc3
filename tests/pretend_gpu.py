"""GPUs that are none: tensors on them are on the CPU, marked, and refuse to meet other tensors.

Where there is no GPU, code that forgets to put a tensor on the right device still fails here, as it
would on one: products of tensors of two devices, numpy on a marked one, a tensor indexed by one of
another device. Apple's GPU has no float64. Not seen is what happens inside a call of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")
PRETENDED = ("cuda", "mps")
INDEXING = (Tensor.__getitem__, Tensor.__setitem__)
CROSSING = (  # take tensors of any device
    Tensor.copy_,
    torch._has_compatible_shallow_copy_type,
    torch.autograd.grad,
)
JOINING = (torch.cat, torch.stack)  # numbers, too, have to be on one device
TO_NUMPY = (Tensor.numpy, Tensor.__array__)
SETTING_DATA = Tensor.data.__set__  # type: ignore[attr-defined]
DEVICE = Tensor.device.__get__  # type: ignore[attr-defined]


_NEW_PARAMETER = torch.nn.Parameter.__new__


def _new_parameter(cls: Any, data: Any = None, requires_grad: bool = True) -> Any:
    """A parameter lies where its data does; torch does not ask a mode for it."""
    parameter = _NEW_PARAMETER(cls, data, requires_grad)
    if isinstance(data, Tensor):
        _mark(parameter, _device(data))
    return parameter


class PretendGpu(TorchFunctionMode):
    """While it is entered, `cuda`, `cuda:1` and so on, and `mps`, are devices that torch has."""

    def __enter__(self) -> PretendGpu:
        torch.nn.Parameter.__new__ = _new_parameter  # type: ignore[method-assign]
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.nn.Parameter.__new__ = _NEW_PARAMETER  # type: ignore[method-assign]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        if func == DEVICE:
            return func(*args) if _device(args[0]) == CPU else _device(args[0])
        if func in TO_NUMPY and _device(args[0]) != CPU:
            raise TypeError(f"can't convert {_device(args[0])} device type tensor to numpy")
        if func in (Tensor.to, Tensor.cpu, Tensor.cuda):
            return _moved(func, args, named)
        if func == SETTING_DATA:
            func(*args)
            _mark(args[0], _device(args[1]))
            return None
        device = named.pop("device", None)
        if device is not None and torch.device(device).type not in PRETENDED:
            named["device"] = device
        tensors = [*_tensors(args), *_tensors(named.values())]
        _check(func, tensors)
        result = func(*args, **named)
        if func is torch.autograd.grad:  # each gradient lies where what it is by does
            for gradient, by in zip(result, _tensors([args[1]]), strict=True):
                _mark(gradient, _device(by))
            return result
        shaped = [tensor for tensor in tensors if tensor.dim()] or tensors
        on = _named(device) if device is not None else _device(shaped[0]) if shaped else CPU
        for tensor in _tensors([result]):
            _mark(tensor, on)
        return result


def _moved(func: Callable[..., Any], args: Sequence[Any], named: dict[str, Any]) -> Tensor:
    """The result of `to`, `cpu` or `cuda`: a tensor of its own where the device changes."""
    tensor: Tensor = args[0]
    before = on = _device(tensor)
    rest: list[Any] = []
    if func is Tensor.to:
        for value in args[1:]:
            if isinstance(value, Tensor):
                on = _device(value)
            if isinstance(value, (str, torch.device)):
                on = _named(value)
            else:
                rest.append(value)
        device = named.pop("device", None)
        if device is not None:
            on = _named(device)
    else:
        on = _named("cuda") if func is Tensor.cuda else CPU
    rest = [value for value in rest if isinstance(value, (torch.dtype, Tensor))]
    result = tensor.to(*rest, **named) if rest or named else tensor
    if before.type == "mps":
        _refuse_float64(result)  # it is Apple's GPU that changes the number format
    if on != before and result is tensor:
        result = tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().clone()
    _mark(result, on)
    return result


def _check(func: Callable[..., Any], tensors: Sequence[Tensor]) -> None:
    """Refuse what torch refuses: tensors of two devices in one call. Numbers on the CPU may."""
    if func in CROSSING:
        return
    shaped = [tensor for tensor in tensors if tensor.dim()]
    numbers = [tensor for tensor in tensors if not tensor.dim()]
    devices = {_device(tensor) for tensor in (tensors if func in JOINING else shaped)}
    devices |= {_device(number) for number in numbers} - {CPU} if shaped else set()
    if len(devices) < 2:
        return
    if func in INDEXING:
        ends = {_device(shaped[0]), *([_device(shaped[-1])] if func is INDEXING[1] else [])}
        if len(ends) == 1 and devices - ends == {CPU}:
            return  # indices may lie on the CPU
    raise RuntimeError(f"tensors on several devices, {sorted(map(str, devices))}, in {func}")


def _named(device: str | torch.device) -> torch.device:
    """The device of a name; `cuda` is the first one."""
    device = torch.device(device)
    return torch.device(device.type, device.index or 0) if device.type in PRETENDED else CPU


def _device(tensor: Any) -> torch.device:
    return getattr(tensor, "_pretended", CPU)


def _mark(tensor: Tensor, on: torch.device) -> None:
    if on != CPU or _device(tensor) != CPU:
        tensor._pretended = on  # type: ignore[attr-defined]
    if on.type == "mps":
        _refuse_float64(tensor)


def _refuse_float64(tensor: Tensor) -> None:
    if tensor.dtype == torch.float64:
        raise TypeError("the MPS framework doesn't support float64")


class _Event:
    """What has happened on a GPU that does everything at once."""

    def __init__(self, **_named: Any) -> None:
        pass

    def record(self) -> None:
        pass

    def synchronize(self) -> None:
        pass


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


def pretend_gpus(monkeypatch: pytest.MonkeyPatch, free: Sequence[int]) -> PretendGpu:
    """GPUs with so many bytes free each; enter the result."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
    monkeypatch.setattr(
        torch.cuda, "mem_get_info", lambda device: (free[_named(device).index], 8 << 30)
    )
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 0)
    return PretendGpu()


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One pretended GPU."""
    with pretend_gpus(monkeypatch, [8 << 30]):
        yield


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Two pretended GPUs, and the bytes that are free on each, which a test may set."""
    free = [8 << 30, 8 << 30]
    with pretend_gpus(monkeypatch, free):
        yield free


@pytest.fixture
def apple_gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A pretended GPU of Apple's, which has no float64."""
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch, "Event", _Event)
    with PretendGpu():
        yield
