"""A disk that fails for good from the moment in which one file or folder is flushed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CALLS = ("fsync", "link", "mkdir", "rename", "unlink")


def failing_from(chosen: Callable[[Path], bool], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let flushing a chosen path fail, and every change of names after it.

    The names of the calls that failed, in order.
    """
    failed: list[str] = []

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def act(*arguments: Any, **more: Any) -> Any:
            flushes = name == "fsync" and chosen(Path(f"/proc/self/fd/{arguments[0]}").readlink())
            if failed or flushes:
                failed.append(name)
                raise OSError(5, "Input/output error")
            return call(*arguments, **more)

        return act

    for name in CALLS:
        monkeypatch.setattr(os, name, wrapped(name, getattr(os, name)))
    return failed
