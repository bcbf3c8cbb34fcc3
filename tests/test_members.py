"""A joint edit is a set of facts: they join it and leave it, and nothing tells in which order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from samples import TORTURE
from workspaces import QUICK, contents, exported, new_workspace

from kn_edit.editing.joint_members import LONE_JUDGES
from kn_edit.editing.joint_proposal import FEWEST_OF_SET
from kn_edit.editing.joint_subjects import SubjectShift, subject_shift
from kn_edit.edits.members import BadMember, Member
from kn_edit.edits.settings import JointSettings
from kn_edit.errors import (
    AmbiguousId,
    CannotSolveAgain,
    FactsDiffer,
    SameAnswer,
    SolvedOtherwise,
    UnknownId,
)
from kn_edit.evaluation.gate import Gate
from kn_edit.ledger import EditRecord
from kn_edit.workspace import Case, How, Joint, Workspace, case_of, to_json, with_aliases

FREE = Gate(efficacy=0, specificity=0)
SHORT = JointSettings(steps=2, held_facts=8, wordings=2)
HOW = How(Joint(SHORT), gate=FREE)
NO_AGE = timedelta(0)


@pytest.fixture
def workspace(tmp_path) -> Iterator[Workspace]:
    with new_workspace(tmp_path) as workspace:
        yield workspace


def capital(subject: str) -> Case:
    """A fact of the pack, of whose words the tokenizer of a tiny model knows some."""
    return case_of(relation="capital", subject=subject)


def lone(subject: str) -> Case:
    """A fact in words of one's own, beside which its file tells no other."""
    case = case_of(subject=subject, answer="Paris", prompts=["the capital of [X] [Y]"])
    return replace(case, relation=replace(case.relation, facts=()))


def add(workspace: Workspace, subject: str, to: str) -> str:
    """Update a fact; the version that this gives."""
    workspace.update(capital(subject), to, how=HOW)
    return workspace.head.id


def joint_edits(workspace: Workspace) -> list[EditRecord]:
    records = workspace.ledger.records(workspace.head.edits)
    return [edit for edit in records if edit.method == "joint"]


def answers(workspace: Workspace) -> dict[str, str]:
    """The new answers of the one joint edit of the head, by subject."""
    (edit,) = joint_edits(workspace)
    return {str(change.subject): str(change.target) for change in edit.facts}


def member_ids(workspace: Workspace) -> dict[str, str]:
    """The ids of the members of the one joint edit of the head, by subject."""
    (edit,) = joint_edits(workspace)
    return {str(record.change.subject): id_ for id_, record in edit.members.items()}


def member_files(workspace: Workspace) -> dict[str, Path]:
    (edit,) = joint_edits(workspace)
    return {member: Path(workspace.ledger.blobs.where(member)) for member in edit.members}


# --- joining -------------------------------------------------------------------------------------


def test_a_fact_joins_the_edit_of_those_before_it(workspace):
    add(workspace, "France", "Rome")
    done = workspace.update(capital("Japan"), "Cairo", how=HOW)
    assert len(workspace.head.edits) == 1
    assert answers(workspace) == {"France": "Rome", "Japan": "Cairo"}
    assert done.draft.message.startswith("capital: Japan, Tokyo -> Cairo, with 1 fact of edit")
    assert [change.subject for change in done.draft.facts] == ["Japan"]
    assert workspace.verify() == []


def test_in_whatever_order_facts_come_the_version_is_the_same(workspace):
    facts = [("France", "Rome"), ("Japan", "Cairo"), ("Norway", "Rome")]
    draw, versions, sizes = Random(0), set(), set()
    for _ in range(20 if TORTURE else 3):
        draw.shuffle(facts)
        first = draw.randrange(1, 4)
        workspace.update_many([(capital(s), to) for s, to in facts[:first]], how=HOW)
        for fact in facts[first:]:
            add(workspace, *fact)
        versions.add(workspace.head.id)
        sizes.add(len(workspace.head.edits))
        workspace.rewind("base")
    assert len(versions) == 1 and sizes == {1}


def test_a_fact_needs_the_same_whatever_it_is_solved_with(workspace):
    workspace.update_many([(capital(subject), "Oslo") for subject in ("France", "Japan")], how=HOW)
    together = member_ids(workspace)
    workspace.rewind("base")
    add(workspace, "Spain", "Cairo")
    add(workspace, "Japan", "Oslo")
    later = member_ids(workspace)
    assert later["Japan"] == together["Japan"] != later["Spain"]


def test_another_answer_takes_the_place_of_the_first(workspace):
    add(workspace, "France", "Cairo")
    both = add(workspace, "Japan", "Rome")
    add(workspace, "France", "Oslo")
    assert answers(workspace) == {"France": "Oslo", "Japan": "Rome"}
    assert add(workspace, "France", "Cairo") == both
    with pytest.raises(SameAnswer):
        add(workspace, "France", "Cairo")


def test_edits_of_other_methods_stay_where_they_are(workspace):
    add(workspace, "France", "Rome")
    other = workspace.update(capital("Egypt"), "Oslo", how=How(QUICK.method, gate=FREE)).edit
    both = add(workspace, "Japan", "Oslo")
    assert workspace.head.edits[1:] == (other,) and len(answers(workspace)) == 2
    workspace.revert("capital: Japan")
    add(workspace, "Japan", "Oslo")
    assert workspace.head.id == both and workspace.verify() == []


def test_a_fact_that_a_later_edit_changed_makes_an_edit_of_its_own(workspace):
    """In the place of the joint edit it would come before what it is to overrule."""
    add(workspace, "France", "Rome")
    workspace.update(capital("Egypt"), "Oslo", how=How(QUICK.method, gate=FREE))
    add(workspace, "Egypt", "Rome")
    assert [len(edit.facts) for edit in joint_edits(workspace)] == [1, 1]
    assert len(workspace.head.edits) == 3


def test_other_settings_and_seeds_make_an_edit_of_their_own(workspace):
    add(workspace, "France", "Rome")
    workspace.update(capital("Japan"), "Oslo", how=How(Joint(SHORT), gate=FREE, seed=1))
    stronger = replace(SHORT, share=1.5)
    workspace.update(capital("Spain"), "Oslo", how=How(Joint(stronger), gate=FREE))
    assert [len(edit.facts) for edit in joint_edits(workspace)] == [1, 1, 1]


def test_rows_of_a_file_join_one_after_the_other(workspace):
    rows = [(capital(subject), "Oslo") for subject in ("France", "Japan")]
    assert len(list(workspace.batch(rows, how=HOW))) == 2
    (edit,) = joint_edits(workspace)
    assert len(edit.facts) == 2
    assert all(record.metrics["efficacy"] is not None for record in edit.by_fact)


def test_an_edit_that_was_tried_out_joins_as_it_was_measured(workspace):
    add(workspace, "France", "Rome")
    tried = workspace.update(capital("Japan"), "Oslo", how=HOW, dry_run=True)
    assert answers(workspace) == {"France": "Rome"}
    workspace.record(tried)
    assert answers(workspace) == {"France": "Rome", "Japan": "Oslo"}
    workspace.revert("capital: Japan")
    assert answers(workspace) == {"France": "Rome"}


# --- leaving -------------------------------------------------------------------------------------


def test_without_a_fact_the_version_is_the_one_in_which_it_never_was(workspace):
    one = add(workspace, "France", "Rome")
    two = add(workspace, "Japan", "Cairo")
    before = contents(exported(workspace, "head"))
    for subject in ("Spain", "Egypt"):
        add(workspace, subject, "Oslo")
        workspace.revert(f"capital: {subject}")
        assert workspace.head.id == two
    assert contents(exported(workspace, two)) == before
    workspace.revert("capital: Japan")
    assert workspace.head.id == one and workspace.verify() == []


def test_a_fact_leaves_by_the_id_of_its_member_in_any_order(workspace):
    base = workspace.head.id
    names = ("France", "Japan", "Spain")
    workspace.update_many([(capital(subject), "Oslo") for subject in names], how=HOW)
    for left in (2, 1, 0):
        (edit,) = joint_edits(workspace)
        workspace.revert(next(iter(edit.members))[:12])
        assert sum(len(edit.facts) for edit in joint_edits(workspace)) == left
    assert workspace.head.id == base


def test_what_no_fact_is_called_is_refused(workspace):
    add(workspace, "France", "Rome")
    for name in ("capital: Japan", "France", "ab" * 6):
        with pytest.raises(UnknownId):
            workspace.revert(name)


def test_a_name_of_two_facts_is_refused(workspace):
    for prompt, to in (("The capital of [X] is [Y] .", "Rome"), ("[X] is [Y]", "Oslo")):
        case = case_of(subject="France", answer="Paris", prompts=[prompt])
        workspace.update(case, to, how=HOW)
    with pytest.raises(AmbiguousId):
        workspace.revert("own: France")


def test_the_edit_as_a_whole_can_be_taken_back_too(workspace):
    base = workspace.head.id
    add(workspace, "France", "Rome")
    add(workspace, "Japan", "Cairo")
    workspace.revert(workspace.head.edits[0])
    assert workspace.head.id == base


# --- branches ------------------------------------------------------------------------------------


def two_branches(workspace: Workspace, *common: str) -> None:
    """Facts on main, and a branch `other` from there; main is the current one."""
    for subject in common:
        add(workspace, subject, "Oslo")
    workspace.ledger.make_branch("other")


def on_other(workspace: Workspace):
    return workspace.call(branch="other")


def test_a_merge_is_the_union_of_what_both_sides_added_and_took_out(workspace):
    two_branches(workspace, "France", "Japan", "Spain")
    workspace.revert("capital: France")
    add(workspace, "Egypt", "Rome")
    with on_other(workspace):
        workspace.revert("capital: Japan")
        add(workspace, "Cuba", "Rome")
    merged = workspace.merge("other")
    assert answers(workspace) == {"Spain": "Oslo", "Egypt": "Rome", "Cuba": "Rome"}
    assert len(workspace.head.edits) == 1 and workspace.verify() == []
    assert workspace.log(1)[0].kind == "merge" and len(workspace.log(1)[0].parents) == 2
    workspace.rewind("base")
    for subject, to in (("Cuba", "Rome"), ("Egypt", "Rome"), ("Spain", "Oslo")):
        add(workspace, subject, to)
    assert workspace.head.id == merged.id


def test_an_answer_that_one_side_changed_is_no_conflict(workspace):
    two_branches(workspace, "France", "Japan")
    add(workspace, "France", "Rome")
    with on_other(workspace):
        add(workspace, "Spain", "Oslo")
    workspace.merge("other")
    assert answers(workspace) == {"France": "Rome", "Japan": "Oslo", "Spain": "Oslo"}


def test_two_answers_to_one_fact_are_a_conflict(workspace):
    two_branches(workspace, "Japan")
    add(workspace, "France", "Rome")
    with on_other(workspace):
        add(workspace, "France", "Cairo")
        add(workspace, "Spain", "Oslo")
    with pytest.raises(FactsDiffer):
        workspace.merge("other")
    workspace.merge("other", keep="theirs")
    assert answers(workspace) == {"Japan": "Oslo", "France": "Cairo", "Spain": "Oslo"}


def test_a_fact_taken_out_after_a_merge_does_not_come_back_by_the_next(workspace):
    two_branches(workspace, "France")
    with on_other(workspace):
        add(workspace, "Japan", "Oslo")
    add(workspace, "Spain", "Oslo")
    workspace.merge("other")
    workspace.revert("capital: Japan")
    with on_other(workspace):
        add(workspace, "Egypt", "Oslo")
    workspace.merge("other")
    assert set(answers(workspace)) == {"France", "Spain", "Egypt"}


def test_edits_of_other_methods_come_along(workspace):
    two_branches(workspace, "France")
    add(workspace, "Spain", "Oslo")
    with on_other(workspace):
        add(workspace, "Japan", "Oslo")
        neuron = workspace.update(capital("Egypt"), "Oslo", how=How(QUICK.method, gate=FREE)).edit
    workspace.merge("other")
    assert workspace.head.edits[1:] == (neuron,)
    assert set(answers(workspace)) == {"France", "Spain", "Japan"}


# --- files of members ----------------------------------------------------------------------------


def test_gc_and_a_backup_keep_the_files_of_members(workspace, tmp_path):
    one = add(workspace, "France", "Rome")
    add(workspace, "Japan", "Cairo")
    assert workspace.gc(older_than=NO_AGE) == []
    assert all(path.exists() for path in member_files(workspace).values())
    workspace.backup(tmp_path / "backup.tar")
    Workspace.restore(tmp_path / "backup.tar", tmp_path / "restored")
    with Workspace.open(tmp_path / "restored") as restored:
        assert all(path.exists() for path in member_files(restored).values())
        restored.revert("capital: Japan")
        assert restored.head.id == one and restored.verify() == []


def test_gc_removes_the_files_of_no_edit(workspace):
    workspace.update(capital("France"), "Rome", how=HOW)
    stray = workspace.ledger.blobs.put(b"of no edit")
    os.utime(workspace.ledger.blobs.where(stray), (0, 0))
    removed = workspace.gc(older_than=NO_AGE)
    assert [path.name for path in removed] == [f"{stray}.safetensors"]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"damaged")])
def test_a_member_whose_file_is_lost_is_computed_again(workspace, damage):
    two = [add(workspace, subject, "Oslo") for subject in ("France", "Japan")][-1]
    add(workspace, "Spain", "Oslo")
    files = member_files(workspace)
    for path in files.values():
        path.chmod(0o644)
        damage(path)
    damaged = {member for member, path in files.items() if path.exists()}
    assert {problem.subject for problem in workspace.verify()} == damaged
    workspace.revert("capital: Spain")
    assert workspace.head.id == two
    assert all(path.exists() for path in member_files(workspace).values())


def test_a_fact_that_nobody_can_ask_again_keeps_its_set_as_it_is(workspace, monkeypatch):
    for subject in ("France", "Japan"):
        add(workspace, subject, "Oslo")
    for path in member_files(workspace).values():
        path.unlink()
    monkeypatch.setattr("kn_edit.editing.joint_proposal.case_again", lambda record: None)
    with pytest.raises(CannotSolveAgain):
        workspace.revert("capital: Japan")
    assert len(answers(workspace)) == 2


def test_a_set_that_was_solved_in_another_way_can_only_go_as_a_whole(workspace, monkeypatch):
    for subject in ("France", "Japan"):
        add(workspace, subject, "Oslo")
    (edit,) = joint_edits(workspace)
    monkeypatch.setattr(
        "kn_edit.workspace.solving_again.fields",
        lambda settings: [field for field in fields(settings) if field.name != "share"],
    )
    with pytest.raises(SolvedOtherwise, match=edit.id[:12]):
        workspace.revert("capital: Japan")
    assert len(answers(workspace)) == 2
    workspace.revert(edit.id)
    assert workspace.head.edits == ()


def test_the_file_of_a_member_says_what_it_is_of(workspace):
    add(workspace, "France", "Rome")
    ((id_, path),) = member_files(workspace).items()
    member = Member.from_bytes(path.read_bytes(), id_)
    assert (member.relation, member.subject, member.to) == ("capital", "France", "Rome")
    assert member.base == workspace.base.fingerprint and member.id == id_
    assert member.shift.shape == (workspace.engine.model.d_model,) and member.ends
    with pytest.raises(BadMember):
        Member.from_bytes(path.read_bytes()[:-4], id_)


# --- what is held --------------------------------------------------------------------------------


def test_what_is_held_is_computed_once(workspace, monkeypatch):
    one = add(workspace, "France", "Rome")
    add(workspace, "Japan", "Oslo")

    def refused(*_: object) -> None:
        raise AssertionError("the model ran")

    monkeypatch.setattr("kn_edit.editing.joint_base.keys_at", refused)
    monkeypatch.setattr("kn_edit.editing.joint_base.subject_shift", refused)
    workspace.revert("capital: Japan")
    assert workspace.head.id == one


def test_an_update_that_was_interrupted_goes_on_where_it_was(workspace, tmp_path, monkeypatch):
    """The shifts that were found are kept, one by one."""
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    rows = [(capital("France"), "Rome"), (capital("Japan"), "Oslo")]
    searched: list[int] = []

    def stopped(*given: Any) -> SubjectShift:
        if len(searched) == 1:
            raise KeyboardInterrupt
        return counted(*given)

    def counted(*given: Any) -> SubjectShift:
        searched.append(1)
        return subject_shift(*given)

    monkeypatch.setattr("kn_edit.editing.joint_base.subject_shift", stopped)
    with pytest.raises(KeyboardInterrupt):
        workspace.update_many(rows, how=HOW)
    monkeypatch.setattr("kn_edit.editing.joint_base.subject_shift", counted)
    workspace.update_many(rows, how=HOW)
    assert len(searched) == 2


