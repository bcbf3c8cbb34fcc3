"""Verbs on the history: look at it, and move in it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from kn_edit.editing.requests import ChangedFact, changed_facts, each
from kn_edit.engine.undisturbed import verb
from kn_edit.errors import AlreadyThere, BadSetting, UnknownId
from kn_edit.ledger import Advance, Blame, Difference, EditRecord, NewEdit, Ref, Step, VersionRecord
from kn_edit.neuron import NeuronId
from kn_edit.workspace.merging import Join, Keep
from kn_edit.workspace.opened import OpenWorkspace


class HistoryVerbs(OpenWorkspace):
    """The moves of branches, what they hold, and new versions from edits that exist."""

    @property
    @verb
    def head(self) -> VersionRecord:
        """The version of the current branch, or of the one that the call names."""
        return self.ledger.version(self._named("head"))

    @verb
    def log(
        self, most: int | None = None, *, branch: str = "head", before: int | None = None
    ) -> list[Step]:
        """The moves that led to a branch, newest first, down to the root version, or so many.

        branch: by default the current one; before: only moves of a lower `seq`. Raises
        UnknownBranch.
        """
        return self.ledger.log(most, self._named(branch), before=before)

    @verb
    def graph(self, most: int | None = None, *, before: int | None = None) -> list[Step]:
        """The moves of all branches, newest first; `after` of each names those before it.

        before: only moves of a lower `seq`; `after` then names also moves that are not listed
        """
        return self.ledger.graph(most, before=before)

    @verb
    def show(self, name: str) -> EditRecord | VersionRecord:
        """An edit or a version, by id prefix, branch, tag or name. Raises UnknownId."""
        for find in (self.ledger.version, self.ledger.edit):  # a tag may look like a short id
            with suppress(UnknownId):
                return find(self._named(name))
        raise UnknownId("version or edit", name)

    @verb
    def version_id(self, name: str = "head") -> str:
        """The id of a version by any of its names. Raises UnknownId, ShortPrefix, AmbiguousId."""
        return self.ledger.version_id(self._named(name))

    @verb
    def facts(self, version: str = "head") -> list[ChangedFact]:
        """The facts that the edits of a version changed, each as its last edit has it, in order.

        An erasure is one of its whole relation. Raises UnknownId.
        """
        edits = self.ledger.version(self._named(version)).edits
        return changed_facts(self.ledger.records(edits, overlaps=False))

    @verb
    def diff(self, a: str, b: str) -> Difference:
        """What sets two versions apart."""
        return self.ledger.diff(self._named(a), self._named(b))

    @verb
    def blame(self, neuron: NeuronId | str) -> list[Blame]:
        """The edits that write a neuron's slot, oldest first. Raises NotANeuron."""
        return self.ledger.blame(NeuronId.of(neuron))

    @verb
    def rewind(self, version: str) -> VersionRecord:
        """Move the current branch to a version that exists."""
        on = self._moved_branch
        return self._advance(self.ledger.plan_rewind(self._named(version), branch=on))

    @verb
    def compose(
        self, versions: Iterable[str], *, allow_overlap: bool = False, keep: Keep | None = None
    ) -> VersionRecord:
        """A new version with the edits of several; one alone is put onto the head.

        keep: as for `merge`. Raises FactsDiffer, ChoicesClash, SlotOverlap, AlreadyThere.
        """
        names = each(versions, "versions")
        again = len(names) == 1 or "head" in names  # on top of whatever the head is
        return self._joined("compose", names, keep, allow_overlap, again=again)

    @verb
    def merge(
        self,
        versions: str | Iterable[str],
        *,
        allow_overlap: bool = False,
        keep: Keep | None = None,
    ) -> VersionRecord:
        """Put the edits of branches, or other versions, onto the current branch, one by one.

        keep: what stays where both sides give a fact different answers: `ours` (of the current
        branch and what was merged before), `theirs`, or `both`, in order; or a function that says
        it of each FactConflict. The edits of the other side about the fact are left out.
        Where the branch has all of the edits already, nothing is recorded: the head comes back.
        Raises FactsDiffer where nobody says, ChoicesClash, SlotOverlap, UnknownId.
        """
        names = each(versions, "versions")
        try:
            return self._joined("merge", names, keep, allow_overlap, again=True)
        except AlreadyThere:
            return self.head

    @verb
    def tag(self, name: str, version: str = "head", *, move: bool = False) -> Ref:
        """Name a version."""
        return self.ledger.tag(name, self._named(version), move=move)

    def _joined(
        self,
        kind: str,
        versions: tuple[str, ...],
        keep: Keep | None,
        allow_overlap: bool,
        *,
        again: bool,
    ) -> VersionRecord:
        """Join versions. again: also on another head, if that moves meanwhile"""
        if not versions:
            raise BadSetting("the versions", "none", "at least one")
        join = Join(kind, versions, keep, allow_overlap, self._moved_branch)

        def plan() -> tuple[Advance, NewEdit | None]:
            union = join.union(self.ledger)
            if not union.facts:
                return join.plan(self.ledger, union), None
            edit = self._solved(union.pattern, union.facts)
            return join.plan(self.ledger, union, edit.delta.id), edit

        return self._replanned(plan) if again else self._advance(*plan())
