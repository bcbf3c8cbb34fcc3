"""The verbs: what the command line and Python users call. Importing this needs no torch."""

from kn_edit.workspace.requests import case_of
from kn_edit.workspace.workspace import Workspace

__all__ = ["Workspace", "case_of"]
