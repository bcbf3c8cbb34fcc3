"""What can be had again, and where it is kept: the demo models, scores of prompts."""

from __future__ import annotations

import os
from pathlib import Path

from kn_edit.untrusted import path_of

DEMO = "demo"  # SmolLM2, fetched once
DEMO_BERT = "demo-bert"  # FactBERT, which ships with the package
DEMOS = (DEMO, DEMO_BERT)


def cache_folder() -> Path:
    """KN_EDIT_CACHE, or the user's cache folder for kn-edit."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("KN_EDIT_CACHE")
    return path_of(chosen).resolve() if chosen else user_cache_path("kn-edit")


def notes_folder() -> Path:
    """Where exports and backups note the folder that they work in, for `gc` after a kill."""
    return cache_folder() / "under-way"
