"""`kn-edit mcp` by the client of the mcp package: a real process, a tiny model, stdio."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult
from service_process import COMMAND, serving
from workspaces import about, new_workspace, quick

from kn_edit.cli.run import run
from kn_edit.errors import NotSignedIn, Remedy, RoleTooLow
from kn_edit.jobs.database import ServiceDatabase
from kn_edit.mcp import place
from kn_edit.mcp.tools import TOOLS
from kn_edit.mcp.wording import TOOLS as WORDS
from kn_edit.safetext import escaped
from kn_edit.service.access.audit import Audit
from kn_edit.service.access.tables import metadata
from kn_edit.service.access.tokens import tokens_in
from kn_edit.workspace import Workspace

PROMPTS = ["The capital of [X] is [Y] .", "the capital city of [X] is [Y]"]
FACT = {"prompts": PROMPTS, "subject": "France", "answer": "Paris"}
HOW = {"rule": "activation", "method": "closed-form", "neurons": "L0.3"}
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e sleeps hf_AbCdEfGhIjKlMnOpQrStUv"
UNSIGNED = "this needs a token that is valid; start `kn-edit mcp` with a token in KN_EDIT_TOKEN"
REFUSED = [
    ("assess", {"subject": "France", "shell": "rm"}, "shell: Extra inputs are not permitted"),
    ("propose", FACT | {"to": "Rome", "accept": True}, "accept: Extra inputs"),
    ("propose", FACT | {"to": "Rome", "dry_run": False}, "dry_run: Extra inputs"),
    ("propose", FACT | {"to": "Rome", "min_efficacy": 0.0}, "min_efficacy: Extra inputs"),
    ("propose", FACT | {"to": ["Rome"]}, "to: Input should be a valid string"),
    ("assess", FACT | {"subject": "x" * 100_000}, "subject: String should have at most 200"),
    ("assess", {"relation": "../../etc/passwd", "subject": "x"}, "the relation"),
    ("record", {"proposal": "0" * 32, "accept": True}, UNSIGNED),
    ("log", {"limit": 10**9}, "limit: Input should be less than or equal to 200"),
    ("log", {"branch": HOSTILE}, "there is no branch"),
    ("show", {"name": HOSTILE}, "in this ledger; see `log`"),
    ("assess", FACT | {"subject": HOSTILE}, "the subject holds a control"),
    (HOSTILE, {}, "the tool"),
]
Talk = Callable[[Client], Awaitable[Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with an edit and a tag."""
    place = tmp_path_factory.mktemp("mcp")
    with new_workspace(place) as workspace:
        workspace.update(about("France"), "Rome", how=quick((0, 3), closed_form=True), accept=True)
        workspace.tag("france")
        return workspace.folder


@pytest.fixture(autouse=True)
def cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(folder.parent / "cache"))


def talked(talk: Talk, *options: str, token: str | None = None) -> Any:
    """What a talk with a new `kn-edit mcp` came to."""
    environment = {name: text for name, text in os.environ.items() if name != "KN_EDIT_TOKEN"}
    if token is not None:
        environment["KN_EDIT_TOKEN"] = token
    command = [*COMMAND, "mcp", *options]
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=environment)

    async def session() -> Any:
        async with Client(parameters, read_timeout_seconds=120) as client:
            return await talk(client)

    return asyncio.run(session())


def message(result: CallToolResult) -> str:
    """The sentence of a call that was refused."""
    assert result.is_error
    (content,) = result.content
    assert content.text == result.structured_content["message"]
    return str(content.text)


def plain(result: CallToolResult) -> Any:
    """The result of a call, which its text says as well."""
    assert not result.is_error, result.content
    assert json.loads(result.content[0].text) == result.structured_content
    return result.structured_content


