"""What every store of blobs does: a folder, a bucket of a real server, and the one in memory."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from ledgers import (
    BASE,
    call_every_verb,
    delta_of,
    record,
    ticking,
)
from memory_blobs import MemoryBlobs

from kn_edit.errors import DeltaDigestDiffers, DeltaMissing, KnEditError, LedgerUnusable
from kn_edit.ledger import Ledger
from kn_edit.ledger.blob_store import MAX_BYTES, BlobStore
from kn_edit.ledger.folder_blobs import FolderBlobs, relative_path
from kn_edit.ledger.in_folder import open_in_folder, restore_in_folder
from kn_edit.ledger.object_blobs import ObjectBlobs
from kn_edit.neuron import NeuronId
from kn_edit.objects.address import ObjectAddress

A, B, C = delta_of((0, 1)), delta_of((0, 2), (1, 1)), delta_of((0, 1), value=2.0)
ONE, TWO = b"one", b"two" * 10_000


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Shop:
    """A store, and what only its owner can do to it.

    wait: let a second pass by its clock; damage: exchange the bytes that lie under a digest
    litter: leave something there that is no blob; where it is
    """

    store: BlobStore
    wait: Callable[[], None]
    damage: Callable[[str, bytes], None]
    litter: Callable[[], str]


def folder_shop(path):
    store = FolderBlobs(path / "blobs")

    def wait() -> None:
        for file in store.folder.rglob("*.safetensors"):
            moment = file.stat().st_mtime - 1
            os.utime(file, (moment, moment))

    def litter() -> str:
        (store.folder / "notes.txt").write_text("mine")
        return str(store.folder / "notes.txt")

    return Shop(store, wait, lambda digest, data: store.path(digest).write_bytes(data), litter)


def memory_shop():
    store = MemoryBlobs()

    def wait() -> None:
        store.clock += 1

    def damage(digest: str, data: bytes) -> None:
        store.blobs[digest] = (data, store.clock)

    return Shop(store, wait, damage, lambda: "")


def object_shop(address: str):
    store = ObjectBlobs(ObjectAddress.parse(address))

    def litter() -> str:
        store.bucket.replace("notes.txt", b"mine")
        return f"{address}/blobs/notes.txt"

    return Shop(
        store,
        lambda: time.sleep(1.05),  # the server notes whole seconds
        lambda digest, data: store.bucket.replace(relative_path(digest), data),
        litter,
    )


@pytest.fixture(params=["folder", "memory", "bucket"])
def shop(request, tmp_path):
    if request.param == "folder":
        return folder_shop(tmp_path)
    if request.param == "memory":
        return memory_shop()
    return object_shop(request.getfixturevalue("bucket"))


@pytest.fixture
def store(shop):
    return shop.store


@pytest.fixture
def ledger(tmp_path, store):
    url = f"sqlite:///{tmp_path}/history.db"
    with Ledger.create(url, store, BASE, clock=ticking().__next__) as ledger:
        yield ledger


# --- blobs ---------------------------------------------------------------------------------------


def test_a_blob_comes_back_by_its_sha256(store):
    digests = [store.put(ONE), store.put(TWO), store.put(b"")]
    assert digests == [digest_of(ONE), digest_of(TWO), digest_of(b"")]
    assert [store.get(digest) for digest in digests] == [ONE, TWO, b""]
    assert all(map(store.has, digests))
    assert {blob.digest for blob in store.stored()} == {*digests}
    assert all(digest in store.where(digest) for digest in digests)


def test_what_is_not_there_is_missing(store):
    assert not store.has(digest_of(ONE)) and [*store.stored()] == []
    with pytest.raises(DeltaMissing) as caught:
        store.get(digest_of(ONE))
    assert str(caught.value.path) == store.where(digest_of(ONE))
    assert not store.delete(digest_of(ONE), before=store.now() + 1000)


def test_every_read_compares_the_digest(shop):
    digest = shop.store.put(ONE)
    shop.damage(digest, b"two")
    assert shop.store.has(digest)
    with pytest.raises(DeltaDigestDiffers):
        shop.store.get(digest)
    shop.damage(digest, ONE[:-1])
    with pytest.raises(DeltaDigestDiffers):
        shop.store.get(digest)


def test_putting_a_damaged_blob_again_mends_it(shop):
    digest = shop.store.put(ONE)
    for data in (b"two", b"", b"longer than it was"):
        shop.damage(digest, data)
        assert shop.store.put(ONE) == digest
        assert shop.store.get(digest) == ONE


def test_a_blob_that_is_put_again_is_young_again(shop):
    digest, rest = shop.store.put(ONE), shop.store.put(TWO)
    shop.wait()
    moment = shop.store.now()
    shop.store.put(ONE)
    modified = {blob.digest: blob.modified for blob in shop.store.stored()}
    assert modified[rest] < moment <= modified[digest]
    assert [shop.store.delete(each, before=moment) for each in (digest, rest)] == [False, True]
    assert shop.store.has(digest) and not shop.store.has(rest)


def test_only_what_is_older_is_deleted(shop):
    digest = shop.store.put(ONE)
    [blob] = shop.store.stored()
    assert not shop.store.delete(digest, before=blob.modified)
    assert shop.store.delete(digest, before=blob.modified + 1)
    assert not shop.store.has(digest) and not shop.store.delete(digest, before=blob.modified + 1)


def test_the_clock_is_the_one_that_dates_blobs(shop):
    before = shop.store.now()
    shop.store.put(ONE)
    [blob] = shop.store.stored()
    assert before <= blob.modified <= shop.store.now()


def test_more_bytes_than_a_delta_has_are_refused(store, monkeypatch):
    digest = store.put(TWO)
    module = type(store).__module__
    monkeypatch.setattr(f"{module}.MAX_BYTES", 100)
    with pytest.raises(LedgerUnusable):
        store.put(b"x" * 101)
    if not isinstance(store, MemoryBlobs):
        with pytest.raises(LedgerUnusable):
            store.get(digest)
    assert MAX_BYTES > 100


def test_nothing_of_a_ledger_is_a_stray(shop):
    shop.store.put(ONE)
    shop.store.now()
    assert [*shop.store.strays()] == []
    place = shop.litter()
    assert [*shop.store.strays()] == ([place] if place else [])
    assert [blob.digest for blob in shop.store.stored()] == [digest_of(ONE)]
    assert shop.store.remove_unfinished(shop.store.now()) == []


def test_an_empty_store_is_no_fault(store):
    assert store.now() > 0
    assert [*store.stored()] == [*store.strays()] == store.remove_unfinished(0) == []


# --- a ledger over them --------------------------------------------------------------------------


def test_every_verb_works_over_every_store(ledger, store):
    call_every_verb(ledger, A, B, C)
    assert {blob.digest for blob in store.stored()} == {edit.id for edit in ledger.edits()}
    assert [entry.edit.id for entry in ledger.blame(NeuronId(0, 1))] == [A.id, C.id]
    assert ledger.delta(B.id).to_bytes() == B.to_bytes()
    assert ledger.check() == []


def test_gc_removes_what_no_edit_needs(ledger, shop):
    record(ledger, A)
    shop.store.put(B.to_bytes())
    assert ledger.gc() == []
    shop.wait()
    assert ledger.gc(older_than=timedelta(0)) == [shop.store.where(B.id)]
    assert [blob.digest for blob in shop.store.stored()] == [A.id]
    assert ledger.check() == []


def test_a_delta_that_gc_took_is_stored_again(ledger, shop, monkeypatch):
    put, taken = shop.store.put, []

    def put_and_lose_once(data: bytes) -> str:
        digest = put(data)
        if not taken:
            shop.wait()
            taken.extend(ledger.gc(older_than=timedelta(0)))
        return digest

    monkeypatch.setattr(shop.store, "put", put_and_lose_once)
    record(ledger, A)
    assert taken == [shop.store.where(A.id)] and ledger.check() == []


def test_verify_names_what_is_missing_or_damaged(ledger, shop):
    record(ledger, A)
    record(ledger, B)
    shop.wait()
    assert shop.store.delete(A.id, before=shop.store.now())
    shop.damage(B.id, B.to_bytes()[:-1])
    assert [(problem.part, problem.subject) for problem in ledger.check()] == [
        ("delta", A.id),
        ("delta", B.id),
    ]
    with pytest.raises(KnEditError):
        ledger.deltas([A.id, B.id])


def test_a_backup_of_it_is_restored_in_a_folder_or_a_store(ledger, shop, tmp_path):
    record(ledger, A)
    record(ledger, B)
    ledger.backup(tmp_path / "b.tar")
    clock = ticking().__next__
    for name, blobs in (("w", None), ("v", MemoryBlobs()), ("u", shop.store)):
        folder = tmp_path / name / ".kn-edit"
        restore_in_folder(tmp_path / "b.tar", folder, clock=clock, blobs=blobs)
        with open_in_folder(folder, clock=clock, blobs=blobs) as restored:
            assert restored.check() == []
            assert restored.head() == ledger.head()
            assert restored.delta(A.id).to_bytes() == A.to_bytes()
        assert (folder / "blobs").exists() == (blobs is None)
