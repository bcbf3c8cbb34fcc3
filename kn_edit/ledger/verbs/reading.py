"""What is asked of a ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from kn_edit.errors import UnknownId
from kn_edit.ledger import branches, changed, events, journal, names, reading
from kn_edit.ledger.differences import apart, differing, facts_apart
from kn_edit.ledger.opened import OpenLedger
from kn_edit.ledger.overruling import with_verdicts
from kn_edit.ledger.recipes import Recipe
from kn_edit.ledger.records import (
    JOINT,
    Blame,
    BranchRecord,
    Difference,
    EditRecord,
    Publication,
    Ref,
    Step,
    VersionRecord,
)
from kn_edit.ledger.stored import DamagedRow
from kn_edit.neuron import NeuronId


class ReadingVerbs(OpenLedger):
    """Versions, edits, branches, the journal; nothing is written."""

    def head(self) -> VersionRecord:
        """The version that the current branch points at."""
        return self.version("head")

    def version(self, name: str) -> VersionRecord:
        """A version by branch, tag, `head`, `base`, `root` or the first digits of its id."""
        with self._database.reading() as connection:
            return reading.version(connection, names.find_version(connection, name))

    def version_id(self, name: str) -> str:
        """The id of a version, by any name of `version`. Reads no list."""
        with self._database.reading() as connection:
            return names.find_version(connection, name)

    def edit(self, prefix: str) -> EditRecord:
        """An edit by the first digits of its id."""
        with self._database.reading() as connection:
            (record,) = reading.edit_records(connection, [names.find_edit(connection, prefix)])
            return record

    def edits(self) -> list[EditRecord]:
        """Every edit ever recorded, also those that the head lacks, oldest first."""
        with self._database.reading() as connection:
            return reading.edit_records(connection)

    def newest_edits(self, most: int, *, before: str | None = None) -> list[EditRecord]:
        """The edits that were recorded last, newest first; so many, and no others are read.

        before: the full id of an edit; only those that were recorded before it. Raises UnknownId.
        """
        with self._database.reading() as connection:
            ids = reading.newest_edits(connection, most, before)
            return reading.edit_records(connection, ids)[::-1]

    def records(self, ids: Sequence[str], *, overlaps: bool = True) -> list[EditRecord]:
        """The edits with these full ids, in this order, read in one pass. Raises UnknownId.

        overlaps: also which edits shared slots with each, for which lists are read
        """
        with self._database.reading() as connection:
            stored = reading.edit_records(connection, ids, overlaps=overlaps)
            edits = {edit.id: edit for edit in stored}
        for id_ in ids:
            if id_ not in edits:
                raise UnknownId("edit", id_)
        return [edits[id_] for id_ in ids]

    def edits_about(self, facts: Collection[tuple[str, str | None]]) -> set[str]:
        """Edits that update one of these facts, or erase its relation.

        facts: relations with subjects; without one: every fact of the relation
        """
        with self._database.reading() as connection:
            return changed.about(connection, facts)

    def joint_edits(self) -> set[str]:
        """The ids of all edits over a set of facts. Reads no list."""
        with self._database.reading() as connection:
            return reading.ids_of_method(connection, JOINT)

    def members(self, edits: Collection[str], version: str = "head") -> tuple[str, ...]:
        """Those of these edits, by full ids, that a version has, in its order. Reads no list."""
        with self._database.reading() as connection:
            return self._members(connection, names.find_version(connection, version), edits)

    def refs(self) -> list[Ref]:
        """The branches, then what was pulled, then the tags, each by name."""
        with self._database.reading() as connection:
            return reading.all_refs(connection)

    def current_branch(self) -> Ref:
        """The branch that edits go to."""
        with self._database.reading() as connection:
            return events.current_branch(connection)

    def branch_named(self, name: str) -> Ref:
        """A branch by its name, or the current one by `head`. Raises UnknownBranch."""
        with self._database.reading() as connection:
            return branches.find(connection, name)

    def branches(self) -> list[BranchRecord]:
        """Every branch by name, with its last edit and its last move."""
        with self._database.reading() as connection:
            return branches.described(connection)

    def publications(self) -> list[Publication]:
        """What was published from this ledger, oldest first."""
        with self._database.reading() as connection:
            return reading.all_publications(connection)

    def known_edits(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that this ledger has an edit for."""
        with self._database.reading() as connection:
            return reading.known_edits(connection, ids)

    def log(
        self, most: int | None = None, branch: str = "head", *, before: int | None = None
    ) -> list[Step]:
        """The moves that led to a branch, newest first, down to the root version, or so many.

        branch: by default the current one; before: only moves of a lower `seq`. Raises
        UnknownBranch.
        """
        with self._database.reading() as connection:
            name = branches.find(connection, branch).name
            steps = journal.steps(connection, self._lists_of, name, most, before)
            return with_verdicts(connection, steps)

    def graph(self, most: int | None = None, *, before: int | None = None) -> list[Step]:
        """The moves of all branches, newest first, each with those that it came after.

        before: only moves of a lower `seq`; `after` of each then tells also moves that are not
        listed
        """
        with self._database.reading() as connection:
            steps = journal.graph(connection, self._lists_of, most, before)
            return with_verdicts(connection, steps)

    def moves_to(self, version: VersionRecord) -> list[Step]:
        """The moves of any branch that led to a version, newest first."""
        with self._database.reading() as connection:
            return journal.moves_to(connection, version.id, version.edits)

    def versions_moved_to(self) -> list[str]:
        """Every version that any branch ever was at, oldest first."""
        with self._database.reading() as connection:
            return journal.versions_moved_to(connection)

    def newest_versions(self, most: int, *, before: str | None = None) -> list[VersionRecord]:
        """The versions that some branch came to last, newest first; so many, and no others are
        read.

        before: the full id of a version; only those that a branch came to before it. Raises
        UnknownId.
        """
        with self._database.reading() as connection:
            ids = journal.newest_versions(connection, most, before)
            return [reading.version(connection, id_) for id_ in ids]

    def blame(self, neuron: NeuronId) -> list[Blame]:
        """The edits that write the slot of a neuron, oldest first."""
        with self._database.reading() as connection:
            return reading.blame(connection, neuron, events.head_id(connection))

    def diff(self, a: str, b: str) -> Difference:
        """What sets two versions apart, by name."""
        with self._database.reading() as connection:
            ids = [names.find_version(connection, name) for name in (a, b)]
            edits = apart(connection, self.base.fingerprint, *ids)
            slots, layers = differing(connection, self.base.fingerprint, ids, edits.edits)
            facts_a, facts_b = facts_apart(connection, edits)
        return Difference(
            only_a=edits.only_a,
            only_b=edits.only_b,
            slots=slots,
            layers=layers,
            facts_a=facts_a,
            facts_b=facts_b,
        )

    def _lists_of(self, versions: Collection[str]) -> Mapping[str, Recipe]:
        """The edits of versions, read in a transaction of its own. Raises LedgerDamaged."""
        with self._database.reading() as connection:
            recipes = reading.recipes_of(connection, versions)
            if len(recipes) < len(versions):
                raise DamagedRow("a version that was listed is not there any more")
            return recipes
