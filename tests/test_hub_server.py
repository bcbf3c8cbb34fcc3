"""The Hub of the tests, asked by the real client, each time in a process of its own."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request as Ask
from urllib.request import urlopen

import pytest
from hub import FOREVER, Hub, hub_client
from hub_card import opinion

PRELUDE = """
import json, logging, time
from huggingface_hub import CommitOperationAdd as Add, CommitOperationCopy as Copy
from huggingface_hub import CommitOperationDelete as Delete
from huggingface_hub import HfApi, hf_hub_download, snapshot_download

waits, api, repo, said = [], HfApi(), "ann/model", {}
time.sleep = waits.append  # how long the client would wait before it tries again
logging.getLogger("huggingface_hub").setLevel("CRITICAL")

def refused(act, *args, **options):
    try:
        act(*args, **options)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        return [type(error).__name__, status, str(error)]

def commit(*operations, **options):
    return api.create_commit(repo, operations, commit_message="a commit", **options)
"""
CARD = "---\nlicense: mit\n---\n# A model\n"
INDEXED = """---
license: mit
model-index:
- name: model
  results:
  - task: {type: text-generation}
    dataset: {name: facts, type: facts}
    metrics: [{type: accuracy, value: 0.5}]
---
"""


def ask(hub: Hub, code: str, token: str | None = None) -> dict[str, Any]:
    """What the code puts into `said`, and in `waits` the client's pauses."""
    end = "\nprint(json.dumps(said | {'waits': waits}))"
    done = hub_client(hub, PRELUDE + code + end, token=token)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub with one model of Ann's."""
    with Hub() as hub:
        hub.token("ann")
        hub.create("ann/model")
        yield hub


@pytest.fixture
def ann(hub: Hub) -> str:
    return hub.token("ann")


def commits(hub: Hub) -> list[str]:
    return [commit.title for commit in hub.repos["ann/model"].history("main")]


def test_a_commit_keeps_regular_files_and_large_ones(hub, ann, tmp_path):
    weights = bytes(range(256)) * 1000
    (tmp_path / "weights").write_bytes(weights)
    said = ask(
        hub,
        f"weights = {str(tmp_path / 'weights')!r}"
        """
said["repo"] = api.create_repo("ann/new", private=True)
repo = "ann/new"
made = commit(Add("README.md", b"---\\nlicense: mit\\n---\\n"), Add("a/b/c.txt", b"deep"),
              Add("a/model.safetensors", weights), commit_description="more of it")
said["made"] = [made.oid, made.commit_url, made.pr_url]
info = api.model_info(repo, files_metadata=True)
said["info"] = [info.id, info.sha, info.private, info.gated]
said["sizes"] = {each.rfilename: each.size for each in info.siblings}
said["log"] = [[each.title, each.message, each.authors] for each in api.list_repo_commits(repo)]
said["tree"] = {each.path: getattr(each, "blob_id", None)
                for each in api.list_repo_tree(repo, recursive=True)}
said["top"] = sorted(each.path for each in api.list_repo_tree(repo))
said["in a"] = [each.path for each in api.list_repo_tree(repo, "a")]
said["some"] = [[each.path, each.lfs.sha256] for each in
                api.get_paths_info(repo, ["a/model.safetensors", "none"])]
""",
        ann,
    )
    assert said["repo"] == f"{hub.url}/ann/new"
    head = hub.head("ann/new")
    assert said["made"] == [head, f"{hub.url}/ann/new/commit/{head}", None]
    assert said["info"] == ["ann/new", head, True, False]
    assert said["sizes"]["a/model.safetensors"] == len(weights)
    assert said["log"] == [["a commit", "more of it", ["ann"]], ["initial commit", "", ["system"]]]
    assert said["top"] == [".gitattributes", "README.md", "a"]
    assert said["in a"] == ["a/b", "a/model.safetensors"]
    assert said["some"] == [["a/model.safetensors", hashlib.sha256(weights).hexdigest()]]
    assert hub.read("ann/new", "a/model.safetensors") == weights
    assert hub.received("PUT") == len(weights)
    assert said["tree"]["a"] is None
    # `git hash-object` says so too
    assert said["tree"]["a/b/c.txt"] == hashlib.sha1(b"blob 4\0deep").hexdigest()


