"""The number formats that weights may be rounded to. Importing this needs no torch."""

from __future__ import annotations

from enum import StrEnum


class Rounding(StrEnum):
    """A number format to which weights are rounded."""

    BFLOAT16 = "bfloat16"
    INT8 = "int8"
    INT4 = "int4"
    NF4 = "nf4"
