"""What can be done about an error, as data that every front end puts in its own words.

A sentence names a remedy in braces, perhaps with what it is about: `{accept}`, `{merge:name}` for a
fact of the error, `{show:edit.12}` for its first 12 letters, `{switch:=OTHER}` for what the reader
has to fill in. `{accept!m}` only mentions it: there it is no remedy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, auto
from string import Formatter
from typing import Self


class Remedy(StrEnum):
    """One thing to do next: another argument of the verb that failed, or another verb."""

    # arguments of the verb that failed
    ACCEPT = auto()
    ACCEPT_FILES = auto()
    ALLOW_OVERLAP = auto()
    ANSWER = auto()
    DEVICE = auto()
    DTYPE = auto()
    EXPORT_CHECKPOINT = auto()
    EXPORT_PATCH = auto()
    FACTS = auto()
    FOLLOW_LINKS = auto()
    FORCE = auto()
    KEEP_BOTH = auto()
    KEEP_OURS = auto()
    KEEP_THEIRS = auto()
    LICENSE = "licence"  # as programs read it in JSON
    MAX_RANK = auto()
    MEMORY = auto()
    METHOD = auto()
    MOVE = auto()
    NEURONS = auto()
    OFFER = auto()
    PIPE = auto()
    PRIVATE = auto()
    PROMPT = auto()
    RELATION = auto()
    RELATIONS = auto()
    REPLACE = auto()
    SCALE = auto()
    SLOTS = auto()
    STATEMENT = auto()
    SUBJECT = auto()
    THRESHOLD = auto()
    TO = auto()
    TOKEN = auto()
    WORKSPACE = auto()
    # the same verb once more
    AGAIN = auto()
    AGAIN_ON_HEAD = auto()
    # other verbs
    ASSESS = auto()
    BACKUP = auto()
    BRANCHES = auto()
    BRANCH_OFF = auto()
    EDIT_EACH = auto()
    ERASE_WITH_ZERO = auto()
    GC = auto()
    INIT = auto()
    JOURNAL_DIGEST = auto()
    LOG = auto()
    MERGE = auto()
    NEW_BRANCH = auto()
    PUBLISHED = auto()
    PUSH = auto()
    RESTORE = auto()
    REVERT = auto()
    REWIND = auto()
    SET_BASE = auto()
    SHOW = auto()
    STATUS = auto()
    SWITCH = auto()
    TAG = auto()
    VERIFY = auto()


class Placeholder(str):
    """What the reader of a sentence has to fill in. Its repr has no quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Wording(ABC):
    """How remedies are said."""

    @abstractmethod
    def say(self, remedy: Remedy, about: str | None = None) -> str:
        """Put a remedy in words. about: the version, the branch ... that it takes, if known"""


@dataclass(frozen=True)
class WordingTable(Wording):
    """The wording of a front end.

    words: of each remedy, with {0} where what it is about stands
    unknown: what stands there where nobody knows it
    """

    words: Mapping[Remedy, str]
    unknown: str = ""

    def say(self, remedy: Remedy, about: str | None = None) -> str:
        return self.words[remedy].format(about or Placeholder(self.unknown)).rstrip()


class _Plain(Wording):
    """No front end's: the names of the remedies."""

    def say(self, remedy: Remedy, about: str | None = None) -> str:
        return remedy.value.replace("_", " ")


@dataclass(frozen=True)
class Recorder(Wording):
    """Keeps the remedies of a sentence, in its order; nobody reads the words."""

    remedies: dict[Remedy, None] = field(default_factory=dict)

    def say(self, remedy: Remedy, about: str | None = None) -> str:
        self.remedies[remedy] = None
        return remedy.value


