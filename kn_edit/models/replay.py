"""Run again only the part of a layer that follows its coefficients.

What a layer computes before them does not change when they are replaced. A recorded run keeps the
outputs of the modules of that part, and a replay hands them out instead of computing them. What is
left is the down-projection, whatever follows it (a norm, a bias) and the sum with the hidden state,
in the layer's own code, so that no family needs a formula of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from kn_edit.models.coefficients import replaced
from kn_edit.models.model import Model
from kn_edit.models.trace import LayerCall, run_layer

Outputs = Mapping[str, Any]  # a module's path in its layer -> what it gave


@contextmanager
def recorded(model: Model) -> Iterator[dict[int, dict[str, Any]]]:
    """Collect what modules in front of each down-projection give inside the block, by layer."""
    outputs: dict[int, dict[str, Any]] = {}
    with ExitStack() as hooks:
        for layer in range(model.n_layers):
            _record(model, layer, outputs.setdefault(layer, {}), hooks)
        yield outputs


def _record(model: Model, layer: int, outputs: dict[str, Any], hooks: ExitStack) -> None:
    reached: list[bool] = []  # not empty where the down-projection ran

    def keep(path: str) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            if not reached:
                outputs[path] = output

        return hook

    def stop(_module: Any, _inputs: Any) -> None:
        reached.append(True)

    for path, module in _beside_down(model, layer).items():
        hooks.callback(module.register_forward_hook(keep(path)).remove)
    hooks.callback(model.downs[layer].register_forward_pre_hook(stop).remove)


def _beside_down(model: Model, layer: int) -> dict[str, nn.Module]:
    """The modules of a layer that do not hold its down-projection, each as a whole."""
    modules: dict[str, nn.Module] = {}
    parent, path = model.layers[layer], ""
    for step in model.family.down.split("."):
        modules |= {path + name: child for name, child in parent.named_children() if name != step}
        parent, path = getattr(parent, step), f"{path}{step}."
    return modules


def at_token(outputs: Outputs, token: int) -> dict[str, Any]:
    """What modules gave at one token of a prompt, (1, 1, width) each; others stay as they are."""
    return {
        path: _mapped(lambda part: part[:, token : token + 1] if part.ndim == 3 else part, output)
        for path, output in outputs.items()
    }


def side_by_side(outputs: Sequence[Outputs], rows: Sequence[int]) -> dict[str, Any]:
    """Recorded outputs at one token of several prompts, each repeated for its rows."""

    def joined(*parts: Tensor) -> Tensor:
        axis = 1 if parts[0].ndim == 3 else 0
        return torch.cat(
            [
                part.expand(*(count if at == axis else -1 for at in range(part.ndim)))
                for part, count in zip(parts, rows, strict=True)
            ],
            axis,
        )

    return {path: _mapped(joined, *(one[path] for one in outputs)) for path in outputs[0]}


def _mapped(change: Callable[..., Tensor], *outputs: Any) -> Any:
    """Apply a function to outputs of one module: to tensors, also those in tuples."""
    first = outputs[0]
    if isinstance(first, Tensor):
        return change(*outputs)
    if isinstance(first, tuple):
        return tuple(_mapped(change, *parts) for parts in zip(*outputs, strict=True))
    return first


def run_behind_coefficients(
    model: Model,
    layer: int,
    hidden: Tensor,
    call: LayerCall,
    outputs: Outputs,
    coefficients: Tensor,
) -> Tensor:
    """Run what follows the coefficients of a layer, at one token a row: (1, rows, d_model).

    hidden: the layer's input, (1, rows, d_model); outputs: of the modules in front, for these rows;
    coefficients: (rows, d_ff)
    """
    with (
        _handing_out(model, layer, outputs),
        replaced(model, {layer: lambda given: coefficients.view(given.shape)}),
    ):
        return run_layer(model, layer, hidden, call)


@contextmanager
def _handing_out(model: Model, layer: int, outputs: Outputs) -> Iterator[None]:
    """Have modules of a layer give recorded outputs inside the block."""
    modules = _beside_down(model, layer)
    with ExitStack() as restored:
        for path, output in outputs.items():
            module = modules[path]
            restored.callback(_restore_forward, module, module.__dict__.get("forward"))
            module.forward = _giving(output)
        yield


def _giving(output: Any) -> Callable[..., Any]:
    return lambda *_args, **_kwargs: output


def _restore_forward(module: nn.Module, forward: Any) -> None:
    """Undo an exchange; accelerate exchanges the method in the same way."""
    if forward is None:
        del module.__dict__["forward"]
    else:
        module.forward = forward
