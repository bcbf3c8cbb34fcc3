"""Where a model comes from: a demo, a folder, or a pinned commit on the Hub."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from kn_edit.errors import (
    CannotWrite,
    CheckpointFolderMissing,
    CheckpointPathUnusable,
    HubLoadFailed,
    KnEditError,
)
from kn_edit.models.cache import DEMO, DEMO_BERT, DEMOS
from kn_edit.models.companions import COMPANIONS
from kn_edit.models.demo import demo_folder
from kn_edit.models.families import family_of
from kn_edit.models.hub_failures import HubCause, failure_of, line
from kn_edit.models.hub_http import UnrulyHub, guarded_client, struck
from kn_edit.models.shards import (
    CONFIG,
    INDEX,
    SINGLE,
    Progress,
    check_config,
    check_files,
    index_of,
    read_config,
)
from kn_edit.untrusted import path_of

SMALL = (*COMPANIONS, INDEX)
MOST_CONFIG = 1 << 20  # bytes of a config
MOST_WORDS = 64 << 20  # of a file of the tokenizer, or of the index of the weights
_CONFIGS = (CONFIG, "generation_config.json")
# Patterns match whole paths: this keeps onnx/, original/ and the like away, and code too.
NEVER = ("*/*", "*.bin", "*.py", "*.pt", "*.ckpt", "*.h5", "*.msgpack", "*.pkl", "*.pickle")
# Branches may hold slashes (refs/pr/1, feature/x); what steers a path or a terminal is in no name.
_REVISION = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/+-]*[A-Za-z0-9_+-])?")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True)
class Source:
    """A model that lies in a folder, and how to name it.

    repo, revision: Hub id and commit; None for the demos and for a folder
    """

    name: str
    repo: str | None
    revision: str | None
    folder: Path


def resolve(model: str | os.PathLike[str], *, progress: Progress | None = None) -> Source:
    """Find `demo`, `demo-bert`, a folder, or `org/name[@revision]`; fetches what is not here yet.

    A path is always a folder. Raises CheckpointFolderMissing, CheckpointPathUnusable,
    HubLoadFailed, CannotWrite, the refusals of Shards.open by file names and config, those of
    family_of, and the errors of demo_folder.
    """
    if not isinstance(model, str):
        return _local(Path(model))
    if model == DEMO:
        return Source(name=DEMO, repo=None, revision=None, folder=demo_folder(progress))
    if model == DEMO_BERT:
        return Source(name=DEMO_BERT, repo=None, revision=None, folder=packaged_folder())
    if "://" in model and not _is_there(model):
        advice = "write a Hub id as org/name or org/name@revision, or name a folder"
        raise HubLoadFailed(model, "an address is not the name of a model", advice)
    repo, separator, revision = model.partition("@")
    if _is_path(model, repo):
        return _local(Path(model))
    if separator:
        _check_revision(model, revision)
    return _from_hub(model, repo, revision or None, quiet=progress is None)


def _is_path(model: str, repo: str) -> bool:
    """Whether a model is named by a path: one that stands, or that no Hub id looks like."""
    if model.startswith(("/", "./", "../", "~")) or repo.count("/") > 1 or "\0" in model:
        return True
    return _is_there(model)


def _is_there(model: str) -> bool:
    try:
        return bool(model) and Path(model).exists()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False


def _local(path: Path) -> Source:
    """A checkpoint folder. Raises CheckpointFolderMissing, CheckpointPathUnusable."""
    try:
        folder = path_of(path).resolve()
        stands = folder.is_dir()
        str(folder).encode()
    except UnicodeError:  # the ledger holds text
        raise CheckpointPathUnusable(path, "its name is not UTF-8") from None
    except OSError:  # a name that is too long, a folder that may not be looked into
        raise CheckpointFolderMissing(path) from None
    except (RuntimeError, ValueError) as error:  # a home that nobody has, a null character
        raise CheckpointPathUnusable(path, str(error)) from None
    if not stands:
        raise CheckpointFolderMissing(folder)
    name = str(folder) if folder.name in DEMOS else folder.name  # no demo, whatever its name
    return Source(name=name, repo=None, revision=None, folder=folder)


def _check_revision(model: str, revision: str) -> None:
    """Raise HubLoadFailed where no branch, tag or commit can be called so."""
    sound = len(revision) <= 100 and _REVISION.fullmatch(revision) is not None
    if not sound or ".." in revision or "//" in revision:
        advice = "name a branch, a tag, a commit or refs/pr/N after the @"
        raise HubLoadFailed(model, "no revision can be called so", advice)


def packaged_folder() -> Path:
    """The checkpoint folder of FactBERT, inside the package."""
    return Path(str(files("kn_edit.models") / "factbert"))


def _from_hub(model: str, repo: str, revision: str | None, *, quiet: bool) -> Source:
    from huggingface_hub import HfApi

    with _translated(model), _quiet_logger():
        try:
            with guarded_client():
                info = HfApi().model_info(repo, revision=revision, files_metadata=True)
        except Exception as error:
            if not _nobody_answered(error):
                raise
            folder = _snapshot(repo, revision, SMALL, local_files_only=True)
        else:
            folder = _fetched(model, repo, info, {"tqdm_class": _silent_bar()} if quiet else {})
    # A snapshot's folder is named by its commit.
    return Source(name=repo, repo=repo, revision=folder.name, folder=folder)


def _fetched(model: str, repo: str, info: Any, bars: dict[str, Any]) -> Path:
    """The folder of a snapshot that is now in the client's cache."""
    sizes = {str(file.rfilename): file.size for file in info.siblings or ()}
    if not isinstance(info.sha, str) or not _COMMIT.fullmatch(info.sha):
        raise UnrulyHub("does not say which commit it has")
    check_files(model, [*sizes])
    small = {name: size for name, size in sizes.items() if _is_wanted(name, SMALL)}
    for name, size in small.items():
        _check_size(model, name, size)
    # The small files first: what cannot serve is refused before gigabytes are fetched.
    # What breaks off and begins again comes twice, in part.
    with guarded_client(downloads=2 * _missing(repo, info.sha, small) + MOST_WORDS):
        folder = _snapshot(repo, info.sha, SMALL, **bars)
    check_config(model, folder)
    family_of(str(read_config(folder).get("model_type")))
    shards = {SINGLE} if SINGLE in sizes else set(index_of(folder).values())
    weights = {
        name: size for name, size in sizes.items() if name in shards and not _matches(name, NEVER)
    }
    for name, size in weights.items():
        _check_size(model, name, size)
    missing = _missing(repo, info.sha, weights)
    _check_space(model, missing)
    with guarded_client(downloads=2 * missing + MOST_WORDS):
        return _snapshot(repo, info.sha, (*SMALL, *map(escape, weights)), **bars)


