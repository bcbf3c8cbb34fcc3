"""What every verb of a served workspace works with: its connection, and how a job is awaited."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from kn_edit.client.connection import Connection, path_of
from kn_edit.client.rebuilding import error_of
from kn_edit.errors import Cancelled
from kn_edit.progress import Progress, silent

Plain = dict[str, Any]
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.5  # seconds between two looks at a job
PART = 200  # entries of a list that are asked for at once


class Remote:
    """A connection to a service, without its verbs."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        branch: str | None = None,
        progress: Progress = silent,
        timeout: float = 60.0,
    ) -> None:
        """url: such as http://127.0.0.1:8018; token: that the service asks for, if it does

        branch: that verbs act on where a call names none; by default the service's current one
        progress: told how far a job has come; timeout: seconds that one answer may take
        Raises BadSetting for what is no address.
        """
        self._connection = Connection(url, token, timeout)
        self._branch = branch
        self._progress = progress

    def _get(self, *parts: str, **query: Any) -> Any:
        return self._connection.request("GET", path_of(*parts), query=query).data

    def _listed(self, *parts: str, most: int | None = None, **query: Any) -> list[Any]:
        """The entries of a list, newest first, or so many."""
        entries: list[Any] = []
        for entry in self._entries(*parts, most=most, **query):
            entries.append(entry)
            if len(entries) == most:
                break
        return entries

    def _entries(self, *parts: str, most: int | None, **query: Any) -> Iterator[Any]:
        before, limit = None, PART if most is None else min(PART, most)
        while True:
            part = self._get(*parts, **query, limit=limit, before=before)
            yield from part["items"]
            before = part["next"]
            if before is None:
                return

    def _wrote(self, method: str, *parts: str, body: object = None, **query: Any) -> Any:
        """Do a small write, which is done once whatever the connection does."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        path = path_of(*parts)
        reply = self._connection.request(method, path, query=query, body=body, headers=headers)
        return reply.data

    def _answer(self, verb: str, arguments: Mapping[str, Any]) -> Any:
        """The result of a verb that moves no branch."""
        return self._result(verb, arguments, {}, {})

    def _moved(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        branch: str | None,
        expected_head: str | None,
    ) -> Any:
        """The result of a verb that moves a branch, on the head that is expected, or there now."""
        branch = branch or self._branch
        head = expected_head or self._head(branch)
        return self._result(verb, arguments, {"branch": branch}, {"If-Match": f'"{head}"'})

    def _head(self, branch: str | None) -> str:
        """The version of a branch, or of the current one."""
        if branch is None:
            return str(self._get("status")["head"])
        return str(self._get("branches", branch)["version"])

    def _result(
        self,
        verb: str,
        arguments: Mapping[str, Any],
        query: Mapping[str, Any],
        headers: Mapping[str, str],
    ) -> Any:
        """Submit a job and wait for its result. Raises the error that it ended with, Cancelled."""
        body = {name: value for name, value in arguments.items() if value is not None}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        reply = self._connection.request(
            "POST", path_of(verb), query=query, body=body, headers={**headers, **key}
        )
        job, pause = reply.data, FIRST_PAUSE
        last_progress: object = None
        while job["ended"] is None:
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            job = self._get("jobs", job["id"])
            progress = job["progress"]
            if progress is not None and progress != last_progress:
                last_progress = progress
                self._progress(progress["task"], progress["done"], progress["total"])
        if job["error"] is not None:
            raise error_of(job["error"])
        if job["state"] == "cancelled":
            raise Cancelled(verb)
        return job["result"]
