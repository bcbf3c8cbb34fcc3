"""A workspace: one base model, its ledger, and every verb of kn-edit.

Verbs that need no model (`status`, `log`, `blame`, ...) import neither torch nor transformers.
"""

from __future__ import annotations

from kn_edit.workspace.verbs.branches import BranchVerbs
from kn_edit.workspace.verbs.editing import EditingVerbs
from kn_edit.workspace.verbs.files import FileVerbs
from kn_edit.workspace.verbs.history import HistoryVerbs
from kn_edit.workspace.verbs.hub import HubVerbs


class Workspace(EditingVerbs, HistoryVerbs, BranchVerbs, FileVerbs, HubVerbs):
    """An open workspace. Use `init` or `open`, and it as a context manager.

    Its verbs stand in `kn_edit.workspace.verbs`, by subject: those that ask the model and those
    that edit it, the history and its branches, files, the Hub.
    """
