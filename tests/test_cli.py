"""What holds for every command: help, exit codes, errors, where the workspace is."""

from __future__ import annotations

import ast
import json
import sys
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest
from cli_shell import PROGRAM, ended, process

from kn_edit.cli import main
from kn_edit.cli.commands import SECTIONS, kn_edit
from kn_edit.cli.reference import reference
from kn_edit.cli.run import READER_LEFT
from kn_edit.errors import ExitCode

COMMANDS = [*kn_edit.commands.values()]
FACT = ("--relation", "capital", "--subject", "France")
IN_A_WORKSPACE = [
    ("assess", *FACT),
    ("locate", *FACT),
    ("suppress", *FACT),
    ("amplify", *FACT),
    ("evaluate",),
    ("capability", "task.yaml"),
    ("bench",),
    ("report",),
    ("reproduce",),
    ("update", *FACT, "--to", "Rome"),
    ("erase", "--relation", "capital"),
    ("status",),
    ("log",),
    ("show", "head"),
    ("diff", "base"),
    ("blame", "L0.1"),
    ("revert", "abcdef01"),
    ("rewind", "base"),
    ("compose", "base"),
    ("tag", "v1"),
    ("branch",),
    ("switch", "main"),
    ("merge", "main"),
    ("export", "out"),
    ("verify",),
    ("backup", "b.tar"),
    ("gc",),
]
STARTING = {"click", "sqlalchemy", "rich", "greenlet", "typing_extensions", "platformdirs"}
MODULES = 190  # of kn-edit itself, for `log`
WRONG = [
    ("nonsense",),
    ("init",),
    ("assess", "--relation"),
    ("assess", "--subject", "France"),
    ("assess", "--relation", "capital"),
    ("assess", "--relation", "nonsense", "--subject", "France"),
    ("assess", "--relation", "capital", "--subject", "Atlantis"),
    ("assess", "--prompt", "no placeholder", "--subject", "a", "--answer", "b"),
    ("assess", "--prompt", "[X] [Y]", "--subject", "a"),
    ("assess", "--facts", "some.jsonl", "--subject", "a"),
    ("locate", *FACT, "--limit", "3"),
    ("locate", *FACT, "--steps", "3"),
    ("locate", *FACT, "--threshold", "0"),
    ("locate", *FACT, "--rule", "guess"),
    ("suppress", *FACT, "--factor", "nan"),
    ("amplify", "--relation", "capital"),
    ("evaluate", "abc123"),
    ("capability",),
    ("bench", "--prompts", "0"),
    ("bench", "--relation", "nonsense"),
    ("report", "--version", "abc123"),
    ("reproduce", "--facts", "1"),
    ("reproduce", "--relation", "nonsense"),
    ("reproduce", "--sentences", "capital"),
    ("reproduce", "--sentences", "kind", "some.json"),
    ("update", *FACT),
    ("update", *FACT, "--to", "Paris"),
    ("update", *FACT, "--to", "Rome", "--scale", "1", "8"),
    ("update", *FACT, "--to", "Rome", "--method", "closed-form", "--scale", "nan", "8"),
    ("erase",),
    ("erase", "--relation", "capital", "--at-least", "2", "--top-k", "3"),
    ("erase", "--relation", "capital", "--with", "love"),
    ("show",),
    ("show", "abc123"),
    ("blame", "9.2141"),
    ("diff",),
    ("compose",),
    ("tag", "head"),
    ("tag", "two words"),
    ("branch", "two words"),
    ("branch", "HEAD"),
    ("switch",),
    ("merge",),
    ("export", "out", "--as", "zip"),
    ("completion", "tcsh"),
]


def test_help_of_every_command_teaches_and_fits(shell):
    for command in COMMANDS:
        ran = shell(command.name, "--help")
        assert ran.code == 0
        assert "Example" in ran.out
        assert max(map(len, ran.lines)) <= 80
        assert not command.get_short_help_str(60).endswith("...")


def test_the_summary_of_every_command_is_the_first_sentence_of_its_help():
    entries = {name: entry for part in SECTIONS.values() for name, entry in part.items()}
    assert {name: entry.summary for name, entry in entries.items()} == {
        name: command.get_short_help_str(60) for name, command in kn_edit.commands.items()
    }
    assert all(kn_edit.commands[name].name == name for name in entries)


