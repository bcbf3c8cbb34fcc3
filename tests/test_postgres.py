"""Ledgers in PostgreSQL: how a workspace names its database, and what its errors mean."""

from __future__ import annotations

import multiprocessing
import shutil
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from ledgers import (
    BASE,
    KIND,
    SQLITE,
    about,
    database_url,
    delta_of,
    digests,
    new_ledger,
    open_ledger,
    record,
    sql,
    ticking,
)
from memory_blobs import MemoryBlobs
from postgres_server import GUARDED, schema_of, server
from psycopg import errors
from tiny_models import tiny_folder

from kn_edit.errors import (
    BadSetting,
    BadSettingsFile,
    DatabaseCrowded,
    DatabaseFailed,
    DatabaseHasNoLedger,
    DatabaseLoginRefused,
    DatabaseMissing,
    DatabaseReadOnly,
    DatabaseRefusesText,
    DatabaseUnreachable,
    DatabaseUnsuitable,
    KnEditError,
    LedgerBusy,
    LedgerDamaged,
    LedgerExists,
    LedgerUnusable,
    NewerSchema,
    WorkspaceExists,
)
from kn_edit.ledger import Ledger, database, migrating
from kn_edit.ledger.dialects import dialect_of
from kn_edit.ledger.in_folder import restore_in_database
from kn_edit.ledger.tables import SCHEMA, metadata
from kn_edit.workspace import Workspace
from kn_edit.workspace.storage import DATABASE_URL

A, B = delta_of((0, 1)), delta_of((0, 2), (1, 1))
FORK = multiprocessing.get_context("fork")
pytestmark = [
    pytest.mark.parametrize("database", ["postgres"], indirect=True),
    pytest.mark.usefixtures("database"),
]


@pytest.fixture
def url(tmp_path, database):
    return database_url(tmp_path / ".kn-edit")


@pytest.fixture
def ledger(tmp_path, database):
    with new_ledger(tmp_path) as ledger:
        record(ledger, A)
        yield ledger


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_folder("llama", tmp_path_factory.mktemp("model"))


def opened(url: str, **options: str) -> Ledger:
    return Ledger.open(url, MemoryBlobs(), clock=ticking().__next__, **options)


# --- the workspace -------------------------------------------------------------------------------


def test_a_workspace_keeps_its_database_and_its_name_there(model, tmp_path, url):
    with Workspace.init(model, tmp_path / "capitals", database=url) as workspace:
        head = record(workspace.ledger, A_of(workspace)).id
    settings = (tmp_path / "capitals" / "kn-edit.toml").read_text()
    assert settings == f'[ledger]\ndatabase = "{url}"\nname = "capitals"\n'
    assert sorted(p.name for p in (tmp_path / "capitals" / ".kn-edit").iterdir()) == [
        "base.json",
        "blobs",
    ]
    with Workspace.open(tmp_path / "capitals") as workspace:
        assert workspace.ledger.head().id == head
        assert workspace.ledger.check() == []


def A_of(workspace):  # noqa: N802
    from kn_edit.edits.delta import BaseRef, Delta

    base = workspace.base
    return Delta(BaseRef("org/demo", "abc", base.fingerprint), A.tensors)


def test_two_folders_are_two_workspaces_of_one_database(model, tmp_path, url, monkeypatch):
    monkeypatch.setenv(DATABASE_URL, url)
    for name in ("one", "two"):
        with Workspace.init(model, tmp_path / name) as workspace:
            workspace.ledger.tag(f"v-{name}")
    for name in ("one", "two"):
        with Workspace.open(tmp_path / name) as workspace:
            assert [ref.name for ref in workspace.ledger.refs()] == ["main", f"v-{name}"]
    with pytest.raises(WorkspaceExists, match="'one'"):
        Workspace.init(model, tmp_path / "three", name="one")
    assert not (tmp_path / "three" / "kn-edit.toml").exists()


def test_init_that_was_cut_off_is_run_again_and_a_used_workspace_is_kept(model, tmp_path, url):
    Workspace.init(model, tmp_path / "w", database=url, name="x").close()
    (tmp_path / "w" / "kn-edit.toml").unlink()
    Workspace.init(model, tmp_path / "w", database=url, name="x").close()
    with Workspace.open(tmp_path / "w") as workspace:
        workspace.ledger.tag("v1")
    with pytest.raises(WorkspaceExists):
        Workspace.init(model, tmp_path / "w", database=url, name="x")


def test_a_folder_with_a_ledger_is_not_hidden_by_a_database(model, tmp_path, url):
    Workspace.init(model, tmp_path / "w").close()
    with pytest.raises(LedgerExists):
        Workspace.init(model, tmp_path / "w", database=url)
    with pytest.raises(BadSetting, match="with a database only"):
        Workspace.init(model, tmp_path / "v", name="x")


