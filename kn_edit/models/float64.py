"""float64 for sums and solutions that float32 is too coarse for, whatever a model runs on."""

from __future__ import annotations

import torch
from torch import Tensor


def in_float64(values: Tensor) -> Tensor:
    """The numbers in float64: on their own device, or on the CPU where that device has none.

    Apple's GPUs have none. What is computed from them goes back by `.to(values)`.
    """
    return (values.cpu() if _lacks_float64(values.device) else values).double()


def runnable(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The number format that a network of this one runs in on a device."""
    narrower = dtype == torch.float64 and _lacks_float64(device)
    return torch.float32 if narrower else dtype


def _lacks_float64(device: torch.device) -> bool:
    return device.type == "mps"