def test_what_has_not_changed_is_neither_sent_nor_committed_again(hub, ann):
    hub.commit("ann/model", {"a.txt": b"a", "w.safetensors": b"w", "old/x": b"x", "old/y": b"y"})
    said = ask(
        hub,
        """
said["same"] = commit(Add("a.txt", b"a"), Add("w.safetensors", b"w")).oid
commit(Add("v.safetensors", b"w"), Copy("w.safetensors", "u.safetensors"), Copy("a.txt", "b.txt"),
       Delete("old/"), Delete("a.txt"))
said["gone"] = refused(commit, Delete("a.txt"))
said["ignored"] = commit(Add(".gitignore", b"*.tmp\\ncache/\\n"), Add("x.tmp", b"x"),
                         Add("cache/y", b"y"), Add("z", b"z")).oid
""",
        ann,
    )
    commit = hub.repos["ann/model"].find(said["ignored"])
    kept = {"b.txt", "u.safetensors", "v.safetensors", "w.safetensors", "z"}
    assert set(commit.files) == kept | {".gitattributes", ".gitignore"}
    assert [said["same"]] == [each.id for each in hub.repos["ann/model"].history("main")][2:3]
    assert said["gone"][:2] == ["RemoteEntryNotFoundError", 404]
    assert not hub.requests("PUT")


def test_branches_and_tags_name_commits(hub, ann):
    first, second = (hub.commit("ann/model", {"n": n}).id for n in (b"1", b"2"))
    said = ask(
        hub,
        f"""
api.create_branch(repo, branch="edits/one", revision="{first}")
api.create_tag(repo, tag="v1", tag_message="the first", revision="{first[:7]}")
api.create_tag(repo, tag="v2")
api.create_tag(repo, tag="v1", exist_ok=True)
said["again"] = refused(api.create_tag, repo, tag="v1")
said["twice"] = refused(api.create_branch, repo, branch="main")
said["odd"] = refused(api.create_branch, repo, branch="refs/pr/1")
said["nowhere"] = refused(api.create_tag, repo, tag="v3", revision="0" * 40)
commit(Add("m", b"3"), revision="edits/one")
refs = api.list_repo_refs(repo)
said["refs"] = {{each.ref: each.target_commit for each in refs.branches + refs.tags}}
said["log"] = [each.commit_id for each in api.list_repo_commits(repo, revision="v1")]
api.delete_tag(repo, tag="v2")
said["gone"] = refused(api.model_info, repo, revision="v2")
said["no tag"] = refused(api.delete_tag, repo, tag="v2")
""",
        ann,
    )
    edits = hub.repos["ann/model"].find("edits/one")
    assert edits.parent == first
    assert said["refs"] == {
        "refs/heads/main": second,
        "refs/heads/edits/one": edits.id,
        "refs/tags/v1": first,
        "refs/tags/v2": second,
    }
    assert said["log"][0] == first
    assert hub.repos["ann/model"].tag_messages == {"v1": "the first"}
    assert said["again"][:2] == ["HfHubHTTPError", 409]
    assert said["twice"][:2] == ["HfHubHTTPError", 409]
    assert said["odd"][:2] == ["BadRequestError", 400]
    for case in ("nowhere", "gone", "no tag"):
        assert said[case][:2] == ["RevisionNotFoundError", 404]


def test_a_head_that_moved_is_a_failed_precondition(hub, ann):
    old = hub.head("ann/model")
    new = hub.commit("ann/model", {"theirs": b"t"}).id
    said = ask(
        hub,
        f"""
said["stale"] = refused(commit, Add("mine.safetensors", b"m"), parent_commit="{old}")
said["fresh"] = commit(Add("mine.safetensors", b"m"), parent_commit="{new[:7]}").oid
said["no branch"] = refused(commit, Add("mine", b"m"), revision="none")
said["a commit"] = refused(commit, Add("mine", b"m"), revision="{new}")
""",
        ann,
    )
    kind, status, words = said["stale"]
    assert (kind, status) == ("HfHubHTTPError", 412)
    assert "A commit has happened since. Please refresh and try again." in words
    assert hub.head("ann/model") == said["fresh"]
    assert len(hub.requests("PUT")) == 1, "what was sent for the refused commit is there"
    assert said["no branch"][:2] == said["a commit"][:2] == ["RevisionNotFoundError", 404]


