"""Facts of joint edits, one by one: by the names that people type, and as the sides of a merge.

To a merge each fact of these edits is an edit of its own: in the recipes their members stand in
their place. So what both sides have is no conflict, a fact to which they give two answers is one as
any other, and what is left is a set again. Needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

from kn_edit.editing.requests import recorded_key
from kn_edit.errors import AmbiguousId
from kn_edit.facts import ByFact
from kn_edit.ledger import EditRecord, FactRecord, Ledger, Step
from kn_edit.ledger.conflicts import Claim
from kn_edit.ledger.history import with_edit
from kn_edit.ledger.recipes import Recipe
from kn_edit.ledger.records import Sides

_PREFIX = re.compile("[0-9a-f]{8,64}")


@dataclass(frozen=True)
class NamedMember:
    """A fact of a joint edit, and that edit."""

    edit: EditRecord
    fact: FactRecord

    @property
    def only(self) -> bool:
        """Whether the edit is over this fact alone."""
        return not self.edit.further


def named_member(ledger: Ledger, version: str, name: str) -> NamedMember | None:
    """The fact of a joint edit of a version that a name is of; None where it is of none.

    name: the first 8 digits of the id of its member or more, or `relation: subject`. Raises
    AmbiguousId where several are meant, UnknownId for a version that is none.
    """
    edits = ledger.records(ledger.version(version).edits, overlaps=False)
    members = {
        member: NamedMember(edit, fact) for edit in edits for member, fact in edit.members.items()
    }
    typed = name.strip().lower()
    if _PREFIX.fullmatch(typed):
        ids = [member for member in members if member.startswith(typed)]
    else:
        ids = [member for member, named in members.items() if fact_name(named.fact) == name.strip()]
    if len(ids) > 1:
        raise AmbiguousId("fact", name, tuple(ids))
    return members[ids[0]] if ids else None


def fact_name(fact: FactRecord) -> str:
    """A fact as it is listed: its relation and its subject."""
    return f"{fact.change.relation}: {fact.change.subject}"


@dataclass(frozen=True)
class ClaimSource:
    """Where claims are read: a ledger's edits, and members of joint edits that stand for edits."""

    ledger: Ledger
    members: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)

    def claims(self, ids: Iterable[str]) -> dict[str, tuple[Claim, ...]]:
        """What each of these says of facts."""
        ids = [*ids]
        edits = [id_ for id_ in ids if id_ not in self.members]
        of_edits = {
            record.id: claims_of(record) for record in self.ledger.records(edits, overlaps=False)
        }
        return {id_: self.members[id_] if id_ in self.members else of_edits[id_] for id_ in ids}

    def about(self, facts: Collection[tuple[str, str | None]]) -> set[str]:
        """What says something of one of these facts, or erases its relation.

        facts: relations with subjects; without one: every fact of the relation
        """
        members = {
            member
            for member, claims in self.members.items()
            for claim in claims
            if {(claim.relation, claim.subject), (claim.relation, None)} & {*facts}
        }
        return self.ledger.edits_about(facts) | members


def claims_of(edit: EditRecord) -> tuple[Claim, ...]:
    """What an edit says of facts."""
    claims = (claim_of(edit, recorded) for recorded in edit.by_fact)
    return tuple(claim for claim in claims if claim is not None)


def claim_of(edit: EditRecord, recorded: FactRecord) -> Claim | None:
    """What an edit says of one of its facts; None where it gives no answer."""
    change, key = recorded.change, recorded_key(recorded)
    if key is None:
        return Claim(edit.id, change.relation, None, None, since=edit.created)
    if change.target is None:
        return None
    return Claim(
        edit=edit.id,
        relation=change.relation,
        subject=change.subject,
        answer=change.target,
        templates=key.templates,
        since=edit.created,
    )


