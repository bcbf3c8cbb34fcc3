"""Ctrl-C, SIGTERM and SIGHUP: the exit code, and a last sentence that is true."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest
from old_ledgers import SCHEMAS, old_ledger
from samples import sampled

from kn_edit.cli.run import run
from kn_edit.cli.signals import Interrupted, stoppable
from kn_edit.workspace import Workspace

SENTENCES = {
    signal.SIGINT: "stopped; ",
    signal.SIGTERM: "stopped by SIGTERM; ",
    signal.SIGHUP: "stopped because the terminal is gone (SIGHUP); ",
}
# A command that is sent a signal at a certain moment: when this function of kn_edit returns.
PROGRAM = """
import importlib, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
module, _, name = sys.argv[1].partition(":")
number = int(sys.argv[2])
owner = importlib.import_module(module)
*path, last = name.split(".")
for part in path:
    owner = getattr(owner, part)
former = getattr(owner, last)
def then(*args, **options):
    result = former(*args, **options)
    os.kill(os.getpid(), number)
    return result
setattr(owner, last, then)
from kn_edit.cli.run import run
sys.exit(run(sys.argv[3:]))
"""


def stopped_at(moment: str, number: int, *args: str) -> tuple[int, list[str]]:
    """Exit code and lines of stderr of a command that got a signal at a moment."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, moment, str(int(number)), *args],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.returncode, ran.stderr.splitlines()


@pytest.mark.parametrize("number", SENTENCES, ids=lambda number: number.name)
def test_before_the_change_nothing_was_written(edited, number):
    before = {path: path.read_bytes() for path in Path(".kn-edit").rglob("*") if path.is_file()}
    moment = "kn_edit.ledger.names:check_tag"
    code, (sentence,) = stopped_at(moment, number, "tag", "z")
    assert code == 128 + number
    assert sentence == SENTENCES[number] + "nothing was written"
    after = {path: path.read_bytes() for path in Path(".kn-edit").rglob("*") if path.is_file()}
    assert after == before


DONE = {
    "tag": (("tag", "z"), "kn_edit.ledger.ledger:Ledger.tag", "z is version "),
    "tag --move": (
        ("tag", "z", "base", "--move"),
        "kn_edit.ledger.ledger:Ledger.tag",
        "z is version ",
    ),
    "rewind": (
        ("rewind", "base"),
        "kn_edit.ledger.ledger:Ledger.advance",
        "what was recorded before that stays, the head is ",
    ),
    "backup": (("backup", "b.tar"), "kn_edit.ledger.ledger:Ledger.backup", "b.tar is written"),
    "gc": (("gc",), "kn_edit.ledger.ledger:Ledger.gc", "1 file was removed"),
    "export": (
        ("export", "e", "--as", "delta"),
        "kn_edit.checkpoints.recipe:export_deltas",
        "e is written",
    ),
    "init": (
        ("init", "demo-bert", "--workspace", "new"),
        "kn_edit.ledger.ledger:Ledger.create",
        "the workspace in new is there",
    ),
}


@pytest.mark.parametrize(("args", "moment", "words"), DONE.values(), ids=DONE)
def test_after_the_change_the_sentence_says_what_was_done(edited, args, moment, words):
    if args[0] == "gc":
        leftover = Path(".kn-edit/blobs/00/" + "0" * 64 + ".safetensors")
        leftover.parent.mkdir(exist_ok=True)
        leftover.write_bytes(b"x")
        os.utime(leftover, (0, 0))
    if "--move" in args:
        assert edited("tag", "z").code == 0
    code, (*before, sentence) = stopped_at(moment, signal.SIGINT, *args)
    assert code == 130
    assert all("%" in line for line in before)  # a slow machine tells how far it has come
    assert sentence.startswith("stopped; " + words)
    assert edited("verify").code == 0


UPGRADED = "the ledger was brought to the schema of this kn-edit, and nothing else was written"
UPGRADES = {
    "kn_edit.ledger.database:migrate": "nothing was written",
    "kn_edit.ledger.database:Database.upgrade": UPGRADED,
    "kn_edit.workspace:Workspace.open": UPGRADED,
    "kn_edit.ledger.ledger:Ledger.refs": UPGRADED,
}


@pytest.mark.parametrize(("schema", "moment"), sampled(product(SCHEMAS, UPGRADES), 10))
def test_an_upgrade_while_a_ledger_is_opened_is_told(schema, moment, tmp_path):
    words = UPGRADES[moment]
    path = old_ledger(tmp_path, schema)
    before = path.read_bytes()
    code, (sentence,) = stopped_at(moment, signal.SIGINT, "log", "--workspace", str(tmp_path))
    assert (code, sentence) == (130, f"stopped; {words}")
    assert (path.read_bytes() == before) == (words != UPGRADED)


def test_an_upgrade_of_another_time_is_not_told(tmp_path):
    old_ledger(tmp_path, "0002")
    Workspace.open(tmp_path).close()
    time.sleep(1.1)
    moment = "kn_edit.ledger.ledger:Ledger.refs"
    code, (sentence,) = stopped_at(moment, signal.SIGINT, "log", "--workspace", str(tmp_path))
    assert (code, sentence) == (130, "stopped; nothing was written")


def test_a_folder_on_its_way_is_gone_after_sigterm(edited):
    moment = "kn_edit.checkpoints.materialise:copy_file"
    if not hasattr(__import__("kn_edit.checkpoints.materialise", fromlist=["x"]), "copy_file"):
        moment = "kn_edit.checkpoints.folders:copy_file"
    code, (sentence,) = stopped_at(moment, signal.SIGTERM, "export", "e")
    assert code == 143
    assert sentence == "stopped by SIGTERM; nothing was written"
    assert sorted(path.name for path in Path().iterdir()) == [".kn-edit"]


def test_the_second_signal_ends_at_once(tmp_path):
    program = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from kn_edit.cli.signals import stoppable\n"
        "with stoppable():\n"
        "    try:\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(30)\n"
        "    finally:\n"
        "        print('tidying', flush=True)\n"
        "        time.sleep(30)\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert running.stdout is not None
    for line in ("ready\n", "tidying\n"):
        assert running.stdout.readline() == line
        running.send_signal(signal.SIGINT)
    started = time.monotonic()
    assert running.wait(20) == -signal.SIGINT
    assert time.monotonic() - started < 5
    running.stdout.close()


def test_handlers_are_those_of_before_when_a_command_ends(shell):
    former = [signal.getsignal(number) for number in SENTENCES]
    assert shell("--version").code == 0
    assert [signal.getsignal(number) for number in SENTENCES] == former


def test_signals_that_are_ignored_stay_ignored():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, former)


def test_a_signal_in_a_finaliser_is_not_lost():
    class Closing:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted) as stopped, stoppable():
        closing = Closing()
        del closing
        time.sleep(5)
    assert stopped.value.signum == signal.SIGTERM


def test_a_library_call_raises_what_python_raises(edited, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    with Workspace.open() as workspace:
        monkeypatch.setattr(workspace.ledger, "tag", interrupted)
        with pytest.raises(KeyboardInterrupt):
            workspace.tag("z")


def test_json_says_it_too(edited, monkeypatch, capsys):
    def interrupted(*args, **options):
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(Workspace, "tag", interrupted)
    assert run(["tag", "z", "--json"]) == 143
    assert '"code": 143' in capsys.readouterr().err
