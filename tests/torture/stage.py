"""A warm process: everything is imported, templates stand ready, one fork per trial."""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import os
import pickle
import pkgutil
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hub_side
from cli_shell import PACK
from commands import COMMANDS, Command
from library import Fault, Kind, Library, Mode
from old_ledgers import old_ledger
from state import State, collect, ledger_state, names, target_state
from tiny_models import tiny_folder
from workspaces import TEMPLATES, known_by

import kn_edit
from kn_edit.cli.run import run
from kn_edit.workspace import Auto, Workspace, case_of

LEDGER = ".kn-edit"
CACHE = ".cache"  # of commands whose cache counts too
UNDER_WAY = "under-way"  # the folder of notes in it
SECONDS = 60  # more than any trial takes


@dataclass(frozen=True)
class Ran:
    """How a command ended in its child."""

    code: int  # of a signal: its negative
    out: str
    err: str
    report: str  # the operation that went wrong
    operations: int = 0
    hits: int = 0

    @property
    def error(self) -> dict[str, Any]:
        """The error document of --json; empty where there is none."""
        for line in reversed(self.err.splitlines()):
            if line.startswith('{"error"'):
                document: dict[str, Any] = json.loads(line)
                return document
        return {}


@dataclass(frozen=True)
class Seen:
    """What stands in a trial's folder."""

    ledger: State | None
    target: State | None
    problem: str = ""  # why it could not be read


@dataclass
class Reference:
    """A command carried out well: before, after, and what it leaves."""

    old: Seen
    new: Seen
    operations: int
    out: str
    files: list[str]
    partly: bool  # whether the target may be done in part

    def changed(self, seen: Seen) -> bool:
        """Whether the command did anything that counts."""
        target = not self.partly and seen.target != self.old.target
        return seen.ledger != self.old.ledger or target

    def done(self, seen: Seen) -> bool:
        """Whether the command did all that counts."""
        return seen.ledger == self.new.ledger and (self.partly or seen.target == self.new.target)


