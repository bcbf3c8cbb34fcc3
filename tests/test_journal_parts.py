"""Parts of log, graph and versions: what the whole list has there, and no more rows are read."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
from ledgers import delta_of, move, new_ledger, record

from kn_edit.errors import KnEditError, UnknownId
from kn_edit.ledger import Ledger
from kn_edit.ledger.records import Step

pytestmark = pytest.mark.usefixtures("database")

NAMES = ("main", "a", "b", "c")
MOVES = 40
LAST = 2**53
KINDS = ("make", "at", "switch", "rename", "delete", "compose", "rewind", "tag")


def wander(ledger: Ledger, seed: int) -> None:
    """Make moves of all kinds, drawn at random."""
    draws, count = random.Random(seed), 0
    for _ in range(MOVES):
        names = [ref.name for ref in ledger.refs() if ref.kind == "branch"]
        name, other = draws.choice(names), draws.choice(NAMES)
        version = draws.choice([*names, *ledger.versions_moved_to()])
        kind = draws.choice(["edit"] * 3 + [*KINDS])
        count += 1
        try:
            if kind == "edit":
                record(ledger, delta_of((0, count % 6), value=float(count)))
            elif kind == "make":
                ledger.make_branch(other, name)
            elif kind == "at":
                ledger.make_branch(other, version)
            elif kind == "switch":
                ledger.switch(name)
            elif kind == "rename":
                ledger.rename_branch(name, other)
            elif kind == "delete":
                ledger.delete_branch(name, force=True)
            elif kind == "compose":
                move(ledger, ledger.plan_compose([version], allow_overlap=True))
            elif kind == "rewind":
                move(ledger, ledger.plan_rewind(version))
            else:
                ledger.tag(f"v{count % 5}", version, move=True)
        except KnEditError:  # a name that is taken, a branch that is current, nothing to take in
            continue


@pytest.fixture(scope="module", params=[0, 1, 3])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder: Path = tmp_path_factory.mktemp("ledger")
    with new_ledger(folder) as ledger:
        wander(ledger, request.param)
        yield ledger


def places(steps: list[Step]) -> Iterator[int]:
    """Numbers from which a list may go on: those of its moves, and others."""
    yield from range(steps[0].seq + 3)


def test_a_part_of_a_log_is_what_the_whole_one_has_there(ledger):
    for branch in (ref.name for ref in ledger.refs() if ref.kind == "branch"):
        whole = ledger.log(branch=branch)
        assert ledger.log(branch=branch, before=LAST) == whole
        for before in places(whole):
            part = [step for step in whole if step.seq < before]
            assert ledger.log(branch=branch, before=before) == part
            assert ledger.log(3, branch=branch, before=before) == part[:3]


def test_a_part_of_the_graph_is_what_the_whole_one_has_there(ledger):
    whole = ledger.graph()
    assert ledger.graph(before=LAST) == whole
    assert any(len(step.after) > 1 for step in whole)
    for before in places(whole):
        part = [step for step in whole if step.seq < before]
        assert ledger.graph(before=before) == part
        assert ledger.graph(3, before=before) == part[:3]


def test_parts_of_versions_are_what_the_whole_list_has_there(ledger):
    whole = ledger.versions_moved_to()[::-1]
    assert [version.id for version in ledger.newest_versions(1000)] == whole
    for place, before in enumerate(whole, 1):
        for most in (1, 3):
            part = ledger.newest_versions(most, before=before)
            assert [version.id for version in part] == whole[place : place + most]
            assert part == [ledger.version(id) for id in whole[place : place + most]]
    with pytest.raises(UnknownId):
        ledger.newest_versions(3, before="f" * 64)


def test_a_part_far_down_reads_few_of_the_events_above_it(tmp_path, monkeypatch):
    with new_ledger(tmp_path) as ledger:
        for number in range(60):
            record(ledger, delta_of((0, number % 6), value=float(number)))
        whole = ledger.graph()
        rows = Rows(monkeypatch)
        for before in (50, 20):
            part = [step for step in whole if step.seq < before][:5]
            rows.count = 0
            assert ledger.graph(5, before=before) == part
            assert ledger.log(5, before=before) == [*map(without_after, part)]
            assert rows.count < 80 < 2 * len(whole)
        assert list(takewhile(lambda step: step.seq >= 20, whole))[40:]


def without_after(step: Step) -> Step:
    return Step(**{**vars(step), "after": ()})


class Rows:
    """How many rows of events are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from kn_edit.ledger import moves

        self.count = 0
        event_of = moves.event_of

        def counted(row):
            self.count += 1
            return event_of(row)

        monkeypatch.setattr(moves, "event_of", counted)