def test_a_database_that_the_settings_do_not_name_is_refused(model, tmp_path, url):
    Workspace.init(model, tmp_path / "w", database=url).close()
    other = database_url(tmp_path / "other")
    with pytest.raises(BadSettingsFile, match="otherwise"):
        Workspace.init(model, tmp_path / "w", database=other)


def test_no_password_is_kept_or_told(model, tmp_path, url, monkeypatch):
    server().execute(
        f"CREATE ROLE {GUARDED} LOGIN SUPERUSER PASSWORD 'hunter2-hunter2'",
    )
    schema = schema_of(tmp_path / ".kn-edit" / "ledger")
    guarded = server().url(schema, user=f"{GUARDED}:hunter2-hunter2")
    with pytest.raises(BadSetting, match="KN_EDIT_DATABASE_URL") as caught:
        Workspace.init(model, tmp_path / "w", database=guarded)
    assert "hunter2" not in f"{caught.value} {caught.value.detail()}"
    monkeypatch.setenv(DATABASE_URL, guarded)
    Workspace.init(model, tmp_path / "w").close()
    assert "hunter2" not in (tmp_path / "w" / "kn-edit.toml").read_text()
    Workspace.open(tmp_path / "w").close()
    monkeypatch.setenv(DATABASE_URL, guarded.replace("hunter2-hunter2", "hunter3-hunter3"))
    with pytest.raises(DatabaseLoginRefused, match="password") as refused:
        Workspace.open(tmp_path / "w")
    assert "hunter3" not in f"{refused.value} {refused.value.detail()} {refused.value!r}"
    monkeypatch.delenv(DATABASE_URL)
    with pytest.raises(DatabaseLoginRefused):
        Workspace.open(tmp_path / "w")
    monkeypatch.setenv("PGPASSWORD", "hunter2-hunter2")
    Workspace.open(tmp_path / "w").close()
    monkeypatch.delenv("PGPASSWORD")
    passfile = tmp_path / "pgpass"
    passfile.write_text("*:*:*:*:hunter2-hunter2\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    Workspace.open(tmp_path / "w").close()


# --- backups -------------------------------------------------------------------------------------


def test_a_backup_is_an_sqlite_file_and_comes_back_into_either(ledger, tmp_path, url):
    record(ledger, B, subject="Österreich")
    ledger.backup(tmp_path / "b.tar")
    told = ledger.head(), ledger.chain(), ledger.edits()
    blobs, clock = MemoryBlobs(), ticking().__next__
    placed = restore_in_database(tmp_path / "b.tar", url, blobs, workspace="second", clock=clock)
    assert (placed.head, placed.aside) == (told[0].id, None)
    token = KIND.set(SQLITE)
    restored_url = database_url(tmp_path, "restored")
    restore_in_database(tmp_path / "b.tar", restored_url, blobs, workspace="w", clock=clock)
    for place, name in ((url, "second"), (restored_url, "w")):
        with Ledger.open(place, blobs, workspace=name, clock=clock) as restored:
            assert (restored.head(), restored.chain(), restored.edits()) == told
            assert restored.check() == []
            record(restored, delta_of((1, 3)))
            assert restored.check() == []
    KIND.reset(token)


def test_a_restored_workspace_puts_the_former_one_aside(ledger, tmp_path, url):
    ledger.backup(tmp_path / "b.tar")
    ledger.tag("later")
    clock, blobs = ticking().__next__, ledger.blobs
    with pytest.raises(WorkspaceExists):
        restore_in_database(tmp_path / "b.tar", url, blobs, workspace="default", clock=clock)
    placed = restore_in_database(
        tmp_path / "b.tar", url, blobs, workspace="default", clock=clock, replace=True
    )
    assert placed.aside.startswith("the workspace default.before-restore-2026")
    with open_workspaces(url, blobs, ["default", placed.aside.split()[2]]) as (new, former):
        assert [ref.name for ref in new.refs()] == ["main"]
        assert [ref.name for ref in former.refs()] == ["main", "later"]
        assert new.check() == former.check() == []


class open_workspaces:  # noqa: N801
    """Several workspaces of a database, open at once."""

    def __init__(self, url, blobs, names):
        clock = ticking().__next__
        self.ledgers = [Ledger.open(url, blobs, workspace=name, clock=clock) for name in names]

    def __enter__(self):
        return self.ledgers

    def __exit__(self, *_):
        for ledger in self.ledgers:
            ledger.close()


# --- errors --------------------------------------------------------------------------------------


def test_a_server_that_is_not_there(tmp_path):
    with pytest.raises(DatabaseUnreachable, match="cannot reach") as caught:
        opened(f"postgresql://ann@/edits?host={tmp_path}")
    assert caught.value.exit_code == 5


def test_a_server_that_stops_while_a_ledger_is_open(ledger, tmp_path):
    ledger.head()
    ((pid,),) = server().execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'kn-edit' "
        "AND state = 'idle' ORDER BY backend_start DESC LIMIT 1"
    )
    server().execute(f"SELECT pg_terminate_backend({pid})")
    record(ledger, B)  # it is connected to again
    assert ledger.check() == []
    with ledger._database.writing() as connection:
        ((pid,),) = connection.raw.exec_driver_sql("SELECT pg_backend_pid()").all()
        server().execute(f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(KnEditError), ledger._database.explained():
            connection.raw.exec_driver_sql("SELECT 1")
        connection.raw.invalidate()
        connection.raw.get_transaction().rollback()


def test_a_database_that_is_not_there():
    with pytest.raises(DatabaseMissing, match=r"createdb .* nowhere"):
        opened(server().url("public", database="nowhere"))


def test_a_database_without_a_ledger(tmp_path):
    with pytest.raises(DatabaseHasNoLedger):
        opened(database_url(tmp_path))


def test_no_connection_left(tmp_path, url):
    server().execute("CREATE ROLE crowd LOGIN CONNECTION LIMIT 0")
    with pytest.raises(DatabaseCrowded):
        opened(server().url("public", user="crowd"))


def test_a_user_who_may_only_read(ledger, tmp_path):
    schema = schema_of(tmp_path / ".kn-edit" / "ledger")
    server().execute(
        "DROP ROLE IF EXISTS reader",
        "CREATE ROLE reader LOGIN",
        f"GRANT USAGE ON SCHEMA {schema} TO reader",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO reader",
    )
    url = server().url(schema, user="reader")
    with Ledger.open(url, ledger.blobs, clock=ticking().__next__) as reader:
        assert reader.head() == ledger.head() and reader.check() == []
        with pytest.raises(LedgerUnusable, match="may not be written"):
            reader.tag("v1")
    assert [ref.name for ref in ledger.refs()] == ["main"]


def test_a_lock_that_is_held_too_long(ledger, tmp_path):
    schema = schema_of(tmp_path / ".kn-edit" / "ledger")
    impatient = server().url(schema, settings="-c lock_timeout=100")
    with (
        Ledger.open(impatient, ledger.blobs, clock=ticking().__next__) as waiting,
        ledger._database.writing(),
    ):
        with pytest.raises(LedgerBusy):
            waiting.tag("v1")
        assert waiting.head() == ledger.head()  # readers wait for nobody


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (errors.DiskFull("no space left on device"), DatabaseFailed),
        (errors.SerializationFailure("could not serialize access"), LedgerBusy),
        (errors.DeadlockDetected("deadlock detected"), LedgerBusy),
        (errors.QueryCanceled("canceling statement"), DatabaseFailed),
        (errors.ReadOnlySqlTransaction("cannot execute INSERT"), DatabaseReadOnly),
        (errors.InsufficientPrivilege("permission denied"), DatabaseReadOnly),
        (errors.DataCorrupted("invalid page in block 0"), LedgerDamaged),
        (errors.UniqueViolation("duplicate key"), LedgerDamaged),
        (errors.AdminShutdown("terminating connection"), DatabaseUnreachable),
        (errors.OperationalError("server closed the connection"), DatabaseUnreachable),
        (errors.SyntaxError("at or near"), type(None)),
        (ValueError("ours"), type(None)),
    ],
)
def test_what_errors_of_the_server_mean(error, meaning):
    url = "postgresql://ann:hunter2@db.example.org/edits"
    explained = dialect_of(url).meaning(error)
    assert type(explained) is meaning
    assert "hunter2" not in str(explained)


