"""The live model over HTTP: one version, two side by side, turns and limits; on a tiny model."""

from __future__ import annotations

import asyncio
import gc
import json
import queue
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from workspaces import about, new_workspace, quick

from kn_edit.errors import AnsweringStopped, BaseFolderMissing, TooManyWaiting
from kn_edit.service.answering import Answering, Ended, Failed, Limits
from kn_edit.service.app import make_app
from kn_edit.service.transcript import first_difference
from kn_edit.workspace import Workspace
from kn_edit.workspace.answers import AnswerRequest, Finish, Piece
from kn_edit.workspace.speaking import SpokenAnswer

PROMPT = "The capital of France is"
MOST = 9  # tokens; neither version ends the text before
NEURONS = ((0, 3), (0, 9), (1, 5), (1, 7))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with two versions that answer differently."""
    with new_workspace(tmp_path_factory.mktemp("served")) as workspace:
        how = quick(*NEURONS, closed_form=True)
        workspace.update(about("France"), "Rome", how=how, accept=True)
        return workspace.folder


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[TestClient]:
    with TestClient(make_app(folder)) as client:
        yield client


@pytest.fixture(scope="module")
def generated(folder: Path) -> dict[str, list[int]]:
    """What transformers' own greedy search says at each version."""
    said = {}
    with Workspace.open(folder) as workspace:
        ids = workspace.engine.model.tokenizer(PROMPT, return_tensors="pt")["input_ids"]
        for version in ("base", "head"):
            text = workspace.load(version).generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=MOST
            )
            said[version] = text[0, ids.shape[1] :].tolist()
    assert said["base"] != said["head"]
    return said


def ask(client: TestClient, **question: Any) -> Any:
    answer = client.post("/api/v1/ask", json={"prompt": PROMPT, "max_tokens": MOST} | question)
    assert answer.status_code == 200, answer.text
    return answer


