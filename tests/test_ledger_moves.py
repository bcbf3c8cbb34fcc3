"""Moving the branch of a real ledger, and reading what happened."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledgers import (
    BASE,
    FINGERPRINT,
    about,
    delta_of,
    digests,
    folder_of,
    move,
    new_ledger,
    only_sqlite,
    open_ledger,
    record,
)

from kn_edit.edits.changes import Mode
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import (
    AlreadyThere,
    DifferentBase,
    DigestsDiffer,
    EditAlreadyApplied,
    EditNotApplied,
    EmptyEdit,
    ExitCode,
    HeadMoved,
    SlotOverlap,
)
from kn_edit.ledger.history import version_id
from kn_edit.neuron import NeuronId

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def ledger(tmp_path):
    with new_ledger(tmp_path) as ledger:
        yield ledger


A, B, C = delta_of((0, 1)), delta_of((0, 2), (1, 1)), delta_of((0, 1), value=2.0)


def test_a_new_ledger_is_at_the_root_version(ledger):
    head = ledger.head()
    assert (head.id, head.edits, head.digests) == (version_id(FINGERPRINT, ()), (), {})
    assert ledger.base == BASE
    (step,) = ledger.log()
    assert (step.kind, step.version, step.parents, step.refs) == ("init", head.id, (), ("main",))
    assert ledger.check() == []


def test_an_edit_comes_back_as_it_was_recorded(ledger, tmp_path):
    version = record(ledger, B)
    assert version.edits == (B.id,)
    assert version.digests == digests([B])
    with open_ledger(tmp_path) as again:
        assert again.head() == version
        edit = again.edit(B.id[:8])
        assert again.delta(edit.id).to_bytes() == B.to_bytes()
    given_, got = vars(about(B)), dataclasses.asdict(edit)
    written = given_.keys() - {"delta", "members", "replaces"}  # files, and what it stands in for
    assert {name: got[name] for name in written} == {name: given_[name] for name in written}
    assert edit.neurons == B.neurons()
    assert edit.created == "2026-01-01T00:01:00+00:00"


def test_the_same_recipe_has_the_same_id_in_every_ledger(tmp_path):
    heads = []
    for place in ("one", "two"):
        with new_ledger(tmp_path / place) as ledger:
            record(ledger, A)
            heads.append(record(ledger, B))
    assert heads[0] == heads[1]


def test_overlap_with_earlier_edits_is_legal_and_reported(ledger):
    record(ledger, A)
    plan = ledger.plan_edit(C, "update")
    (overlap,) = plan.overlaps
    assert (overlap.edit, overlap.other, overlap.slots) == (C.id, A.id, (NeuronId(0, 1),))
    record(ledger, C)
    assert ledger.edit(C.id).overlaps == (A.id,)
    assert ledger.edit(A.id).overlaps == ()


def test_an_edit_is_listed_at_most_once(ledger):
    record(ledger, A)
    with pytest.raises(EditAlreadyApplied):
        ledger.plan_edit(A, "update")


def test_edits_that_cannot_belong_here_are_refused(ledger):
    with pytest.raises(EmptyEdit):
        ledger.plan_edit(Delta(BaseRef(None, None, FINGERPRINT), {}), "update")
    with pytest.raises(DifferentBase):
        ledger.plan_edit(Delta(BaseRef(None, None, "0" * 64), A.tensors), "update")


def test_a_revert_in_the_middle_of_the_list(ledger):
    record(ledger, A)
    before = record(ledger, B)
    head = move(ledger, ledger.plan_revert(A.id[:8]))
    assert head.edits == (B.id,)
    step = ledger.log()[0]
    assert (step.kind, step.parents, step.edit) == ("revert", (before.id,), A.id)
    assert ledger.check() == []


def test_a_revert_of_the_last_edit_is_the_known_version_as_a_new_step(ledger):
    first = record(ledger, A)
    record(ledger, B)
    assert move(ledger, ledger.plan_revert(B.id)) == first
    log = ledger.log()
    assert [step.kind for step in log] == ["revert", "update", "update", "init"]
    assert log[0].version == log[2].version
    assert (log[0].refs, log[2].refs) == (("main",), ())


def test_a_reverted_edit_can_be_applied_again(ledger):
    record(ledger, A)
    move(ledger, ledger.plan_revert(A.id))
    record(ledger, B)
    assert record(ledger, A).edits == (B.id, A.id)
    assert [edit.id for edit in ledger.edits()] == [A.id, B.id]
    assert ledger.check() == []


def test_a_revert_under_a_later_overlap_asks_first(ledger):
    record(ledger, A)
    record(ledger, C)
    with pytest.raises(SlotOverlap, match=r"L0\.1.*allow_overlap=True") as caught:
        ledger.plan_revert(A.id)
    assert caught.value.exit_code == ExitCode.CONFLICT
    assert caught.value.edits == ((A.id, C.id),)
    assert move(ledger, ledger.plan_revert(A.id, allow_overlap=True)).edits == (C.id,)


def test_reverting_what_the_head_lacks_is_refused(ledger):
    record(ledger, A)
    move(ledger, ledger.plan_revert(A.id))
    with pytest.raises(EditNotApplied):
        ledger.plan_revert(A.id)


def test_rewind_moves_the_branch_and_keeps_the_journal(ledger):
    first = record(ledger, A)
    second = record(ledger, B)
    assert move(ledger, ledger.plan_rewind(first.id[:8])) == first
    assert ledger.version(second.id) == second
    assert ledger.log()[0].parents == (second.id,)
    with pytest.raises(AlreadyThere):
        ledger.plan_rewind("head")


def test_compose_joins_branches_in_either_order(ledger):
    one = record(ledger, A)
    move(ledger, ledger.plan_rewind("base"))
    two = record(ledger, B)
    plans = [ledger.plan_compose(names) for names in ([one.id, two.id], [two.id, one.id])]
    assert [plan.recipe for plan in plans] == [(A.id, B.id), (B.id, A.id)]
    made = [digests(ledger.deltas(plan.recipe)) for plan in plans]
    assert made[0] == made[1]
    head = ledger.advance(plans[0], made[0])
    assert ledger.log()[0].parents == (one.id, two.id)
    assert head.edits == (A.id, B.id)


def test_compose_with_one_name_joins_it_to_the_head(ledger):
    one = record(ledger, A)
    move(ledger, ledger.plan_rewind("root"))
    two = record(ledger, B)
    assert ledger.plan_compose([one.id]).parents == (two.id, one.id)


def test_compose_of_overlapping_branches_asks_first(ledger):
    one = record(ledger, A)
    move(ledger, ledger.plan_rewind("base"))
    two = record(ledger, C)
    with pytest.raises(SlotOverlap):
        ledger.plan_compose([one.id, two.id])
    plan = ledger.plan_compose([one.id, two.id], allow_overlap=True)
    assert plan.overlaps[0].slots == (NeuronId(0, 1),)


def test_blame_tells_who_writes_a_slot_and_whether_it_counts(ledger):
    record(ledger, A)
    record(ledger, delta_of((0, 1), (0, 2), mode=Mode.SET))
    move(ledger, ledger.plan_revert(A.id, allow_overlap=True))
    blamed = ledger.blame(NeuronId(0, 1))
    assert [(b.edit.id == A.id, b.mode, b.in_head) for b in blamed] == [
        (True, "add", False),
        (False, "set", True),
    ]
    assert ledger.blame(NeuronId(0, 5)) == []


def test_diff_names_edits_and_slots(ledger):
    record(ledger, A)
    record(ledger, B)
    difference = ledger.diff("base", "head")
    assert (difference.only_a, difference.only_b) == ((), (A.id, B.id))
    assert difference.slots == (NeuronId(0, 1), NeuronId(0, 2), NeuronId(1, 1))


def test_a_known_version_must_give_the_same_bits_again(ledger):
    first = record(ledger, A)
    record(ledger, B)
    plan = ledger.plan_revert(B.id)
    wrong = dict.fromkeys(first.digests, "0" * 64)
    with pytest.raises(DigestsDiffer) as caught:
        ledger.advance(plan, wrong)
    assert caught.value.exit_code == ExitCode.INTEGRITY
    assert len(ledger.log()) == 3


def test_the_head_must_be_where_the_plan_found_it(ledger, tmp_path):
    late = ledger.plan_edit(A, "update")
    record(ledger, B)
    with pytest.raises(HeadMoved) as caught:
        ledger.advance(late, digests([A]), edit=about(A))
    assert caught.value.exit_code == ExitCode.CONFLICT
    assert [edit.id for edit in ledger.edits()] == [B.id]


def test_of_many_at_once_one_wins_and_the_others_learn_of_it(tmp_path):
    new_ledger(tmp_path).close()
    deltas = [delta_of((0, index)) for index in range(6)]

    def attempt(delta):
        with open_ledger(tmp_path) as ledger:
            return ledger, ledger.plan_edit(delta, "update"), delta

    planned = [attempt(delta) for delta in deltas]

    def carry_out(task):
        ledger, plan, delta = task
        try:
            return ledger.advance(plan, digests([delta]), edit=about(delta)).id
        except HeadMoved:
            return None

    with ThreadPoolExecutor(6) as pool:
        won = [version for version in pool.map(carry_out, planned) if version]
    with open_ledger(tmp_path) as ledger:
        assert won == [ledger.head().id]
        assert len(ledger.edits()) == 1
        assert ledger.check() == []


RACE = """
import json, sys
from datetime import UTC, datetime
from pathlib import Path
from kn_edit.errors import HeadMoved
from kn_edit.ledger import Ledger
from kn_edit.ledger.in_folder import open_in_folder
folder, edit, digests = sys.argv[1:]
with open_in_folder(Path(folder), clock=lambda: datetime.now(UTC)) as ledger:
    plan = ledger.plan_revert(edit)
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        ledger.advance(plan, json.loads(digests))
        print("won")
    except HeadMoved:
        print("moved")