def test_a_database_of_another_encoding_is_refused(tmp_path):
    server().execute(
        "DROP DATABASE IF EXISTS latin",
        "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1'",
    )
    url = server().url("public", database="latin")
    with pytest.raises(DatabaseUnsuitable, match="LATIN1"):
        Ledger.create(url, MemoryBlobs(), BASE, clock=ticking().__next__)


# --- the tables ----------------------------------------------------------------------------------


def test_the_tables_are_those_of_the_code(ledger):
    with ledger._database.reading() as connection:
        context = MigrationContext.configure(connection.raw, opts={"compare_type": True})
        schema = connection.raw.exec_driver_sql("SELECT current_schema()").scalar()
        assert schema.startswith("test_")
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == SCHEMA


def test_a_later_schema_comes_by_its_migration(tmp_path, monkeypatch, ledger):
    scripts = shutil.copytree(migrating.migrations_folder(), tmp_path / "migrations")
    (scripts / "versions/0009_good.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\n"
        "revision = '0009'\ndown_revision = '0008'\n"
        "def upgrade():\n    op.create_table('more', sa.Column('id', sa.Integer))\n"
    )
    monkeypatch.setattr(migrating, "migrations_folder", lambda: scripts)
    monkeypatch.setattr(database, "SCHEMA", "0009")
    with open_ledger(tmp_path) as upgraded:
        assert upgraded.log()[0].kind == "update"
    assert sql(tmp_path / ".kn-edit", "SELECT version_num FROM alembic_version") == [("0009",)]
    kinds = sql(tmp_path / ".kn-edit", "SELECT kind FROM events ORDER BY seq DESC LIMIT 1")
    assert kinds == [("upgrade",)]
    monkeypatch.undo()
    with pytest.raises(NewerSchema):
        open_ledger(tmp_path)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("DROP INDEX ix_facts_workspace_id_relation_subject", "index ix_facts"),
        ("CREATE INDEX more ON facts (relation)", "index more does not belong"),
        ("ALTER TABLE refs ADD COLUMN more int", "table refs is not"),
        ("ALTER TABLE refs ALTER COLUMN kind TYPE varchar(8)", "table refs is not"),
        ("DROP TABLE publications CASCADE", "table publications is missing"),
        ("ALTER TABLE edits DROP CONSTRAINT uq_edits_workspace_id_seq", "keys and links"),
        ("ALTER TABLE refs DROP CONSTRAINT fk_refs_workspace_id_version_id_versions", "keys"),
    ],
)
def test_verify_tells_of_other_tables(ledger, tmp_path, change, fault):
    sql(tmp_path / ".kn-edit", change)
    assert any(fault in str(problem) for problem in ledger.check())