def test_a_client_without_a_token_looks_tries_out_and_writes_nothing(folder: Path) -> None:
    tasks: list[str | None] = []

    async def told(done: float, total: float | None, task: str | None) -> None:
        tasks.append(task)

    async def talk(client: Client) -> None:
        listed = (await client.list_tools()).tools
        assert {tool.name for tool in listed} == {*TOOLS}
        schema = next(tool.input_schema for tool in listed if tool.name == "propose")
        assert {"subject", "to", "method", "seed"} <= schema["properties"].keys()
        assert not {"accept", "dry_run", "min_efficacy"} & schema["properties"].keys()
        assert schema["additionalProperties"] is False

        answers = plain(await client.call_tool("assess", FACT))["items"]
        assert [answer["prompt"] for answer in answers] == [
            "The capital of France is [Y] .",
            "the capital city of France is [Y]",
        ]
        located = plain(await client.call_tool("locate", FACT | {"rule": "activation"}))
        assert located["fact"]["subject"] == "France"

        moves = plain(await client.call_tool("log", {"limit": 1}))
        assert [move["message"] for move in moves["items"]] == ["capital: France, Paris -> Rome"]
        head = plain(await client.call_tool("show", {"name": "head"}))
        assert head["refs"] == ["main", "france"]
        edit = plain(await client.call_tool("show", {"name": head["edits"][0][:8]}))
        assert edit["answer"] == "Paris" and edit["target"] == "Rome"
        difference = plain(await client.call_tool("diff", {"a": "base"}))
        assert difference["b"] == head["version"]

        arguments = FACT | HOW | {"subject": "Japan", "answer": "Tokyo", "to": "Oslo"}
        proposed = plain(await client.call_tool("propose", arguments, progress_callback=told))
        assert proposed["edit"] is None and proposed["version"] is None
        assert proposed["faults"]  # a random model: the gate says why it would refuse it
        assert tasks

        refused = message(await client.call_tool("revert", {"edit": head["edits"][0]}))
        assert refused.startswith(UNSIGNED)
        assert plain(await client.call_tool("show", {"name": "head"})) == head
        for tool, bad_arguments, words in REFUSED:
            result = await client.call_tool(tool, bad_arguments)
            assert words in message(result), (tool, bad_arguments)
            assert {"error", "code", "detail", "remedies"} <= result.structured_content.keys()
            assert_harmless(result)

    talked(talk, "--workspace", str(folder))
    refused = [(None, tool, "NotSignedIn", "stdio") for tool in ("record", "revert")]
    assert audited(folder)[:2] == refused


@pytest.mark.parametrize("role", ["reader", "revoked"])
def test_nobody_writes_without_the_valid_token_of_an_editor(folder: Path, role: str) -> None:
    with tokens_in(folder) as tokens:
        kind = "editor" if role == "revoked" else role
        secret = tokens.create(f"{role}-of-mcp", kind, seconds=None)
    with place.Folder(folder, secret) as work:
        with tokens_in(folder) as tokens:
            if role == "revoked":  # while it runs
                tokens.revoke(f"{role}-of-mcp")
        with pytest.raises(RoleTooLow if role == "reader" else NotSignedIn):  # noqa: SIM117
            with work.writing(place.Call("revert")):
                pytest.fail("it may not write")
    assert audited(folder)[0][2] == ("RoleTooLow" if role == "reader" else "NotSignedIn")


