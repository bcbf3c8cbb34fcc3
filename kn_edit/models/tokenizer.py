"""The tokenizer of a checkpoint, loaded without running anything of its folder.

transformers reads it from a private copy of the files that a tokenizer consists of, so nothing else
of the folder is in its reach: no code, no pickle, no path that a configuration names.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from kn_edit.atomic import private_folder
from kn_edit.errors import (
    CannotWrite,
    CheckpointNamesCode,
    CheckpointUnloadable,
    MalformedCheckpoint,
    reason_of,
)
from kn_edit.models.companions import TOKENIZER, matching
from kn_edit.models.foreign import foreign_code, muted
from kn_edit.models.shards import CONFIG
from kn_edit.untrusted import JsonProblem, parse_object, read_bounded

SETTINGS = "tokenizer_config.json"
WHOLE = "tokenizer.json"
CHAT_TEMPLATE = "chat_template.jinja"  # never run: kn_edit.models.chat
MOST_CHAT_TEMPLATE = 1 << 20  # bytes
VOCABULARIES = (WHOLE, "vocab.json", "vocab.txt", "*.model")
PROBE = "The capital of France is Paris."
_BYTES, _BYTES_PER_TOKEN = 16 << 20, 400  # those of real models have 70 to 140 a token
_VALUES, _VALUES_PER_TOKEN = 400_000, 16  # and some 7 values
_MOST_VALUES = {SETTINGS: 200_000, "special_tokens_map.json": 10_000, "added_tokens.json": 100_000}
_MOST_GROWTH = 1000  # of a text on its way to tokens; in real tokenizers 18 at most
_PREPENDED = 64  # letters in front of a text are no growth up to here
_GROWTH = {"NFD": 4, "NFKD": 18, "NFC": 3, "NFKC": 18, "Lowercase": 3, "ByteLevel": 4}
# A configuration could name files that are not its own here, or ready-made objects.
_PASSED_OVER = ("auto_map", "tokenizer_object", "name_or_path", "gguf_file", "backend_tokenizer")


def load_tokenizer(
    folder: Path, config: Mapping[str, Any], embeddings: int, *, masked: bool
) -> Any:
    """The tokenizer of a checkpoint; `embeddings` says how large one it may have.

    config: the checkpoint's configuration, as far as it is followed
    Raises CheckpointUnloadable, CheckpointNamesCode, MalformedCheckpoint, CannotWrite.
    """
    with ExitStack() as opened:
        place = Path(tempfile.gettempdir())
        try:
            scratch = place = opened.enter_context(private_folder())
            _copy(folder, scratch, config, embeddings)
        except OSError as error:
            raise CannotWrite(place, reason_of(error)) from error
        tokenizer = _loaded(folder, scratch)
    if masked and not isinstance(tokenizer.mask_token_id, int):
        reason = "its tokenizer has no mask token, which a masked LM is asked with"
        raise CheckpointUnloadable(folder, reason)
    tokenizer.name_or_path = str(folder)
    return tokenizer


def _loaded(folder: Path, scratch: Path) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    with foreign_code(folder, "its tokenizer cannot be loaded", scratch=scratch), muted():
        tokenizer = AutoTokenizer.from_pretrained(
            str(scratch), local_files_only=True, trust_remote_code=False
        )
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise CheckpointUnloadable(folder, "its tokenizer_config.json names no tokenizer")
    with foreign_code(folder, "its tokenizer cannot read a plain sentence"), muted():
        ids = tokenizer(PROBE)["input_ids"]
        if not ids or not all(isinstance(token, int) and token >= 0 for token in ids):
            raise ValueError(f"it makes {ids!r:.40} of it")
        tokenizer.convert_ids_to_tokens(ids)
        tokenizer.decode(ids)
        set(tokenizer.all_special_ids)
    return tokenizer


def _copy(folder: Path, scratch: Path, config: Mapping[str, Any], embeddings: int) -> None:
    """Bring the files of the tokenizer over, each looked at before."""
    most_bytes = _BYTES + _BYTES_PER_TOKEN * embeddings
    most_values = _VALUES + _VALUES_PER_TOKEN * embeddings
    paths = list(matching(folder, TOKENIZER))
    if not any(path.match(name) for path in paths for name in VOCABULARIES):
        raise CheckpointUnloadable(folder, "it has no tokenizer (no tokenizer.json or vocabulary)")
    for path in paths:
        try:
            data = read_bounded(path, most_bytes)
        except OSError as error:
            raise MalformedCheckpoint(path, reason_of(error)) from error
        if path.suffix == ".json":
            facts = _json(path, data, _MOST_VALUES.get(path.name, most_values))
            if path.name == SETTINGS:
                data = json.dumps(_settings(path, facts)).encode()
            elif path.name == WHOLE:
                _check_growth(path, facts)
        (scratch / path.name).write_bytes(data)
    for path in matching(folder, (CHAT_TEMPLATE,)):
        with suppress(OSError, UnicodeDecodeError):  # one that cannot be read is no loss
            text = read_bounded(path, MOST_CHAT_TEMPLATE).decode()
            (scratch / path.name).write_text(text, encoding="utf-8")
    (scratch / CONFIG).write_text(json.dumps(dict(config)), encoding="utf-8")


def _json(path: Path, data: bytes, most_values: int) -> dict[str, Any]:
    try:
        return parse_object(data, max_values=most_values)
    except JsonProblem as problem:
        raise MalformedCheckpoint(path, f"its JSON cannot be read: {problem}") from None


def _settings(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """tokenizer_config.json without names of code and files.

    Raises CheckpointNamesCode where its class is none of transformers'.
    """
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    named, code = settings.get("tokenizer_class"), settings.get("auto_map")
    if code is not None:
        with foreign_code(path.parent, "its tokenizer_config.json makes no sense"):
            bare = named.removesuffix("Fast") if isinstance(named, str) else None
            resolvable = bare and any(map(tokenizer_class_from_name, (named, bare, f"{bare}Fast")))
        if named is not None and not resolvable:
            raise CheckpointNamesCode(path, str(named))
    return {
        name: value
        for name, value in settings.items()
        if name not in _PASSED_OVER and not name.endswith(("_file", "_path"))
    }


def _check_growth(path: Path, facts: Mapping[str, Any]) -> None:
    """Refuse a tokenizer in which a hundred letters become a gigabyte on their way."""
    for parts in (("normalizer", "pre_tokenizer"), ("decoder",)):
        growth = 1.0
        for part in parts:
            growth *= _growth(facts.get(part))
        if not growth <= _MOST_GROWTH:
            problem = f"its {' and '.join(parts)} would make a text {growth:.3g} times as long"
            raise MalformedCheckpoint(path, problem)


def _growth(step: object) -> float:
    """How many times as long a text can become in a step of tokenising, from above."""
    if isinstance(step, list):
        product = 1.0
        for member in step:
            product *= _growth(member)
        return product
    if not isinstance(step, dict):
        return 1.0
    growth = float(_GROWTH.get(str(step.get("type")), 1))
    if "content" in step:
        growth *= _replacement_growth(step.get("pattern"), step["content"])
    if isinstance(step.get("prepend"), str):
        growth *= max(1.0, len(step["prepend"]) / _PREPENDED)
    return growth * max(1.0, *(_growth(value) for value in step.values()), 1.0)


def _replacement_growth(pattern: object, content: object) -> float:
    """A plain text is replaced where it stands; an expression may match between any two letters."""
    length = len(content) if isinstance(content, str) else 1
    plain = pattern.get("String") if isinstance(pattern, dict) else pattern
    if isinstance(plain, str) and plain:
        return max(1.0, length / len(plain))
    return length + 1.0