def test_a_pull_request_leaves_the_branch_alone(hub, ann):
    hub.token("eve")
    base = hub.head("ann/model")
    said = ask(
        hub,
        """
said["refused"] = refused(commit, Add("mine", b"m"))
made = commit(Add("mine.safetensors", b"m"), create_pr=True, commit_description="please")
said["made"] = [made.oid, made.pr_num, made.pr_revision, made.pr_url]
refs = api.list_repo_refs(repo, include_pull_requests=True)
said["refs"] = [[each.ref, each.target_commit] for each in refs.pull_requests]
details = api.get_discussion_details(repo, 1)
said["details"] = [details.title, details.author, details.status, details.target_branch]
said["commits"] = [each.oid for each in details.events]
said["all"] = [each.git_reference for each in api.get_repo_discussions(repo)]
said["file"] = open(hf_hub_download(repo, "mine.safetensors", revision="refs/pr/1")).read()
""",
        hub.token("eve"),
    )
    assert said["refused"][:2] == ["HfHubHTTPError", 403]
    assert "create_pr=1" in said["refused"][2]
    oid = hub.head("ann/model", "refs/pr/1")
    assert said["made"] == [oid, 1, "refs/pr/1", f"{hub.url}/ann/model/discussions/1"]
    assert said["refs"] == [["refs/pr/1", oid]]
    assert said["details"] == ["a commit", "eve", "open", "refs/heads/main"]
    assert (said["commits"], said["all"], said["file"]) == ([oid], ["refs/pr/1"], "m")
    assert hub.head("ann/model") == base


def test_files_come_back_as_they_were_pushed(hub):
    weights = bytes(range(256)) * 1000
    old = hub.commit("ann/model", {"a/w.safetensors": weights, "config.json": b"{}"}).id
    hub.repos["ann/model"].refs["refs/tags/v1"] = old
    hub.commit("ann/model", {"a/w.safetensors": None, "config.json": b"[]"})
    said = ask(
        hub,
        """
said["old"] = snapshot_download(repo, revision="v1")
said["new"] = open(hf_hub_download(repo, "config.json")).read()
said["no file"] = refused(hf_hub_download, repo, "none.json")
said["no revision"] = refused(hf_hub_download, repo, "config.json", revision="none")
said["exists"] = [api.file_exists(repo, "config.json"), api.file_exists(repo, "none.json")]
said["weights"] = open(said["old"] + "/a/w.safetensors", "rb").read().hex()
""",
    )
    assert said["old"].endswith(old)
    assert bytes.fromhex(said["weights"]) == weights
    assert said["new"] == "[]"
    assert said["no file"][:2] == ["RemoteEntryNotFoundError", 404]
    assert said["no revision"][:2] == ["RevisionNotFoundError", 404]
    assert said["exists"] == [True, False]
    url = f"{hub.url}/ann/model/resolve/v1/a/w.safetensors"
    with urlopen(Ask(url, headers={"Range": "bytes=250-259"})) as part:
        assert (part.status, part.read()) == (206, weights[250:260])
        assert part.headers["Content-Range"] == f"bytes 250-259/{len(weights)}"
    with pytest.raises(HTTPError) as beyond:
        urlopen(Ask(url, headers={"Range": f"bytes={len(weights)}-"}))
    beyond.value.close()
    assert beyond.value.code == 416


def test_tokens_decide_who_may_do_what(hub, ann):
    hub.create("ann/secret", private=True)
    hub.create("ann/gated", gated=True)
    hub.commit("ann/gated", {"config.json": b"{}"})
    hub.create("lab/model", private=True)
    code = """
said["who"] = [api.whoami()["name"], api.whoami()["auth"]["accessToken"]["role"]]
for name in ("ann/model", "ann/secret", "ann/gated", "lab/model", "ann/none"):
    repo = name
    said[name] = [refused(api.auth_check, name), refused(api.auth_check, name, write=True),
                  refused(api.model_info, name), refused(commit, Add("x", b"x")),
                  refused(hf_hub_download, name, "config.json")]
    said[name] = [[kind, status] for kind, status, _ in (each or (0, 0, 0) for each in said[name])]
said["create"] = [(refused(api.create_repo, name) or [0, 0])[1]
                  for name in ("ann/mine", "eve/hers", "lab/theirs")]
"""
    fine, no_file = [0, 0], ["RemoteEntryNotFoundError", 404]
    hidden, forbidden = ["RepositoryNotFoundError", 404], ["HfHubHTTPError", 403]
    gated = ["GatedRepoError", 403]
    owner = ask(hub, code, hub.token("ann", orgs=["lab"]))
    assert owner["who"] == ["ann", "write"]
    assert owner["ann/secret"] == owner["lab/model"] == [fine, fine, fine, fine, no_file]
    assert owner["ann/gated"] == [fine] * 5
    assert owner["ann/none"] == [hidden] * 5
    assert owner["create"] == [0, 403, 0]
    reader = ask(hub, code, hub.token("ann", "read"))
    assert reader["who"] == ["ann", "read"]
    assert reader["ann/secret"] == [fine, forbidden, fine, forbidden, no_file]
    assert reader["create"] == [403, 403, 403]
    stranger = ask(hub, code, hub.token("eve"))
    assert stranger["ann/model"] == [fine, forbidden, fine, forbidden, no_file]
    assert stranger["ann/secret"] == stranger["lab/model"] == [hidden] * 5
    assert stranger["ann/gated"] == [gated, gated, fine, forbidden, gated]


