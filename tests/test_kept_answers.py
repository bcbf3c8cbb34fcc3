"""Answers that a service keeps: the same bytes until somebody commits, and never older ones."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from ledgers import delta_of, new_ledger, open_ledger, record

from kn_edit.jobs.callers import metadata as caller_tables
from kn_edit.jobs.callers import note_caller
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.service import kept_answers
from kn_edit.service.access.tokens import tokens_in
from kn_edit.service.app import make_app
from kn_edit.service.service import Service

API = "/api/v1"
READS = (
    *(f"{API}/{name}" for name in ("status", "branches", "branches/main", "versions", "tags")),
    *(f"{API}/{name}" for name in ("versions/head", "edits", "facts", "log", "graph", "models")),
    f"{API}/diff?a=base",
    f"{API}/blame?neuron=L0.1",
    "/",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a workspace with one edit; its model is not there."""
    with new_ledger(tmp_path) as ledger:
        record(ledger, delta_of((0, 1)))
    return tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(make_app(folder, address="127.0.0.1"), base_url="http://127.0.0.1") as client:
        yield client


def service_of(client: TestClient) -> Service:
    service: Service = client.app.state.service
    return service


def text(client: TestClient, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.text


def without_id(answer: Response) -> dict[str, str]:
    """The headers of an answer without the id of its request."""
    return {name: value for name, value in answer.headers.items() if name != "x-request-id"}


class Looks:
    """How often the rows of a ledger are read."""

    def __init__(self, client: TestClient) -> None:
        self.count = 0
        dialect = service_of(client).workspace.ledger._database.dialect
        reader = dialect.reader

        def counted() -> object:
            self.count += 1
            return reader()

        dialect.reader = counted


@pytest.mark.parametrize("path", READS)
def test_an_answer_is_made_once_and_anew_after_a_commit_of_another_process(client, folder, path):
    first = client.get(path)
    looks = Looks(client)
    again = client.get(path)
    assert looks.count == 0
    assert (again.status_code, again.content) == (200, first.content)
    assert without_id(again) == without_id(first)
    with open_ledger(folder) as ledger:
        record(ledger, delta_of((0, 1), (1, 2), value=3.0), subject="Japan")
        ledger.tag("v1")
    assert client.get(path).status_code == 200
    assert (looks.count > 0) or path.endswith("models")
    if not path.endswith("models"):  # which no edit changes
        assert client.get(path).content != first.content


def test_a_write_of_the_service_itself_is_seen_by_the_next_read(client):
    before = text(client, f"{API}/branches")
    made = client.post(f"{API}/branches", json={"name": "side"}, headers={"Origin": "null"})
    assert made.status_code == 403  # a page of a stranger
    assert text(client, f"{API}/branches") == before
    assert client.post(f"{API}/branches", json={"name": "side"}).status_code == 201
    assert '"side"' in text(client, f"{API}/branches")


def test_queries_and_paths_have_answers_of_their_own(client):
    assert text(client, f"{API}/log?limit=1") != text(client, f"{API}/log?limit=2")
    assert text(client, f"{API}/versions/head") != text(client, f"{API}/versions/base")
    assert client.get(f"{API}/log?limit=0").status_code == 422


def test_who_asked_for_a_move_is_told_as_soon_as_it_is_known(client, folder):
    assert '"by"' not in text(client, f"{API}/log")
    database = ServiceDatabase.of(folder, caller_tables)
    with open_ledger(folder) as ledger, database.writing() as connection:
        note_caller(connection, ledger.log(1), "ana", address="127.0.0.1")
    database.close()
    assert '"by":"ana"' in text(client, f"{API}/log")
    assert "by ana" in text(client, "/")


def test_an_answer_that_is_kept_is_given_to_nobody_without_a_token(client, folder):
    with tokens_in(folder) as tokens:
        secret = tokens.create("ana", "reader", seconds=None)
        headers = {"Authorization": f"Bearer {secret}"}
        assert client.get(f"{API}/status", headers=headers).status_code == 200
        assert client.get(f"{API}/status").status_code == 401
        assert client.get("/", follow_redirects=False).status_code == 303
        tokens.revoke("ana")
        assert client.get(f"{API}/status", headers=headers).status_code == 401


def test_a_caller_who_has_the_answer_is_told_so(client):
    first = client.get(f"{API}/log")
    headers = {"If-None-Match": first.headers["ETag"]}
    for _ in range(2):
        answer = client.get(f"{API}/log", headers=headers)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["ETag"] == first.headers["ETag"]
    assert client.get(f"{API}/log").content == first.content


def test_a_ledger_in_the_place_of_the_former_one_is_read(client, folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    with new_ledger(other) as ledger:
        record(ledger, delta_of((1, 4), value=7.0), subject="Cuba")
    assert "France" in text(client, f"{API}/facts")
    (folder / ".kn-edit" / "ledger.db").rename(folder / "former.db")
    shutil.copytree(other / ".kn-edit" / "blobs", folder / ".kn-edit" / "blobs", dirs_exist_ok=True)
    (other / ".kn-edit" / "ledger.db").rename(folder / ".kn-edit" / "ledger.db")
    assert "Cuba" in text(client, f"{API}/facts")
    assert "France" not in text(client, f"{API}/facts")


def test_a_refusal_is_not_kept(client, folder):
    assert client.get(f"{API}/versions/v1").status_code == 404
    with open_ledger(folder) as ledger:
        ledger.tag("v1")
    assert client.get(f"{API}/versions/v1").status_code == 200


def test_answers_take_no_more_memory_than_they_may(client, monkeypatch):
    monkeypatch.setattr(kept_answers, "MOST_BYTES", 3000)
    monkeypatch.setattr(kept_answers, "LARGEST", 2000)
    answers = service_of(client).answers
    for limit in range(1, 60):
        text(client, f"{API}/log?limit={limit}")
        held = sum(len(reply.body) for reply in answers._answers.values())
        assert held == answers._bytes <= 3000
    assert 1 < len(answers._answers) < 59
    page = text(client, "/")
    assert len(page) > 2000
    assert text(client, "/") == page
    assert ("/", b"") not in answers._answers


def test_of_readers_who_ask_at_once_one_makes_the_answer(client):
    looks = Looks(client)
    text(client, f"{API}/log")
    alone, start = looks.count, threading.Barrier(8)
    bodies: list[str] = []

    def read() -> None:
        start.wait()
        bodies.append(text(client, f"{API}/log?limit=7"))

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bodies) == 8 and len({*bodies}) == 1
    assert looks.count == 2 * alone
