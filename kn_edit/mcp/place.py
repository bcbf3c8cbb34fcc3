"""Where tools work: the workspace in a folder, or one that a service serves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol, Self

from kn_edit.client import RemoteWorkspace
from kn_edit.errors import Cancelled, KnEditError, NotSignedIn, RoleTooLow
from kn_edit.jobs.callers import note_caller
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.progress import Progress, silent
from kn_edit.service import looking
from kn_edit.service.access.audit import Audit, AuditRow
from kn_edit.service.access.roles import Caller, Role
from kn_edit.service.access.tables import metadata as access_tables
from kn_edit.service.access.tokens import Tokens
from kn_edit.service.problems import status_of
from kn_edit.service.work import perform
from kn_edit.workspace import PlannedMove, Workspace

Plain = dict[str, Any]
STDIO = "stdio"  # the address of a caller in the audit
MOST_STEPS = 100  # the newest, among which those of a call are


@dataclass(frozen=True)
class Call:
    """A call of a tool. progress: told how far it has come; cancelled: whether it is to end"""

    tool: str
    progress: Progress = silent
    cancelled: Callable[[], bool] = lambda: False


class Place(Protocol):
    """What tools call. Results are JSON, as `--json` has it."""

    def during(self, call: Call) -> AbstractContextManager[None]:
        """Be in a call of a tool that looks, inside the block."""

    def writing(self, call: Call) -> AbstractContextManager[None]:
        """Be in a call of a tool that writes. Raises NotSignedIn, RoleTooLow."""

    def verb(self, name: str, arguments: Plain) -> Plain:
        """Run a verb. Raises what it raises."""

    def show(self, name: str) -> Plain:
        """A version or an edit. Raises UnknownId."""

    def diff(self, a: str, b: str) -> Plain:
        """What sets two versions apart. Raises UnknownId."""

    def log(self, branch: str, limit: int) -> Plain:
        """The newest moves that led to a branch. Raises UnknownBranch."""


class Folder:
    """The workspace in a folder. Its writes need a token of its service, and are audited there."""

    def __init__(self, folder: Path | None, token: str | None) -> None:
        """Raises what opening a workspace raises, LedgerUnusable."""
        self._token = token
        with ExitStack() as opening:
            self._workspace = opening.enter_context(Workspace.open(folder))
            self._database = ServiceDatabase.of(self._workspace.folder, access_tables)
            opening.callback(self._database.close)
            self._ending = opening.pop_all()
        self._tokens, self._audit = Tokens(self._database), Audit(self._database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def during(self, call: Call) -> AbstractContextManager[None]:
        return self._workspace.call(progress=call.progress, cancelled=call.cancelled)

    @contextmanager
    def writing(self, call: Call) -> Iterator[None]:
        caller: Caller | None = None
        moves: list[PlannedMove] = []
        last = self._workspace.graph(1)[0].seq
        try:
            caller = self._editor()
            with self.during(call), self._workspace.call(recording=moves.append):
                yield
            self._note_steps(caller, moves, last)
        except KnEditError as error:
            self._note(call, caller, status_of(error), type(error).__name__)
            raise
        self._note(call, caller, HTTPStatus.OK, None)

    def verb(self, name: str, arguments: Plain) -> Plain:
        return perform(self._workspace, name, arguments)

    def show(self, name: str) -> Plain:
        return looking.named(self._workspace, name)

    def diff(self, a: str, b: str) -> Plain:
        return looking.difference(self._workspace, a, b)

    def log(self, branch: str, limit: int) -> Plain:
        return looking.moves(self._workspace, self._database, branch, limit)

    def _editor(self) -> Caller:
        """Who has the token now. Raises NotSignedIn, RoleTooLow."""
        caller = self._tokens.caller(self._token) if self._token else None
        if caller is None:
            raise NotSignedIn()
        if caller.role < Role.EDITOR:
            raise RoleTooLow(caller.name, caller.role.word, Role.EDITOR.word)
        return caller

    def _note_steps(self, caller: Caller, moves: Sequence[PlannedMove], last: int) -> None:
        """Keep who asked for moves. last: the step before them"""
        planned = {(move.branch, move.version) for move in moves}
        steps = [
            step
            for step in self._workspace.graph(MOST_STEPS)
            if step.seq > last and (step.branch, step.version) in planned
        ]
        with self._database.writing() as connection:
            note_caller(connection, steps, caller.name, address=STDIO)

    def _note(self, call: Call, caller: Caller | None, status: int, refused: str | None) -> None:
        """Add a row to the audit."""
        self._audit.note(
            AuditRow(
                moment=self._audit.moment(),
                caller=caller.name if caller else None,
                role=caller.role.word if caller else None,
                address=STDIO,
                method="MCP",
                path=call.tool,
                branch=None,
                status=int(status),
                refused=refused,
                job=None,
            )
        )


class Served:
    """A workspace that a service serves, which asks for roles and audits by itself."""

    def __init__(self, url: str, token: str | None) -> None:
        """Raises BadSetting for what is no address."""
        self._token = token
        self._call = Call("")
        self._remote = RemoteWorkspace(url, token=token, progress=self._tell)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._remote.close()

    @contextmanager
    def during(self, call: Call) -> Iterator[None]:
        self._call = call
        yield

    @contextmanager
    def writing(self, call: Call) -> Iterator[None]:
        if self._token is None:  # a service that needs no token would let anybody write
            raise NotSignedIn()
        with self.during(call):
            yield

    def verb(self, name: str, arguments: Plain) -> Plain:
        return _as_object(getattr(self._remote, name)(**arguments))

    def show(self, name: str) -> Plain:
        return self._remote.show(name)

    def diff(self, a: str, b: str) -> Plain:
        return self._remote.diff(a, b)

    def log(self, branch: str, limit: int) -> Plain:
        return _as_object(self._remote.log(limit, branch=branch))

    def _tell(self, task: str, done: int, total: int) -> None:
        """Tell the present call. Raises Cancelled; its job goes on."""
        if self._call.cancelled():
            raise Cancelled(task)
        self._call.progress(task, done, total)


def _as_object(result: Any) -> Plain:
    return {"items": result} if isinstance(result, list) else result
