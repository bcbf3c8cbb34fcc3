"""Object storage: addresses, keys, errors that say what to do, objects whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from object_server import BUCKET

from kn_edit.credentials import tokens_in_use
from kn_edit.errors import (
    BadObjectAddress,
    BadObjectEndpoint,
    BucketMissing,
    ExitCode,
    ObjectAccessDenied,
    ObjectKeysMissing,
    ObjectStoreFailed,
)
from kn_edit.ledger.object_blobs import ObjectBlobs
from kn_edit.objects import bucket as client
from kn_edit.objects.access import ObjectAccess, access_of
from kn_edit.objects.address import ObjectAddress
from kn_edit.objects.opening import open_bucket

TORTURE = "KN_EDIT_TORTURE" in os.environ
KILLS = 20 if TORTURE else 2
NO_FILES = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}


def blobs_at(address: str) -> ObjectBlobs:
    return ObjectBlobs(ObjectAddress.parse(address))


# --- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://edits", "edits", ""),
        ("s3://edits/", "edits", ""),
        ("s3://my.edits-1/team_a/v1.0/", "my.edits-1", "team_a/v1.0"),
    ],
)
def test_an_address_is_a_bucket_and_a_prefix(url, bucket, prefix):
    address = ObjectAddress.parse(url)
    assert (address.bucket, address.prefix) == (bucket, prefix)
    assert str(address) == url.rstrip("/")
    assert ObjectAddress.parse(str(address.below("blobs"))) == address.below("blobs")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "edits/x",
        "http://edits/x",
        "s3:/edits/x",
        "s3://",
        "s3://ab",
        "s3://Edits",
        "s3://ed..its",
        "s3://key:secret@edits/x",
        "s3://edits//x",
        "s3://edits/../x",
        "s3://edits/a b",
        "s3://edits/x?versionId=1",
        "s3://edits/x#y",
        "s3://edits/\x1b[2J",
        "s3://edits/" + "x" * 600,
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(BadObjectAddress, match="s3://bucket/prefix") as caught:
        ObjectAddress.parse(url)
    assert caught.value.exit_code == ExitCode.USAGE and "\x1b" not in str(caught.value)


# --- keys ----------------------------------------------------------------------------------------


def test_keys_come_from_the_environment_first():
    environment = {
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_SESSION_TOKEN": "t",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000/",
        **NO_FILES,
    }
    access = access_of("s3://edits", environment)
    assert access == ObjectAccess("eu-west-1", "http://127.0.0.1:9000", "k", "s", "t")
    assert "'s'" not in repr(access) and "'t'" not in repr(access)
    assert access_of("s3://edits", environment | {"AWS_REGION": "x"}).region == "x"


def test_keys_come_from_the_profile_in_the_files(tmp_path):
    keys, config = tmp_path / "credentials", tmp_path / "config"
    keys.write_text(
        "[default]\naws_access_key_id = d\naws_secret_access_key = ds\n"
        "[team]\naws_access_key_id = k\naws_secret_access_key = s%\naws_session_token = t\n"
    )
    config.write_text(
        "[default]\nregion = eu-north-1\n[profile team]\nregion = eu-west-1\n"
        "endpoint_url = https://objects.example:9000\n"
    )
    files = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(keys)}
    assert access_of("x", files) == ObjectAccess("eu-north-1", None, "d", "ds")
    team = access_of("x", files | {"AWS_PROFILE": "team"})
    assert team == ObjectAccess("eu-west-1", "https://objects.example:9000", "k", "s%", "t")
    with pytest.raises(ObjectKeysMissing, match="profile nobody"):
        access_of("x", files | {"AWS_PROFILE": "nobody"})


@pytest.mark.parametrize("text", ["", "no ini file", "[default", "[default]\nregion = x\n", "\xff"])
def test_files_without_keys_leave_none(tmp_path, text):
    file = tmp_path / "credentials"
    file.write_bytes(text.encode("latin-1"))
    files = {"AWS_CONFIG_FILE": str(file), "AWS_SHARED_CREDENTIALS_FILE": str(file)}
    with pytest.raises(ObjectKeysMissing, match="AWS_ACCESS_KEY_ID"):
        access_of("x", files)
    half = files | {"AWS_ACCESS_KEY_ID": "k"}
    with pytest.raises(ObjectKeysMissing):
        access_of("x", half)
    role = access_of("x", half | {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1/keys"})
    assert (role.key, role.secret) == (None, None)


@pytest.mark.parametrize(
    "endpoint", ["host:9000", "ftp://host", "http://", "http://ann:pw@host", "https://host/path"]
)
def test_an_endpoint_that_is_no_address_is_refused(endpoint):
    environment = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", **NO_FILES}
    with pytest.raises(BadObjectEndpoint, match="AWS_ENDPOINT_URL") as caught:
        access_of("x", environment | {"AWS_ENDPOINT_URL": endpoint})
    assert "pw" not in str(caught.value)


def test_secrets_of_the_environment_are_struck_from_what_is_shown(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-very-secret-key")
    assert "a-very-secret-key" in tokens_in_use()


# --- errors of servers ---------------------------------------------------------------------------


def test_keys_that_the_server_does_not_know_are_denied(bucket, object_server, monkeypatch):
    blobs_at(bucket).put(b"one")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    for verb in (blobs_at(bucket).now, lambda: [*blobs_at(bucket).stored()]):
        with pytest.raises(ObjectAccessDenied, match="SignatureDoesNotMatch") as caught:
            verb()
    assert caught.value.exit_code == ExitCode.NETWORK and "wrong" not in str(caught.value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA0000000000000000")
    with pytest.raises(ObjectAccessDenied, match="InvalidAccessKeyId"):
        blobs_at(bucket).put(b"one")


def test_who_may_only_read_reads_and_is_denied_the_rest(bucket, object_server, monkeypatch):
    digest = blobs_at(bucket).put(b"one")
    for name, value in object_server.environment(object_server.reader).items():
        monkeypatch.setenv(name, value)
    store = blobs_at(bucket)
    assert store.get(digest) == b"one" and store.has(digest)
    assert [blob.digest for blob in store.stored()] == [digest]
    for verb in (
        store.now,
        lambda: store.put(b"two"),
        lambda: store.delete(digest, time.time() + 9),
    ):
        with pytest.raises(ObjectAccessDenied, match="AccessDenied"):
            verb()
    assert store.has(digest)


def test_a_bucket_that_is_not_there_is_named(bucket):
    store = blobs_at(f"s3://no-{BUCKET}/x")
    for verb in (store.now, lambda: store.get("0" * 64), lambda: [*store.stored()]):
        with pytest.raises(BucketMissing, match=f"no bucket of s3://no-{BUCKET}/x"):
            verb()


def test_a_server_that_is_not_there_is_named(bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(client, "RETRIES", 0)
    with pytest.raises(ObjectStoreFailed, match=r"127\.0\.0\.1:1: .*[Cc]onnection refused"):
        blobs_at(bucket).put(b"one")


def test_only_the_first_of_two_creations_counts(bucket):
    objects = open_bucket(ObjectAddress.parse(bucket))
    assert objects.create("x", b"one") and not objects.create("x", b"two")
    assert objects.get("x", 10) == b"one"


# --- whole or not at all -------------------------------------------------------------------------

PUT = """
import sys
from kn_edit.ledger.object_blobs import ObjectBlobs
from kn_edit.objects.address import ObjectAddress
store = ObjectBlobs(ObjectAddress.parse(sys.argv[1]))
store.now()
data = open(sys.argv[2], "rb").read()
print("begin", flush=True)
store.put(data)
print("end", flush=True)
"""


def test_a_put_that_is_killed_leaves_the_whole_blob_or_none(bucket, tmp_path):
    data = os.urandom(48 << 20)
    file = tmp_path / "data"
    file.write_bytes(data)
    outcomes = set()
    for number in range(KILLS):
        place = f"{bucket}/{number}"
        process = subprocess.Popen(
            [sys.executable, "-c", PUT, place, str(file)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None and process.stdout.readline() == b"begin\n"
        time.sleep(0.02 + 0.3 * number / KILLS)
        process.send_signal(signal.SIGKILL)
        finished = b"end" in process.stdout.read()
        process.stdout.close()
        process.wait()
        store = blobs_at(place)
        stored = [blob.digest for blob in store.stored()]
        assert [store.get(digest) for digest in stored] == [data] * len(stored)
        assert len(stored) == 1 or not finished
        outcomes.add(bool(stored))
    assert outcomes
