"""Several files as objects below one address: all of them, or nothing that anybody takes for them.

An empty object claims the address first, so that two uploads do not mix. What makes the files
usable comes last: `config.json` of a checkpoint, then a manifest with the sha256 of every file. An
upload that fails deletes what it has stored; one that is killed leaves its claim, and no manifest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kn_edit.canonical import digest, file_digest
from kn_edit.errors import KnEditError, ObjectsInTheWay, ObjectStoreFailed
from kn_edit.progress import Progress
from kn_edit.untrusted import open_regular

if TYPE_CHECKING:
    from kn_edit.objects.bucket import Bucket

MANIFEST = "kn-edit-export.json"
CLAIM = "kn-edit-export.unfinished"
LAST = ("adapter_config.json", "config.json")  # without which nothing loads the rest


def upload_whole(
    bucket: Bucket,
    files: Mapping[str, bytes | Path],
    about: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Store files below an address where nothing lies yet, by their names, and a manifest of them.

    about: what the manifest says beside the files
    Raises ObjectsInTheWay, OSError, and what a bucket raises.
    """
    names = sorted(files, key=lambda name: (name in LAST, name))
    sizes = {name: _size(files[name]) for name in names}
    sent, total = 0, sum(sizes.values())
    manifest = {}
    with _claimed(bucket) as stored:
        for name in names:
            progress("uploading", sent, total)
            stored.append(name)
            manifest[name] = {"sha256": _upload(bucket, name, files[name], sizes[name])}
            sent += sizes[name]
        progress("uploading", sent, total)
        stored.append(MANIFEST)
        text = json.dumps({**about, "files": manifest}, indent=2, sort_keys=True)
        if not bucket.create(MANIFEST, text.encode()):
            raise ObjectsInTheWay(str(bucket.address), unfinished=False)


@contextmanager
def _claimed(bucket: Bucket) -> Iterator[list[str]]:
    """Claim an address for an upload; the list of what it stores, which goes where it fails."""
    place = str(bucket.address)
    names = {entry.name for entry, _ in zip(bucket.entries(), range(1000), strict=False)}
    if names:
        raise ObjectsInTheWay(place, unfinished=CLAIM in names)
    if not bucket.create(CLAIM, b""):
        raise ObjectsInTheWay(place, unfinished=True)
    stored: list[str] = []
    try:
        yield stored
    except BaseException:
        for name in [*reversed(stored), CLAIM]:
            with suppress(KnEditError):
                bucket.delete(name)
        raise
    bucket.delete(CLAIM)


def _upload(bucket: Bucket, name: str, content: bytes | Path, size: int) -> str:
    """Store one file; its sha256."""
    if isinstance(content, bytes):
        bucket.replace(name, content)
        sha256 = digest(content)
    else:
        with open_regular(content) as file:
            sha256 = file_digest(file)  # type: ignore[arg-type]
        bucket.upload(name, content)
    entry = bucket.entry(name)
    if entry is None or entry.size != size:
        reason = f"{name} has {entry.size if entry else 0:,} bytes there, of {size:,}"
        raise ObjectStoreFailed(str(bucket.address), bucket.server, reason)
    return sha256


def _size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
