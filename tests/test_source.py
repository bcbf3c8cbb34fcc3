"""Where models come from, and what is said when they cannot be had.

The Hub client reads its settings when it is imported, so each of its worlds is a process of its
own, and the Hub that says no is a real server on the loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub import Hub, hub_env
from safetensors.torch import save, save_file

from kn_edit.errors import CheckpointFolderMissing, CheckpointPathUnusable, HubLoadFailed
from kn_edit.models.cache import DEMOS
from kn_edit.models.shards import Shards
from kn_edit.models.source import Source, resolve

CLOSED = "http://127.0.0.1:9"
SHA = "0123456789abcdef0123456789abcdef01234567"
SCRIPT = """
import json, sys
from kn_edit.errors import KnEditError
from kn_edit.models.cache import DEMOS
from kn_edit.models.source import resolve
for model in sys.argv[1:]:
    try:
        source = resolve(model)
        found = [source.name, source.repo, source.revision, str(source.folder)]
    except KnEditError as error:
        found = [type(error).__name__, int(error.exit_code), str(error)]
    print(json.dumps(found))
"""


def resolve_elsewhere(
    *models: str, home: Path, url: str = CLOSED, **settings: str
) -> list[list[object]]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, *models],
        env=hub_env(url, home, **settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_folder_is_itself(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    expected = Source("own", None, None, tmp_path / "own")
    assert resolve(str(tmp_path / "own")) == expected
    monkeypatch.chdir(tmp_path)
    assert resolve("own") == resolve("./own") == expected
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("~/own") == expected


def test_a_folder_that_is_called_like_a_demo_is_not_taken_for_it(tmp_path):
    """Else a workspace whose folder has gone would fetch the demo in its place."""
    (tmp_path / "demo").mkdir()
    found = resolve(str(tmp_path / "demo"))
    assert found.folder == tmp_path / "demo"
    assert found.name not in DEMOS


@pytest.mark.parametrize("model", [__file__, "/no/such", "./no", "../no", "~/no/such", "a/b/c"])
def test_a_path_that_is_no_folder_is_not_asked_of_the_hub(model):
    with pytest.raises(CheckpointFolderMissing, match="there is no folder"):
        resolve(model)


def test_a_path_that_cannot_be_a_folder_is_refused_in_a_sentence(tmp_path):
    nameless = os.fsdecode(os.fsencode(tmp_path) + b"/model\xff")
    Path(nameless).mkdir()
    for path in (nameless, Path(nameless), "a\0b", Path("a\0b")):
        with pytest.raises(CheckpointPathUnusable, match="cannot be a checkpoint folder") as caught:
            resolve(path)
        assert str(caught.value).isprintable()
    for path in (Path("org/name"), Path("demo"), Path("~nobody-at-all/x"), "/" + "x" * 5000):
        with pytest.raises(CheckpointFolderMissing) as missing:
            resolve(path)
        assert len(str(missing.value)) <= 500


def test_without_a_network_every_hub_id_ends_in_one_sentence(tmp_path):
    models = ["org/name", "bare-name", "org/name@v1"]
    for model, (kind, code, text) in zip(
        models, resolve_elsewhere(*models, home=tmp_path), strict=True
    ):
        assert (kind, code) == ("HubLoadFailed", 5)
        assert str(text).startswith(f"cannot get {model} from the Hub: the Hub cannot be reached")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_revision_with_slashes_is_asked_of_the_hub(hub, tmp_path):
    hub.repos["org/good"].add_ref("refs/heads/feature/x", hub.repos["org/good"].find("main"), "")
    hub.repos["org/good"].add_ref("refs/pr/1", hub.repos["org/good"].find("main"), "")
    models = ["org/good@feature/x", "org/good@refs/pr/1", "org/good@refs/pr/2"]
    *there, gone = resolve_elsewhere(*models, home=tmp_path, url=hub.url)
    assert [revision for _, _, revision, _ in there] == [hub.head("org/good")] * 2
    assert gone[0] == "HubLoadFailed" and "no such revision" in str(gone[2])


@pytest.mark.parametrize(
    "revision", ["", "../x", "a//b", "/a", "a b", "a\x1b[2J", "a@b", "x" * 101]
)
def test_what_no_revision_is_called_is_refused_before_the_hub_is_asked(revision):
    with pytest.raises(HubLoadFailed, match="no revision can be called so"):
        resolve(f"org/name@{revision}")


def test_a_path_of_any_length_is_no_folder():
    with pytest.raises(CheckpointFolderMissing):
        resolve("/" + "x" * 5000)


@pytest.mark.parametrize("settings", [{"HF_HUB_OFFLINE": "1"}, {}])
def test_a_cached_snapshot_serves_without_the_hub(settings, tmp_path):
    cached = tmp_path / "hub" / "models--org--name"
    snapshot = cached / "snapshots" / SHA
    snapshot.mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(SHA)
    (snapshot / "config.json").write_text("{}")
    save_file({"a": torch.zeros(2)}, snapshot / "model.safetensors")
    models = ["org/name", f"org/name@{SHA}", "org/name@other", "", "a b/c", "x--y"]
    found = resolve_elsewhere(*models, home=tmp_path, **settings)
    assert found[:2] == [["org/name", "org/name", SHA, str(snapshot)]] * 2
    assert [kind for kind, *_ in found[2:]] == ["HubLoadFailed"] * 4
    assert "HF_HUB_OFFLINE" in str(found[2][2])
    assert all("neither a folder nor a Hub id" in str(text) for _, _, text in found[3:])


def tiny_checkpoint() -> dict[str, bytes]:
    return {
        "config.json": b'{"model_type": "llama"}',
        "tokenizer.json": b"{}",
        "model.safetensors": save({"a": torch.zeros(3)}),
        "model.fp16.safetensors": b"a variant",
        "pytorch_model.bin": b"a pickle",
        "modeling.py": b"code",
        "onnx/model.safetensors": b"another form",
    }


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub with a good model, and with some that cannot serve."""
    good = tiny_checkpoint()
    models = {
        "good": good,
        "gated": good,
        "no-revision": good,
        "pickle": {"config.json": b"{}", "pytorch_model.bin": b"a pickle"},
        "gguf": {"model.Q4.gguf": b"gguf"},
        "empty": {},
        "quantised": good | {"config.json": b'{"quantization_config": {"quant_method": "awq"}}'},
        "alien": good | {"config.json": b'{"model_type": "mamba"}'},
    }
    with Hub() as hub:
        for name, files in models.items():
            hub.create(f"org/{name}", gated=name == "gated")
            hub.commit(f"org/{name}", files)
        hub.fault("GET", "/org/teapot", status=418, body={"error": "I am\na teapot"})
        yield hub


