"""Where a model runs, and in which number format: as people name it, and as torch does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kn_edit.errors import BadSetting, DeviceMissing, require_known

if TYPE_CHECKING:
    import torch

AUTO = "auto"
SPREAD = "spread"
DTYPES = (AUTO, "float32", "bfloat16", "float16")
_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}
_MEMORY = re.compile(r"(\d{1,6}(?:\.\d{1,3})?) ?(MB|GB|MiB|GiB)")
_DEVICE = re.compile(r"auto|spread|cpu|mps|cuda(:\d{1,3})?")


def dtype_name(dtype: torch.dtype) -> str:
    """A number format as people name it: float32, bfloat16."""
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True)
class Placement:
    """Where, in which number format and in how much memory a model runs. Raises BadSetting.

    device: auto (a CUDA GPU where there is one, else the CPU), cpu, cuda, cuda:1, mps; spread lays
        the layers on all CUDA GPUs, and on the CPU those for which they have no room
    dtype: auto (as the checkpoint is stored), float32, bfloat16, float16. Edits are rounded to the
        checkpoint's format all the same.
    memory: what locating may take over the loaded model, 600MB or 2GiB; auto (600MB, and half of
        what is free on a GPU). Less takes longer, and gives the same up to rounding.
    """

    device: str = AUTO
    dtype: str = AUTO
    memory: str = AUTO

    def __post_init__(self) -> None:
        if not isinstance(self.device, str) or not _DEVICE.fullmatch(self.device):
            raise BadSetting("the device", self.device, "auto, spread, cpu, cuda, cuda:N or mps")
        require_known("the number format", self.dtype, DTYPES)
        if not isinstance(self.memory, str) or self.memory_bytes == 0:
            raise BadSetting("the memory", self.memory, f"auto or a number of {', '.join(_UNITS)}")

    @property
    def memory_bytes(self) -> int | None:
        """What locating may take; None for the usual, 0 for what is no amount of memory."""
        if self.memory == AUTO:
            return None
        amount = _MEMORY.fullmatch(self.memory)
        return int(float(amount[1]) * _UNITS[amount[2]]) if amount else 0

    @property
    def torch_devices(self) -> tuple[torch.device, ...]:
        """The devices themselves, several where the model may be spread over them.

        Raises DeviceMissing where this machine, or this torch, lacks one.
        """
        import torch

        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.device == SPREAD:
            names = (*(f"cuda:{gpu}" for gpu in range(gpus)), "cpu")
            return tuple(map(torch.device, names))
        if self.device == AUTO:
            return (torch.device("cuda" if gpus else "cpu"),)
        device = torch.device(self.device)
        if device.type == "cuda" and (device.index or 0) >= gpus:
            raise DeviceMissing(self.device, (*(f"cuda:{gpu}" for gpu in range(gpus)), "cpu"))
        if device.type == "mps" and not torch.backends.mps.is_available():
            raise DeviceMissing(self.device, ("cpu",))
        return (device,)

    @property
    def gpus(self) -> int:
        """How many CUDA GPUs a model of this placement takes. Raises DeviceMissing."""
        return sum(device.type == "cuda" for device in self.torch_devices)

    @property
    def torch_dtype(self) -> torch.dtype | None:
        """The number format itself; None for the checkpoint's."""
        import torch

        if self.dtype == AUTO:
            return None
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype
