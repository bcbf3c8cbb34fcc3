"""What to do about an error is data, which each front end puts in its own words."""

from __future__ import annotations

import ast
import copy
import dataclasses
import functools
import inspect
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import kn_edit.workspace
from kn_edit.cli.commands import kn_edit as program
from kn_edit.cli.remedies import COMMAND_LINE
from kn_edit.cli.run import run
from kn_edit.client import RemoteWorkspace
from kn_edit.errors import (
    PYTHON,
    BadFacts,
    BranchExists,
    ChangeOutOfRange,
    CommitUnknown,
    Diverged,
    EditAlreadyApplied,
    FactNotNamed,
    GateFailed,
    HeadMoved,
    NotFinite,
    NotPrivate,
    OneFactMethod,
    Remedy,
    RestoreTargetTaken,
    SlotOverlap,
    TagExists,
    UnknownBranch,
    UnknownId,
    Wording,
    phrase,
)
from kn_edit.errors.remedies import PLAIN
from kn_edit.experiments.reproduce import plan_of
from kn_edit.facts import read_cases
from kn_edit.mcp.wording import TOOLS
from kn_edit.service.problems import problem_of_job
from kn_edit.service.wording import HTTP
from kn_edit.workspace import Kind, Search, Workspace, case_of, methods
from kn_edit.workspace.verbs.hub import PushOptions

PACKAGE = Path(kn_edit.workspace.__file__).parents[1]
FLAG = re.compile(r"--[a-z]")
VERB = re.compile(r"[wW]orkspace\.(\w+)")
ONCE_MORE = (Remedy.AGAIN, Remedy.AGAIN_ON_HEAD)  # no other verb, and no argument
every_remedy = pytest.mark.parametrize("remedy", [x for x in Remedy if x not in ONCE_MORE])


# --- the tables ----------------------------------------------------------------------------------


def test_every_front_end_has_words_for_every_remedy():
    tables = (PYTHON, COMMAND_LINE, HTTP, TOOLS)
    assert all(table.words.keys() == {*Remedy} for table in tables)


@pytest.mark.parametrize("remedy", ONCE_MORE)
def test_each_front_end_has_its_own_word_for_once_more(remedy):
    assert COMMAND_LINE.say(remedy) == "run the command again"
    assert PYTHON.say(remedy) == "call it again"
    assert HTTP.say(remedy).startswith("send ")
    assert TOOLS.say(remedy).startswith("call the tool again")


def test_no_sentence_of_a_service_speaks_of_commands_to_run_again():
    moved = HeadMoved("a" * 64, "b" * 64)
    assert moved.sentence(COMMAND_LINE).endswith("nothing was recorded; run the command again")
    assert "`If-Match` of the present head" in moved.sentence(HTTP)
    texts = [text for path in sources() for text in constants(path)]
    assert [text for text in texts if "the command again" in text] == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (HeadMoved("a" * 64, "b" * 64), HTTP),
        (GateFailed(("it fails",), None, misses=("a prompt",), measured={"edit": None}), HTTP),
        (GateFailed(("NaN",), None, final=True), PLAIN),  # that it is final is no fact of its JSON
    ],
)
def test_an_error_that_a_worker_kept_is_told_as_far_as_its_facts_tell_it(error, told):
    kept = error.document(PLAIN)
    assert problem_of_job(kept)["message"] == error.sentence(told)
    assert error.sentence(HTTP) != error.sentence(PLAIN)


def test_a_commit_that_nobody_knows_of_is_told_of_its_disk_or_its_server():
    on_disk = CommitUnknown(Path("/work/ledger.db"), "EIO").sentence(HTTP)
    assert on_disk.startswith("the disk failed at the end of writing to /work/ledger.db (EIO)")
    on_server = CommitUnknown("db.example.org/facts", "gone").sentence(HTTP)
    assert "disk" not in on_server
    assert on_server.startswith("the connection to db.example.org/facts was lost at the end")
    assert on_server.endswith("look with `GET /api/v1/log` before you try again")


def test_every_remedy_stands_in_a_sentence():
    tables = PACKAGE / "errors" / "remedies.py"
    code = "".join(path.read_text(encoding="utf-8") for path in sources() if path != tables)
    named = {*re.findall(r"\{(\w+)[}:!]", code), *re.findall(r"Remedy\.([A-Z_]+)", code)}
    assert {remedy for remedy in Remedy if not {remedy.value, remedy.name} & named} == set()


