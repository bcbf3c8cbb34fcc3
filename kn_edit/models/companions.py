"""The small files beside the weights: they make the same tensors another model.

Configuration, tokenizer and generation settings decide what is computed with the weights and which
tokens a text becomes. So their digests are noted where a base is, and compared where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from kn_edit.canonical import digest
from kn_edit.errors import MalformedCheckpoint, reason_of
from kn_edit.untrusted import read_bounded

TOKENIZER = (
    "tokenizer*.json",
    "tokenizer*.model",
    "tokenizer*.txt",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
CHAT = ("chat_template*.json", "chat_template*.jinja")
COMPANIONS = ("config.json", "generation_config.json", *TOKENIZER, *CHAT)
MOST_BYTES = 128 << 20


def companion_files(folder: Path) -> dict[str, str]:
    """sha256 of each file beside the weights that the model's answers depend on, by its name.

    Raises MalformedCheckpoint for one that is not a regular file, or too large for what it is.
    """
    return {path.name: _digest(path) for path in matching(folder, COMPANIONS)}


def differing(expected: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    """The names of files that changed, went or came."""
    names = sorted(expected.keys() | actual.keys())
    return [name for name in names if expected.get(name) != actual.get(name)]


def matching(folder: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    """The files of a folder whose names match a pattern, by name."""
    for path in sorted(folder.iterdir()):
        if any(fnmatchcase(path.name, pattern) for pattern in patterns) and not path.is_dir():
            yield path


def _digest(path: Path) -> str:
    try:
        return digest(read_bounded(path, MOST_BYTES))
    except OSError as error:
        raise MalformedCheckpoint(path, reason_of(error)) from error