def events(text: str) -> list[tuple[str, Any]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [
        (name.removeprefix("event: "), json.loads(data.removeprefix("data: ")))
        for name, data in blocks
    ]


@pytest.mark.parametrize("version", ["base", "head"])
def test_an_answer_is_what_transformers_generates(client, generated, version):
    answer = ask(client, version=version).json()
    assert [token["id"] for token in answer["tokens"]] == generated[version]
    assert answer["finish"] == "length"
    assert answer["answer_tokens"] == MOST
    full = client.app.state.service.workspace.ledger.version_id(version)
    assert answer["version"] == full


def test_a_stream_holds_the_same_answer_in_pieces(client):
    whole = ask(client, likeliest=2).json()
    named, *tokens, (last, end) = events(ask(client, likeliest=2, stream=True).text)
    assert named == (
        "start",
        {"version": whole["version"], "prompt_tokens": whole["prompt_tokens"]},
    )
    assert (last, end) == ("end", whole)
    assert "".join(data["text"] for _, data in tokens) == whole["text"]
    assert [data["token"] for _, data in tokens] == whole["tokens"]
    for token in whole["tokens"]:
        assert token["likeliest"][0] == {key: token[key] for key in ("id", "text", "log_p")}
        assert token["likeliest"][0]["log_p"] > token["likeliest"][1]["log_p"]


def test_two_versions_move_side_by_side(client, generated):
    sent = {"prompt": PROMPT, "max_tokens": MOST, "a": "base", "b": "head"}
    named, *tokens, (last, end) = events(client.post("/api/v1/compare", json=sent).text)
    assert (named[0], last) == ("start", "end")
    assert [data["side"] for _, data in tokens] == ["a", "b"] * MOST
    for side, version in (("a", "base"), ("b", "head")):
        assert [token["id"] for token in end[side]["tokens"]] == generated[version]
        said = [data["text"] for _, data in tokens if data["side"] == side]
        assert "".join(said) == end[side]["text"]
    differing = first_difference(generated["base"], generated["head"], ended=True)
    assert end["first_difference"] == differing
    for _, data in tokens:
        both_said = data["index"] - (data["side"] == "a")
        assert data["agree"] == (both_said < differing)


def test_a_version_beside_itself_agrees(client):
    sent = {"prompt": PROMPT, "max_tokens": MOST, "a": "head", "b": "main"}
    _, *tokens, (_, end) = events(client.post("/api/v1/compare", json=sent).text)
    assert all(data["agree"] for _, data in tokens)
    assert end["first_difference"] is None


@pytest.mark.parametrize(
    ("a", "b", "ended", "place"),
    [
        ([1, 2], [1, 2], True, None),
        ([1, 2], [1, 3], False, 1),
        ([1, 2], [1], False, None),
        ([1, 2], [1], True, 1),
        ([], [1], True, 0),
    ],
)
def test_the_end_of_one_answer_is_a_difference_once_both_have_ended(a, b, ended, place):
    assert first_difference(a, b, ended=ended) == place


def test_a_stop_string_ends_the_answer(client):
    text = ask(client).json()["text"]
    stop = text.split()[2]
    answer = ask(client, stop=[stop]).json()
    assert answer["text"] == text[: text.index(stop)]
    assert answer["finish"] == "stop"
    assert answer["answer_tokens"] == 3


def test_what_is_drawn_follows_the_seed(client):
    texts = [ask(client, temperature=1.5, seed=seed).json()["text"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def problem(client: TestClient, **question: Any) -> tuple[int, str]:
    answer = client.post("/api/v1/ask", json={"prompt": PROMPT} | question)
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["error"]


def test_what_cannot_be_asked_is_refused_before_anything_is_sent(client):
    assert problem(client, version="nowhere") == (404, "UnknownId")
    assert problem(client, prompt="is " * 100, stream=True) == (422, "PromptTooLong")
    messages = [{"role": "user", "content": "hello"}]
    assert problem(client, prompt=None, messages=messages) == (422, "NoChatTemplate")


@pytest.mark.parametrize(
    "question",
    [
        {"prompt": None},
        {"messages": [{"role": "user", "content": "both"}]},
        {"max_tokens": 0},
        {"max_tokens": 10**6},
        {"temperature": -1},
        {"top_p": 0},
        {"colour": "blue"},
    ],
    ids=str,
)
def test_what_is_no_question_is_a_422(client, question):
    assert client.post("/api/v1/ask", json={"prompt": PROMPT} | question).status_code == 422


def test_an_answer_ends_where_the_model_has_no_place_for_more(client):
    answer = ask(client, prompt="is " * 60, max_tokens=50).json()
    assert answer["finish"] in ("length", "stop")
    assert answer["prompt_tokens"] + answer["answer_tokens"] <= 64 + 1


class Caller:
    """Notes the events of questions in the order in which they come."""

    def __init__(self, answering: Answering, version: str, *counts: int) -> None:
        self.events: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
        requests = [AnswerRequest(version, PROMPT, most_tokens=count) for count in counts]
        self.tickets = answering.submit(requests, lambda *event: self.events.put(event))
        self._unfinished = len(counts)

    def until_ended(self) -> list[tuple[int, Any]]:
        events = []
        while self._unfinished:
            events.append(self.events.get(timeout=60))
            self._unfinished -= isinstance(events[-1][1], Ended | Failed)
        return events


@pytest.fixture
def answering(folder: Path) -> Iterator[Answering]:
    with Workspace.open(folder) as workspace:
        answering = Answering(workspace, Limits(active=2, waiting=2))
        yield answering
        answering.close()


@pytest.fixture
def head(folder: Path) -> str:
    with Workspace.open(folder) as workspace:
        return workspace.head.id


def test_callers_take_turns_and_those_behind_wait_for_a_place(answering, head):
    events = Caller(answering, head, 6, 3, 2).until_ended()
    said = [place for place, event in events if isinstance(event, Piece)]
    assert said == [0, 1, 0, 1, 0, 1, 0, 2, 0, 2, 0]
    tokens = {place: event.tokens for place, event in events if isinstance(event, Ended)}
    assert tokens == {0: 6, 1: 3, 2: 2}


def test_more_than_may_wait_are_refused_all_together(answering, head):
    first = Caller(answering, head, 5, 5, 5)
    with pytest.raises(TooManyWaiting) as caught:
        Caller(answering, head, 1, 1)
    assert caught.value.limit == 4
    assert 1 <= caught.value.retry_after <= 60
    first.until_ended()
    Caller(answering, head, 1, 1).until_ended()


def test_a_caller_that_goes_away_frees_its_place(answering, head):
    first = Caller(answering, head, 50, 50, 50, 50)
    for ticket in first.tickets:
        ticket.cancel()
    second = Caller  # its places are free as soon as the model's thread comes by
    for _ in range(200):
        try:
            events = second(answering, head, 2, 2).until_ended()
            break
        except TooManyWaiting:
            threading.Event().wait(0.05)
    assert len([event for _, event in events if isinstance(event, Ended)]) == 2


def test_long_prompts_wait_for_memory_but_never_for_ever(folder, head):
    with Workspace.open(folder) as workspace:
        answering = Answering(workspace, Limits(active=3, cached=12))
        events = Caller(answering, head, 4, 4, 30).until_ended()
        answering.close()
    said = [place for place, event in events if isinstance(event, Piece)]
    assert said[:8] == [0] * 4 + [1] * 4
    assert set(said[8:]) == {2}


def test_an_answer_ends_when_its_time_is_over(folder, head):
    ticks = iter(range(1000))
    with Workspace.open(folder) as workspace:
        answering = Answering(workspace, Limits(seconds=5), clock=lambda: float(next(ticks)))
        events = Caller(answering, head, 40).until_ended()
        answering.close()
    _, end = events[-1]
    assert end.finish is Finish.TIME
    assert 1 < end.tokens < 10


def test_closing_tells_those_who_wait(answering, head):
    first = Caller(answering, head, 40, 40, 40)
    answering.close()
    ends = [event for _, event in first.until_ended() if not isinstance(event, Piece)]
    failures = [event.error for event in ends if isinstance(event, Failed)]
    assert len(failures) == 3
    assert all(isinstance(error, AnsweringStopped) for error in failures)
    with pytest.raises(AnsweringStopped):
        Caller(answering, head, 1)


def test_a_model_that_cannot_be_loaded_is_told_and_tried_again(tmp_path):
    with new_workspace(tmp_path) as workspace:
        answering = Answering(workspace)
        (tmp_path / "model").rename(tmp_path / "elsewhere")
        ((_, event),) = Caller(answering, workspace.head.id, 1).until_ended()
        assert isinstance(event.error, BaseFolderMissing)
        (tmp_path / "elsewhere").rename(tmp_path / "model")
        events = Caller(answering, workspace.head.id, 1).until_ended()
        assert isinstance(events[-1][1], Ended)
        answering.close()


def test_hundreds_of_answers_leave_nothing_in_memory(client):
    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    for number in range(500):
        if number == 100:
            before = resident()
        ask(client, version=("base", "head")[number % 2], max_tokens=1)
    assert resident() - before < 8 << 20
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is SpokenAnswer]


async def call_and_leave(app: Any, path: str, body: dict[str, Any]) -> float:
    """Send a request, close the connection a moment later; the seconds until its answer ended."""
    answering = app.state.service.answering
    sent = [{"type": "http.request", "body": json.dumps(body).encode()}]

    async def receive() -> dict[str, Any]:
        if sent:
            return sent.pop()
        while not answering._open:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)  # the answer is being made
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        pass

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    start = time.monotonic()
    await app(scope, receive, send)
    while answering._open:
        await asyncio.sleep(0.01)
    return time.monotonic() - start


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/ask", {}),
        ("/api/v1/ask", {"stream": True}),
        ("/api/v1/compare", {}),
        ("/v1/completions", {"model": "model@main"}),
        ("/v1/completions", {"model": "model@main", "stream": True}),
    ],
    ids=str,
)
def test_an_answer_ends_when_its_caller_has_gone(client, monkeypatch, path, body):
    answering = client.app.state.service.answering

    def slow() -> float:  # asked once a token: an answer of 50 takes ten seconds
        time.sleep(0.2)
        return 0.0

    ask(client, max_tokens=1)
    monkeypatch.setattr(answering, "_clock", slow)
    asked = {"prompt": PROMPT, "max_tokens": 50, "temperature": 0} | body
    assert asyncio.run(call_and_leave(client.app, path, asked)) < 5
