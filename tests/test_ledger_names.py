"""Prefixes, tags and the other names of versions."""

from __future__ import annotations

import pytest
from ledgers import delta_of, move, new_ledger, record

from kn_edit.errors import (
    AmbiguousId,
    BadTagName,
    ExitCode,
    ShortPrefix,
    TagExists,
    UnknownId,
)
from kn_edit.ledger import names
from kn_edit.ledger.tables import versions

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
def ledger(tmp_path):
    with new_ledger(tmp_path) as ledger:
        yield ledger


def test_a_version_goes_by_all_its_names(ledger):
    root = ledger.head()
    head = record(ledger, delta_of((0, 1)))
    ledger.tag("v1")
    for name in ("head", "HEAD", "main", "v1", head.id, head.id[:8], head.id[:8].upper()):
        assert ledger.version(name) == head
    for name in ("base", "root", root.id[:10]):
        assert ledger.version(name) == root


@pytest.mark.parametrize("name", ["nothing", "0" * 8, "zz" * 8, ""])
def test_a_name_of_nothing_is_refused(ledger, name):
    with pytest.raises(UnknownId):
        ledger.version(name)
    with pytest.raises(UnknownId):
        ledger.edit(name)


def test_a_prefix_needs_eight_digits(ledger):
    with pytest.raises(ShortPrefix) as caught:
        ledger.version(ledger.head().id[:7])
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_prefix_of_several_ids_lists_them(ledger):
    twins = tuple("12345678" + digit * 56 for digit in "ab")
    with ledger._database.writing() as connection:
        for twin in twins:
            row = {"id": twin, "base": ledger.base.fingerprint, "created": "now"}
            connection.insert(versions, row)
    with pytest.raises(AmbiguousId) as caught:
        ledger.version("12345678")
    assert caught.value.candidates == twins
    with ledger._database.reading() as connection:
        assert names.find_version(connection, "12345678a") == twins[0]


@pytest.mark.parametrize("name", ["v1", "no-paris", "release/2026.1", "_", "decade", "1.0.0", "a-"])
def test_good_tag_names(name):
    names.check_tag(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "main",
        "HEAD",
        "base",
        "Root",
        "deadbeef",
        "0123456789ab",
        "DEADBEEF",
        "a..b",
        "a//b",
        "a/",
        "/a",
        ".a",
        "a/.b",
        "a.",
        "a.lock",
        "a.lock/b",
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a\n",
        "ä",
        "x" * 101,
    ],
)
def test_bad_tag_names(ledger, name):
    with pytest.raises(BadTagName) as caught:
        ledger.tag(name)
    assert caught.value.exit_code == ExitCode.USAGE
    assert [ref.name for ref in ledger.refs()] == ["main"]


def test_a_tag_stays_unless_told_to_move(ledger):
    first = record(ledger, delta_of((0, 1)))
    assert ledger.tag("v1").version == first.id
    second = record(ledger, delta_of((0, 2)))
    ledger.tag("v1", first.id)  # where it is already: nothing to do
    with pytest.raises(TagExists):
        ledger.tag("v1")
    assert ledger.tag("v1", move=True).version == second.id
    assert [(ref.name, ref.version) for ref in ledger.refs()] == [
        ("main", second.id),
        ("v1", second.id),
    ]
    assert ledger.check() == []


def test_the_log_shows_tags_at_their_version(ledger):
    first = record(ledger, delta_of((0, 1)))
    ledger.tag("v1")
    ledger.tag("v1-again")
    record(ledger, delta_of((0, 2)))
    assert [step.refs for step in ledger.log()] == [("main",), ("v1", "v1-again"), ()]
    move(ledger, ledger.plan_rewind("v1"))
    assert ledger.log()[0].version == first.id
    assert ledger.log()[0].refs == ("main", "v1", "v1-again")
