"""What ships: a wheel that is built from the sdist works where there is no checkout."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from samples import TORTURE
from tiny_models import tiny_folder

from kn_edit import __version__

pytest.importorskip("build", reason="building needs the package `build`: kn-edit[dev]")

ROOT = Path(__file__).resolve().parents[1]
PLACE = """
import json, kn_edit
from kn_edit.facts import bundled
from kn_edit.ledger.migrating import migrations_folder
print(json.dumps([kn_edit.__file__, str(migrations_folder()), bundled()]))
"""


@dataclass(frozen=True)
class Shipped:
    """A release, made once for all tests."""

    source: Path  # the unpacked sdist
    sdist: frozenset[str]  # names in it
    wheel: frozenset[str]
    entry_points: str
    site: Path  # where the wheel is installed, and nothing else


def run(*command: object, cwd: Path, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Shipped:
    folder = tmp_path_factory.mktemp("shipped")
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder)
    run(*build, "--sdist", ROOT, cwd=folder)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        names = frozenset(name.partition("/")[2] for name in packed.getnames())
        packed.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").iterdir()
    run(*build, "--wheel", source, cwd=folder)  # from the sdist, not from the checkout
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed_wheel:
        inside = frozenset(packed_wheel.namelist())
        (entry_points,) = (name for name in inside if name.endswith("entry_points.txt"))
        text = packed_wheel.read(entry_points).decode()
    pip = (sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet")
    run(*pip, "--disable-pip-version-check", "--target", folder / "site", wheel, cwd=folder)
    return Shipped(source, names, inside, text, folder / "site")


@pytest.fixture
def elsewhere(shipped, tmp_path) -> dict[str, str]:
    """Environment of a process that sees the installed wheel first, and no checkout."""
    return {"PYTHONPATH": str(shipped.site), "KN_EDIT_CACHE": str(tmp_path / "cache")}


def test_the_sdist_holds_all_of_the_project(shipped):
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        tracked = {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}
        assert {name for name in tracked - shipped.sdist if not name.startswith(".ci/")} == set()
    needed = {"pyproject.toml", "LICENSE", "README.md", "cli.py", "scripts/demo.py", "Makefile"}
    assert needed <= shipped.sdist
    assert {f"migrations/{path.name}" for path in (ROOT / "migrations").glob("*.py")} <= (
        shipped.sdist
    )


def test_the_wheel_holds_the_package_with_its_migrations_and_nothing_beside_it(shipped):
    tops = {name.partition("/")[0] for name in shipped.wheel}
    assert tops == {"kn_edit", f"kn_edit-{__version__}.dist-info"}  # no `cli`, no `migrations`
    modules = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "kn_edit").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert modules <= shipped.wheel
    migrations = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "migrations").rglob("*")
        if path.suffix in (".py", ".mako")
    }
    assert {f"kn_edit/{path}" for path in migrations} <= shipped.wheel
    assert len(migrations) >= 3
    assert f"kn_edit-{__version__}.dist-info/licenses/LICENSE" in shipped.wheel
    parsed = configparser.ConfigParser()
    parsed.read_string(shipped.entry_points)
    assert dict(parsed["console_scripts"]) == {"kn-edit": "kn_edit.cli:main"}


def test_the_installed_package_is_used_and_finds_its_own_files(shipped, elsewhere, tmp_path):
    found = json.loads(run(sys.executable, "-c", PLACE, cwd=tmp_path, env=elsewhere))
    package, migrations, packs = found
    assert Path(package) == shipped.site / "kn_edit" / "__init__.py"
    assert Path(migrations) == shipped.site / "kn_edit" / "migrations"
    assert "capital" in packs


@pytest.mark.parametrize("way", ["script", "module"] if TORTURE else ["script"])
def test_the_installed_command_makes_a_workspace(way, shipped, elsewhere, tmp_path):
    script = [shipped.site / "bin" / "kn-edit"]
    command = script if way == "script" else [sys.executable, "-m", "kn_edit.cli"]
    model = tiny_folder("llama", tmp_path / "model")

    def kn_edit(*words: object) -> str:
        return run(*command, *words, cwd=tmp_path, env=elsewhere)

    assert __version__ in kn_edit("--version")
    made = json.loads(kn_edit("init", model, "--workspace", "work", "--json"))
    assert (tmp_path / "work" / ".kn-edit" / "ledger.db").is_file()
    status = json.loads(kn_edit("status", "--workspace", "work", "--json"))
    assert status["head"] == made["head"]
    assert status["edits"] == []


def test_the_shim_of_a_bare_checkout_runs(shipped, tmp_path):
    text = run(sys.executable, shipped.source / "cli.py", "--version", cwd=tmp_path)
    assert __version__ in text
