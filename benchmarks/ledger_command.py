"""Run one command of kn-edit in this process, and say how long it took without its imports.

    python benchmarks/ledger_command.py log -n 20 --workspace DIR

Prints, as JSON, the seconds of the processor. Stops where torch was imported.
"""

from __future__ import annotations

import io
import json
import sys
import time
from contextlib import redirect_stdout

from kn_edit.cli.run import run as run_command


def run(arguments: list[str]) -> float:
    """The seconds of the processor that a command takes."""
    start = time.process_time()
    with redirect_stdout(io.StringIO()):
        code = run_command(arguments)
    assert code == 0, arguments
    return time.process_time() - start


workspace = sys.argv[sys.argv.index("--workspace") :]
run(["log", "-n", "1", *workspace])  # imports what commands import
seconds = run(sys.argv[1:])
assert "torch" not in sys.modules
sys.stdout.write(json.dumps({"seconds": seconds}))
