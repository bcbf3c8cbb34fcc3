"""Put the output of a real run into docs/branches.md: each `$ kn-edit …` of its console blocks.

Ids and times are those of the run. A test runs the same commands on a tiny model, and compares what
they print beside these.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "branches.md"
BLOCK = re.compile(r"(?<=^```console\n).*?(?=^```$)", re.MULTILINE | re.DOTALL)
PROMPT = "$ "
LONG = ("init", "update")  # what they say on stderr is how far they are

Run = Callable[[list[str]], str]


def commands(block: str) -> Iterator[list[str]]:
    """The words of each command of a console block."""
    lines = (line for line in block.splitlines() if line.startswith(PROMPT))
    yield from (shlex.split(line.removeprefix(PROMPT)) for line in lines)


def filled(page: str, run: Run) -> str:
    """The page with what its commands print, run one after the other."""

    def block(found: re.Match[str]) -> str:
        parts = [f"{PROMPT}{shlex.join(words)}\n{run(words)}" for words in commands(found[0])]
        return "\n".join(parts)

    return BLOCK.sub(block, page)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:

        def run(words: list[str]) -> str:
            ran = subprocess.run(
                [sys.executable, "-m", "kn_edit.cli", *words[1:]],
                cwd=folder,
                env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            said = "" if words[1] in LONG else ran.stderr
            return (ran.stdout + said).replace(folder, "/home/you")

        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), run), encoding="utf-8")


if __name__ == "__main__":
    main()
