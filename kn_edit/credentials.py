"""The tokens that this user has, so that they can be struck from what is shown.

Found as huggingface_hub finds them, without importing it: by the environment and its files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from kn_edit.untrusted import read_bounded

LEAST = 5  # characters; a shorter one would strike words
MAX_BYTES = 65536
TOKENS = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HUGGINGFACE_TOKEN",
    "HF_API_TOKEN",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "PGPASSWORD",
    "KN_EDIT_TOKEN",
)
FILES = ("HF_TOKEN_PATH", "HF_STORED_TOKENS_PATH", "HF_HOME", "XDG_CACHE_HOME", "HOME")
# user:password@host
ADDRESSES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_ENDPOINT", "KN_EDIT_DATABASE_URL")


def tokens_in_use() -> tuple[str, ...]:
    """Every token and password of the environment and of huggingface_hub's files, longest first."""
    names = (*TOKENS, *FILES, *ADDRESSES, *(name.lower() for name in ADDRESSES))
    return _tokens(tuple((name, os.environ[name]) for name in names if name in os.environ))


@lru_cache(maxsize=16)
def _tokens(environment: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    variables = dict(environment)
    tokens = {variables[name].strip() for name in TOKENS if name in variables}
    for path in _files(variables):
        tokens |= _tokens_of(path)
    for name, address in variables.items():
        if name.upper() in ADDRESSES:
            tokens |= _password(address)
    long = {token for token in tokens if len(token) >= LEAST}
    return tuple(sorted(long | {quote(token, safe="") for token in long}, key=len, reverse=True))


def _files(variables: Mapping[str, str]) -> list[Path]:
    cache = Path(variables.get("XDG_CACHE_HOME") or Path("~/.cache")) / "huggingface"
    home = Path(variables.get("HF_HOME") or cache)
    files = (
        variables.get("HF_TOKEN_PATH") or home / "token",
        variables.get("HF_STORED_TOKENS_PATH") or home / "stored_tokens",
    )
    try:
        return [Path(file).expanduser() for file in files]
    except RuntimeError:  # nobody's home
        return []


def _tokens_of(path: Path) -> set[str]:
    """The tokens in a file: one alone, or lines `hf_token = ...` under names."""
    try:
        text = read_bounded(path, MAX_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return set()
    values = (line.partition("=")[2] if "=" in line else line for line in text.splitlines())
    return {value.strip() for value in values if not value.strip().startswith("[")}


def _password(address: str) -> set[str]:
    try:
        password = urlsplit(address).password
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()
