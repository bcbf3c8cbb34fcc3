"""Facts, the prompts that ask for them, bundled relation packs, and readers."""

from kn_edit.facts.cases import cases_of_rows, read_cases
from kn_edit.facts.counterfact import read_counterfact
from kn_edit.facts.fact import ANSWER, SUBJECT, Fact, Prompt, Template, same_answer
from kn_edit.facts.fields import ALIAS_FIELDS, MOST_ALIASES, MOST_LETTERS, check_field
from kn_edit.facts.identity import ByFact, FactKey, fact_key
from kn_edit.facts.jsonl import read_jsonl
from kn_edit.facts.neutral import neutral_sentences, ordinary_sentences
from kn_edit.facts.packs import bundled, load_relation
from kn_edit.facts.pararel import read_pararel
from kn_edit.facts.relation import Case, Following, Relation
from kn_edit.facts.sentences import Sentences, read_sentences, split_at
from kn_edit.facts.statement import Statement, is_marked, read_statements

__all__ = [
    "ALIAS_FIELDS",
    "ANSWER",
    "MOST_ALIASES",
    "MOST_LETTERS",
    "SUBJECT",
    "ByFact",
    "Case",
    "Fact",
    "FactKey",
    "Following",
    "Prompt",
    "Relation",
    "Sentences",
    "Statement",
    "Template",
    "bundled",
    "cases_of_rows",
    "check_field",
    "fact_key",
    "is_marked",
    "load_relation",
    "neutral_sentences",
    "ordinary_sentences",
    "read_cases",
    "read_counterfact",
    "read_jsonl",
    "read_pararel",
    "read_sentences",
    "read_statements",
    "same_answer",
    "split_at",
]
