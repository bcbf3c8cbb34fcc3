"""The service over HTTP, on a tiny model."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from workspaces import new_workspace

from kn_edit.cli.serve import listening
from kn_edit.service.app import make_app
from kn_edit.workspace import to_json


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with new_workspace(tmp_path) as workspace:
        folder = workspace.folder
    with TestClient(make_app(folder)) as client:
        yield client


def test_status_is_that_of_the_workspace(client: TestClient) -> None:
    answer = client.get("/api/v1/status")
    assert answer.status_code == 200
    assert answer.json() == to_json.status(client.app.state.service.workspace)


def test_parts_of_an_answer_do_not_wait_for_each_other() -> None:
    """asyncio turns the wait of 40 ms off for the connections of this listener."""

    async def option_of_a_connection(listener: socket.socket) -> int:
        option: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connection = writer.get_extra_info("socket")
            option.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(connected, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            writer.close()
            return await option

    with listening("127.0.0.1", 0) as listener:
        assert asyncio.run(option_of_a_connection(listener)) == 1
