"""Random numbers: a generator for each purpose, from one seed that the caller passes in.

With the usual seed every generator is made as it was before a seed could be chosen, so that what
was measured and published with it comes out the same.
"""

from __future__ import annotations

from numbers import Integral
from random import Random

from kn_edit.errors import BadSetting

USUAL = 0
MOST = 2**53  # beyond it not every program reads the same number in JSON


def checked(seed: int) -> int:
    """A seed as it can be recorded. Raises BadSetting for what is no whole number, or too large."""
    is_whole = isinstance(seed, Integral) and not isinstance(seed, bool)
    if not is_whole or abs(int(seed)) > MOST:
        raise BadSetting("the seed", seed, f"a whole number between -{MOST} and {MOST}")
    return int(seed)


def generator(seed: int, name: str, usual: int | str = USUAL) -> Random:
    """The generator of one purpose, or of one thing such as a fact, by its name.

    Two names have different numbers, and so has one name with two seeds.
    usual: what the generator of this name is made from with the usual seed
    """
    return Random(usual if seed == USUAL else f"{seed} {name}")