@functools.cache
def parameters() -> set[str]:
    """The arguments of every verb, and of what is made for one."""
    members = inspect.getmembers(Workspace, inspect.isfunction)
    opening = (Workspace.init, Workspace.open, Workspace.restore, RemoteWorkspace)
    verbs = [*dict(members).values(), *opening]
    makers = (case_of, read_cases, Search.by, plan_of)
    classes = [method for kind in Kind for method in methods(kind).values()]
    return {
        *(name for call in (*verbs, *makers) for name in inspect.signature(call).parameters),
        *(field.name for method in classes for field in dataclasses.fields(method)),
        *PushOptions.__annotations__,
    }


@every_remedy
def test_the_words_of_python_name_verbs_and_arguments_that_there_are(remedy):
    words = PYTHON.say(remedy)
    verbs = [getattr(Workspace, name) for name in VERB.findall(words)]  # AttributeError if none
    quoted = [name for name in re.findall(r"`(\w+)`", words) if name]
    keywords = re.findall(r"(\w+)=", words)
    calls = re.findall(r"(?<!\.)\b(read_cases|Search\.by)\b", words)
    assert {*quoted, *keywords} <= parameters()
    assert verbs or quoted or keywords or calls


@every_remedy
def test_the_calls_in_words_of_python_fit_their_signatures(remedy):
    words = PYTHON.say(remedy)
    for code in re.findall(r"[wW]orkspace\.\w+\(.*\)", words):
        call = ast.parse(code, mode="eval").body
        while not (isinstance(call, ast.Call) and isinstance(call.func.value, ast.Name)):
            call = call.value if isinstance(call, ast.Attribute) else call.func
        signature = inspect.signature(inspect.unwrap(getattr(Workspace, call.func.attr)))
        bound = inspect.ismethod(getattr(Workspace, call.func.attr))
        given = ["self"] * (not bound) + ["given"] * len(call.args)
        signature.bind_partial(*given, **{one.arg: "given" for one in call.keywords})


def flags_of(command: click.Command) -> set[str]:
    # Those of methods are read from their table; click keeps the first --help that it makes.
    context = click.Context(command, **program.context_settings)
    return {flag for param in command.get_params(context) for flag in param.opts}


@functools.cache
def every_flag() -> set[str]:
    return set().union(*map(flags_of, commands()))


def commands(command: click.Command = program) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from commands(below)


def command_in(words: list[str]) -> click.Command | None:
    """The command that words begin with, as far down as they name one."""
    command: click.Command = program
    for word in words[1:] if words[0] == "kn-edit" else words:
        below = command.commands.get(word) if isinstance(command, click.Group) else None
        if below is None:
            break
        command = below
    return None if command is program else command


@every_remedy
def test_the_words_of_the_command_line_name_commands_and_options_that_there_are(remedy):
    words = COMMAND_LINE.say(remedy).replace("`", "").split()
    flags = {word for word in words if re.fullmatch(r"--?[a-z-]+", word)}
    command = command_in(words)
    assert command or flags
    assert command or words[0] != "kn-edit"
    known = flags_of(command) if command else every_flag()
    assert flags <= known


@every_remedy
def test_commands_in_the_words_of_tools_are_there(remedy):
    words = re.sub("[`,]", "", TOOLS.say(remedy)).split()
    if words[0] != "kn-edit":
        return
    command = command_in(words)
    assert command
    assert {word for word in words if word.startswith("-")} <= flags_of(command)


# --- the sentences -------------------------------------------------------------------------------

