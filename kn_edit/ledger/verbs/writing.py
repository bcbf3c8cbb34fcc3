"""What is recorded in a ledger, each in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from kn_edit.errors import DifferentBase, HeadMoved
from kn_edit.ledger import branches, names, reading, writing
from kn_edit.ledger.blob_store import keep
from kn_edit.ledger.opened import OpenLedger
from kn_edit.ledger.recipes import Recipe
from kn_edit.ledger.records import Adoption, Advance, NewEdit, Publication, Ref, VersionRecord


class WritingVerbs(OpenLedger):
    """Moves, tags, branches, what was pulled and published."""

    def advance(
        self,
        plan: Advance,
        digests: Mapping[str, str],
        *,
        edit: NewEdit | None = None,
        recording: Callable[[], None] | None = None,
    ) -> VersionRecord:
        """Record a planned move: the delta's file first, then one transaction.

        digests: sha256 of every tensor that the recipe touches, by name
        edit: with a plan of `plan_edit`, what to record about it
        recording: called inside the transaction, when nobody else can record any more; what it
        raises passes through, and nothing is recorded
        Raises HeadMoved, UnknownBranch, DigestsDiffer, LedgerBusy, LedgerUnusable; then nothing
        was recorded.
        """
        assert edit is None or edit.delta.id == plan.edit
        if edit is not None:
            for data in (edit.delta.to_bytes(), *edit.members.values()):
                self.blobs.put(data)
        now = self._now()
        with self._database.writing() as connection:
            writing.check_head(connection, plan)
            if recording is not None:
                recording()
            if edit is not None:
                connection.lock_blobs()
                keep(self.blobs, edit.delta.id, edit.delta.to_bytes)
                for member, data in edit.members.items():
                    keep(self.blobs, member, partial(bytes, data))
                writing.add_edit(connection, edit, now)
            writing.add_version(connection, plan, digests, self.base.fingerprint, now)
            if edit is not None and edit.metrics:
                writing.add_evaluation(connection, plan.version, edit, now)
            writing.move_branch(connection, plan, now)
            stored = reading.digests(connection, plan.version)
        return VersionRecord(
            plan.version,
            plan.recipe,
            stored,
            overlaps=plan.overlaps,
            settled=plan.settled,
            returned=plan.returned,
            stayed=plan.stayed,
        )

    def tag(self, name: str, version: str = "head", *, move: bool = False) -> Ref:
        """Name a version. Raises BadTagName, NameTaken, and TagExists unless the tag may move."""
        names.check_tag(name)
        with self._database.writing() as connection:
            target = names.find_version(connection, version)
            writing.place_tag(connection, name, target, move, self._now())
        return Ref(name, "tag", target)

    def make_branch(self, name: str, version: str = "head", *, switch: bool = False) -> Ref:
        """Make a branch at a version; switch: and make it the current one.

        Raises BadBranchName, BranchExists, NameTaken, UnknownId.
        """
        now = self._now()
        with self._database.writing() as connection:
            new_branch = branches.make(connection, name, version, now)
            return branches.switch(connection, name, now) if switch else new_branch

    def switch(self, name: str) -> Ref:
        """Make a branch the current one. Raises UnknownBranch."""
        with self._database.writing() as connection:
            return branches.switch(connection, name, self._now())

    def delete_branch(self, name: str, *, force: bool = False) -> Ref:
        """Remove the name of a branch, and nothing else; where it was.

        force: also where no other branch or tag has its edits
        Raises UnknownBranch, BranchIsCurrent, OnlyThere.
        """
        with self._database.writing() as connection:
            return branches.remove(connection, name, force, self._now())

    def rename_branch(self, name: str, to: str) -> Ref:
        """Give a branch another name.

        Raises UnknownBranch, BadBranchName, BranchExists, NameTaken.
        """
        with self._database.writing() as connection:
            return branches.rename(connection, name, to, self._now())

    def adopt(
        self,
        plan: Adoption,
        digests: Mapping[str, str],
        *,
        recording: Callable[[str], None] | None = None,
    ) -> tuple[VersionRecord, bool]:
        """Record a version from elsewhere; whether the branch moved on to it.

        The branch moves only where nothing is lost: where the version begins with its edits. Files
        first, then one transaction.
        recording: as of `advance`, called with the branch if that moves
        Raises DifferentBase, DigestsDiffer, HeadMoved, LedgerUnusable.
        """
        for edit in plan.edits:
            if edit.delta.base.fingerprint != self.base.fingerprint:
                raise DifferentBase(self.base.fingerprint, edit.delta.base.fingerprint)
            self.blobs.put(edit.delta.to_bytes())
        now = self._now()
        with self._database.writing() as connection:
            connection.lock_blobs()
            for edit in plan.edits:
                keep(self.blobs, edit.delta.id, edit.delta.to_bytes)
            on, recipe = self._tip(connection, plan.branch or "head")
            if plan.from_head not in (None, on.version):
                raise HeadMoved(str(plan.from_head), on.version)
            adopted = Recipe(plan.recipe)
            moves = on.version != plan.version and adopted[: len(recipe)] == recipe
            if moves and recording is not None:
                recording(on.name)
            writing.adopt(connection, plan, digests, self.base.fingerprint, now)
            if moves:
                move = Advance(
                    kind="pull",
                    version=plan.version,
                    recipe=adopted,
                    parents=(on.version,),
                    from_head=on.version,
                    message=plan.message,
                    branch=on.name,
                )
                writing.move_branch(connection, move, now)
            return reading.version(connection, plan.version), moves

    def note_publication(self, publication: Publication) -> None:
        """Remember that a version stands on the Hub."""
        with self._database.writing() as connection:
            writing.add_publication(connection, publication, self._now())

    def set_base(self, source: str, files: Mapping[str, str] | None) -> None:
        """Note the folder that the base lies in from now on, in one transaction with its event.

        The caller has checked that its fingerprint is the one of this ledger.
        files: sha256 of config, tokenizer and the like, by file name
        """
        with self._database.writing() as connection:
            writing.place_base(connection, source, files, self._now())
        self.base = replace(self.base, source=source, files=files)
