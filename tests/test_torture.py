"""No crash and no failing disk loses, halves or forges an edit.

`make torture` tries every operation of every command; here it is a sample, spread over them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from samples import sampled

sys.path.insert(0, str(Path(__file__).parent / "torture"))

from commands import COMMANDS
from disk import read_trace
from library import LIBRARY, built, compiler
from warm import Warm

FULL = os.environ.get("KN_EDIT_TORTURE") == "1"
TRIED = [name for name, command in COMMANDS.items() if FULL or not command.rare]
# Each command meets some of the faults, and each fault some of the commands.
FAULTS = ("kills", "power cuts", "errors", "signals", "full disks")
PAIRS = sampled(product(FAULTS, TRIED), 60)

pytestmark = [
    pytest.mark.skipif(not FULL and compiler() is None, reason="there is no C compiler"),
    pytest.mark.timeout(14400 if FULL else 300),
]
Ask = Callable[..., dict[str, Any]]


def commands_of(fault: str) -> list[str]:
    """The commands that a fault is tried on."""
    return [name for each, name in PAIRS if each == fault]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    assert compiler(), "the fault library needs a C compiler; install gcc or clang"
    process = Warm.start(tmp_path_factory.mktemp("faults"))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def own_mounts() -> None:
    """Skip where this user may not mount a small disk in a namespace of their own."""
    try:
        tried = subprocess.run(["unshare", "-rm", "true"], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare, which says whether a small disk may be mounted")
    if tried.returncode:
        pytest.skip(f"no small disk may be mounted here: {tried.stderr.strip()}")


@pytest.fixture
def sweep(warm: Warm, record_property: Callable[[str, object], None]) -> Ask:
    """Try points of a command, all of them in the full form, and count the trials."""

    def ask(kind: str, name: str, few: int, counted: str) -> list[Any]:
        report = warm.ask(kind, name, COMMANDS[name].points if FULL else few)
        record_property(counted, report["trials"])
        assert report["trials"] >= few
        return report["failures"]

    return ask


@pytest.mark.parametrize("name", commands_of("kills"))
def test_a_kill_leaves_the_old_state_or_the_new_and_the_command_works_again(sweep, name):
    assert sweep("kills", name, 1 if COMMANDS[name].heavy else 2, "kills") == []


@pytest.mark.parametrize("name", commands_of("power cuts"))
def test_a_power_cut_leaves_the_old_state_or_the_new_and_what_was_acknowledged_stays(sweep, name):
    assert sweep("power cuts", name, 1, "states of the disk") == []


@pytest.mark.parametrize("name", commands_of("errors"))
def test_a_failing_disk_ends_in_a_typed_error_exactly_where_nothing_changed(sweep, name):
    assert sweep("errors", name, 1 if COMMANDS[name].heavy else 2, "failed operations") == []


@pytest.mark.parametrize("name", commands_of("signals"))
def test_a_signal_leaves_the_old_state_or_the_new_and_a_true_sentence(sweep, name):
    assert sweep("signals", name, 1 if COMMANDS[name].heavy else 2, "signals") == []


@pytest.mark.usefixtures("own_mounts")
@pytest.mark.parametrize("name", commands_of("full disks"))
def test_a_full_disk_ends_in_a_typed_error_and_the_command_works_once_there_is_room(sweep, name):
    assert sweep("full disks", name, 1, "full disks") == []


# --- the tools themselves ------------------------------------------------------------------------

WRITERS, WRITES = 8, 200
MANY_WRITERS = f"""
import os, sys, threading
from pathlib import Path
from library import Fault, Library, Mode

root, trace = Path(sys.argv[1]), os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)

def write(number):
    with open(root / str(number), "wb", buffering=0) as file:
        for _ in range({WRITES}):
            file.write(b"%d." % number * 50)

library = Library()
library.arm(root, Fault(Mode.COUNT), trace=trace)
threads = [threading.Thread(target=write, args=(number,)) for number in range({WRITERS})]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
library.disarm()
print(library.count)
"""


def test_a_trace_tells_what_threads_wrote_at_the_same_time(tmp_path):
    root, trace, library = tmp_path / "root", tmp_path / "trace", str(built(tmp_path))
    root.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", MANY_WRITERS, str(root), str(trace)],
        env={
            **os.environ,
            "LD_PRELOAD": library,
            LIBRARY: library,
            "PYTHONPATH": str(Path(__file__).parent / "torture"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    operations = list(read_trace(trace))
    assert Counter(each.kind for each in operations) == {
        "create": WRITERS,
        "write": WRITERS * WRITES,
    }
    for each in operations:
        if each.kind == "write":
            assert each.data == f"{Path(each.path).name}.".encode() * 50
    assert int(ran.stdout) == WRITERS * (WRITES + 2)  # with the creation and the end of each


def test_a_sweep_that_breaks_says_why_and_leaves_the_others_to_be_tried(warm):
    with pytest.raises(AssertionError, match="KeyError: 'no such command'"):
        warm.ask("kills", "no such command", 1)
    assert warm.ask("kills", "tag", 1)["failures"] == []
