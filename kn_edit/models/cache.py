"""Where kn-edit keeps what can be had again: the demo model, scores of prompts."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """KN_EDIT_CACHE, or the user's cache folder for kn-edit."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("KN_EDIT_CACHE")
    return Path(chosen).expanduser().resolve() if chosen else user_cache_path("kn-edit")
