"""Where a model runs, and in which number format: as people name it, and as torch does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kn_edit.errors import BadSetting, DeviceMissing, require_known

if TYPE_CHECKING:
    import torch

AUTO = "auto"
DTYPES = (AUTO, "float32", "bfloat16", "float16")
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


def dtype_name(dtype: torch.dtype) -> str:
    """A number format as people name it: float32, bfloat16."""
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Placement:
    """A device and a number format for a model. Raises BadSetting for names that are none.

    device: auto (a CUDA GPU where there is one, else the CPU), cpu, cuda, cuda:1, mps
    dtype: auto (as the checkpoint is stored), float32, bfloat16, float16. Edits are rounded to the
        checkpoint's format all the same.
    """

    device: str = AUTO
    dtype: str = AUTO

    def __post_init__(self) -> None:
        if not isinstance(self.device, str) or not _DEVICE.fullmatch(self.device):
            raise BadSetting("the device", self.device, "auto, cpu, cuda, cuda:N or mps")
        require_known("the number format", self.dtype, DTYPES)

    @property
    def torch_device(self) -> torch.device:
        """The device itself. Raises DeviceMissing where this machine, or this torch, lacks it."""
        import torch

        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.device == AUTO:
            return torch.device("cuda" if gpus else "cpu")
        device = torch.device(self.device)
        if device.type == "cuda" and (device.index or 0) >= gpus:
            raise DeviceMissing(self.device, (*(f"cuda:{gpu}" for gpu in range(gpus)), "cpu"))
        if device.type == "mps" and not torch.backends.mps.is_available():
            raise DeviceMissing(self.device, ("cpu",))
        return device

    @property
    def torch_dtype(self) -> torch.dtype | None:
        """The number format itself; None for the checkpoint's."""
        import torch

        if self.dtype == AUTO:
            return None
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype
