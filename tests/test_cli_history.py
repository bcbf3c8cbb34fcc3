"""Looking at the history and moving in it, at the command line."""

from __future__ import annotations

import re

import pytest

from kn_edit.ledger import lists


@pytest.fixture
def ids(edited):
    """Versions, newest first, and edits, oldest first."""
    steps = edited("log", "--json").json
    return [step["version"] for step in steps], steps[0]["edits"]


def fits(ran):
    return all(len(line) <= 80 for line in ran.lines)


def test_log_tells_every_step_newest_first(edited, ids):
    versions, edits = ids
    steps = edited("log", "--json").json
    names = {
        "version",
        "parents",
        "edits",
        "message",
        "refs",
        "edit",
        "kind",
        "created",
        "overruled",
    }
    assert all(step.keys() == names for step in steps)
    assert [step["edits"] for step in steps] == [edits, edits[:1], []]
    assert steps[0]["parents"] == [versions[1]]
    assert steps[0]["refs"] == ["main"]
    assert edited("log", "-q").lines == versions
    people = edited("log")
    assert fits(people)
    assert people.lines[1].startswith(versions[0][:12])
    assert "home: Japan, Tokyo -> Cairo" in people.lines[1]


def test_status_says_model_head_edits_and_tags(edited, ids):
    edited("tag", "v1", "base")
    found = edited("status", "--json").json
    assert found["head"] == ids[0][0]
    assert found["edits"] == ids[1]
    assert found["tags"] == {"v1": ids[0][-1]}
    assert (found["model"], found["family"], found["dtype"]) == ("model", "llama", "F32")
    assert edited("status", "-q").lines == [ids[0][0]]
    people = edited("status")
    assert fits(people)
    assert all(edit[:12] in people.out for edit in ids[1])


def test_show_an_edit_and_a_version_by_prefix_tag_and_name(edited, ids):
    versions, edits = ids
    edit = edited("show", edits[0][:8], "--json").json
    assert (edit["edit"], edit["subject"], edit["target"]) == (edits[0], "France", "Rome")
    assert edit["neurons"][0].keys() == {"layer", "index"}
    edited("tag", "abc")  # as short as no id may be, and all hex
    for name in ("head", "main", "abc", versions[0][:8]):
        assert edited("show", name, "--json").json["version"] == versions[0]
    assert edited("show", "head", "--json").json["refs"] == ["main", "abc"]
    assert edited("show", "base", "-q").lines == [versions[-1]]
    for name in ("head", "base", edits[1]):
        assert fits(edited("show", name))
    assert re.search(r"^gate +(passed|refused, accepted: )", edited("show", edits[1]).out, re.M)


def test_show_of_what_is_not_there(edited):
    ran = edited("show", "v9", "--json")
    assert (ran.code, ran.error["detail"]) == (1, {"what": "version or edit", "name": "v9"})


def test_diff_names_edits_and_slots(edited, ids):
    versions, edits = ids
    found = edited("diff", versions[1], "head", "--json").json
    assert (found["a"], found["b"]) == (versions[1], versions[0])
    assert (found["only_a"], found["only_b"]) == ([], [edits[1]])
    slots = edited("show", edits[1], "--json").json["neurons"]
    assert found["slots"] == slots
    assert edited("diff", "base", "-q").lines == edits
    assert edited("diff", "head").out == f"{versions[0][:12]} and {versions[0][:12]} are the same\n"
    assert fits(edited("diff", "base"))


def test_blame_names_the_edits_of_a_slot(edited, ids):
    slot = edited("show", ids[1][0], "--json").json["neurons"][0]
    name = f"L{slot['layer']}.{slot['index']}"
    first = edited("blame", name, "--json").json[0]
    assert (first["edit"], first["mode"], first["in_head"]) == (ids[1][0], "add", True)
    assert ids[1][0][:12] in edited("blame", name).out
    nobody = edited("blame", "L1.63")
    assert (nobody.code, nobody.out) == (0, "no edit writes the slot of L1.63\n")


def test_revert_and_rewind_move_the_head(edited, ids):
    versions, edits = ids
    assert edited("revert", edits[1][:8], "--json").json["version"] == versions[1]
    assert edited("rewind", versions[0], "-q").lines == [versions[0]]
    without = edited("revert", edits[0], "--allow-overlap", "--json").json
    assert without["edits"] == [edits[1]]
    assert edited("revert", edits[0]).code == 1  # it is not part of the head any more
    assert edited("rewind", "base").out == f"the head is {versions[2][:12]}, with 0 edits\n"


def test_compose_joins_versions(edited, ids):
    versions, edits = ids
    edited("revert", edits[0], "--allow-overlap")
    ran = edited("compose", versions[1], "--allow-overlap", "--json")
    assert ran.code == 0
    assert ran.json["edits"] == [edits[1], edits[0]]
    assert len(edited("log", "--json").json[0]["parents"]) == 2


def test_a_tag_moves_only_when_told(edited, ids):
    assert edited("tag", "v1", "--json").json == {"version": ids[0][0], "tag": "v1"}
    assert edited("tag", "v1", "base").code == 3
    assert edited("tag", "v1", "base", "--move", "-q").lines == [ids[0][-1]]
    assert edited("rewind", "v1").code == 0


def test_commands_that_print_no_list_of_edits_read_none(edited, ids, monkeypatch):
    versions, edits = ids
    slot = edited("show", edits[0], "--json").json["neurons"][0]
    way_back, read = lists.way_back, []

    def noted(connection, version):
        read.append(version)
        return way_back(connection, version)

    monkeypatch.setattr(lists, "way_back", noted)
    for args in (
        ("log", "-n", "20"),
        ("log", "--all"),
        ("log", "-q"),
        ("show", edits[1][:8]),
        ("blame", f"L{slot['layer']}.{slot['index']}"),
        ("diff", versions[1], "head"),
        ("tag", "here"),
    ):
        assert edited(*args).code == 0
    assert read == []
    assert edited("log", "--json").json[0]["edits"] == edits
    assert read
