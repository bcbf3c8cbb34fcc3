"""Several ledgers in one database: each is what it would be alone, and none sees another."""

from __future__ import annotations

import multiprocessing
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ledgers import (
    BASE,
    POSTGRES,
    SQLITE,
    about,
    about_many,
    database_url,
    delta_of,
    digests,
    low_rank_of,
    sql,
    ticking,
)
from memory_blobs import MemoryBlobs
from sqlalchemy import select, text
from unscoped import Unscoped, unscoped

from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import (
    BadWorkspaceName,
    ExitCode,
    KnEditError,
    LedgerDamaged,
    UnknownId,
    UnknownWorkspace,
    WorkspaceExists,
)
from kn_edit.ledger import Adoption, BaseRecord, Ledger, Publication, coverage
from kn_edit.ledger.history import version_id
from kn_edit.ledger.in_folder import open_in_folder, restore_in_folder
from kn_edit.ledger.tables import WORKSPACE_ID, metadata, refs
from kn_edit.neuron import NeuronId

OTHER_BASE = replace(BASE, name="other", fingerprint="e" * 64, source="/models/other")
FORK = multiprocessing.get_context("fork")
NOW = timedelta(0)


class Story:
    """What a ledger goes through, step by step, and all that it tells on the way."""

    def __init__(self, base: BaseRecord) -> None:
        self.base = base
        slots = [((0, 1),), ((0, 2), (1, 1)), ((0, 1),), ((1, 3),), ((1, 4),), ((0, 4),)]
        self.deltas = [self.delta(delta_of(*s, value=n + 1.0)) for n, s in enumerate(slots)]
        self.low_rank = self.delta(low_rank_of(1, rank=2, value=1.0))
        self.pulled = self.delta(delta_of((1, 5), value=9.0))

    def delta(self, delta: Delta) -> Delta:
        """The same numbers, on this story's base."""
        return Delta(BaseRef("org/demo", "abc", self.base.fingerprint), delta.tensors)

    def steps(self) -> list[Callable[[Ledger], object]]:
        """Each does one thing to a ledger, and gives what that tells."""
        a, b, c, d, e, many = self.deltas
        return [
            lambda ledger: self.put(ledger, a),
            lambda ledger: self.put(ledger, b, "Österreich"),
            lambda ledger: self.put(ledger, c),
            lambda ledger: ledger.tag("v1"),
            lambda ledger: ledger.make_branch("side", "root", switch=True),
            lambda ledger: self.put(ledger, d, "Cuba"),
            lambda ledger: self.put(ledger, e, "Peru"),
            lambda ledger: self.merge(ledger, "main"),
            lambda ledger: ledger.switch("main"),
            lambda ledger: self.move(ledger, ledger.plan_revert(a.id, allow_overlap=True)),
            lambda ledger: self.move(ledger, ledger.plan_compose(["side"], allow_overlap=True)),
            lambda ledger: self.put(ledger, self.low_rank, "Spain"),
            lambda ledger: self.put_many(ledger, many),
            lambda ledger: self.move(ledger, ledger.plan_rewind("v1")),
            self.adopt,
            lambda ledger: ledger.tag("v1", "side", move=True),
            lambda ledger: ledger.rename_branch("side", "aside"),
            lambda ledger: ledger.note_publication(
                Publication("ann/m", "main", "c" * 40, ledger.head().id, "delta", "v1")
            ),
            lambda ledger: ledger.set_base("/models/moved", {"config.json": "a" * 64}),
            lambda ledger: ledger.gc(older_than=NOW),
        ]

    def put(self, ledger: Ledger, delta: Delta, subject: str = "France") -> object:
        plan = ledger.plan_edit(delta, "update", "a change")
        folded = digests([*ledger.deltas(plan.recipe[:-1]), delta])
        return ledger.advance(plan, folded, edit=about(delta, subject))

    def put_many(self, ledger: Ledger, delta: Delta) -> object:
        plan = ledger.plan_edit(delta, "update", "a change of many")
        folded = digests([*ledger.deltas(plan.recipe[:-1]), delta])
        return ledger.advance(plan, folded, edit=about_many(delta, "Japan", "France", "Italy"))

    def move(self, ledger: Ledger, plan: Any) -> object:
        return ledger.advance(plan, digests(ledger.deltas(plan.recipe)))

    def merge(self, ledger: Ledger, branch: str) -> object:
        sides = ledger.sides([branch], onto_head=True)
        recipe = sides.recipes[0] + [id_ for id_ in sides.recipes[1] if id_ not in sides.recipes[0]]
        plan = ledger.plan_join(sides, recipe, "merge", f"merge {branch}", allow_overlap=True)
        return self.move(ledger, plan)

    def adopt(self, ledger: Ledger) -> object:
        version = version_id(self.base.fingerprint, (self.pulled.id,))
        edits = (about(self.pulled, "Egypt"),)
        plan = Adoption("ann/m@main", version, (self.pulled.id,), edits, "pull")
        return ledger.adopt(plan, digests([self.pulled]))

    def told(self, ledger: Ledger) -> dict[str, object]:
        """Everything that can be asked of a ledger."""
        ids = [edit.id for edit in ledger.edits()]
        versions = [step.version for step in ledger.log()]
        slots = [NeuronId(layer, index) for layer in (0, 1) for index in range(6)]
        return {
            "base": ledger.base,
            "head": ledger.head(),
            "edits": ledger.edits(),
            "records": ledger.records(ids[::-1]),
            "show": [ledger.edit(id_[:12]) for id_ in ids],
            "versions": [ledger.version(id_) for id_ in versions],
            "about": ledger.edits_about([("capital", "France"), ("capital", None)]),
            "refs": ledger.refs(),
            "branches": ledger.branches(),
            "current": ledger.current_branch(),
            "publications": ledger.publications(),
            "log": ledger.log(),
            "aside": ledger.log(branch="aside"),
            "graph": ledger.graph(),
            "moves": ledger.moves_to(ledger.head()),
            "moved to": ledger.versions_moved_to(),
            "blame": [ledger.blame(slot) for slot in slots],
            "diff": [ledger.diff("root", "head"), ledger.diff("head", "aside")],
            "known": ledger.known_edits([*ids, "0" * 64]),
            "deltas": [delta.to_bytes() for delta in ledger.deltas(ids)],
            "chain": ledger.chain(),
            "report": ledger.examine(),
        }


