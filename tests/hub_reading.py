"""What the Hub tells of its models, in the words that huggingface_hub understands."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs

from hub_server import FILES, MODEL, READ, REPO, REVISION, Exchange, Json, Reply, route
from hub_store import Commit, File, Pull, Refused, Repo, lfs_pointer


@route("GET", "/api/whoami-v2")
def whoami(to: Exchange) -> Json:
    if to.token is None:
        raise Refused(401, "Invalid username or password.")
    access = {"displayName": "a token", "role": to.token.scope}
    orgs = [{"type": "org", "name": name} for name in to.token.orgs]
    auth = {"type": "access_token", "accessToken": access}
    return {"type": "user", "name": to.token.user, "orgs": orgs, "auth": auth}


@route("GET", f"{MODEL}/auth-check(/write)?", FILES)
def auth_check(to: Exchange, repo: Repo, write: str) -> bytes:
    if write:
        to.writer(repo.name)
    return b""


@route("GET", f"{MODEL}(?:/revision/{REVISION})?", READ)
def info(to: Exchange, repo: Repo, revision: str) -> Json:
    commit = repo.find(revision or "main")
    about = blob if "blobs" in to.query else lambda file: {}
    siblings = [{"rfilename": path, **about(file)} for path, file in sorted(commit.files.items())]
    gated = "manual" if repo.gated else False
    told = {"private": repo.private, "gated": gated, "lastModified": commit.date}
    return {"id": repo.name, "sha": commit.id, "siblings": siblings, **told}


@route("GET", f"{MODEL}/refs", READ)
def refs(to: Exchange, repo: Repo) -> Json:
    kinds = {"branches": "refs/heads/", "tags": "refs/tags/", "converts": "refs/convert/"}
    kinds |= {"pullRequests": "refs/pr/"} if "include_prs" in to.query else {}
    return {
        kind: [
            {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": commit}
            for ref, commit in repo.refs.items()
            if ref.startswith(prefix)
        ]
        for kind, prefix in kinds.items()
    }


@route("GET", f"{MODEL}/commits/{REVISION}", READ)
def commits(to: Exchange, repo: Repo, revision: str) -> list[Json]:
    return [
        {
            "id": commit.id,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in repo.history(revision)
    ]


@route("GET", f"{MODEL}/tree/{REVISION}(?:/(.+))?", READ)
def tree(to: Exchange, repo: Repo, revision: str, folder: str) -> list[Json]:
    nodes = nodes_of(repo.find(revision))
    if folder and nodes.get(folder, {}).get("type") != "directory":
        raise Refused(404, f"{folder} does not exist on {revision}", "EntryNotFound")
    inside = f"{folder}/" if folder else ""
    deep = to.query.get("recursive") == ["true"]
    found = {path: node for path, node in sorted(nodes.items()) if path.startswith(inside)}
    return [node for path, node in found.items() if deep or "/" not in path[len(inside) :]]


@route("POST", f"{MODEL}/paths-info/{REVISION}", READ)
def paths_info(to: Exchange, repo: Repo, revision: str) -> list[Json]:
    nodes = nodes_of(repo.find(revision))
    paths = parse_qs(to.body.decode()).get("paths", [])
    return [nodes[path] for path in paths if path in nodes]


@route("GET", f"/{REPO}/resolve/{REVISION}/(.+)", FILES)
def resolve(to: Exchange, repo: Repo, revision: str, path: str) -> Reply:
    commit = repo.find(revision)
    headers = {"X-Repo-Commit": commit.id}
    if path not in commit.files:
        raise Refused(404, "Entry not found", "EntryNotFound", headers)
    file = commit.files[path]
    headers |= {"ETag": f'"{file.etag}"', "Accept-Ranges": "bytes"}
    if file.lfs:
        headers |= {"X-Linked-Etag": f'"{file.etag}"', "X-Linked-Size": str(file.size)}
    status, start, stop = 200, 0, file.size
    if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", to.headers.get("Range", "")):
        status, start = 206, int(wanted[1])
        stop = min(int(wanted[2] or file.size) + 1, file.size)
        if start >= stop:
            raise Refused(416, "Range", headers={"Content-Range": f"bytes */{file.size}"})
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    headers["Content-Length"] = str(stop - start)
    if to.command == "HEAD":
        return Reply(b"", status, headers)
    with repo.objects.path(file.sha256).open("rb") as content:
        content.seek(start)
        return Reply(content.read(stop - start), status, headers)


@route("GET", f"{MODEL}/discussions", READ)
def discussions(to: Exchange, repo: Repo) -> Json:
    found = [summary_of(repo, pull) for pull in reversed(repo.pulls)]
    return {"discussions": found, "count": len(found), "start": 0}


@route("GET", f"{MODEL}/discussions/([0-9]+)", READ)
def discussion(to: Exchange, repo: Repo, num: str) -> Json:
    if not 1 <= int(num) <= len(repo.pulls):
        raise Refused(404, "Discussion not found")
    pull = repo.pulls[int(num) - 1]
    events = [
        {
            "id": commit.id,
            "type": "commit",
            "createdAt": commit.date,
            "author": {"name": commit.author},
            "data": {"subject": commit.title, "oid": commit.id},
        }
        for commit in reversed(list(repo.history(pull.ref)))
        if commit.date >= pull.first.date
    ]
    details = {"changes": {"base": pull.base}, "filesWithConflicts": [], "events": events}
    return summary_of(repo, pull) | details


def summary_of(repo: Repo, pull: Pull) -> Json:
    return {
        "num": pull.num,
        "title": pull.first.title,
        "author": {"name": pull.first.author},
        "createdAt": pull.first.date,
        "status": "open",
        "isPullRequest": True,
        "repo": {"name": repo.name, "type": "model"},
    }


def blob(file: File) -> Json:
    """What is told of a file beside its path."""
    told: Json = {"oid": file.oid, "blobId": file.oid, "size": file.size}
    if file.lfs:
        pointer = len(lfs_pointer(file.sha256, file.size))
        told["lfs"] = {"size": file.size, "pointerSize": pointer}
        told["lfs"] |= {"oid": file.sha256, "sha256": file.sha256}  # the one here, the other there
    return told


def nodes_of(commit: Commit) -> dict[str, Json]:
    """Files and folders by path."""
    nodes: dict[str, Json] = {}
    for path, file in commit.files.items():
        nodes[path] = {"type": "file", "path": path, **blob(file)}
        for folder in list(PurePosixPath(path).parents)[:-1]:
            nodes[str(folder)] = {"type": "directory", "path": str(folder), "oid": "", "size": 0}
    return nodes
