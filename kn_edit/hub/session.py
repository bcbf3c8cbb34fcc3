"""How huggingface_hub is set up while kn-edit talks to the Hub, and put back afterwards."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from kn_edit.models.hub_http import guarded_client


@contextmanager
def quiet_session() -> Iterator[None]:
    """Inside the block every request is guarded, has a time limit, and nothing is printed."""
    from huggingface_hub.utils.logging import get_verbosity, set_verbosity

    level = get_verbosity()
    set_verbosity(logging.CRITICAL)
    try:
        with guarded_client(), _no_bars(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        set_verbosity(level)


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