def test_a_hub_that_says_no_is_quoted_in_one_sentence(hub, tmp_path):
    says = {
        "missing": ("HubLoadFailed", 5, "no such model, or it is private"),
        "gated": ("HubLoadFailed", 5, "hf auth login"),
        "no-revision@v9": ("HubLoadFailed", 5, "no such revision"),
        "teapot": ("HubLoadFailed", 5, "teapot"),
        "pickle": ("PickleWeights", 1, "pytorch_model.bin"),
        "gguf": ("QuantisedWeights", 1, "GGUF"),
        "empty": ("NoWeights", 1, "org/empty"),
        "quantised": ("QuantisedWeights", 1, "awq"),
        "alien": ("UnknownFamily", 1, "mamba"),
    }
    models = [f"org/{name}" for name in says]
    found = resolve_elsewhere(*models, home=tmp_path, url=hub.url)
    for (kind, code, words), (found_kind, found_code, text) in zip(
        says.values(), found, strict=True
    ):
        assert (found_kind, found_code) == (kind, code)
        assert words in str(text)
        assert "\n" not in str(text)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_model_of_the_hub_is_pinned_and_only_what_is_needed_is_fetched(hub, tmp_path):
    (found,) = resolve_elsewhere("org/good@main", home=tmp_path, url=hub.url)
    name, repo, revision, folder = map(str, found)
    assert (name, repo, revision) == ("org/good", "org/good", hub.head("org/good"))
    fetched = {path.name for path in Path(folder).iterdir()}
    assert fetched == {"config.json", "tokenizer.json", "model.safetensors"}
    assert Shards.open(Path(folder)).read("a").tolist() == [0, 0, 0]
    # and from now on the cache serves it, with nobody to ask
    assert resolve_elsewhere("org/good", f"org/good@{revision}", home=tmp_path)[1] == found


@pytest.mark.parametrize(
    "address", ["https://huggingface.co/org/name", "hf://org/name", "file:///tmp/model"]
)
def test_an_address_is_told_from_a_folder_and_from_a_hub_id(address):
    with pytest.raises(HubLoadFailed, match="an address is not the name of a model"):
        resolve(address)
