"""How models on the Hub are made and changed, in the words that huggingface_hub speaks."""

from __future__ import annotations

import json
from base64 import b64decode

from hub_card import opinion
from hub_server import MODEL, READ, REPO, REVISION, WRITE, Exchange, Json, Reply, route
from hub_store import MAIN, File, Refused, Repo

LFS = rf"/{REPO}\.git/info/lfs"


@route("POST", "/api/repos/create")
def create_repo(to: Exchange) -> Reply:
    wanted = json.loads(to.body)
    if to.token is None:
        raise Refused(401, "Invalid username or password.")
    owner = wanted["organization"] or to.token.user
    if to.token.scope != "write" or not to.token.owns(owner):
        words = f'You don\'t have the rights to create a model under the namespace "{owner}"'
        raise Refused(403, words)
    name = f"{owner}/{wanted['name']}"
    told = {"url": f"{to.hub.url}/{name}", "name": name}
    if name in to.hub.repos:
        return Reply({"error": "You already created this model repo", **told}, 409)
    to.hub.create(name, private=wanted.get("visibility") == "private")
    return Reply(told)


@route("POST", f"{MODEL}/branch/{REVISION}", WRITE)
def create_branch(to: Exchange, repo: Repo, name: str) -> bytes:
    if name.startswith("refs/"):
        raise Refused(400, f"Invalid reference for a branch: {name}")
    start = repo.find(json.loads(to.body).get("startingPoint", "main"))
    repo.add_ref(f"refs/heads/{name}", start, "Reference already exists")
    return b""


@route("POST", f"{MODEL}/tag/{REVISION}", WRITE)
def create_tag(to: Exchange, repo: Repo, revision: str) -> bytes:
    wanted = json.loads(to.body)
    ref = f"refs/tags/{wanted['tag']}"
    repo.add_ref(ref, repo.find(revision), "Tag reference exists already")
    repo.tag_messages[wanted["tag"]] = wanted.get("message", "")
    return b""


@route("DELETE", f"{MODEL}/(branch|tag)/{REVISION}", WRITE)
def delete_ref(to: Exchange, repo: Repo, kind: str, name: str) -> bytes:
    ref = f"refs/{'heads' if kind == 'branch' else 'tags'}/{name}"
    if ref == MAIN:
        raise Refused(403, "Cannot delete the main branch")
    if repo.refs.pop(ref, None) is None:
        raise Refused(404, f"Invalid rev id: {name}", "RevisionNotFound")
    if kind == "tag":
        repo.tag_messages.pop(name, None)
    return b""


@route("POST", "/api/validate-yaml")
def validate_card(to: Exchange) -> Reply:
    errors, warnings = opinion(json.loads(to.body)["content"])
    told = {
        "errors": [{"message": words} for words in errors],
        "warnings": [{"message": words} for words in warnings],
    }
    return Reply(told, 400 if errors else 200)


@route("POST", f"{MODEL}/preupload/{REVISION}", WRITE)
def preupload(to: Exchange, repo: Repo, revision: str) -> Json:
    wanted = json.loads(to.body)
    head = repo.find(revision)
    files = []
    for path, size in ((each["path"], each["size"]) for each in wanted["files"]):
        told = {
            "path": path,
            "uploadMode": "lfs" if repo.is_large(path, size, revision) else "regular",
            "shouldIgnore": repo.is_ignored(path, revision, wanted.get("gitIgnore")),
        }
        if path in head.files:
            told["oid"] = head.files[path].etag
        files.append(told)
    return {"files": files}


@route("POST", f"{LFS}/objects/batch", READ)
def lfs_batch(to: Exchange, repo: Repo) -> Json:
    wanted = json.loads(to.body)
    to.writer(repo.name, pull="ref" not in wanted)  # none is named for a pull request
    objects = [{"oid": each["oid"], "size": each["size"]} for each in wanted["objects"]]
    for each in objects:
        if each["oid"] not in repo.uploaded:
            upload = f"{to.hub.url}/lfs/{each['oid']}/{each['size']}"
            verify = f"{to.hub.url}/{repo.name}.git/info/lfs/verify"
            each["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
    return {"transfer": "basic", "objects": objects}


@route("PUT", "/lfs/([0-9a-f]{64})/([0-9]+)")
def lfs_upload(to: Exchange, oid: str, size: str) -> bytes:
    if to.upload != (oid, int(size)):
        raise Refused(400, f"{oid} of {size} bytes was announced, {to.upload} has come")
    return b""


@route("POST", f"{LFS}/verify", READ)
def lfs_verify(to: Exchange, repo: Repo) -> bytes:
    to.writer(repo.name, pull=True)
    wanted = json.loads(to.body)
    stored = repo.objects.path(wanted["oid"])
    if not stored.exists() or stored.stat().st_size != wanted["size"]:
        raise Refused(404, f"object {wanted['oid']} has not come")
    repo.uploaded.add(wanted["oid"])
    return b""


@route("POST", f"{MODEL}/commit/{REVISION}", WRITE)
def commit(to: Exchange, repo: Repo, revision: str) -> Json:
    head, *lines = [json.loads(line) for line in to.body.splitlines()]
    about, pull = head["value"], "create_pr" in to.query
    made = repo.commit(
        revision,
        [change(repo, line["key"], line["value"]) for line in lines],
        author=to.writer(repo.name, pull=pull),
        title=about["summary"],
        message=about["description"],
        parent=about.get("parentCommit"),
        pull=pull,
    )
    page = f"{to.hub.url}/{repo.name}"
    told = {"commitOid": made.id, "commitUrl": f"{page}/commit/{made.id}", "hookOutput": ""}
    if pull:
        told["pullRequestUrl"] = f"{page}/discussions/{len(repo.pulls)}"
    return {"success": True, **told}


def change(repo: Repo, key: str, value: Json) -> tuple[str, File | None]:
    """One line of a commit."""
    path = value["path"]
    match key:
        case "file":
            return path, repo.objects.regular(b64decode(value["content"]))
        case "lfsFile" if value["oid"] in repo.uploaded:
            return path, repo.objects.large(value["oid"])
        case "lfsFile":
            words = "an LFS pointer pointed to a file that does not exist"
            raise Refused(400, f"Your push was rejected because {words}: {path}")
        case "deletedFile":
            return path, None
        case "deletedFolder":
            return path.rstrip("/") + "/", None
        case _:
            raise Refused(400, f"unknown line of a commit: {key}")
