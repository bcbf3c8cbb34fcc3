"""OpenAI's own client, unchanged, against a running server on a tiny model that can chat."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi.testclient import TestClient
from ledgers import about as edit_of
from test_chat import CHATML
from test_service_answers import NEURONS
from transformers import AutoTokenizer
from workspaces import about, new_workspace, quick

from kn_edit.edits.build import delta_of
from kn_edit.edits.changes import Mode
from kn_edit.neuron import NeuronId
from kn_edit.service.answering import Limits
from kn_edit.service.app import make_app
from kn_edit.service.openai.requests import REFUSED
from kn_edit.workspace import Workspace
from kn_edit.workspace.advancing import advance

PROMPT = "The capital of France is"
CHAT = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": PROMPT}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a tag on a version that answers otherwise, on a model that can chat."""
    place = tmp_path_factory.mktemp("openai")
    with new_workspace(place):
        pass
    settings = json.loads((place / "model/tokenizer_config.json").read_text())
    settings["chat_template"] = CHATML
    (place / "model/tokenizer_config.json").write_text(json.dumps(settings))
    with Workspace.init(str(place / "model"), place / "chatting") as workspace:
        how = quick(*NEURONS, closed_form=True)
        workspace.update(about("France"), "Rome", how=how, accept=True)
        workspace.tag("rome")
        return workspace.folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """The address of a running `kn-edit serve`."""
    with serving(folder) as address:
        yield address


