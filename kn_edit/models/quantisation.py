"""What a config.json says of quantised weights, and which of them can be read. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kn_edit.untrusted import read_bounded

CARD = "README.md"
MOST_CARD = 1 << 20  # bytes of it
_BASE = re.compile(r"^base_model:[ \t]*(?:\n-[ \t]*)?[\"']?([\w.-]{1,96}/[\w.-]{1,96})", re.M)
_BITS = {"gptq": (2, 4, 8), "awq": (4,)}


def quantisation_in(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The method of quantised weights and its settings; None where they are not quantised.

    The method is "quantization_config" where it is not told.
    """
    settings = config.get("quantization_config")
    if settings is None:
        return None
    options = settings if isinstance(settings, dict) else {}
    return str(options.get("quant_method") or "quantization_config"), options


def is_readable(method: str, settings: Mapping[str, Any]) -> bool:
    """Whether the numbers behind quantised weights can be computed, so that the model can run."""
    if method == "awq" and settings.get("version", "gemm") != "gemm":
        return False
    if method in _BITS:
        return settings.get("bits") in _BITS[method]
    return method in ("bitsandbytes", "fp8")


def base_named(folder: Path) -> str:
    """The model that a quantised one says it was made from, a Hub id; empty where it says none."""
    try:
        card = read_bounded(folder / CARD, MOST_CARD).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    front = card.split("\n---", 1)[0] if card.startswith("---") else ""
    match = _BASE.search(front)
    return match[1] if match else ""
