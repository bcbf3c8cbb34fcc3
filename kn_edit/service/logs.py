"""The log of a service: a line for each request on stderr, without queries, bodies and secrets."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

from kn_edit.credentials import tokens_in_use
from kn_edit.safetext import escaped, struck

MOST = 2000  # characters of a message
MOST_TRACE = 20_000  # characters of a traceback


def log_to_stderr(*, as_json: bool) -> None:
    """Write what the service, its jobs and its server log to stderr, from INFO on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    for name in ("uvicorn", "kn_edit"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
    # Errors of the server are told by the logger above this one.
    logging.getLogger("uvicorn.error").handlers = []
    logging.getLogger("uvicorn.error").propagate = True


class JsonLines(logging.Formatter):
    """Each record as a JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(fields_of(record))


class TextLines(logging.Formatter):
    """Each record as a line of text."""

    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record)
        trace = fields.get("trace", "")
        return f"{fields['time']} {fields['level']} {fields['message']}" + (
            f"\n{trace}" * bool(trace)
        )


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What is told of a record. Of a request: who asked, what, and the status; no query."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    fields: dict[str, Any] = {
        "time": f"{moment}.{int(record.msecs):03}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
    }
    request = getattr(record, "request", None)
    if isinstance(request, dict):
        safe = {name: _safe(x, MOST) if isinstance(x, str) else x for name, x in request.items()}
        fields |= {"message": _line(safe), **safe}
    else:
        fields["message"] = _safe(record.getMessage(), MOST)
    if record.exc_info:
        text = logging.Formatter().formatException(record.exc_info)
        fields["trace"] = struck(text, MOST_TRACE, *tokens_in_use())
    return fields


def _line(request: dict[str, Any]) -> str:
    """A request as a line of text."""
    words = (request[name] or "-" for name in ("client", "caller", "method", "path", "status"))
    return f"{' '.join(map(str, words))} {request['ms']} ms {request['request']}"


def _safe(text: str, most: int) -> str:
    return escaped(struck(text, most, *tokens_in_use()))