def _is_wanted(name: str, patterns: Sequence[str]) -> bool:
    return _matches(name, patterns) and not _matches(name, NEVER)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _check_size(model: str, name: str, size: object) -> None:
    """Raise HubLoadFailed for a small file that is not small, before it is fetched."""
    advice = "name another model, or a folder"
    if type(size) is not int or size < 0:
        raise HubLoadFailed(model, f"the Hub does not say how large {name} is", advice)
    if name.endswith(".safetensors"):
        return
    most = MOST_CONFIG if _matches(name, _CONFIGS) else MOST_WORDS
    if size > most:
        problem = f"{name} has {size:,} bytes, more than the {most:,} that it may have"
        raise HubLoadFailed(model, problem, advice)


def _missing(repo: str, commit: str, sizes: Mapping[str, int]) -> int:
    """Bytes that are not in the client's cache yet."""
    from huggingface_hub import try_to_load_from_cache

    return sum(
        size
        for name, size in sizes.items()
        if not isinstance(try_to_load_from_cache(repo, name, revision=commit), str)
    )


def _check_space(model: str, size: int) -> None:
    """Raise HubLoadFailed where the client's cache has no room for so many bytes."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    place = next(path for path in (cache, *cache.parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    if size > free:
        problem = f"it takes {size / 1e9:.1f} GB and {place} has {free / 1e9:.1f} GB left"
        raise HubLoadFailed(model, problem, "make room there, or set HF_HOME to another disk")


def _snapshot(repo: str, revision: str | None, patterns: Sequence[str], **options: Any) -> Path:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        repo,
        revision=revision,
        allow_patterns=list(patterns),
        ignore_patterns=list(NEVER),
        **options,
    )
    return Path(folder)


def _nobody_answered(error: Exception) -> bool:
    """No network, as against a Hub that says no."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    http_error = HfHubHTTPError.__bases__[0]  # of httpx or httpx2, by version of the client
    silent = isinstance(error, (OfflineModeIsEnabled, http_error))
    return silent and not isinstance(error, HfHubHTTPError)


