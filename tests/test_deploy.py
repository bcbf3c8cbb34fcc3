"""The unit for systemd and the file for containers fit the service that they start."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kn_edit.cli import serve
from kn_edit.cli.commands import kn_edit
from kn_edit.jobs import children

DEPLOY = Path(__file__).parents[1] / "deploy"
UNIT = (DEPLOY / "kn-edit.service").read_text(encoding="utf-8")
CONTAINER = (DEPLOY / "Containerfile").read_text(encoding="utf-8")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "kn-edit.service"
    unit.write_text(UNIT.replace("/opt/kn-edit/bin/kn-edit", sys.executable))
    verify = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (verify.returncode, verify.stderr) == (0, "")


def test_systemd_waits_longer_than_the_service_takes_to_end() -> None:
    grace = float(re.search(r"--grace (\d+)", UNIT)[1])
    seconds = float(re.search(r"TimeoutStopSec=(\d+)", UNIT)[1])
    assert seconds > grace + serve.PATIENCE + children.PATIENCE


@pytest.mark.parametrize("words", [UNIT, CONTAINER], ids=["unit", "container"])
def test_the_options_are_those_of_the_command(words: str) -> None:
    help_ = CliRunner().invoke(kn_edit, ["serve", "--help"]).output
    options = {*re.findall(r"(--(?:workspace|host|port|log-format|grace|warm|workers))\b", words)}
    assert options and all(option in help_ for option in options)


def test_the_image_copies_what_the_package_is_made_of() -> None:
    lines = re.findall(r"^COPY (?!--)(.*)$", CONTAINER, re.M)
    copied = {word for line in lines for word in line.split()}
    assert {"pyproject.toml", "README.md", "LICENSE", "kn_edit", "migrations"} <= copied
    root = DEPLOY.parent
    assert all((root / word).exists() for word in copied if not word.startswith("/src"))
