"""Which fact something is about: its relation and subject, and for own prompts what they ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from kn_edit.facts.fact import Fact
from kn_edit.facts.relation import Relation

T = TypeVar("T")


@dataclass(frozen=True)
class FactKey:
    """What identifies a fact.

    templates: of a user's own prompts, which may ask several things of one subject; empty where a
    relation has a name, and so asks one thing
    """

    relation: str
    subject: str
    templates: frozenset[str] = frozenset()

    def matches(self, key: FactKey) -> bool:
        """Whether two keys are of one fact; of unnamed relations, if they share a template."""
        if (self.relation, self.subject) != (key.relation, key.subject):
            return False
        named = not self.templates or not key.templates
        return named or bool(self.templates & key.templates)


def fact_key(relation: Relation, fact: Fact) -> FactKey:
    """The key of a fact that is asked by a relation's templates."""
    texts = (template.text for template in relation.templates if not template.held_out)
    return FactKey(relation.name, fact.subject, frozenset(texts if relation.unnamed else ()))


class ByFact(Generic[T]):
    """The last value that was put down for each fact, in the order of putting down."""

    def __init__(self, pairs: Iterable[tuple[FactKey, T]] = ()) -> None:
        self._entries: dict[tuple[str, str], list[tuple[FactKey, int, T]]] = {}
        self._count = 0
        for key, value in pairs:
            self.put(key, value)

    def put(self, key: FactKey, value: T) -> None:
        """Put a value down in place of those of the same fact."""
        self._count += 1
        self.drop(key)
        self._beside(key).append((key, self._count, value))

    def get(self, key: FactKey) -> T | None:
        return next(
            (value for stored_key, _, value in self._beside(key)[::-1] if key.matches(stored_key)),
            None,
        )

    def drop(self, key: FactKey) -> None:
        beside = self._beside(key)
        beside[:] = [entry for entry in beside if not key.matches(entry[0])]

    def values(self) -> list[T]:
        entries = [entry for beside in self._entries.values() for entry in beside]
        return [value for _, _, value in sorted(entries, key=lambda entry: entry[1])]

    def _beside(self, key: FactKey) -> list[tuple[FactKey, int, T]]:
        """What is known of the subject in the relation, whatever is asked of it."""
        return self._entries.setdefault((key.relation, key.subject), [])
