"""Coefficients of the base, kept in the user's cache: what is held is the same for every edit.

A file is named by the hash of all that its numbers depend on: the base's weights and configuration,
the number format, the device, the texts. Losing the cache costs time only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kn_edit.atomic import write_atomically
from kn_edit.canonical import digest
from kn_edit.engine.score_files import MAX_KEYS, keys_folder, trim_keys
from kn_edit.engine.version import ModelVersion
from kn_edit.untrusted import read_bounded

FORMAT = 2  # raise it when the numbers of a file come out otherwise
MOST_BYTES = 512 << 20  # of one file
_TRIMMED_AFTER = 0.1  # of the bound was written
_SEAL = 32  # bytes at the end of a file: the sha256 of those before


class KeyFiles:
    """Arrays of float32 that were computed once, by what they depend on.

    What is read has the very bits of what was computed.
    """

    def __init__(self, base: ModelVersion) -> None:
        """base: the model without edits, at which everything is computed"""
        model = base.model
        self._key = [
            FORMAT,
            base.fingerprint,
            sorted(base.files.items()),
            str(model.dtype),
            list(model.device_kinds),
        ]
        self._device = model.device
        self._written = 0

    def array(
        self, name: Sequence[object], shape: tuple[int, ...], compute: Callable[[], Tensor]
    ) -> Tensor:
        """An array of this shape, float32; computed where the cache lacks it.

        name: all that it depends on beside the base, as JSON has it
        """
        path = self._path(name)
        values = _read(path, shape)
        if values is None:
            values = compute().detach().float().cpu().numpy()
            assert values.shape == shape
            self._write(path, values)
        return torch.from_numpy(values).to(self._device)

    def _path(self, name: Sequence[object]) -> Path:
        text = digest(json.dumps([self._key, list(name)]).encode())
        return keys_folder() / text[:2] / f"{text}.keys"

    def _write(self, path: Path, values: np.ndarray) -> None:
        data = values.astype("<f4").tobytes()
        if len(data) > MOST_BYTES:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data + bytes.fromhex(digest(data)), durable=False)
        except OSError:
            return
        self._written += len(data)
        if self._written > _TRIMMED_AFTER * MAX_KEYS:
            trim_keys()
            self._written = 0


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """What a file holds; None where it cannot be read, or is not what was written."""
    size = 4 * int(np.prod(shape))
    try:
        data = None if path.is_symlink() else read_bounded(path, size + _SEAL)
    except (OSError, ValueError):
        return None
    if data is None or len(data) != size + _SEAL or digest(data[:size]) != data[size:].hex():
        return None
    with suppress(OSError):  # the time of use
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns), follow_symlinks=False)
    return np.frombuffer(data[:size], dtype="<f4").reshape(shape).astype(np.float32)
