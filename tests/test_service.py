"""The service over HTTP, on a tiny model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from workspaces import new_workspace

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
