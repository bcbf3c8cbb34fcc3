"""Waiting for an answer that is sent as a whole, as long as its caller is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TypeVar

from fastapi import Request

from kn_edit.service.answering import Events
from kn_edit.service.transcript import Transcript

T = TypeVar("T")
CLOSED = 499  # the status for the log where a caller has gone, as nginx has it


class Gone(Exception):
    """The caller has closed the connection."""


async def gathered(request: Request, following: Events) -> Transcript | None:
    """One answer, whole; None where its caller has gone. Raises the error of one that failed."""
    transcript = Transcript()
    try:
        async for _, coming in while_connected(request, following):
            transcript.add(coming)
    except Gone:
        return None
    return transcript


async def while_connected(
    request: Request, events: AsyncGenerator[T, None]
) -> AsyncGenerator[T, None]:
    """The events, until they end. Raises Gone once the caller has gone; then they are closed."""
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        async with aclosing(events):
            while True:
                coming = asyncio.ensure_future(anext(events))
                await asyncio.wait({coming, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    with suppress(asyncio.CancelledError):
                        await coming
                    raise Gone
                try:
                    yield coming.result()
                except StopAsyncIteration:
                    return
    finally:
        gone.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
