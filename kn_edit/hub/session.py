"""How huggingface_hub is set up while kn-edit talks to the Hub, and put back afterwards."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SECONDS = 30.0  # without a byte, and the Hub counts as silent
VARIABLE = "KN_EDIT_HUB_TIMEOUT"


@contextmanager
def quiet_session() -> Iterator[None]:
    """Inside the block every request has a time limit, and nothing is printed.

    Nor is Xet used: its transfers are a library of their own, which knows no limit of ours.
    """
    from huggingface_hub import constants, set_client_factory
    from huggingface_hub.utils import _http
    from huggingface_hub.utils.logging import get_verbosity, set_verbosity

    theirs: Callable[[], Any] = _http._GLOBAL_CLIENT_FACTORY
    xet, level = constants.HF_HUB_DISABLE_XET, get_verbosity()
    seconds = time_limit()
    set_client_factory(lambda: _limited(theirs(), seconds))
    constants.HF_HUB_DISABLE_XET = True
    set_verbosity(logging.CRITICAL)
    try:
        with _no_bars(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        set_verbosity(level)
        constants.HF_HUB_DISABLE_XET = xet
        set_client_factory(theirs)


def time_limit() -> float:
    """Seconds of silence that end a request: KN_EDIT_HUB_TIMEOUT, or 30."""
    try:
        chosen = float(os.environ.get(VARIABLE, SECONDS))
    except ValueError:
        return SECONDS
    return chosen if 0 < chosen < float("inf") else SECONDS


def _limited(client: Any, seconds: float) -> Any:
    """The client, on whose requests nobody waits for ever, whatever they ask for themselves."""

    def limit(request: Any) -> None:
        asked = request.extensions.get("timeout", {})
        limits = ("connect", "read", "write", "pool")
        shortest = {name: min(asked.get(name) or seconds, seconds) for name in limits}
        request.extensions = {**request.extensions, "timeout": shortest}

    hooks = client.event_hooks
    client.event_hooks = {**hooks, "request": [*hooks["request"], limit]}
    return client


@contextmanager
def _no_bars() -> Iterator[None]:
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if constants.HF_HUB_DISABLE_PROGRESS_BARS is not None or are_progress_bars_disabled():
        yield  # the user decided
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