def made(url: str, blobs: MemoryBlobs, story: Story, name: str | None = None) -> Ledger:
    """A new ledger, in a new database or beside others."""
    clock = ticking().__next__
    if name is None:
        return Ledger.create(url, blobs, story.base, clock=clock)
    return Ledger.add(url, blobs, story.base, workspace=name, clock=clock)


def run(step: Callable[[Ledger], object], ledger: Ledger) -> object:
    try:
        return step(ledger)
    except KnEditError as error:
        return repr(error)


def rows(folder: Path, name: str, workspace: int) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of a workspace as it is stored, without its number."""
    stored = {}
    for table in metadata.sorted_tables:
        if table.name != "workspaces":
            columns = ", ".join(f"t.{c.name}" for c in table.columns if c.name != WORKSPACE_ID)
            query = f"SELECT {columns} FROM {table.name} t WHERE t.{WORKSPACE_ID} = {workspace}"
            stored[table.name] = sorted(sql(folder, query, name=name), key=repr)
    return stored


SAME = (Story(BASE), Story(BASE))
OTHER = (Story(BASE), Story(OTHER_BASE))


@pytest.mark.parametrize(
    ("database", "stories"),
    [(SQLITE, SAME), (SQLITE, OTHER), (POSTGRES, OTHER)],
    indirect=["database"],
    ids=["same", "other base", "postgres"],
)
def test_two_ledgers_in_one_database_are_what_each_is_alone(tmp_path, stories, database):
    url, blobs = database_url(tmp_path, "both"), MemoryBlobs()
    with made(url, blobs, stories[0]) as first, made(url, blobs, stories[1], "second") as second:
        together = [
            (run(ours, first), run(theirs, second))
            for ours, theirs in zip(stories[0].steps(), stories[1].steps(), strict=True)
        ]
        told = stories[0].told(first), stories[1].told(second)
    for number, story in enumerate(stories):
        alone = f"alone-{number}"
        with made(database_url(tmp_path, alone), MemoryBlobs(), story) as ledger:
            assert [run(step, ledger) for step in story.steps()] == [
                results[number] for results in together
            ]
            assert told[number] == story.told(ledger)
            assert told[number]["report"].problems == ()
        assert rows(tmp_path, "both", number + 1) == rows(tmp_path, alone, 1)
    kinds = {step.kind for step in told[0]["graph"]}
    assert kinds >= {"init", "update", "merge", "compose", "revert", "rewind"}
    assert len(told[0]["edits"]) == 8 and all(rows(tmp_path, "both", 2).values()) is False


@pytest.fixture
def both(tmp_path, database):
    """Two ledgers in one database and one store, the first with edits, and the URL."""
    url, blobs = database_url(tmp_path, "both"), MemoryBlobs()
    made(url, blobs, SAME[0]).close()
    made(url, blobs, OTHER[1], "second").close()
    clock = ticking().__next__
    with (
        Ledger.open(url, blobs, workspace="default", clock=clock) as first,
        Ledger.open(url, blobs, workspace="second", clock=clock) as second,
    ):
        SAME[0].put(first, SAME[0].deltas[0])
        SAME[0].put(first, SAME[0].deltas[1])
        first.tag("v1")
        yield first, second, url


def test_what_one_workspace_holds_is_unknown_to_the_other(both):
    first, second, _ = both
    assert second.edits() == [] and second.base == OTHER_BASE
    assert [ref.name for ref in second.refs()] == ["main"]
    assert second.known_edits([edit.id for edit in first.edits()]) == set()
    for name in ("v1", first.head().id):
        with pytest.raises(UnknownId):
            second.version(name)
    assert second.chain() != first.chain()


def test_a_workspace_has_to_be_named_where_there_are_several(both):
    first, _, url = both
    clock = ticking().__next__
    with pytest.raises(UnknownWorkspace, match="several workspaces; name one of default") as caught:
        Ledger.open(url, first.blobs, clock=clock).head()
    assert caught.value.exit_code == ExitCode.USAGE
    with pytest.raises(UnknownWorkspace, match="no workspace 'third'"):
        Ledger.open(url, first.blobs, workspace="third", clock=clock)
    with pytest.raises(WorkspaceExists) as taken:
        Ledger.add(url, first.blobs, BASE, workspace="second", clock=clock)
    assert taken.value.exit_code == ExitCode.CONFLICT
    for name in ("", "a b", "x" * 101, "../x"):
        with pytest.raises(BadWorkspaceName):
            Ledger.add(url, first.blobs, BASE, workspace=name, clock=clock)


def test_gc_of_one_workspace_keeps_the_deltas_of_all(both):
    first, second, _ = both
    stray = delta_of((1, 1), value=77.0)
    second.blobs.put(stray.to_bytes())
    second.blobs.clock += 1
    assert [note[:9] for note in second.examine().notes] == ["1 deltas "]
    assert second.gc(older_than=NOW) == [f"memory:{stray.id}"]
    assert first.check() == second.check() == []


def test_damage_of_one_workspace_is_told_of_that_one_alone(both, tmp_path):
    first, second, _ = both
    sql(tmp_path, "UPDATE edits SET message = 'changed' WHERE workspace_id = 1", name="both")
    assert {problem.part for problem in first.check()} == {"rows"}
    assert second.check() == []


def test_a_row_of_no_workspace_is_damage(both, tmp_path):
    first, second, _ = both
    sql(tmp_path, "INSERT INTO base_places VALUES (9, 1, '/elsewhere', NULL)", name="both")
    for ledger in (first, second):
        assert "missing row of workspaces" in str(ledger.check()[0])
    sql(tmp_path, "DELETE FROM workspaces", name="both")
    with pytest.raises((LedgerDamaged, UnknownWorkspace)):
        first.head()


def test_a_backup_holds_its_own_workspace_and_no_trace_of_another(both, tmp_path):
    first, second, _ = both
    for ledger, mine, other in (
        (first, b"/models/demo", b"/models/other"),
        (second, b"/models/other", b"Paris"),
    ):
        file = tmp_path / f"{mine[-5:].decode().strip('/')}.tar"
        ledger.backup(file)
        assert mine in file.read_bytes() and other not in file.read_bytes()
        with tarfile.open(file) as archive:
            deltas = [name for name in archive.getnames() if name.startswith("blobs/")]
        assert len(deltas) == len(ledger.edits())
        folder = tmp_path / f"restored-{file.stem}" / ".kn-edit"
        restore_in_folder(file, folder, clock=ticking().__next__)
        with open_in_folder(folder, clock=ticking().__next__) as restored:
            assert (restored.head(), restored.chain()) == (ledger.head(), ledger.chain())
            assert restored.check() == []


# --- one chain each ------------------------------------------------------------------------------


def tag_many(url: str, workspace: str, name: str, count: int, outcome) -> None:
    try:
        with Ledger.open(
            url, MemoryBlobs(), workspace=workspace, clock=ticking().__next__
        ) as ledger:
            for number in range(count):
                ledger.tag(f"{name}-{number}", "root")
        outcome.put("done")
    except BaseException as error:
        outcome.put(repr(error))
        raise


def test_writers_at_once_lose_no_event_and_fork_no_chain(both):
    first, second, url = both
    events = len(first.refs()), len(second.refs())
    outcome = FORK.Queue()
    writers = [
        FORK.Process(target=tag_many, args=(url, workspace, name, 15, outcome))
        for workspace in ("default", "second")
        for name in ("ann", "bob")
    ]
    for process in writers:
        process.start()
    assert [outcome.get(timeout=120) for _ in writers] == ["done"] * 4
    for process in writers:
        process.join()
    for ledger, before in zip((first, second), events, strict=True):
        assert len(ledger.refs()) == before + 30
        with ledger._database.reading() as connection:
            query = text(
                "SELECT seq, previous, hash FROM events e WHERE e.workspace_id = :workspace"
            )
            chain = sorted(tuple(row) for row in connection.execute(query))
        assert [seq for seq, _, _ in chain] == [*range(1, len(chain) + 1)]
        assert [previous for _, previous, _ in chain[1:]] == [hash_ for _, _, hash_ in chain[:-1]]
        assert ledger.check() == []


def test_no_event_is_appended_without_the_lock_of_the_chain(both):
    from kn_edit.ledger import events

    first, _, _ = both
    event = events.NewEvent(created="", kind="tag", ref="x", version=first.head().id)
    with (
        first._database.reading() as connection,
        pytest.raises(RuntimeError, match="a transaction that writes"),
    ):
        events.append(connection, event)


# --- no query without its workspace --------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "missing"),
    [
        ("SELECT refs.name FROM refs", ("refs",)),
        ("SELECT refs.workspace_id FROM refs WHERE refs.name = ?", ("refs",)),
        ("SELECT refs.name FROM refs WHERE refs.workspace_id = ?", ()),
        ("SELECT * FROM edits e JOIN facts ON e.workspace_id = ? AND e.id = 1", ("facts",)),
        ("SELECT * FROM edits AS e JOIN facts f ON e.workspace_id = f.workspace_id", ()),
        ("DELETE FROM events WHERE events.seq = ?", ("events",)),
        ("UPDATE refs SET kind=? WHERE refs.name = ?", ("refs",)),
        ("INSERT INTO refs (name, kind) VALUES (?, ?)", ("refs",)),
        ("INSERT INTO refs (workspace_id, name) VALUES (?, ?)", ()),
        ("SELECT version_num FROM alembic_version", ()),
    ],
)
def test_the_watch_over_queries_knows_one_that_leaves_the_workspace_open(sql, missing):
    assert unscoped(sql) == missing


def test_every_query_in_the_tests_is_watched(both):
    first, _, _ = both
    with first._database.reading() as connection, pytest.raises(Unscoped):
        connection.raw.execute(select(refs))


def test_what_an_event_covers_is_read_of_one_workspace():
    for covered in coverage.COVERED:
        assert unscoped(covered.query("1 = 1")) == ()