@pytest.mark.parametrize(
    ("environment", "args"),
    [
        ({}, ("--help",)),
        ({}, ("--version",)),
        ({"_KN_EDIT_COMPLETE": "bash_complete", "COMP_WORDS": "kn-edit re", "COMP_CWORD": "1"}, ()),
    ],
    ids=["help", "version", "completion"],
)
def test_what_tells_of_the_commands_loads_none_of_them(shell, environment, args, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    program = """
import sys
from kn_edit.cli.run import run
code = run(sys.argv[1:])
print(sorted({"kn_edit.workspace", "kn_edit.cli.history", "rich", "sqlalchemy"} & {*sys.modules}))
sys.exit(code)
"""
    ran = ended(process(*args, program=program))
    assert (ran.code, ran.lines[-1]) == (0, "[]"), ran.err
    assert len(ran.lines) > 1


def test_no_command_at_all_shows_the_help(shell):
    ran = shell()
    assert ran.code == ExitCode.USAGE
    assert "kn-edit init demo" in ran.err


def test_the_reference_in_docs_is_up_to_date():
    written = (Path(__file__).parents[1] / "docs" / "cli.md").read_text()
    assert written == reference(), "run: python -m kn_edit.cli.reference > docs/cli.md"
    titles = {line.split()[2] for line in written.splitlines() if line.startswith("### kn-edit ")}
    assert titles == set(kn_edit.commands)  # of a group, those that it holds


@pytest.mark.parametrize("args", IN_A_WORKSPACE, ids=lambda args: args[0])
def test_outside_of_a_workspace(shell, args, tmp_path):
    ran = shell(*args, "--json")
    assert ran.code == ExitCode.USAGE
    assert ran.error["error"] == "NoWorkspace"
    assert ran.error["detail"] == {"folder": str(tmp_path)}
    assert ran.out == ""
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("args", WRONG, ids=" ".join)
def test_wrong_arguments_end_in_one_sentence_and_write_nothing(edited, args):
    before = edited("log", "-q").out
    ran = edited(*args)
    assert ran.code == ExitCode.USAGE
    assert ran.out == ""
    (sentence,) = ran.err.splitlines()
    assert sentence.startswith("kn-edit: ")
    assert edited("log", "-q").out == before


def test_the_workspace_may_stand_before_and_after_the_command_and_in_the_environment(
    shell, place, monkeypatch
):
    folder = str(place / "edited")
    expected = shell("log", "-q", "--workspace", folder)
    assert len(expected.lines) == 3
    assert shell("--workspace", folder, "log", "-q") == expected
    assert shell("--workspace", "nowhere", "log", "-q", "--workspace", folder) == expected
    monkeypatch.setenv("KN_EDIT_WORKSPACE", folder)
    assert shell("log", "-q") == expected


def test_a_missing_model_exits_1(shell, tmp_path):
    ran = shell("init", "./nowhere", "--json")
    assert (ran.code, ran.error["error"]) == (1, "CheckpointFolderMissing")
    (tmp_path / "empty").mkdir()
    assert shell("init", "empty").code == ExitCode.ERROR
    assert not (tmp_path / ".kn-edit").exists()


def test_a_model_that_was_moved_away_is_named(edited, place, monkeypatch):
    with closing(connect(".kn-edit/ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE base_models SET source = '/moved/away'")
    ran = edited("assess", "--relation", edited.pack, "--subject", "France")
    assert ran.code == ExitCode.ERROR
    assert "/moved/away" in ran.err


def test_conflicts_exit_3(edited):
    first, _ = edited("show", "head", "--json").json["edits"]
    ran = edited("revert", first, "--json")
    assert (ran.code, ran.error["error"]) == (ExitCode.CONFLICT, "SlotOverlap")
    assert ran.error["code"] == 3
    assert edited("init", edited.model).code == ExitCode.CONFLICT


def test_damage_exits_4(edited):
    blob = next(Path(".kn-edit/blobs").rglob("*.safetensors"))
    blob.write_bytes(blob.read_bytes()[:-1] + b"\xff")
    ran = edited("rewind", "base", "--json")
    assert ran.code == 0  # the base needs no delta
    last = edited("log", "-q").lines[1]
    assert edited("rewind", last).code == ExitCode.INTEGRITY


def test_no_network_exits_5(shell):
    ran = shell("init", "someone/some-model", "--json")
    assert (ran.code, ran.error["error"]) == (ExitCode.NETWORK, "HubLoadFailed")


def test_a_newer_ledger_exits_6(edited):
    with closing(connect(".kn-edit/ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE alembic_version SET version_num = '0042'")
    assert edited("log").code == ExitCode.NEWER_SCHEMA


def test_an_unusable_disk_exits_7(edited):
    Path("file").write_text("")
    assert edited("backup", "file/backup.tar").code == ExitCode.DISK
    assert edited("export", "file/model").code == ExitCode.DISK
    assert edited("init", edited.model, "--workspace", "file/w").code == ExitCode.DISK


def test_the_unexpected_is_one_sentence_and_a_traceback_on_demand(edited, monkeypatch):
    Path(".kn-edit/blobs").rename(".kn-edit/elsewhere")
    Path(".kn-edit/blobs").write_text("in the way")
    ran = edited("rewind", edited("log", "-q").lines[1])
    assert ran.code != 0
    assert len(ran.err.splitlines()) == 1
    monkeypatch.setenv("KN_EDIT_DEBUG", "1")
    assert "Traceback" in edited("rewind", edited("log", "-q").lines[1]).err


def test_usage_errors_as_json(shell):
    ran = shell("log", "--json", "--nonsense")
    assert (ran.code, ran.error["error"], ran.error["code"]) == (2, "UsageError", 2)


WITHOUT_A_MODEL = [
    ("--help",),
    ("status",),
    ("log",),
    ("log", "--all"),
    ("show", "head"),
    ("diff", "base"),
    ("blame", "L0.1"),
    ("tag", "v1"),
    ("branch",),
    ("branch", "more"),
    ("switch", "-c", "other"),
    ("doctor",),
    ("completion", "bash"),
    ("export", "whole"),
    ("export", "edits", "--as", "delta"),
    ("export", "lora", "--as", "adapter"),
]


def test_commands_that_need_no_model_import_no_torch(edited):
    """One after the other in one process, which tells what it has loaded after each."""
    program = """
import json, sys
from kn_edit.cli.run import run
for args in json.loads(sys.argv[1]):
    code = run(args)
    loaded = sorted({"torch", "transformers"} & {*sys.modules})
    print(json.dumps([args, code, loaded]), file=sys.stderr)
"""
    ran = ended(process(json.dumps(WITHOUT_A_MODEL), program=program))
    lines = [line for line in ran.err.splitlines() if line.startswith("[[")]
    assert [json.loads(line) for line in lines] == [[[*args], 0, []] for args in WITHOUT_A_MODEL], (
        ran.err
    )


def test_a_look_at_the_history_loads_few_packages(edited):
    """Each costs time at every start. Counted, as seconds depend on what else runs."""
    program = """
import sys
from kn_edit.cli.run import run
code = run(sys.argv[1:])
installed = {
    name.partition(".")[0]
    for name, module in [*sys.modules.items()]
    if "site-packages" in (getattr(module, "__file__", None) or "") and name[0] != "_"
}
print(sorted(installed))
print(sum(name.startswith("kn_edit") for name in sys.modules))
sys.exit(code)
"""
    ran = ended(process("log", program=program))
    assert ran.code == 0, ran.err
    assert set(ast.literal_eval(ran.lines[-2])) <= STARTING
    assert int(ran.lines[-1]) <= MODULES


def test_a_reader_that_leaves_is_no_error(edited):
    running = process("log", program=PROGRAM)
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait(60) == READER_LEFT
    assert running.stderr is not None
    assert running.stderr.read() == ""
    running.stderr.close()


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_completion_scripts(shell, shell_name):
    ran = shell("completion", shell_name)
    assert ran.code == 0
    assert "_KN_EDIT_COMPLETE" in ran.out


def test_completion_knows_commands_and_relations(shell, monkeypatch):
    monkeypatch.setenv("_KN_EDIT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "kn-edit re")
    monkeypatch.setenv("COMP_CWORD", "1")
    words = ("report", "reproduce", "restore", "revert", "rewind")
    assert sorted(shell().lines) == [f"plain,{word}" for word in words]
    monkeypatch.setenv("COMP_WORDS", "kn-edit assess --relation ca")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert shell().lines == ["plain,capital"]


def test_nothing_is_coloured_in_a_pipe(edited):
    assert "\x1b" not in edited("log").out
    for args in (("log",), ("status",), ("show", "head"), ("diff", "base"), ("doctor",)):
        assert all(line == line.rstrip() for line in edited(*args).lines)


def test_ctrl_c_while_the_program_starts_ends_in_a_sentence(monkeypatch, capsys):
    class Interrupted:
        def __getattr__(self, name):
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "kn_edit.cli.run", Interrupted())
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 130
    assert capsys.readouterr().err == "stopped; nothing was written\n"
