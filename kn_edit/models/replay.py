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
from kn_edit.models.questions import Batch
from kn_edit.models.trace import LayerCall, run_layer

WIDEST = 3  # dimensions of what has a value for each token: (texts, tokens, width)

Outputs = Mapping[str, Any]  # a module's path in its layer -> what it gave


@contextmanager
def recorded(model: Model, batch: Batch) -> Iterator[dict[int, dict[str, Any]]]:
    """Collect what modules in front of each down-projection give inside the block, by layer.

    Of the tokens of a batch, only those at the answers are kept: (questions, width) each.
    """

    def at_answers(values: Tensor) -> Tensor | None:
        if values.ndim > WIDEST:  # attention's weights: as wide as the batch is long, and unread
            return None
        return batch.at_answer(values.view(*batch.ids.shape, -1))

    outputs: dict[int, dict[str, Any]] = {}
    with ExitStack() as hooks:
        for layer in range(model.n_layers):
            _record(model, layer, outputs.setdefault(layer, {}), at_answers, hooks)
        yield outputs


def _record(
    model: Model,
    layer: int,
    outputs: dict[str, Any],
    at_answers: Callable[[Tensor], Tensor | None],
    hooks: ExitStack,
) -> None:
    reached: list[bool] = []  # not empty where the down-projection ran

    def keep(path: str) -> Callable[..., None]:
        def hook(_module: Any, _inputs: Any, output: Any) -> None:
            if not reached:
                outputs[path] = _mapped(at_answers, output)

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


def of_question(outputs: Outputs, question: int) -> Outputs:
    """Recorded outputs of one question of a batch, (1, width) each."""
    return {
        path: _mapped(lambda part: part[question : question + 1], output)
        for path, output in outputs.items()
    }


def side_by_side(outputs: Sequence[Outputs], rows: Sequence[int]) -> Outputs:
    """Recorded outputs of several questions, each repeated for its rows: (rows, width)."""

    def joined(*parts: Tensor) -> Tensor:
        return torch.cat([part.expand(n, -1) for part, n in zip(parts, rows, strict=True)])

    return {path: _mapped(joined, *(parts[path] for parts in outputs)) for path in outputs[0]}


def _mapped(change: Callable[..., Tensor | None], *outputs: Any) -> Any:
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
    (rows, width) each; coefficients: (rows, d_ff)
    """
    with (
        _handing_out(model, layer, outputs),
        replaced(model, {layer: lambda present: coefficients.view(present.shape)}),
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
    """A module's method that gives a recorded output in the shape of its input."""

    def forward(*args: Any, **named: Any) -> Any:
        argument = next(value for value in (*args, *named.values()) if isinstance(value, Tensor))
        flat = argument.ndim == 2  # OPT's FFN
        return _mapped(lambda part: part if flat else part[None], output)

    return forward


def _restore_forward(module: nn.Module, forward: Any) -> None:
    """Undo an exchange; accelerate exchanges the method in the same way."""
    if forward is None:
        del module.__dict__["forward"]
    else:
        module.forward = forward