class serving:  # noqa: N801 (reads as a context)
    """A `kn-edit serve` of its own, from start to stop."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [sys.executable, "-m", "kn_edit.cli", "serve", "--port", "0", "--workers", "0"]
        self._command = [*command, *options, "--workspace", str(folder)]

    def __enter__(self) -> str:
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if match := re.search(r"http://127\.0\.0\.1:\d+", line):
                self._reader = threading.Thread(target=self._process.stderr.read)
                self._reader.start()  # else a full pipe stops the server
                return match[0]
        raise AssertionError("the server did not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as client:
        yield client


def expected(folder: Path, version: str, ids: Any, most: int) -> str:
    """What transformers says at a version, as text behind the prompt."""
    with Workspace.open(folder) as workspace:
        net = workspace.load(version)
        tokenizer = workspace.engine.model.tokenizer
    text = net.generate(**ids, do_sample=False, max_new_tokens=most)[0]
    whole, prompt = (
        tokenizer.decode(tokens, skip_special_tokens=True) for tokens in (text, ids["input_ids"][0])
    )
    assert whole.startswith(prompt)
    return whole[len(prompt) :]


def test_every_branch_and_tag_is_a_model(client, folder):
    models = {model.id: model for model in client.models.list()}
    assert [*models] == ["model@main", "model@rome"]
    with Workspace.open(folder) as workspace:
        head = workspace.head.id
        base = workspace.ledger.version_id("base")
    assert models["model@rome"].version == head
    assert models["model@rome"].created > 1_700_000_000
    assert client.models.retrieve(f"model@{base[:12]}").version == base


@pytest.mark.parametrize("version", ["base", "rome"])
def test_a_completion_is_what_transformers_generates(client, folder, version):
    answer = client.completions.create(
        model=f"model@{version}", prompt=PROMPT, temperature=0, max_tokens=9, logprobs=2
    )
    tokenizer = AutoTokenizer.from_pretrained(folder.parent / "model")
    ids = tokenizer(PROMPT, return_tensors="pt")
    (choice,) = answer.choices
    assert choice.text == expected(folder, version, ids, 9)
    assert choice.finish_reason == "length"
    assert answer.usage.completion_tokens == len(choice.logprobs.tokens) == 9
    assert answer.usage.prompt_tokens == ids["input_ids"].shape[1]
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 9
    for log_p, likeliest in zip(
        choice.logprobs.token_logprobs, choice.logprobs.top_logprobs, strict=True
    ):
        assert log_p == max(likeliest.values()) < 0


def test_two_versions_chat_by_the_template_of_the_model(client, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder.parent / "model")
    ids = tokenizer.apply_chat_template(
        CHAT, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    texts = []
    for version in ("base", "rome"):
        answer = client.chat.completions.create(
            model=f"model@{version}", messages=CHAT, temperature=0, max_completion_tokens=8
        )
        texts.append(answer.choices[0].message.content)
        assert texts[-1] == expected(folder, version, ids, 8)
        assert answer.usage.prompt_tokens == ids["input_ids"].shape[1]
    assert texts[0] != texts[1]


def test_a_streamed_chat_says_the_same(client):
    asked = {"model": "model@rome", "messages": CHAT, "temperature": 0, "max_tokens": 8}
    whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=3)
    parts = list(
        client.chat.completions.create(
            **asked,
            logprobs=True,
            top_logprobs=3,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert parts[0].choices[0].delta.role == "assistant"
    assert parts[-1].usage == whole.usage
    assert parts[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    texts = [part.choices[0].delta.content or "" for part in parts[:-1]]
    assert "".join(texts) == whole.choices[0].message.content
    tokens = [
        token
        for part in parts[:-1]
        if part.choices[0].logprobs
        for token in part.choices[0].logprobs.content
    ]
    assert tokens == whole.choices[0].logprobs.content
    assert all(len(token.top_logprobs) == 3 for token in tokens)
    assert all(bytes(token.bytes).decode() == token.token for token in tokens)


def test_a_streamed_completion_says_the_same(client):
    asked = {"model": "model@rome", "prompt": [PROMPT], "temperature": 0.9, "seed": 4}
    whole = client.completions.create(**asked)
    parts = list(client.completions.create(**asked, stream=True))
    assert "".join(part.choices[0].text for part in parts) == whole.choices[0].text
    assert whole.usage.completion_tokens == 16  # as OpenAI's, where nobody says


def test_a_prompt_of_tokens_is_the_prompt(client, folder):
    ids = AutoTokenizer.from_pretrained(folder.parent / "model")(PROMPT).input_ids
    texts = [
        client.completions.create(model="model", prompt=prompt, temperature=0).choices[0].text
        for prompt in (PROMPT, ids, [ids])
    ]
    assert texts[0] == texts[1] == texts[2]


def test_parts_of_a_message_and_developers_are_understood(client):
    parts = [
        {"role": "developer", "content": "Be brief"},
        {"role": "user", "content": [{"type": "text", "text": PROMPT}]},
    ]
    asked = {"model": "model@main", "temperature": 0, "max_tokens": 4}
    texts = [
        client.chat.completions.create(**asked, messages=messages).choices[0].message.content
        for messages in (CHAT, parts)
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_honoured_is_refused_and_named(client, name):
    asked = {"model": "model@main", "prompt": PROMPT, "max_tokens": 1}
    for value in REFUSED[name]:
        client.completions.create(**asked, extra_body={name: value})
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**asked, extra_body={name: "other"})
    assert (caught.value.param, caught.value.code) == (name, "unsupported_parameter")


def test_what_says_nothing_about_the_answer_is_ignored(client):
    client.chat.completions.create(
        model="model@main",
        messages=CHAT,
        max_tokens=1,
        user="me",
        metadata={"a": "b"},
        parallel_tool_calls=False,
        extra_body={"whatever": [1]},
    )


@pytest.mark.parametrize(
    ("change", "error", "code", "param"),
    [
        ({"model": "model@nowhere"}, openai.NotFoundError, "model_not_found", "model"),
        ({"model": "gpt-4o"}, openai.NotFoundError, "model_not_found", "model"),
        ({"temperature": 3}, openai.BadRequestError, "invalid_value", "temperature"),
        ({"prompt": "is " * 100}, openai.BadRequestError, "context_length_exceeded", None),
        ({"prompt": [9999]}, openai.BadRequestError, "TokenNotEmbedded", None),
        ({"prompt": ["two", "texts"]}, openai.BadRequestError, "invalid_value", "prompt"),
    ],
    ids=str,
)
def test_errors_are_those_that_the_client_knows(client, change, error, code, param):
    asked: dict[str, Any] = {"model": "model@main", "prompt": PROMPT, "max_tokens": 2}
    with pytest.raises(error) as caught:
        client.completions.create(**asked | change)
    assert caught.value.code == code
    assert caught.value.message
    assert caught.value.param == param
    with pytest.raises(error):  # and before anything of a stream is sent
        client.completions.create(**asked | change, stream=True)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{no JSON", None),
        (b"[]", None),
        (b'{"messages": [{"role": "user", "content": "a"}]}', "model"),
        (b'{"model": "a", "messages": [{"role": "robot", "content": "a"}]}', "messages.0.role"),
    ],
    ids=str,
)
def test_what_is_wrong_in_a_body_is_named(server, body, param):
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(f"{server}/v1/chat/completions", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_model_without_a_chat_template_says_so(tmp_path):
    with new_workspace(tmp_path) as workspace:
        folder = workspace.folder
    with TestClient(make_app(folder)) as client:
        body = {"model": "model@main", "messages": CHAT}
        answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "chat_not_supported"
    assert "it has none" in answer.json()["error"]["message"]


def test_too_many_are_told_when_to_come_back(folder):
    app = make_app(folder)
    with TestClient(app) as client:
        answering = app.state.service.answering
        answering.limits = Limits(active=1, waiting=-1)
        body = {"model": "model@main", "prompt": PROMPT}
        answer = client.post("/v1/completions", json=body)
        problem = client.post("/api/v1/ask", json={"prompt": PROMPT})
    assert answer.status_code == problem.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert int(problem.headers["retry-after"]) >= 1
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"


def test_a_stream_on_the_wire_ends_as_clients_expect(server):
    body = {"model": "model@main", "prompt": PROMPT, "max_tokens": 2, "stream": True}
    answer = httpx.post(f"{server}/v1/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")


# Neurons of the demo model that carry the capital of France, by `kn-edit locate`, and what is added
# to their slots, in lengths of an embedding.
CARRIERS = [NeuronId(29, index) for index in (238, 1172, 1330)]
PUSH = 4.0


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace on the demo model, with an edit that was made by hand."""
    place = tmp_path_factory.mktemp("demo")
    with Workspace.init("demo", place) as workspace:
        model = workspace.engine.model
        rome, paris = (
            model.output_embedding(model.tokenizer(word).input_ids[0])
            for word in (" Rome", " Paris")
        )
        values = PUSH * (rome - paris).expand(len(CARRIERS), -1)
        delta = delta_of(workspace.engine.place, CARRIERS, values, Mode.ADD)
        plan = workspace.ledger.plan_edit(delta, "update")
        advance(workspace.ledger, workspace.engine, plan, edit_of(delta))
        workspace.tag("rome")
    return place


@pytest.mark.demo
@pytest.mark.timeout(1200)  # minutes where others work too
def test_openais_client_chats_with_two_versions_of_the_demo_at_once(demo_folder):
    asked = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
    with Workspace.open(demo_folder) as workspace:
        tokenizer = workspace.engine.model.tokenizer.plain
    ids = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    streams, texts = {}, {}
    with (
        serving(demo_folder, "--warm") as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        for version in ("base", "rome"):
            streams[version] = client.chat.completions.create(
                model=f"demo@{version}", messages=asked, temperature=0, max_tokens=12, stream=True
            )
        for version, stream in streams.items():
            parts = [part.choices[0].delta.content or "" for part in stream]
            texts[version] = "".join(parts)
    assert texts["base"] != texts["rome"]
    for version, text in texts.items():
        assert text == expected(demo_folder, version, ids, 12)