def test_nobody_sees_what_is_private(hub):
    hub.create("ann/secret", private=True)
    code = """
said["secret"] = refused(api.model_info, "ann/secret")
said["none"] = refused(api.model_info, "ann/none")
said["write"] = refused(commit, Add("x", b"x"))
said["who"] = refused(api.whoami)
"""
    nobody = ask(hub, code)
    for case in ("secret", "none", "write"):
        assert nobody[case][:2] == ["RepositoryNotFoundError", 401]
    assert nobody["who"][0] == "LocalTokenNotFoundError"
    forger = ask(hub, code, "hf_forged")
    assert [forger[case][:2] for case in ("secret", "write", "who")] == [
        ["HfHubHTTPError", 401]
    ] * 3


@pytest.mark.parametrize(
    ("card", "errors"),
    [
        (CARD, []),
        (INDEXED, []),
        ("# no metadata", []),
        ("---\nlicense: [\n---\n", ["Invalid YAML"]),
        ("---\ntags: [a]\n---\n", ['"license" is required']),
        ("---\nlicense: Apache-2.0\n---\n", ['"license" must be one of']),
        (
            INDEXED.replace("type: text-generation", ""),
            ['"model-index[0].results[0].task.type" is'],
        ),
        (INDEXED.replace("- name: model", "- title: model"), ['"model-index[0].name" is required']),
        (INDEXED.replace(", value: 0.5", ""), ['"model-index[0].results[0].metrics[0].value" is']),
    ],
)
def test_a_card_is_read_as_the_hub_reads_it(card, errors):
    found, _ = opinion(card)
    assert len(found) == len(errors)
    assert all(said.startswith(words) for said, words in zip(found, errors, strict=True))


def test_a_card_that_is_refused_stops_the_push_before_anything_is_sent(hub, ann):
    said = ask(
        hub,
        """
said["bad"] = refused(commit, Add("README.md", b"---\\ntags: [a]\\n---\\n"), Add("w.bin", b"w"))
""",
        ann,
    )
    assert said["bad"][0] == "ValueError"
    assert '"license" is required' in said["bad"][2]
    assert [each.path for each in hub.log] == ["/api/validate-yaml"]


def test_an_upload_must_be_what_was_announced(hub, ann):
    def put(oid: str, size: int, content: bytes) -> int:
        ask = Ask(f"{hub.url}/lfs/{oid}/{size}", data=content, method="PUT")
        try:
            with urlopen(ask) as reply:
                return reply.status
        except HTTPError as error:
            error.close()
            return error.code

    oid = hashlib.sha256(b"weights").hexdigest()
    assert put(oid, 7, b"weights") == 200
    assert put(oid, 7, b"weightz") == 400
    assert put(oid, 8, b"weights") == 400
    said = ask(
        hub,
        """
from huggingface_hub import _commit_api
_commit_api._upload_lfs_files = lambda **nothing: None
said["unsent"] = refused(commit, Add("model.safetensors", b"weights"))
""",
        ann,
    )
    assert said["unsent"][:2] == ["BadRequestError", 400]
    assert "LFS pointer" in said["unsent"][2]
    assert commits(hub) == ["initial commit"]


def test_what_the_client_tries_again_by_itself(hub, ann):
    hub.fault("POST", "/preupload/", times=2, status=503)
    hub.fault("POST", "/objects/batch", status=429, headers={"Retry-After": "7"})
    hub.fault("PUT", "/lfs/", cut_upload=100_000)
    hub.fault("POST", "/lfs/verify", drop=True)
    said = ask(
        hub, 'said["oid"] = commit(Add("w.safetensors", bytes(3_000_000)), Add("a", b"a")).oid', ann
    )
    assert said["waits"] == [1, 2, 8, 1, 1]
    assert hub.head("ann/model") == said["oid"]
    asked = [(each.method, each.path.rpartition("/")[2], each.status) for each in hub.log]
    assert asked == [
        ("POST", "main", 503),
        ("POST", "main", 503),
        ("POST", "main", 200),
        ("POST", "batch", 429),
        ("POST", "batch", 200),
        ("PUT", "3000000", None),
        ("PUT", "3000000", 200),
        ("POST", "verify", None),
        ("POST", "verify", 200),
        ("POST", "main", 200),
    ]
    assert hub.received("PUT") == 3_100_000


