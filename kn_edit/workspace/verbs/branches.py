"""Verbs on branches."""

from __future__ import annotations

from kn_edit.engine.undisturbed import verb
from kn_edit.ledger import BranchRecord, Ref
from kn_edit.workspace.opened import OpenWorkspace


class BranchVerbs(OpenWorkspace):
    """Names that move on with every edit: which there are, and which one is current."""

    @property
    @verb
    def current_branch(self) -> str:
        """The name of the branch that edits go to."""
        return self.ledger.current_branch().name

    @verb
    def branches(self) -> list[BranchRecord]:
        """Every branch by name, with its last edit and its last move."""
        return self.ledger.branches()

    @verb
    def branch(self, name: str, at: str = "head") -> Ref:
        """Make a branch at a version; the current one stays current.

        Raises BadBranchName, BranchExists, NameTaken, UnknownId.
        """
        return self.ledger.make_branch(name, self._named(at))

    @verb
    def switch(self, name: str, *, create: bool = False, at: str = "head") -> Ref:
        """Make a branch the current one, that edits go to from now on. No weights are touched.

        create: make it first, at the version `at`. Raises UnknownBranch, or what `branch` raises.
        """
        return (
            self.ledger.make_branch(name, self._named(at), switch=True)
            if create
            else self.ledger.switch(name)
        )

    @verb
    def delete_branch(self, name: str, *, force: bool = False) -> Ref:
        """Remove the name of a branch, and nothing else; where it was.

        force: also where no other branch or tag has its edits
        Raises UnknownBranch, BranchIsCurrent, OnlyThere.
        """
        return self.ledger.delete_branch(name, force=force)

    @verb
    def rename_branch(self, name: str, to: str) -> Ref:
        """Give a branch another name.

        Raises UnknownBranch, BadBranchName, BranchExists, NameTaken.
        """
        return self.ledger.rename_branch(name, to)
