"""Run kn-edit from a bare checkout: `python cli.py --help`. Not part of the wheel."""

from __future__ import annotations

from kn_edit.cli import main

if __name__ == "__main__":
    main()