class Stage:
    """Templates of workspaces in a folder, and trials on copies of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.library = Library()
        self.trials = 0
        self._references: dict[str, Reference] = {}
        os.environ["KN_EDIT_CACHE"] = str(folder / "cache")
        os.environ["COLUMNS"] = "200"
        _import_all()
        self.model = tiny_folder("llama", folder / "model")
        (self.model / "more" / "below").mkdir(parents=True)
        (self.model / "more" / "below" / "notes.txt").write_text("files in folders are copied too")
        self.pack = folder / "pack.json"
        self.pack.write_text(json.dumps(PACK))
        self.known = folder / "known.json"  # facts that the model knows
        self.first = ""  # the id of the first edit, once there is one
        self.first = self._build()
        gc.collect()
        gc.freeze()  # a child that collects these objects copies every page that they stand on
        tasks = len(list(Path("/proc/self/task").iterdir()))
        assert tasks == 1, f"{tasks} threads would be lost in a fork"

    # --- templates -------------------------------------------------------------------------------

    def _build(self) -> str:
        """Make the templates; the id of the first edit in them."""
        made = self.folder / "templates"
        (made / "empty").mkdir(parents=True)
        (self.folder / "cache" / "scores").mkdir(parents=True)
        first: str = self.aside(lambda: _templates(made, self.model, self.pack, self.known))
        self._leave_a_log(made / "hot")
        return first

    def _leave_a_log(self, made: Path) -> None:
        """A workspace whose last writer was killed right after its commit."""
        writer = Command("writer", "edited", ("tag", "killed"))
        place = self.fresh(writer)
        self.run(writer, place, Fault(Mode.TEAR, 1, kinds=Kind.SYNC))
        shutil.copytree(place / "w", made)
        assert (made / LEDGER / "ledger.db-wal").stat().st_size
        self.remove(place)

    def arguments(self, command: Command) -> list[str]:
        """The command line, its places filled in."""
        places = {
            "model": self.model,
            "pack": self.pack,
            "known": self.known,
            "first": self.first,
        }
        return [argument.format(**places) for argument in command.args] + ["--json"]

    def fresh(self, command: Command) -> Path:
        """A trial's folder with a copy of the command's template in it; the Hub as it begins."""
        place = self.place()
        shutil.copytree(self.folder / "templates" / command.template, place / "w")
        if command.cache:
            (place / "w" / CACHE / UNDER_WAY).mkdir(parents=True)
        if command.hub:
            hub_side.begin(command.hub)
        return place

    def place(self) -> Path:
        """A new folder for a trial."""
        self.trials += 1
        place = self.folder / "trials" / str(self.trials)
        place.mkdir(parents=True)
        (place / "cache").mkdir()
        (place / "cache" / "scores").symlink_to(self.folder / "cache" / "scores")
        return place

    def remove(self, place: Path) -> None:
        shutil.rmtree(place, ignore_errors=True)

    # --- trials ----------------------------------------------------------------------------------

    def run(self, command: Command, place: Path, fault: Fault, trace: Path | None = None) -> Ran:
        """Carry out a command in a child whose operations go wrong as the fault says."""
        child = os.fork()
        if child == 0:
            self._child(self.arguments(command), place, fault, trace)
        status = _ended(child)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        texts = [_text(place / name) for name in ("out", "err", "report", "counts")]
        operations, hits = map(int, (texts.pop() or "0 0").split())
        return Ran(code, *texts, operations, hits)

    def _child(self, args: list[str], place: Path, fault: Fault, trace: Path | None) -> None:
        code = 99
        try:
            for number, name in ((1, "out"), (2, "err")):
                os.dup2(_new_file(place / name), number)
            report = _new_file(place / "report")
            record = _new_file(trace) if trace else -1
            counts = _new_file(place / "counts")
            sys.stdout = os.fdopen(1, "w", closefd=False)
            sys.stderr = os.fdopen(2, "w", closefd=False)
            self.enter(place)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            time.sleep = lambda seconds: None  # before the Hub is asked again
            self.library.arm(place / "w", fault, trace=record, report=report)
            code = run(args)
            sys.stdout.flush()
            self.library.disarm()
            os.write(counts, b"%d %d" % (self.library.count, self.library.hits))
        except BaseException:
            self.library.disarm()
            traceback.print_exc()
        finally:
            os._exit(code)

    def aside(self, act: Callable[[], Any]) -> Any:
        """The result of a function that runs in a child; the parent opens no database."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.close(reader)
                result = act()
                with os.fdopen(writer, "wb") as pipe:
                    pickle.dump(result, pipe)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            data = pipe.read()
        assert _ended(child) == 0, "looking at a trial failed; its traceback is above"
        return pickle.loads(data)

    def enter(self, place: Path) -> None:
        """Make a trial's folder that of this process, and its cache too."""
        own = place / "w" / CACHE
        os.chdir(place / "w")
        os.environ["KN_EDIT_CACHE"] = str(own if own.exists() else place / "cache")

    def look(self, command: Command, place: Path) -> Seen:
        """What stands in a trial's folder; call it in a child."""
        folder = place / "w"
        try:
            target = target_state(folder / command.target) if command.target else None
            if command.hub:
                target = hub_side.hub_state()
            return Seen(ledger_state(folder / LEDGER), target)
        except Exception as error:
            return Seen(None, None, f"{type(error).__name__}: {error}")

    def reference(self, name: str) -> Reference:
        """What a command does where nothing goes wrong."""
        if name not in self._references:
            command = COMMANDS[name]
            place = self.fresh(command)
            old = self.aside(lambda: self.look(command, place))
            ran = self.run(command, place, Fault(Mode.COUNT))
            assert ran.code == 0, f"{name}: {ran.code} {ran.err}"
            new, files = self.aside(lambda: (self.look(command, place), self.kept(place)))
            self._references[name] = Reference(
                old, new, ran.operations, ran.out, files, command.partly
            )
            self.remove(place)
        return self._references[name]

    def kept(self, place: Path) -> list[str]:
        """Files that stay when gc has taken all that it may."""
        self.enter(place)
        collect(place / "w")
        return names(place / "w")


