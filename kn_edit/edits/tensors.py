"""Between tensors of torch and the arrays that edits are folded in."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from kn_edit.edits.numbers import BFLOAT16, Numbers


def array_of(tensor: Tensor) -> Numbers:
    """The numbers of a tensor on the CPU, which shares its memory; of bfloat16 their bits."""
    if tensor.dtype == torch.bfloat16:
        return tensor.detach().view(torch.int16).numpy().view(np.uint16)
    return tensor.detach().numpy()


def tensor_of(values: Numbers) -> Tensor:
    """The tensor of some numbers, which shares their memory."""
    if values.dtype == BFLOAT16:
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)