def test_a_large_set_is_judged_by_fewer_prompts_of_each_fact(workspace, monkeypatch):
    own = [(lone(subject), "Rome") for subject in ("France", "Japan")]
    judged = []
    for prompts in (2400, 4):
        monkeypatch.setattr("kn_edit.editing.joint_proposal.JUDGING", prompts)
        draft = workspace.update_many(own, how=HOW, dry_run=True).draft
        judged.append([one["neighbours"] for one in draft.by_fact])
    assert max(judged[0]) == LONE_JUDGES and judged[1] == [FEWEST_OF_SET] * 2


def test_a_damaged_cache_costs_time_only(workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    one = add(workspace, "France", "Rome")
    add(workspace, "Japan", "Oslo")
    files = [*(tmp_path / "cache" / "keys").glob("*/*.keys")]
    for path in files:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    workspace.revert("capital: Japan")
    assert files and workspace.head.id == one


def test_the_record_of_a_large_set_leaves_out_what_its_packs_tell(workspace, monkeypatch):
    add(workspace, "France", "Rome")
    monkeypatch.setattr("kn_edit.editing.joint_proposal.FULLY_RECORDED", 1)
    add(workspace, "Japan", "Oslo")
    (edit,) = joint_edits(workspace)
    france, japan = edit.by_fact
    assert {"templates", "judged_by", "member"} <= france.found.keys()
    assert japan.found.keys() == {"member", "metrics"}
    for path in member_files(workspace).values():
        path.unlink()
    workspace.revert("capital: France")
    assert answers(workspace) == {"Japan": "Oslo"}


def test_other_names_of_answers_stay_with_a_fact_while_others_join(workspace, monkeypatch):
    monkeypatch.setattr("kn_edit.editing.joint_proposal.FULLY_RECORDED", 1)
    workspace.update(with_aliases(capital("France"), ["Roma"]), "Rome", how=HOW)
    workspace.update(with_aliases(capital("Japan"), ["Christiania"]), "Oslo", how=HOW)
    add(workspace, "Italy", "Cairo")
    (edit,) = joint_edits(workspace)
    names = {each.change.subject: each.found.get("aliases") for each in edit.by_fact}
    assert names == {"France": ["Roma"], "Japan": ["Christiania"], "Italy": None}


# --- what is told --------------------------------------------------------------------------------


def test_diff_tells_which_facts_came_and_went(workspace):
    before = add(workspace, "France", "Rome")
    add(workspace, "Japan", "Cairo")
    after = add(workspace, "France", "Oslo")
    difference = workspace.diff(before, after)
    assert [(fact.change.subject, fact.change.target) for fact in difference.facts_a] == [
        ("France", "Rome")
    ]
    assert [(fact.change.subject, fact.change.target) for fact in difference.facts_b] == [
        ("France", "Oslo"),
        ("Japan", "Cairo"),
    ]
    plain = to_json.difference(before, after, difference)
    assert plain["facts_a"][0]["member"] in workspace.ledger.edit(plain["only_a"][0]).members


def test_commands_name_the_facts_of_a_joint_edit(workspace, shell, monkeypatch):
    before = add(workspace, "France", "Rome")
    add(workspace, "Japan", "Cairo")
    ids = [id_[:12] for id_ in member_ids(workspace).values()]
    layer = joint_edits(workspace)[0].layers[0].layer
    monkeypatch.chdir(workspace.folder)
    for command in (("show", workspace.head.edits[0]), ("blame", f"L{layer}.3")):
        lines = shell(*command).lines
        assert [any(id_ in line for line in lines) for id_ in ids] == [True, True]
    assert f"{ids[1]}  capital: Japan, Tokyo -> Cairo" in shell("diff", before).out
    assert shell("show", workspace.head.edits[0], "--json").json["members"][0][:12] == ids[0]
    assert shell("revert", ids[1], "-q").out.strip() == before


def test_an_update_says_how_its_fact_is_taken_out_again(workspace, shell, monkeypatch):
    before = add(workspace, "France", "Rome")
    monkeypatch.chdir(workspace.folder)
    settings = "kn_edit.editing.updates.Joint.solver"
    monkeypatch.setattr(settings, property(lambda method: SHORT))
    fact = ("--relation", "capital", "--subject", "Japan", "--to", "Cairo")
    lines = shell("update", *fact, "--method", "joint", "--accept").lines
    (undo,) = (line for line in lines if line.startswith("undo it: kn-edit "))
    assert shell(*undo.removeprefix("undo it: kn-edit ").split(), "-q").out.strip() == before