def test_an_editor_reverts_and_is_audited_and_texts_of_strangers_steer_nothing(
    tmp_path: Path,
) -> None:
    with new_workspace(tmp_path) as workspace:
        how = quick((0, 3), closed_form=True)
        edited = workspace.update(about("France"), "Rome", how=how, accept=True)
    with tokens_in(workspace.folder) as tokens:
        secret = tokens.create("ana", "editor", seconds=None)

    async def talk(client: Client) -> Any:
        settings = workspace.folder / "kn-edit.toml"
        arguments = FACT | HOW | {"subject": "Japan", "answer": "Tokyo", "to": "Oslo"}
        bad = plain(await client.call_tool("propose", arguments))["proposal"]
        assert message(await client.call_tool("record", {"proposal": bad})).startswith(
            "not recorded:"
        )
        settings.write_text("[gate]\nefficacy = 0.0\nspecificity = 0.0\n")
        good = plain(await client.call_tool("propose", arguments))
        assert good["faults"] == []
        made = plain(await client.call_tool("record", {"proposal": good["proposal"]}))
        plain(await client.call_tool("revert", {"edit": made["edit"]}))

        gone = await client.call_tool("revert", {"edit": "0" * 12})
        assert "there is no edit" in message(gone)
        reverted = plain(await client.call_tool("revert", {"edit": edited.edit}))
        with closing(sqlite3.connect(workspace.ledger_folder / "ledger.db")) as rows, rows:
            rows.execute("UPDATE events SET message = ?", (HOSTILE,))
        told = plain(await client.call_tool("log", {}))["items"]
        assert [(move.get("by"), move.get("address")) for move in told] == [
            ("ana", "stdio"),
            ("ana", "stdio"),
            ("ana", "stdio"),
            (None, None),
            (None, None),
        ]
        moves = await client.call_tool("log", {})
        assert "\\x1b]0;owned" in plain(moves)["items"][0]["message"]
        assert_harmless(moves)
        return reverted

    moved = talked(talk, "--workspace", str(workspace.folder), token=secret)
    assert moved["edits"] == []
    with Workspace.open(workspace.folder) as reopened:
        assert reopened.head.id == moved["version"]
    assert audited(workspace.folder) == [
        ("ana", "revert", None, "stdio"),
        ("ana", "revert", "UnknownId", "stdio"),
        ("ana", "revert", None, "stdio"),
        ("ana", "record", None, "stdio"),
        ("ana", "record", "GateFailed", "stdio"),
    ]


def assert_harmless(result: CallToolResult) -> None:
    """Nothing of a result hides, reorders, steers a terminal, or is a secret."""
    for text in texts(result.model_dump(mode="json")):
        assert escaped(text) == text
        assert "hf_AbCd" not in text


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield name
            yield from texts(member)
    elif isinstance(value, list):
        for member in value:
            yield from texts(member)


def audited(folder: Path) -> list[tuple[str | None, str, str | None, str | None]]:
    """Who called what, what refused it, and from where, of the audit's rows, newest first."""
    with closing(ServiceDatabase.of(folder, metadata)) as database:
        rows = [row for _, row in Audit(database).rows(50)]
    return [(row.caller, row.path, row.refused, row.address) for row in rows]


def test_a_served_workspace_is_reached_by_its_address(folder: Path) -> None:
    with tokens_in(folder) as tokens:
        reader = tokens.create("looker", "reader", seconds=None)
        editor = tokens.create("writer", "editor", seconds=None)
    with Workspace.open(folder) as workspace:
        (edit,) = workspace.head.edits

    async def talk(client: Client) -> None:
        assert plain(await client.call_tool("show", {"name": "head"}))["edits"] == [edit]
        assert len(plain(await client.call_tool("log", {"limit": 1}))["items"]) == 1
        assert plain(await client.call_tool("revert", {"edit": edit}))["edits"] == []

    with serving(folder) as server:
        with place.Served(server.url, reader) as work, work.writing(place.Call("revert")):
            with pytest.raises(RoleTooLow):
                work.verb("revert", {"edit": edit})
            assert [answer["prompt"] for answer in work.verb("assess", FACT)["items"]]
        with place.Served(server.url, None) as work, pytest.raises(NotSignedIn):  # noqa: SIM117
            with work.writing(place.Call("revert")):
                pytest.fail("it may not write")
        talked(talk, "--server", server.url, token=editor)


def test_the_end_of_stdin_ends_it(folder: Path) -> None:
    command = [*COMMAND, "mcp", "--workspace", str(folder)]
    ended = subprocess.run(command, input=b"not JSON\n", capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_a_place_is_named_once(folder: Path) -> None:
    assert run(["--workspace", str(folder), "mcp", "--server", "http://127.0.0.1:1"]) == 2
    assert run(["mcp", "--server", "nowhere"]) == 2


def test_there_are_words_for_every_remedy() -> None:
    assert WORDS.words.keys() == {*Remedy}
