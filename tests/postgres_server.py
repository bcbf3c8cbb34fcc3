"""A PostgreSQL server of the tests' own: made from nothing, on a socket in a temporary folder."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote_plus

import psycopg

QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
COMMON = {
    "listen_addresses": "",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "autovacuum": "off",
    "max_wal_size": "256MB",
}
GUARDED = "guarded"  # the user who needs a password
START_SECONDS = 60
_schemas: dict[Path, str] = {}


def programs() -> Path | None:
    """The folder with the programs of PostgreSQL; None where it is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    config = shutil.which("pg_config")
    if config:
        told = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False)
        folders.insert(0, Path(told.stdout.strip()))
    initdb = shutil.which("initdb")
    if initdb:
        folders.append(Path(initdb).resolve().parent)
    return next((each for each in reversed(folders) if (each / "initdb").is_file()), None)


def user() -> str | None:
    """Whom the server runs as: it refuses root. None: whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    return None


class Server:
    """A server in a folder of its own. Stopped by its process id when the tests end."""

    def __init__(self, *, durable: bool = False) -> None:
        found = programs()
        assert found is not None
        self.programs = found
        self.settings = COMMON | ({} if durable else QUICK)
        self.process: subprocess.Popen[bytes] | None = None
        # A short path: the name of a socket has at most 107 bytes.
        self.folder = Path(tempfile.mkdtemp(prefix="kn-pg-", dir="/tmp"))
        self.data = self.folder / "data"
        if user():
            shutil.chown(self.folder, user())
        atexit.register(self.remove)
        command = ["initdb", "-D", str(self.data), "-E", "UTF8", "--locale=C", "-A", "trust", "-N"]
        done = subprocess.run(
            [str(self.programs / command[0]), *command[1:], "-U", "postgres"],
            user=user(),
            cwd=self.folder,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        guarded = f"local all {GUARDED} scram-sha-256\nlocal all all trust\n"
        (self.data / "pg_hba.conf").write_text(guarded)

    def start(self) -> None:
        options = [
            part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")
        ]
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            [
                str(self.programs / "postgres"),
                "-D",
                str(self.data),
                "-k",
                str(self.folder),
                *options,
            ],
            user=user(),
            cwd=self.folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.conninfo()).close()
                return
            except psycopg.OperationalError:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.02)

    def conninfo(self, database: str = "postgres", user: str = "postgres") -> str:
        return f"host={self.folder} dbname={database} user={user} connect_timeout=5"

    def url(
        self, schema: str, database: str = "postgres", user: str = "postgres", settings: str = ""
    ) -> str:
        """The URL of a schema, which is to a test what a database is to a user.

        user: with a password after a colon, where there is one; settings: such as "-c name=value"
        """
        options = quote_plus(f"-c search_path={schema} {settings}".strip())
        host = quote_plus(str(self.folder))
        return f"postgresql://{user}@/{database}?host={host}&options={options}"

    def execute(self, *statements: str, schema: str = "public") -> list[tuple[object, ...]]:
        """Do something to the database as its owner; the rows of the last statement."""
        with psycopg.connect(self.conninfo(), autocommit=True) as plain:
            plain.execute(f"SET search_path = {schema}")
            for statement in statements:
                cursor = plain.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """Kill every process of the server with SIGKILL, as near to at once as can be."""
        assert self.process is not None
        children = children_of(self.process.pid)
        for pid in (self.process.pid, *children):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        while any(is_running(pid) for pid in children):
            time.sleep(0.01)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def children_of(parent: int) -> list[int]:
    """The processes that a process started."""
    processes = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in processes if parent_of(pid) == parent]


def parent_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_running(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@cache
def server() -> Server:
    """The server that all tests of this process share."""
    shared = Server()
    shared.start()
    return shared


def schema_of(place: Path) -> str:
    """The schema that stands for a database at this place; made when it is first asked for."""
    if place not in _schemas:
        _schemas[place] = f"test_{len(_schemas) + 1}"
        server().execute(f"CREATE SCHEMA {_schemas[place]}")
    return _schemas[place]


def schema_url(place: Path) -> str:
    """The URL of a database at this place."""
    return server().url(schema_of(place))