@pytest.mark.parametrize(
    "program",
    [
        "CREATE TRIGGER t BEFORE UPDATE ON refs FOR EACH ROW "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE r AS ON INSERT TO events DO INSTEAD NOTHING",
        "CREATE POLICY p ON refs",
        "ALTER TABLE refs ALTER COLUMN kind SET DEFAULT 'x'",
        "ALTER TABLE refs ADD CONSTRAINT c CHECK (kind <> 'x')",
    ],
)
def test_what_runs_by_itself_is_refused(ledger, tmp_path, program):
    sql(tmp_path / ".kn-edit", program)
    with pytest.raises(LedgerDamaged, match="holds a program"):
        ledger.head()
    with pytest.raises(LedgerDamaged, match="holds a program"):
        open_ledger(tmp_path)


# --- values --------------------------------------------------------------------------------------


def test_texts_and_numbers_are_kept_to_the_last_bit(tmp_path, database):
    odd = {"neurons": [], "p": 0.1, "tiny": 5e-324, "big": 2**62, "text": "a\u0000b \U0001f9e0 é"}
    heads = []
    for kind in (SQLITE, "postgres"):
        token = KIND.set(kind)
        with new_ledger(tmp_path / kind) as ledger:
            edit = replace(about(A, subject="Ä'\"\\ b"), found=odd, message="ﬀ ẞ\n\ttab")
            heads.append(ledger.advance(ledger.plan_edit(A, "update"), digests([A]), edit=edit))
            (stored,) = ledger.edits()
            assert (stored.found, stored.message) == (odd, edit.message)
            for number in range(3):
                ledger.tag(("Z", "a", "_")[number])
            heads += [ledger.refs(), ledger.chain()]
        KIND.reset(token)
    assert heads[:3] == heads[3:]


def test_a_text_that_the_database_cannot_keep_is_refused_and_nothing_recorded(ledger):
    edit = replace(about(B), message="a\0b")
    plan = ledger.plan_edit(B, "update")
    with pytest.raises(DatabaseRefusesText, match="NUL"):
        ledger.advance(plan, digests([A, B]), edit=edit)
    assert [edit.id for edit in ledger.edits()] == [A.id] and ledger.check() == []


# --- at once -------------------------------------------------------------------------------------


def create(url: str, outcome) -> None:
    try:
        Ledger.create(url, MemoryBlobs(), BASE, clock=ticking().__next__).close()
        outcome.put("made")
    except KnEditError as error:
        outcome.put(type(error).__name__)


def test_of_several_who_make_the_first_ledger_one_does(tmp_path):
    url, outcome = database_url(tmp_path), FORK.Queue()
    makers = [FORK.Process(target=create, args=(url, outcome)) for _ in range(4)]
    for maker in makers:
        maker.start()
    outcomes = sorted(outcome.get(timeout=60) for _ in makers)
    for maker in makers:
        maker.join()
    assert outcomes.count("made") == 1, outcomes
    assert set(outcomes) <= {"made", "DatabaseHoldsLedger", "WorkspaceExists"}
    with opened(url) as ledger:
        assert ledger.check() == []
