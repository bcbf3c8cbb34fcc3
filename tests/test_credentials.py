"""Tokens in use, found without huggingface_hub as it finds them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kn_edit.credentials import FILES, TOKENS, tokens_in_use


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """A user without any token."""
    for name in (*TOKENS, *FILES, "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_nobody_has_no_token():
    assert tokens_in_use() == ()


@pytest.mark.parametrize("name", TOKENS)
def test_tokens_of_the_environment(monkeypatch, name):
    monkeypatch.setenv(name, "  plain-token/1 ")
    assert tokens_in_use() == ("plain-token%2F1", "plain-token/1")


@pytest.mark.parametrize(
    ("variable", "value", "file"),
    [
        ("HF_TOKEN_PATH", "{}/t", "t"),
        ("HF_TOKEN_PATH", "~/t", "t"),
        ("HF_HOME", "{}/hf", "hf/token"),
        ("XDG_CACHE_HOME", "{}/xdg", "xdg/huggingface/token"),
        ("HOME", "{}", ".cache/huggingface/token"),
        ("HF_STORED_TOKENS_PATH", "{}/s", "s"),
    ],
)
def test_tokens_of_files(monkeypatch, tmp_path, variable, value, file):
    monkeypatch.setenv(variable, value.format(tmp_path))
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "[mine]\nhf_token = abcdefgh\n" if variable.startswith("HF_S") else "abcdefgh\n"
    )
    assert tokens_in_use() == ("abcdefgh",)


def test_passwords_of_proxies(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://me:pass%40word@proxy:3128")
    assert set(tokens_in_use()) == {"pass%40word", "pass@word", "pass%2540word"}


def test_a_token_file_that_cannot_be_read_is_none(monkeypatch):
    for path in (
        "/dev/zero",
        "/",
        "/nowhere",
        "a\x00b" if sys.platform == "none" else "/proc/1/mem",
    ):
        monkeypatch.setenv("HF_TOKEN_PATH", path)
        assert tokens_in_use() == ()


def test_huggingface_hub_finds_the_same(tmp_path, monkeypatch):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("abcdefgh")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    program = "from huggingface_hub import get_token; print(get_token())"
    theirs = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert tokens_in_use() == (theirs.stdout.strip(),)