def test_a_commit_is_asked_for_only_once(hub, ann):
    """So whoever pushes learns that a commit was lost, and has to look whether it was made."""
    hub.fault("POST", "/commit/", status=503, body={"error": "down for a while"})
    hub.fault("POST", "/commit/", drop=True)
    hub.fault("POST", "/commit/", lose_answer=True)
    said = ask(
        hub,
        """
said["refused"] = refused(commit, Add("a", b"1"))
said["dropped"] = refused(commit, Add("a", b"2"))
said["lost"] = refused(commit, Add("a", b"3"))
said["same"] = commit(Add("a", b"3")).oid
""",
        ann,
    )
    assert said["refused"][:2] == ["HfHubHTTPError", 503]
    assert "down for a while" in said["refused"][2]
    assert said["dropped"][:2] == said["lost"][:2] == ["RemoteProtocolError", None]
    assert said["waits"] == []
    assert commits(hub) == ["a commit", "initial commit"]
    assert hub.read("ann/model", "a") == b"3"
    assert said["same"] == hub.head("ann/model")
    assert [each.status for each in hub.requests("POST", "/commit/")] == [503, None, None]


def test_somebody_else_may_come_first(hub, ann):
    def stranger() -> None:
        hub.commit("ann/model", {"theirs": b"t"})

    hub.fault("POST", "/commit/main", meanwhile=stranger)
    said = ask(
        hub,
        """
head = api.model_info(repo).sha
said["stale"] = refused(commit, Add("mine", b"m"), parent_commit=head)
head = api.model_info(repo).sha
said["fresh"] = commit(Add("mine", b"m"), parent_commit=head).oid
""",
        ann,
    )
    assert said["stale"][1] == 412
    assert said["fresh"] == hub.head("ann/model")
    assert commits(hub) == ["a commit", "bob was here", "initial commit"]


def test_a_hub_may_be_slow_or_never_answer(hub):
    hub.fault("GET", "/api/models/", wait=0.3)
    hub.fault("GET", "/api/models/", wait=FOREVER)
    said = ask(
        hub,
        """
start = time.monotonic()
api.model_info(repo)
said["took"] = time.monotonic() - start
said["stalled"] = refused(api.model_info, repo, timeout=0.2)
""",
    )
    assert said["took"] > 0.25
    assert said["stalled"][0] == "ReadTimeout"


def test_a_stalled_request_does_not_keep_the_hub_open():
    def wait_in_vain() -> None:
        with pytest.raises(OSError):
            urlopen(hub.url)

    waiting = threading.Thread(target=wait_in_vain)
    with Hub() as hub:
        hub.fault("GET", "/", wait=FOREVER)
        waiting.start()
        while not hub.log:
            time.sleep(0.01)
    waiting.join(timeout=10)
    assert not waiting.is_alive()
    assert not hub.folder.exists()


def test_a_download_that_breaks_off_is_taken_up_where_it_stopped(hub):
    weights = bytes(range(256)) * 43_000
    hub.commit("ann/model", {"w.safetensors": weights})
    hub.fault("GET", "/resolve/", cut_answer=10_600_000)  # the client keeps pieces of 10 MiB
    said = ask(
        hub,
        """
import hashlib
path = hf_hub_download(repo, "w.safetensors")
said["sha256"] = hashlib.sha256(open(path, "rb").read()).hexdigest()
""",
    )
    assert said["sha256"] == hashlib.sha256(weights).hexdigest()
    assert [each.status for each in hub.requests("GET", "/resolve/")] == [200, 206]


def test_a_fault_can_pass_over_requests(hub):
    hub.fault("GET", "/api/models/ann/model$", after=1, times=2, status=418)
    said = ask(hub, 'said["all"] = [refused(api.model_info, repo) for _ in range(4)]')
    assert [each and each[1] for each in said["all"]] == [None, 418, 418, None]


def test_what_breaks_inside_the_hub_breaks_the_test():
    with pytest.raises(ZeroDivisionError), Hub() as hub:
        hub.fault("GET", "/", meanwhile=lambda: 1 // 0)
        with pytest.raises(OSError):
            urlopen(hub.url)


def test_a_client_can_be_kn_edit(hub, ann):
    done = hub_client(hub, ["--version"], token=ann)
    assert (done.returncode, done.stderr) == (0, "")
    assert not hub.log