@dataclass(frozen=True, eq=False)
class JointSides:
    """The joint edits of the sides of a merge that are to be one set.

    edits: of each side, or None; gone: ids of members that a side took out
    """

    edits: tuple[EditRecord | None, ...]
    gone: frozenset[str]

    @classmethod
    def of(cls, ledger: Ledger, sides: Sides, names: Sequence[str]) -> JointSides | None:
        """The joint edits of the sides; None where no two of one kind differ.

        names: of the sides, as far as they are branches; their moves tell what each took out
        """
        edits = _joint_edits(ledger, sides.recipes)
        if len({edit.id for edit in edits if edit is not None}) < 2:
            return None
        before = _members_before(ledger, sides, names, edits)
        gone = {member for member in before for edit in edits if member not in _members(edit)}
        return cls(edits=edits, gone=frozenset(gone))

    @property
    def members(self) -> dict[str, FactRecord]:
        """The facts of all of them, by the ids of their members."""
        members: dict[str, FactRecord] = {}
        for edit in self.edits:
            members |= _members(edit)
        return members

    @property
    def claims(self) -> dict[str, tuple[Claim, ...]]:
        """What each member says."""
        return {
            member: (replace(claim, edit=member),)
            for edit in self.edits
            if edit is not None
            for member, record in edit.members.items()
            for claim in [claim_of(edit, record)]
            if claim is not None
        }

    def unfolded(self, recipes: Sequence[Recipe]) -> tuple[Recipe, ...]:
        """The recipes of the sides with members in the place of joint edits."""
        unfolded = []
        for recipe, edit in zip(recipes, self.edits, strict=True):
            if edit is None:
                unfolded.append(recipe)
                continue
            place = recipe.index(edit.id)
            members = [member for member in edit.members if member not in self.gone]
            unfolded.append(recipe[:place].appended((*members, *recipe[place + 1 :])))
        return tuple(unfolded)

    def facts_in(self, recipe: Recipe) -> tuple[FactRecord, ...]:
        """The facts whose members stand in a recipe; of two answers to one, the later."""
        members, facts = self.members, ByFact[FactRecord]()
        places = recipe.places(members)
        for member in sorted(places, key=places.__getitem__):
            key = recorded_key(members[member])
            if key is not None:
                facts.put(key, members[member])
        return tuple(facts.values())

    def known_edit(self, facts: Collection[FactRecord]) -> EditRecord | None:
        """The edit of a side that is over these very facts."""
        ids = {fact.member for fact in facts}
        matches = (edit for edit in self.edits if edit is not None and edit.members.keys() == ids)
        return next(matches, None)

    def folded(self, recipe: Recipe, edit: str | None) -> Recipe:
        """The recipe with one edit in the place of its members. edit: None where there are none"""
        places = recipe.places(self.members)
        if not places or edit is None:
            return recipe
        first = min(places, key=places.__getitem__)
        return with_edit(recipe.without(places.keys() - {first}), edit, first)

    @property
    def pattern(self) -> EditRecord:
        """One of the edits, whose settings and seed all of them have."""
        return next(edit for edit in self.edits if edit is not None)


def _members(edit: EditRecord | None) -> dict[str, FactRecord]:
    return edit.members if edit is not None else {}


def _joint_edits(ledger: Ledger, recipes: Sequence[Recipe]) -> tuple[EditRecord | None, ...]:
    """The last joint edit of each recipe, as far as it has the settings of the first of them."""
    joint = ledger.joint_edits()
    edits: list[EditRecord | None] = []
    pattern: EditRecord | None = None
    for recipe in recipes:
        places = recipe.places(joint)
        edit = None
        for id_ in sorted(places, key=places.__getitem__, reverse=True):
            (record,) = ledger.records([id_], overlaps=False)
            whole = len(record.members) == len(record.facts)
            if whole and (pattern is None or _kind(record) == _kind(pattern)):
                edit = record
                break
        pattern = pattern or edit
        edits.append(edit)
    return tuple(edits)


def _kind(edit: EditRecord) -> tuple[object, object]:
    """What joint edits must have in common to be one set."""
    return edit.found.get("settings"), edit.found.get("seed")


def _members_before(
    ledger: Ledger, sides: Sides, names: Sequence[str], edits: Sequence[EditRecord | None]
) -> frozenset[str]:
    """The members of the joint edit that all sides began with, where their moves tell."""
    branches = {ref.name for ref in ledger.refs() if ref.kind == "branch"}
    if len(names) != len(sides.versions) or not {*names} <= branches:
        return frozenset()
    logs = [ledger.log(branch=name) for name in names]
    parting = _parting(logs)
    if parting is None:
        return frozenset()
    recipe = ledger.version(parting).edits
    pattern = next(edit for edit in edits if edit is not None)
    joint = recipe.places(ledger.joint_edits())
    records = ledger.records(sorted(joint, key=joint.__getitem__), overlaps=False)
    alike = [record for record in records if _kind(record) == _kind(pattern)]
    return frozenset(alike[-1].members) if alike else frozenset()


def _parting(logs: Sequence[Sequence[Step]]) -> str | None:
    """The version at which branches parted, or that one took in from the other last.

    logs: the moves of each, newest first. A version may come twice, so moves are compared
    """
    shared = set.intersection(*({step.seq for step in log} for log in logs))
    candidates = [(step.seq, step.version) for step in logs[0] if step.seq in shared]
    for log, other_log in permutations(logs, 2):
        for merge in log:
            for parent in merge.parents[1:]:
                candidates += [
                    (step.seq, parent)
                    for step in other_log
                    if step.version == parent and step.seq < merge.seq
                ]
    return max(candidates)[1] if candidates else None
