"""What holds for every test: no network, one thread, hypothesis without a stopwatch."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub reads it at import
os.environ["OMP_NUM_THREADS"] = "1"  # for what tests start; tiny models gain nothing from more

import pytest
import torch
import unscoped
from hypothesis import settings
from ledgers import DATABASES, KIND, POSTGRES
from postgres_server import programs

from kn_edit.models import loading
from kn_edit.workspace import caches

pytest_plugins = ["cli_shell", "object_server"]  # their fixtures
NO_POSTGRES = "PostgreSQL is not installed: `apt-get install postgresql` brings it"
COUNTED = (
    "kills",
    "failed operations",
    "signals",
    "states of the disk",
    "full disks",
    "edits beside others",
)


def checked_once(check: Callable[[Path, Any], None]) -> Callable[[Path, Any], None]:
    """Let networks of one class and configuration show only once that they run without numbers.

    Nothing but these two decides it, and thousands of workspaces of the tests have the same few.
    """
    run: set[tuple[type, str, str]] = set()

    def checked(folder: Path, outline: Any) -> None:
        key = (type(outline), outline.config._attn_implementation, outline.config.to_json_string())
        if key not in run:
            check(folder, outline)
            run.add(key)

    return checked


# Where memory can hold the files of tests, they wait for no disk. What is tested of disks, and of
# kills and full disks, is the same there.
MEMORY = Path("/dev/shm")
ROOM = 8 << 30  # bytes; half of the memory of a machine, as a rule
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

loading._check_forward = checked_once(loading._check_forward)
gc.disable()  # until all tests are imported
torch.set_num_threads(1)
unscoped.watch()

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


@pytest.fixture(scope="session")
def demo_files(request: pytest.FixtureRequest) -> frozenset[Path]:
    """The files with a test that runs and needs the demo model."""
    items = request.session.items
    return frozenset(item.path for item in items if item.get_closest_marker("demo"))


@pytest.fixture(scope="module", autouse=True)
def temporary_files(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    demo_files: frozenset[Path],
) -> Iterator[None]:
    """A folder of temporary files for each file of tests, and for all that it starts.

    `gc` removes what killed commands left there: it must not meet those of tests beside it, nor
    what Ray has in /tmp, where paths are short. The name is short, for sockets.

    kn-edit's cache is there, too. What is kept in it was computed beside other prompts, and has
    other last digits for it: with one cache, the order of the files would decide them. Only where
    the demo model is needed it is the user's, as that is fetched once.
    """
    leftovers = caches.private_leftovers
    folder = str(tmp_path_factory.mktemp("t"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        if request.path not in demo_files:
            patch.setenv("KN_EDIT_CACHE", f"{folder}/cache")
        patch.setattr(tempfile, "tempdir", folder)
        patch.setattr(
            caches,
            "private_leftovers",
            lambda: (path for path in leftovers() if path.parent != Path("/tmp")),
        )
        yield


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The kind of database that ledgers of a test lie in; the test runs with each."""
    if request.param == POSTGRES and programs() is None:
        assert not os.environ.get("CI"), NO_POSTGRES
        pytest.skip(NO_POSTGRES)
    token = KIND.set(request.param)
    yield request.param
    KIND.reset(token)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: the worker that has it is not waited for in the end."""
    items.sort(key=lambda item: item.get_closest_marker("demo") is None)


def pytest_collection_finish() -> None:
    """Let the collector of garbage look at what tests make, and at nothing imported before."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the tests of crashes and faults counted."""
    counts: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        if report.when == "call":
            counts.update({name: n for name, n in report.user_properties if name in COUNTED})
    if counts:
        terminalreporter.write_line(", ".join(f"{n} {name}" for name, n in counts.items()))
