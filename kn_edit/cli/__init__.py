"""The command line: parse, call one verb of the workspace, print."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script `kn-edit`."""
    try:
        from kn_edit.cli.run import run
    except KeyboardInterrupt:  # imports take a moment, and `run` is not there yet to say so
        print("stopped; nothing was written", file=sys.stderr)
        sys.exit(130)  # run.STOPPED
    sys.exit(run(sys.argv[1:]))
