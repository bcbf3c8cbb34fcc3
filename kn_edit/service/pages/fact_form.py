"""The part that forms about a fact share: the fact, named by a relation, a statement or prompts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from kn_edit.workspace import bundled, load_relation

MOST_PROMPTS = 50
FIRST = "capital"  # the relation that forms begin with


class FactForm(BaseModel):
    """A fact as a form names it. way: by a relation, a statement or prompts; key: of the form"""

    way: Literal["relation", "statement", "prompts"] = "relation"
    relation: str = Field(default="", max_length=200)
    subject: str = Field(default="", max_length=200)
    answer: str = Field(default="", max_length=200)
    statement: str = Field(default="", max_length=2000)
    prompts: str = Field(default="", max_length=20_000)
    key: str = Field(default="", max_length=64)

    def fact_arguments(self) -> dict[str, Any]:
        """The arguments of a verb that name the fact; without what was left empty."""
        prompts = [line.strip() for line in self.prompts.splitlines() if line.strip()]
        by_way: dict[str, dict[str, Any]] = {
            "relation": {"relation": self.relation, "subject": self.subject},
            "statement": {"statement": self.statement},
            "prompts": {
                "prompts": prompts[:MOST_PROMPTS],
                "subject": self.subject,
                "answer": self.answer,
            },
        }
        return {name: text for name, text in by_way[self.way].items() if text}

    def template_values(self) -> dict[str, Any]:
        """What a template shows of it: what was typed, relations and subjects to choose from."""
        relation = self.relation if self.relation in bundled() else FIRST
        return {
            "form": self.model_dump() | {"relation": relation},
            "relations": bundled(),
            "facts": load_relation(relation).facts,
        }
