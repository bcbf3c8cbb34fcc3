"""Fuzz one reader with atheris: `python tests/fuzz/fuzz.py NAME SECONDS`; `make fuzz` takes all.

Stops at the first input that a reader neither takes nor refuses with a typed error, and writes it
to a file, crash-… in the present folder.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["kn_edit"]):
    from readers import READERS, refused


def main(name: str, seconds: str) -> None:
    """Feed a reader for so many seconds."""
    reader, seeds = READERS[name]
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = [
            f"-max_total_time={seconds}",
            "-max_len=65536",
            "-timeout=10",
            "-rss_limit_mb=4096",
        ]
        atheris.Setup([sys.argv[0], *options, corpus], lambda data: refused(reader, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
