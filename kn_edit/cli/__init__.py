"""The command line: parse, call one verb of the workspace, print."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script `kn-edit`."""
    from kn_edit.cli.run import run

    sys.exit(run(sys.argv[1:]))