@contextmanager
def _translated(model: str) -> Iterator[None]:
    """Every failure of the client as one of ours.

    All of them, because they share no base: HTTP libraries, Xet and the cache each raise their own.
    """
    try:
        yield
    except KnEditError:
        raise
    except Exception as error:
        raise _hub_error(model, error) from struck(error)


# What a failed request means for a model, and what to do about it. {repo}, {words}: to be filled in
_UNREACHABLE = (
    "the Hub cannot be reached and the model is not in its cache",
    "check the connection and HF_HUB_OFFLINE, or name a folder",
)
_PROBLEMS = {
    HubCause.BAD_NAME: (
        "this is neither a folder nor a Hub id",
        "write a Hub id as org/name or org/name@revision",
    ),
    HubCause.GATED: (
        "its owner asks you to accept conditions",
        "do so at huggingface.co/{repo}, then log in with `hf auth login`",
    ),
    HubCause.NO_REPOSITORY: (
        "there is no such model, or it is private",
        "check the spelling, name a folder that exists, or log in with `hf auth login`",
    ),
    HubCause.NO_REVISION: (
        "the model has no such revision",
        "name a branch, a tag or a commit of it after the @",
    ),
    HubCause.NOT_CACHED: _UNREACHABLE,
    HubCause.OFFLINE: _UNREACHABLE,
    HubCause.NO_TOKEN: (
        "the Hub does not know who you are",
        "log in with `hf auth login`, or name a folder",
    ),
    HubCause.FORBIDDEN: (
        "you may not read it: {words}",
        "log in as somebody who may, or name a folder",
    ),
    HubCause.UNRULY: ("the Hub {words}", "name another model, or a folder"),
}
_TRY_LATER = "try again later, or name a folder"


def _hub_error(model: str, error: Exception) -> KnEditError:
    """One of our errors for any of theirs, about a model that was to be fetched."""
    from huggingface_hub import constants

    failure = failure_of(error)
    if failure.cause is HubCause.DISK:
        return CannotWrite(failure.place or Path(constants.HF_HUB_CACHE), failure.words)
    if failure.cause is HubCause.NONSENSE:  # of the client's own cache, say: its words tell more
        return HubLoadFailed(model, line(str(error)) or type(error).__name__, _TRY_LATER)
    problem, advice = _PROBLEMS.get(failure.cause, ("the Hub {words}", _TRY_LATER))
    return HubLoadFailed(
        model,
        problem.replace("{words}", failure.words),
        advice.replace("{repo}", model.partition("@")[0]),
    )


@contextmanager
def _quiet_logger() -> Iterator[None]:
    from huggingface_hub.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _silent_bar() -> Any:
    from huggingface_hub.utils.tqdm import tqdm

    class SilentBar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

    return SilentBar
