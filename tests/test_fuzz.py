"""Bytes of strangers are taken, or refused in one sentence: never anything else.

`make fuzz` looks for counterexamples for longer, with atheris; here hypothesis changes good inputs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))

from readers import READERS, refused


@st.composite
def damaged(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A good input with a part of it replaced, removed or repeated; or no good input at all."""
    seed = draw(st.sampled_from(seeds))
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, min(len(seed), start + 20)))
    middle = draw(st.one_of(st.binary(max_size=20), st.just(seed[start:end] * 2)))
    return draw(st.sampled_from([seed[:start] + middle + seed[end:], middle, seed[:start]]))


@pytest.mark.parametrize("name", READERS)
def test_seeds_are_taken(name):
    reader, seeds = READERS[name]
    assert [refused(reader, seed) for seed in seeds] == [None] * len(seeds)


@pytest.mark.parametrize("name", READERS)
def test_damaged_input_is_taken_or_refused_in_one_sentence(name):
    reader, seeds = READERS[name]

    @settings(max_examples=40)
    @given(damaged(seeds))
    def looked_at(data: bytes) -> None:
        refused(reader, data)

    looked_at()
