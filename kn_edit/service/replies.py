"""Replies: JSON that every client can read, with a tag by which callers ask for changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from kn_edit.canonical import digest, finite

T = TypeVar("T")


class Json(JSONResponse):
    """JSON in ASCII, in which what is no number is null."""

    def render(self, content: Any) -> bytes:
        try:
            return _text(content)
        except (TypeError, ValueError):  # of what JSON does not know; to look for it takes longest
            return _text(finite(content))


def _text(content: Any) -> bytes:
    return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def tagged(request: Request, content: Any) -> Response:
    """JSON with a strong ETag of its bytes; 304 where the caller has these bytes already."""
    reply = Json(content)
    etag = quoted_tag(digest(reply.body))
    if etag in tags_in(request.headers.get("If-None-Match", "")):
        return Response(status_code=304, headers={"ETag": etag})
    reply.headers["ETag"] = etag
    return reply


def at_version(content: Any, version: str) -> Response:
    """JSON of what stands at a version now. Its ETag is what `If-Match` of a write names."""
    return Json(content, headers={"ETag": quoted_tag(version)})


def quoted_tag(text: str) -> str:
    """An entity tag of a text without quotes."""
    return f'"{text}"'


def tags_in(header: str) -> tuple[str, ...]:
    """The entity tags of a header `If-Match` or `If-None-Match`; a weak one counts as its text."""
    return tuple(part.strip().removeprefix("W/") for part in header.split(",") if part.strip())


def page(
    entries: Sequence[T], limit: int, cursor: Callable[[T], object], plain: Callable[[T], Any]
) -> dict[str, Any]:
    """Part of a list. entries: one more than the limit, where more follow"""
    part = entries[:limit]
    follow = len(entries) > limit
    return {
        "items": [plain(entry) for entry in part],
        "next": str(cursor(part[-1])) if follow else None,
    }