PLAIN = _Plain()
PYTHON = WordingTable(
    {
        Remedy.ACCEPT: "accept=True",
        Remedy.ACCEPT_FILES: "workspace.set_base(FOLDER, accept_files=True)",
        Remedy.ALLOW_OVERLAP: "allow_overlap=True",
        Remedy.ANSWER: "`answer`",
        Remedy.DEVICE: "device={0!r}",
        Remedy.DTYPE: "dtype={0!r}",
        Remedy.EXPORT_CHECKPOINT: "form='checkpoint'",
        Remedy.EXPORT_PATCH: "form='patch'",
        Remedy.FACTS: "`read_cases(FILE)`",
        Remedy.FOLLOW_LINKS: "follow_links=True",
        Remedy.FORCE: "force=True",
        Remedy.KEEP_BOTH: "keep='both'",
        Remedy.KEEP_OURS: "keep='ours'",
        Remedy.KEEP_THEIRS: "keep='theirs'",
        Remedy.LICENSE: "`license`",
        Remedy.MAX_RANK: "`most_rank`",
        Remedy.MEMORY: "memory={0!r}",
        Remedy.METHOD: "how={0}",
        Remedy.MOVE: "move=True",
        Remedy.NEURONS: "`neurons`",
        Remedy.OFFER: "offer=True",
        Remedy.PIPE: "pipe it in from {0}: `read_cases('-')`",
        Remedy.PRIVATE: "private=True",
        Remedy.PROMPT: "`prompts`",
        Remedy.RELATION: "`relation`",
        Remedy.RELATIONS: "`relations`",
        Remedy.REPLACE: "replace=True",
        Remedy.SCALE: "`scale`",
        Remedy.SLOTS: "`slots`",
        Remedy.STATEMENT: "`statement`",
        Remedy.SUBJECT: "`subject`",
        Remedy.THRESHOLD: "the `threshold` of `Search.by`",
        Remedy.TO: "`to`",
        Remedy.TOKEN: "pass `token`",
        Remedy.WORKSPACE: "folder={0}",
        Remedy.AGAIN: "call it again",
        Remedy.AGAIN_ON_HEAD: "call it again",
        Remedy.ASSESS: "workspace.assess(CASE)",
        Remedy.BACKUP: "workspace.backup(FILE)",
        Remedy.BRANCHES: "workspace.branches()",
        Remedy.BRANCH_OFF: "workspace.switch(NAME, create=True, at={0!r})",
        Remedy.EDIT_EACH: "workspace.update(CASE)",
        Remedy.ERASE_WITH_ZERO: "workspace.erase(RELATION, how=Specific(zero=True))",
        Remedy.GC: "workspace.gc()",
        Remedy.INIT: "Workspace.init({0!r})",
        Remedy.JOURNAL_DIGEST: "`workspace.examine().chain` is",
        Remedy.LOG: "workspace.log()",
        Remedy.MERGE: "workspace.merge({0!r})",
        Remedy.NEW_BRANCH: "workspace.switch(NAME, create=True)",
        Remedy.PUBLISHED: "workspace.published({0!r})",
        Remedy.PUSH: "workspace.push(REPO)",
        Remedy.RESTORE: "Workspace.restore(FILE, replace=True)",
        Remedy.REVERT: "workspace.revert({0!r})",
        Remedy.REWIND: "workspace.rewind({0!r})",
        Remedy.SET_BASE: "workspace.set_base(FOLDER)",
        Remedy.SHOW: "workspace.show({0!r})",
        Remedy.STATUS: "workspace.head",
        Remedy.SWITCH: "workspace.switch({0!r})",
        Remedy.TAG: "workspace.tag(TAG, {0!r})",
        Remedy.VERIFY: "workspace.verify()",
    },
    unknown="...",
)


class Phrase(str):
    """A text that names remedies: itself in the words of Python, on demand in those of others.

    Copies of it that are cut or joined are plain text, and so is what is pickled.
    """

    _sentence: Callable[[Wording], str]

    def __new__(cls, sentence: Callable[[Wording], str]) -> Self:
        text = super().__new__(cls, sentence(PYTHON))
        text._sentence = sentence
        return text

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)

    def worded(self, wording: Wording) -> str:
        return self._sentence(wording)


def worded(text: str, wording: Wording) -> str:
    """A text in the words of a front end; as it stands where it names no remedy."""
    return text.worded(wording) if isinstance(text, Phrase) else text


def phrase(template: str) -> Phrase:
    """A part of a sentence that names remedies in braces."""
    return Phrase(lambda wording: worded_template(template, wording))


def prefixed(prefix: str, text: str) -> Phrase:
    """A text with other words before it."""
    return Phrase(lambda wording: f"{prefix}{worded(text, wording)}")


def worded_template(template: str, wording: Wording, facts: object = None) -> str:
    """A template in the words of a front end. facts: the error that its remedies are about"""
    parts = []
    for text, remedy, about, mention in _parts(template):
        parts.append(text)
        if remedy is not None:
            speaker = PLAIN if mention and isinstance(wording, Recorder) else wording
            parts.append(speaker.say(remedy, _about(about, facts)))
    return "".join(parts)


def worded_clauses(clauses: Sequence[str], wording: Wording, facts: object) -> str:
    """Clauses in the words of a front end; in PLAIN ones those that name no remedy."""
    if wording is not PLAIN:
        return ", ".join(worded_template(clause, wording, facts) for clause in clauses)
    common = [clause for clause in clauses if not any(part[1] for part in _parts(clause))]
    return ", ".join(common).removeprefix("or ").removeprefix("and ")


def _parts(template: str) -> Iterator[tuple[str, Remedy | None, str, bool]]:
    """Each text of a template with the remedy behind it, what that is about, if it is a mention."""
    for text, name, about, conversion in Formatter().parse(template):
        yield text, Remedy(name) if name else None, about or "", conversion is not None


def _about(spec: str, facts: object) -> str | None:
    """What a remedy is about: the fact of this name, perhaps its first letters, or `=` a word."""
    if not spec:
        return None
    if spec.startswith("="):
        word = spec.removeprefix("=")
        return Placeholder(word) if word.isupper() else word
    name, _, most = spec.partition(".")
    fact: str = getattr(facts, name)
    return type(fact)(fact[: int(most)]) if most else fact
