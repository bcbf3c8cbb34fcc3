"""A package as pip would leave it in a folder, found through PYTHONPATH."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def install(
    folder: Path, name: str, code: str, entry_points: str, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Write a package of one module with its entry points; new processes find it.

    Gives the folder that is now in PYTHONPATH.
    """
    site = folder / "site"
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(code, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return site