def _templates(made: Path, model: Path, pack: Path, known: Path) -> str:
    fresh, edited, apart = made / "fresh", made / "edited", made / "apart"
    fact = ["--relation", str(pack), "--rule", "activation", "--accept", "--subject"]
    assert run(["init", str(model), "--workspace", str(fresh), "-q"]) == 0
    shutil.copytree(fresh, edited)
    there = ["--workspace", str(edited), "-q"]
    assert run(["update", *fact, "France", "--to", "Rome", *there]) == 0
    assert run(["tag", "v1", *there]) == 0
    shutil.copytree(edited, apart)
    with Workspace.open(edited) as workspace:  # on the same slots: they overlap
        (first,) = workspace.ledger.edits()
        japan = case_of(relation=str(pack), subject="Japan")
        workspace.update(japan, "Cairo", how=Auto(first.neurons), accept=True)
    there = ["--workspace", str(apart), "-q"]
    assert run(["rewind", "base", *there]) == 0
    assert run(["update", *fact, "Japan", "--to", "Cairo", *there]) == 0
    assert run(["tag", "v2", *there]) == 0
    there = ["--workspace", str(shutil.copytree(apart, made / "branched")), "-q"]
    assert run(["branch", "other", "v1", *there]) == 0
    _litter(shutil.copytree(edited, made / "littered"))
    (made / "saved").mkdir()
    assert run(["backup", str(made / "saved" / "saved.tar"), "--workspace", str(edited), "-q"]) == 0
    shutil.copytree(edited, made / "behind")  # a ledger, and an older backup to put in its place
    assert run(["backup", str(made / "behind" / "saved.tar"), "--workspace", str(fresh), "-q"]) == 0
    for name, schema in (("old", "0002"), ("oldest", "0001")):
        old_ledger(made / name, schema)
    _publish(shutil.copytree(edited, made / "published"))
    with Workspace.open(fresh) as workspace:
        relation = known_by(workspace, TEMPLATES[1])
    facts = [[fact.subject, fact.answer] for fact in relation.facts]
    texts = [{"text": template.text} for template in relation.templates]
    known.write_text(json.dumps({"name": "known", "templates": texts, "facts": facts}))
    return first.id


def _publish(folder: Path) -> None:
    """Make the states of the Hub: nothing, the base, the base and then an edit."""
    there = [hub_side.REPO, "--workspace", str(folder), "-q"]
    hub_side.keep("bare")
    assert run(["push", "--version", "base", "--tag", "v0", *there]) == 0
    hub_side.keep("earlier")
    assert run(["push", *there]) == 0
    hub_side.keep("published")


def _litter(folder: Path) -> None:
    """What crashed commands left a month ago."""
    digest = hashlib.sha256(b"rest").hexdigest()  # such a file is nobody's, and sound
    shard = folder / LEDGER / "blobs" / digest[:2]
    rest = [
        shard / f"{digest}.safetensors",
        shard / f"{'1' * 64}.1.1.tmp",
        folder / LEDGER / "ledger.db.1.tmp",
    ]
    month_ago = time.time() - 30 * 24 * 3600
    for path in rest:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"rest")
        os.utime(path, (month_ago, month_ago))


def _import_all() -> None:
    """Import all of kn-edit, and what it imports late, once for all children."""
    for module in pkgutil.walk_packages(kn_edit.__path__, "kn_edit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("alembic.command", "alembic.script", "sqlalchemy.dialects.sqlite"):
        importlib.import_module(name)


def _ended(child: int) -> int:
    """Wait for a child; its status. One that hangs is killed after a minute."""
    deadline = time.monotonic() + SECONDS
    pause = 0.001
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            deadline += SECONDS
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def _new_file(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
