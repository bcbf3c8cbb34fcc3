"""Comparing how questions stand with an edit."""

from __future__ import annotations

import torch

from kn_edit.editing.joint_answers import Standing


def same_standing(one: Standing, other: Standing) -> bool:
    """Whether two are equal, bit for bit."""
    if not torch.equal(one.keys, other.keys):
        return False
    if one.lacking is None or other.lacking is None:
        return one.lacking is other.lacking
    return torch.equal(one.lacking.shift, other.lacking.shift) and torch.equal(
        one.lacking.text, other.lacking.text
    )
