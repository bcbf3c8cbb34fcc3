"""Small writes that are done at once, and only once where their caller names a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Response

from kn_edit.service.access import Caller
from kn_edit.service.keys import KeptAnswer, RequestKey
from kn_edit.service.replies import Json
from kn_edit.service.service import Service


def done_once(
    service: Service,
    caller: Caller,
    idempotency_key: str | None,
    request: list[Any],
    act: Callable[[], dict[str, Any]],
    *,
    status: int = 200,
) -> Response:
    """Do a small write, or answer as the first time where its key comes again.

    request: what must be the same then, as JSON. Raises KeyReused, KeyInUse, and what `act` raises.
    """
    if idempotency_key is None:
        return Json(act(), status_code=status)
    key = RequestKey.of(caller.name, idempotency_key, request)
    if not service.keys.claim(key):
        earlier = service.keys.answer(key)
        if earlier is not None:
            return Response(earlier.text, earlier.status, media_type="application/json")
    try:
        answer = Json(act(), status_code=status)
    except BaseException:
        service.keys.release(key)
        raise
    service.keys.keep(key, KeptAnswer(status, bytes(answer.body).decode("ascii")))
    return answer
