"""What a smaller number format would leave of a model's weights: round them, and give them back.

Only weights are rounded, and they are used in the number format that the model has: what is seen is
what rounding alone does to an edit. The formats are those of common tools in their plain form,
symmetric and without calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from kn_edit.models.model import Model
from kn_edit.models.number_formats import Rounding

INT4_GROUP, NF4_GROUP = 32, 64  # weights of one row that share a scale
_MIDDLE = 0.9677083  # of the normal distribution, the quantile at which NF4's largest level lies


def rounded_rows(rows: Tensor, rounding: Rounding | str) -> Tensor:
    """Round a weight, (outputs, inputs), in float32; gives a new tensor of the same number format.

    bfloat16: to the nearest. int8: 255 equal steps for each row, up to its largest absolute value.
    int4: 15 equal steps for each 32 weights of a row. nf4: for each 64, the 16 levels of
    NormalFloat (Dettmers et al. 2023), which lie closer where most weights of a normal distribution
    are.
    """
    return _ROUNDINGS[Rounding(rounding)](rows.float()).to(rows.dtype)


@contextmanager
def rounded(model: Model, rounding: Rounding | str | None) -> Iterator[Model]:
    """The model with rounded weights, inside the block; afterwards each has its own bits again.

    bfloat16 rounds all weights; the others round those of linear layers, without the output
    embedding where it is the input embedding too. None rounds nothing.
    """
    before: list[tuple[nn.Parameter, Tensor]] = []
    try:
        for weight, by_rows in _weights(model, rounding):
            before.append((weight, weight.data))
            rows = weight.data if by_rows else weight.data.T
            smaller = rounded_rows(rows, Rounding(str(rounding)))
            weight.data = (smaller if by_rows else smaller.T).contiguous()
        yield model
    finally:
        for weight, data in before:
            weight.data = data


def _weights(model: Model, rounding: Rounding | str | None) -> Iterator[tuple[nn.Parameter, bool]]:
    """The weights to round, and whether outputs are their rows."""
    if rounding is None:
        return
    if Rounding(rounding) == Rounding.BFLOAT16:
        yield from ((weight, True) for weight in model.net.parameters())
        return
    embedding = model.net.get_input_embeddings().weight
    rounded_weights = {id(embedding)}
    for module in model.net.modules():
        weight = getattr(module, "weight", None)
        is_linear = isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
        if is_linear and isinstance(weight, nn.Parameter) and id(weight) not in rounded_weights:
            rounded_weights.add(id(weight))
            yield weight, isinstance(module, nn.Linear)


def _bfloat16(rows: Tensor) -> Tensor:
    return rows.bfloat16().float()


def _int8(rows: Tensor) -> Tensor:
    return _equal_steps(rows, 127)


def _int4(rows: Tensor) -> Tensor:
    return _in_groups(rows, INT4_GROUP, lambda groups: _equal_steps(groups, 7))


def _nf4(rows: Tensor) -> Tensor:
    return _in_groups(rows, NF4_GROUP, _to_levels)


_ROUNDINGS: Mapping[Rounding, Callable[[Tensor], Tensor]] = {
    Rounding.BFLOAT16: _bfloat16,
    Rounding.INT8: _int8,
    Rounding.INT4: _int4,
    Rounding.NF4: _nf4,
}


def _equal_steps(rows: Tensor, most: int) -> Tensor:
    """Round each row to whole multiples of its largest absolute value divided by `most`."""
    largest = _largest(rows)
    return (rows / largest * most).round() / most * largest


def _to_levels(rows: Tensor) -> Tensor:
    """Round each row to the levels of NF4, times its largest absolute value."""
    largest = _largest(rows)
    levels = nf4_levels().to(rows.device)
    borders = (levels[1:] + levels[:-1]) / 2
    return levels[torch.bucketize((rows / largest).contiguous(), borders)] * largest


def nf4_levels() -> Tensor:
    """The 16 levels of NF4, from -1 to 1, ascending: quantiles of the normal distribution.

    Eight above zero, zero, and seven below it, each side with equal probabilities between them.
    """
    above, below = (
        torch.special.ndtri(torch.linspace(_MIDDLE, 0.5, count + 1, dtype=torch.float64)[:-1])
        for count in (8, 7)
    )
    levels = torch.cat([-below, torch.zeros(1, dtype=torch.float64), above]) / above.max()
    return torch.sort(levels).values.float()


def _largest(rows: Tensor) -> Tensor:
    """The largest absolute value of each row, (rows, 1); of a row of zeros 1."""
    largest = rows.abs().amax(-1, keepdim=True)
    return torch.where(largest > 0, largest, 1.0)


def _in_groups(rows: Tensor, size: int, rounding: Callable[[Tensor], Tensor]) -> Tensor:
    """Round the members of each row in groups of so many; the last group may be smaller."""
    width = rows.shape[-1]
    padded = nn.functional.pad(rows, (0, -width % size))
    return rounding(padded.reshape(-1, size)).reshape(len(rows), -1)[:, :width]