TOLD = {
    "an argument": (
        SlotOverlap((("a" * 64, "b" * 64),), ("L0.1",)),
        "edits write the same value slots (aaaaaaaaaaaa with bbbbbbbbbbbb: L0.1); "
        "pass --allow-overlap to go on, in the order of the list",
        "edits write the same value slots (aaaaaaaaaaaa with bbbbbbbbbbbb: L0.1); "
        "pass allow_overlap=True to go on, in the order of the list",
        "edits write the same value slots (aaaaaaaaaaaa with bbbbbbbbbbbb: L0.1)",
        (Remedy.ALLOW_OVERLAP,),
    ),
    "a verb, and a step for everybody": (
        BranchExists("try"),
        "there is a branch 'try' already; `kn-edit switch try` goes there, or choose another name",
        "there is a branch 'try' already; `workspace.switch('try')` goes there, or choose another "
        "name",
        "there is a branch 'try' already; choose another name",
        (Remedy.SWITCH,),
    ),
    "a verb of the first letters of an id": (
        EditAlreadyApplied("0123456789abcdef"),
        "edit 0123456789ab is part of the head already, so there is nothing to record; "
        "see `kn-edit show 0123456789ab`",
        "edit 0123456789ab is part of the head already, so there is nothing to record; "
        "see `workspace.show('0123456789ab')`",
        "edit 0123456789ab is part of the head already, so there is nothing to record",
        (Remedy.SHOW,),
    ),
    "a verb of something to fill in": (
        NotFinite("the head", "float16"),
        "the model's answers are not numbers (NaN): they leave the range of float16 in the head; "
        "use the checkpoint saved in bfloat16 or float32, or take the edit that did it back "
        "(`kn-edit log`, then `kn-edit revert EDIT`)",
        "the model's answers are not numbers (NaN): they leave the range of float16 in the head; "
        "use the checkpoint saved in bfloat16 or float32, or take the edit that did it back "
        "(`workspace.log()`, then `workspace.revert(EDIT)`)",
        "the model's answers are not numbers (NaN): they leave the range of float16 in the head; "
        "use the checkpoint saved in bfloat16 or float32",
        (Remedy.LOG, Remedy.REVERT),
    ),
    "an argument to leave out": (
        NotPrivate("me/model"),
        "me/model exists and is public, so nothing was sent; make it private in its settings, or "
        "leave --private out",
        "me/model exists and is public, so nothing was sent; make it private in its settings, or "
        "leave private=True out",
        "me/model exists and is public, so nothing was sent; make it private in its settings",
        (Remedy.PRIVATE,),
    ),
    "what it does not help to do": (
        GateFailed(("NaN",), None, final=True),
        "not recorded: NaN; --accept does not record it either: use the calibrated method, or a "
        "smaller --scale",
        "not recorded: NaN; accept=True does not record it either: use the calibrated method, or "
        "a smaller `scale`",
        "not recorded: NaN",
        (Remedy.SCALE,),
    ),
    "a remedy among the facts": (
        ChangeOutOfRange(1),
        "the change that was computed leaves the range of float32 in 1 value slot, so nothing was "
        "recorded; use a smaller --scale, or the calibrated method",
        "the change that was computed leaves the range of float32 in 1 value slot, so nothing was "
        "recorded; use a smaller `scale`, or the calibrated method",
        "the change that was computed leaves the range of float32 in 1 value slot, so nothing was "
        "recorded; use a smaller scale, or the calibrated method",
        (Remedy.SCALE,),
    ),
    "none": (
        UnknownBranch("v1", "tag").worded(PYTHON),
        "'v1' is no branch but a tag, which stays where it is; `kn-edit switch -c NAME v1` makes a "
        "branch there, and goes to it",
        "'v1' is no branch but a tag, which stays where it is; `workspace.switch(NAME, "
        "create=True, at='v1')` makes a branch there, and goes to it",
        "'v1' is no branch but a tag, which stays where it is",
        (Remedy.BRANCH_OFF,),
    ),
    "a list of methods": (
        OneFactMethod("auto", 3, ("joint", "memit")),
        "an edit of the method auto changes one fact, and 3 were given; make an edit of each "
        "(update --facts without --as-one-edit), or choose --method joint or memit",
        "an edit of the method auto changes one fact, and 3 were given; make an edit of each "
        "(workspace.update(CASE)), or choose how=joint or memit",
        "an edit of the method auto changes one fact, and 3 were given",
        (Remedy.EDIT_EACH, Remedy.METHOD),
    ),
}


@pytest.mark.parametrize(
    ("error", "command_line", "python", "summary", "remedies"), TOLD.values(), ids=TOLD
)
def test_an_error_is_told_in_the_words_of_each_front_end(
    error, command_line, python, summary, remedies
):
    assert error.sentence(COMMAND_LINE) == command_line
    assert error.sentence(PYTHON) == str(error) == python
    assert error.summary == summary
    assert error.remedies == remedies


def test_a_third_front_end_has_its_own_words():
    class Http(Wording):
        def say(self, remedy: Remedy, about: str | None = None) -> str:
            return f"POST /{remedy.value}" + (f"?version={about}" if about else "")

    diverged = Diverged("theirs", "a" * 64, "b" * 64)
    assert diverged.sentence(Http()).endswith(
        "`POST /merge?version=theirs` joins both, `POST /rewind?version=theirs` takes theirs"
    )
    assert str(diverged) == diverged.sentence(PYTHON)  # it is as it was


