"""Put the output of a real run of scripts/demo.py into README.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"(<!-- demo: begin -->\n).*?(<!-- demo: end -->)", re.DOTALL)


def main() -> None:
    readme = ROOT / "README.md"
    with tempfile.TemporaryDirectory() as folder:
        output = subprocess.check_output(
            [sys.executable, ROOT / "scripts" / "demo.py", Path(folder) / "demo"],
            env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"},
            text=True,
        ).replace(folder, "/home/you")
    block = f"```console\n{output.strip()}\n```\n"
    text = BLOCK.sub(lambda found: found[1] + block + found[2], readme.read_text())
    readme.write_text(text)


if __name__ == "__main__":
    main()