"""


@only_sqlite
def test_of_two_processes_one_wins(ledger):
    record(ledger, A)
    record(ledger, B)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, folder_of(ledger), gone.id, json.dumps(digests([kept]))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for gone, kept in ((A, B), (B, A))
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert sorted(racer.communicate()[0].strip() for racer in racers) == ["moved", "won"]
    assert len(ledger.log()) == 4
    assert ledger.check() == []


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_ledger_stays_sound_through_any_moves(data, tmp_path_factory):
    with new_ledger(tmp_path_factory.mktemp("any")) as ledger:
        for number in range(8):
            head = ledger.head()
            kind = data.draw(
                st.sampled_from(["edit", "edit", "revert", "rewind", "compose", "tag"])
            )
            versions = sorted({step.version for step in ledger.log()})
            try:
                if kind == "edit":
                    slot = (data.draw(st.integers(0, 1)), data.draw(st.integers(0, 2)))
                    record(ledger, delta_of(slot, value=float(number + 1)))
                elif kind == "revert" and head.edits:
                    edit = data.draw(st.sampled_from(head.edits))
                    move(ledger, ledger.plan_revert(edit, allow_overlap=True))
                elif kind == "rewind":
                    move(ledger, ledger.plan_rewind(data.draw(st.sampled_from(versions))))
                elif kind == "compose":
                    names = data.draw(st.lists(st.sampled_from(versions), min_size=1, max_size=3))
                    move(ledger, ledger.plan_compose(names, allow_overlap=True))
                elif kind == "tag":
                    ledger.tag(f"t{number % 3}", move=True)
            except AlreadyThere:
                continue
            head = ledger.head()
            assert head.digests == digests(ledger.deltas(head.edits))
        log = ledger.log()
        assert log[0].version == head.id
        assert log[-1].kind == "init"
        assert ledger.check() == []


TORCHLESS = """
import sys
from datetime import datetime, UTC
from pathlib import Path
import kn_edit.ledger
from kn_edit.ledger.in_folder import open_in_folder
assert "torch" not in sys.modules
with open_in_folder(Path(sys.argv[1]), clock=lambda: datetime.now(UTC)) as ledger:
    from kn_edit.neuron import NeuronId
    assert len(ledger.log()) == 3 and ledger.refs() and ledger.head() and ledger.edits()
    assert ledger.blame(NeuronId(0, 1)) and ledger.diff("base", "head").slots
    assert ledger.plan_revert(sys.argv[2]).recipe
slow = {"torch", "transformers", "numpy", "alembic", "safetensors"} & set(sys.modules)
assert not slow, slow
"""


@only_sqlite
def test_reading_a_ledger_imports_neither_torch_nor_alembic(ledger):
    record(ledger, A)
    record(ledger, B)
    subprocess.run([sys.executable, "-c", TORCHLESS, str(folder_of(ledger)), A.id], check=True)
