"""Terminals of any width and kind, streams that are full, closed or narrow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_shell import PROGRAM
from rich.cells import cell_len
from tiny_models import tiny_folder

from kn_edit.cli import terminal
from kn_edit.cli.run import run
from kn_edit.errors import ExitCode
from kn_edit.workspace import Workspace

LOOKING = [("status",), ("log",), ("show", "head"), ("diff", "base"), ("blame", "L0.1")]
LOST = ["full", "closed"]


@pytest.fixture
def lost(request, monkeypatch, edited, capsys):
    """Runs commands whose stdout is a full disk, or closed: exit code and lines of stderr."""

    def run_lost(*args: str) -> tuple[int, list[str]]:
        capsys.readouterr()
        with monkeypatch.context() as patch, Path("/dev/full").open("w") as full:
            patch.setattr(sys, "stdout", full if request.param == "full" else None)
            code = run(args)
        return code, capsys.readouterr().err.splitlines()

    return run_lost


def run_line(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in the present folder, in which `kn` is kn-edit."""
    return subprocess.run(
        ["bash", "-c", f'kn() {{ "$PYTHON" -c "$PROGRAM" "$@"; }}; {line}'],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        errors="surrogateescape",
        env={**os.environ, "PROGRAM": PROGRAM, "PYTHON": sys.executable, **variables},
    )


@pytest.mark.parametrize("columns", ["0", "-1", "", "x", "1", "10", "39", "100000", "9" * 5000])
def test_every_width_shows_all_of_it(edited, monkeypatch, columns):
    wide = {args: edited(*args) for args in LOOKING}
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", "0")
    for args in LOOKING:
        ran = edited(*args)
        assert ran.code == 0
        joined = "".join(ran.out.split())
        assert len(joined) >= len("".join(wide[args].out.split()))
        assert max(map(len, ran.lines)) <= max(terminal.MOST, 1)


def test_narrow_terminals_are_all_laid_out_alike(edited, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    forty = edited("log").out
    monkeypatch.setenv("COLUMNS", "3")
    assert edited("log").out == forty


def test_without_a_terminal_and_without_columns_there_are_eighty(edited, monkeypatch):
    expected = edited("log").out
    monkeypatch.delenv("COLUMNS")
    assert edited("log").out == expected


@pytest.mark.parametrize("name", ["dumb", "", "xterm-256color", "nonsense"])
def test_any_kind_of_terminal(edited, monkeypatch, name):
    monkeypatch.setenv("TERM", name)
    monkeypatch.setenv("NO_COLOR", "1")
    rows = [line for line in edited("log").lines if not line.startswith(" ")]  # but wrapped ones
    assert len(rows) == 4


def test_wide_letters_keep_the_columns_of_a_table_in_line(edited):
    prompt = "[X]的首都是[Y] 👍🏽 e\u0301 [Y2]"
    assert edited("tag", "v1").code == 0
    from kn_edit.cli.output import Output
    from kn_edit.cli.tables import fitted, table

    rows = table("+prompt", "says")
    for text in (prompt, "日本の首都は東京。" * 20, "plain"):
        rows.add_row(fitted(text, 60), "END")
    lines: list[str] = []
    output = Output(as_json=False, quiet=False)
    with output._console.capture() as captured:
        output._console.print(rows)
    lines = captured.get().splitlines()[1:]
    places = {cell_len(line[: line.index("END")]) for line in lines}
    assert len(places) == 1
    assert all(cell_len(line) <= 80 for line in lines)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_narrow_encoding_loses_nothing(edited, encoding):
    assert edited("tag", "v1").code == 0
    ran = run_line("kn show head && kn status --json", PYTHONIOENCODING=encoding)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "v1" in ran.stdout


READERS = [("status",), ("log", "-q"), ("show", "head", "--json"), ("--help",), ("--version",)]


@pytest.mark.parametrize("lost", LOST, indirect=True)
@pytest.mark.parametrize("args", READERS, ids=" ".join)
def test_readers_whose_output_is_lost_fail_with_a_sentence(lost, args):
    code, (sentence,) = lost(*args)
    assert code == ExitCode.DISK
    assert "could not be written" in sentence


WRITERS = [("tag", "z"), ("tag", "z", "-q"), ("tag", "z", "--json"), ("rewind", "base")]


@pytest.mark.parametrize("lost", LOST, indirect=True)
@pytest.mark.parametrize("args", [*WRITERS, ("backup", "b"), ("gc",)], ids=" ".join)
def test_writers_whose_output_is_lost_say_that_it_is_done(lost, edited, args):
    code, (note,) = lost(*args)
    assert code == 0
    assert note.startswith("note: ")
    assert "could not be written" in note
    if args[0] == "tag":
        assert edited("show", "z").code == 0
        assert note.startswith("note: z is version ")
    elif args[0] == "rewind":
        assert edited("log", "-q").lines[0] == edited("show", "base", "-q").lines[0]
    elif args[0] == "backup":
        assert Path("b").stat().st_size > 0


@pytest.mark.parametrize("where", ["2>&-", "2>/dev/full", "<&-"])
def test_other_streams_that_are_closed_or_full_change_nothing(edited, where):
    line = f"kn tag z {where}; echo $?; kn tag head {where}; echo $?"
    assert run_line(line).stdout.splitlines()[1:] == ["0", "2"]
    assert edited("show", "z").code == 0


def test_full_and_closed_outputs_of_a_process_of_its_own(edited):
    line = "kn status >/dev/full; echo $?; kn tag z >/dev/full; echo $?; kn log >&-; echo $?"
    ran = run_line(line)
    assert ran.stdout.split() == ["7", "0", "7"]
    assert len(ran.stderr.splitlines()) == 3  # nothing of the interpreter's own


def test_no_stream_at_all(edited):
    assert run_line("kn tag z <&- >&- 2>&-").returncode == 0
    assert edited("show", "z").code == 0
    assert edited("verify").code == 0  # nothing was printed into a file of the ledger


def test_a_stream_that_can_only_be_written_to_is_enough(tmp_path, monkeypatch):
    class Bare:
        def __init__(self) -> None:
            self.written: list[str] = []

        def write(self, text: str) -> int:
            self.written.append(str(text))
            return len(text)

        def flush(self) -> None:
            pass

    tiny_folder("llama", tmp_path / "model")
    Workspace.init(tmp_path / "model", tmp_path / "w").close()
    out, err = Bare(), Bare()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    code = run(["log", "--workspace", str(tmp_path / "w")])
    monkeypatch.undo()
    assert (code, "".join(err.written)) == (0, "")
    assert "init model" in "".join(out.written)
