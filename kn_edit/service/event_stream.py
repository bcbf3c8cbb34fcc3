"""Server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

from fastapi.responses import StreamingResponse

from kn_edit.canonical import finite

MEDIA_TYPE = "text/event-stream"
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # proxies pass on what comes


def event(data: Any, name: str | None = None) -> str:
    """One event. data: what JSON can say, in ASCII, or a str that is sent as it is"""
    text = data if isinstance(data, str) else json.dumps(finite(data), allow_nan=False)
    return (f"event: {name}\n" if name else "") + f"data: {text}\n\n"


def streaming(events: AsyncGenerator[str, None]) -> StreamingResponse:
    """The response that sends events as they come; where the caller goes away, they end."""
    return StreamingResponse(events, media_type=MEDIA_TYPE, headers=_HEADERS)