def test_what_is_wrong_is_told_without_a_front_end():
    error = RestoreTargetTaken(Path("/edits"))
    assert error.summary == "/edits is there already"
    assert UnknownId("version", "v9").summary == "there is no version 'v9' in this ledger"


def test_facts_in_braces_are_no_remedies():
    error = TagExists("{accept} {0} {", "a" * 64)
    assert "'{accept} {0} {' names version" in error.sentence(COMMAND_LINE)
    assert error.remedies == (Remedy.MOVE,)
    assert "switch {force}" in BranchExists("{force}").sentence(COMMAND_LINE)


def test_a_fact_that_names_remedies_is_told_in_the_same_words():
    error = FactNotNamed(phrase("{answer} (or, of an update, {to})"))
    assert error.sentence(COMMAND_LINE).startswith(
        "which fact? --answer (or, of an update, --to) is missing; name it by --relation and"
    )
    assert error.worded(COMMAND_LINE).detail() == {"missing": "--answer (or, of an update, --to)"}
    assert str(error).startswith("which fact? `answer` (or, of an update, `to`) is missing")
    assert error.summary == "which fact? answer (or, of an update, to) is missing"
    assert error.remedies[:2] == (Remedy.ANSWER, Remedy.TO)


def test_copies_of_a_phrase_are_text_in_the_words_of_python():
    text = phrase("use {accept}")
    assert text == "use accept=True"
    for made in (copy.deepcopy(text), pickle.loads(pickle.dumps(text))):
        assert (type(made), made) == (str, "use accept=True")


def test_a_file_that_has_to_be_unpacked_is_told_of_in_the_words_of_each(tmp_path):
    file = tmp_path / "facts.gz"
    file.write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(BadFacts) as refusal:
        read_cases(file)
    assert refusal.value.sentence(COMMAND_LINE).endswith(
        "unpack it, or pipe it in: --facts <(zcat FILE)"
    )
    assert "--" not in str(refusal.value).replace(str(file), "")
    assert refusal.value.remedies == (Remedy.PIPE,)


# --- the front ends ------------------------------------------------------------------------------


def test_the_document_of_an_error_lists_its_remedies(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["status", "--json"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    document = ast.literal_eval(line)
    assert document["remedies"] == ["init", "workspace"]
    assert document["message"].endswith(
        "make one with `kn-edit init demo`, or name one with --workspace DIR"
    )


def test_every_front_end_writes_the_same_document():
    error = TagExists("v1", "a" * 64)
    document = error.document(COMMAND_LINE)
    assert document == {
        "error": "TagExists",
        "code": 3,
        "message": error.sentence(COMMAND_LINE),
        "detail": {"name": "v1", "version": "a" * 64},
        "remedies": ["move"],
    }
    assert error.document(PYTHON) == document | {"message": str(error)}


def test_an_error_of_usage_lists_none(capsys):
    assert run(["log", "--json", "--nonsense"]) == 2
    assert ast.literal_eval(capsys.readouterr().err)["remedies"] == []


def sources() -> list[Path]:
    """The code that writes sentences for every front end."""
    aside = {
        PACKAGE / "hub" / "card.py",  # for readers of a page, who have the command line alone
        PACKAGE / "service" / "wording.py",  # for callers of a server, which has a command line
        PACKAGE / "mcp" / "wording.py",  # for assistants, whose users have one
        PACKAGE / "jobs" / "children.py",  # starts commands
    }
    return [path for path in PACKAGE.rglob("*.py") if path.parts[-2] != "cli" and path not in aside]


def constants(path: Path) -> Iterator[str]:
    """Every text of a file but docstrings, flags of methods' options, and those of pip."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    aside = {
        id(argument)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "option"
        for argument in node.args
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):  # a docstring
            aside.add(id(node.value))
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        pip = path.name == "demo.py" and re.fullmatch(r"--[a-z-]+(=:all:)?", node.value)
        if id(node) not in aside and not pip:
            yield node.value


def test_no_sentence_outside_the_command_line_names_its_options():
    assert sum(1 for path in sources() for _ in constants(path)) > 3000  # the walk sees them
    named = [
        f"{path.relative_to(PACKAGE)}: {text}"
        for path in sources()
        for text in constants(path)
        if FLAG.search(text)
    ]
    assert named == []
