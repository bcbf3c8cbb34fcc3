"""The Hub of the trials: a state of it to begin with, and a look at what it holds afterwards.

It runs beside the processes that are killed. `import hub_side` adds the routes to tests/hub.py.
"""

from __future__ import annotations

import json
import os
from copy import deepcopy
from typing import Any
from urllib.request import Request, urlopen

from hub_server import Exchange, Json, route
from hub_store import Repo

REPO = "ann/model"
TOKEN = "hf_ann_write"
_OWN = ".gitattributes"  # the Hub makes it by itself

_kept: dict[str, dict[str, Repo]] = {}


@route("POST", r"/torture/keep/(\w+)")
def _keep(to: Exchange, name: str) -> Json:
    _kept[name] = deepcopy(to.hub.repos)
    return {}


@route("POST", r"/torture/begin/(\w+)")
def _begin(to: Exchange, name: str) -> Json:
    to.hub.log.clear()
    to.hub.repos = deepcopy(_kept[name])
    return {}


@route("GET", "/torture/state")
def _state(to: Exchange) -> Json:
    repo = to.hub.repos.get(REPO)
    if repo is None:
        return {"files": {}, "tags": {}}
    files = repo.find("main").files
    tags = {ref: commit for ref, commit in repo.refs.items() if ref.startswith("refs/tags/")}
    return {
        "files": {path: file.sha256 for path, file in sorted(files.items()) if path != _OWN},
        "tags": tags,
    }


def keep(name: str) -> None:
    """Remember the Hub as it is now."""
    _ask("POST", f"keep/{name}")


def begin(name: str) -> None:
    """Make the Hub what it was then."""
    _ask("POST", f"begin/{name}")


def hub_state() -> dict[str, Any]:
    """What `main` of the repository holds, files by digest, and where its tags stand."""
    return _ask("GET", "state")


def _ask(method: str, path: str) -> dict[str, Any]:
    url = f"{os.environ['HF_ENDPOINT']}/torture/{path}"
    with urlopen(Request(url, method=method), timeout=30) as answer:
        reply: dict[str, Any] = json.load(answer)
        return reply
