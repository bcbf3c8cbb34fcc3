"""`python -m kn_edit.cli`, where the console script is not on the path."""

from __future__ import annotations

from kn_edit.cli import main

if __name__ == "__main__":
    main()
