"""What a model says of facts, by the protocols that papers use and by what it says freely."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean

from benchmarks.editing.facts import EditFact
from benchmarks.editing.places import behind
from kn_edit.editing.neutral import unseen_texts
from kn_edit.errors import CannotAsk
from kn_edit.evaluation.fluency import entropy, perplexity
from kn_edit.facts import Prompt
from kn_edit.models.encoding import plain_ids
from kn_edit.models.greedy import Answer, answers, likeliest_paths, words_of
from kn_edit.models.model import Model
from kn_edit.models.predict import is_nan, log_p
from kn_edit.models.questions import ask, ask_openly

FREE_TOKENS = 24
MOST_LOCALITY = 8  # tokens of a locality answer that are said

Front = Callable[[EditFact], str]
Row = dict[str, object]  # the figures of one fact, each between 0 and 1 unless said otherwise

# What each figure says; docs/editing.md shows these sentences.
MEANINGS = {
    "efficacy": "the whole new answer comes on the fact's own prompts, token by token",
    "paraphrase": "and on held-out paraphrases",
    "specificity": "the whole answer to prompts about other subjects is what it was",
    "free": "generating 24 tokens freely on its first prompt, the new answer is said, not the old",
    "free_paraphrase": "and on the first paraphrase",
    "forced": "teacher-forced: the share of the answer's tokens that are likeliest, fed in",
    "forced_paraphrase": "and on held-out paraphrases",
    "likelier": "as CounterFact scores: the new answer is likelier than the old, per token",
    "likelier_paraphrase": "and on paraphrases",
    "likelier_locality": "and the true answer than the new one on prompts about other subjects",
    "entropy": "n-gram entropy of the freely generated text, in bits",
}


@dataclass(frozen=True)
class Score:
    """An answer fed in token by token. log_p: the mean over its tokens; -inf for NaN"""

    right: float  # share of tokens that are the likeliest
    log_p: float


@dataclass(frozen=True)
class Asked:
    """Everything that is asked about some facts, behind what stands in front of each."""

    facts: Sequence[EditFact]
    own: list[list[Prompt]]
    paraphrases: list[list[Prompt]]
    locality: list[list[Prompt]]

    @classmethod
    def of(cls, model: Model, facts: Sequence[EditFact], front: Front) -> Asked:
        texts = [front(fact) for fact in facts]

        def all_behind(prompts: Sequence[Sequence[Prompt]]) -> list[list[Prompt]]:
            return [
                [behind(prompt, text) if text else prompt for prompt in group]
                for group, text in zip(prompts, texts, strict=True)
            ]

        return cls(
            facts,
            own=all_behind([fact.prompts(model) for fact in facts]),
            paraphrases=all_behind([fact.paraphrases(model) for fact in facts]),
            locality=all_behind([fact.locality for fact in facts]),
        )


def measured(model: Model, asked: Asked, before: Sequence[Sequence[Answer]]) -> list[Row]:
    """The figures of each fact. before: what the unedited model says to locality prompts"""
    rows: list[Row] = [{} for _ in asked.facts]
    news = [fact.to for fact in asked.facts]
    olds = [fact.old for fact in asked.facts]
    for suffix, prompts in (("", asked.own), ("_paraphrase", asked.paraphrases)):
        new, old = scores(model, prompts, news), scores(model, prompts, olds)
        free = freely(model, [group[:1] for group in prompts])
        for row, fact, n, o, texts in zip(rows, asked.facts, new, old, free, strict=True):
            row["paraphrase" if suffix else "efficacy"] = _mean([s.right == 1 for s in n])
            row[f"forced{suffix}"] = _mean([s.right for s in n])
            row[f"likelier{suffix}"] = _mean(
                [a.log_p > b.log_p for a, b in zip(n, o, strict=False)]
            )
            row[f"free{suffix}"] = _mean(
                [says(text, fact.to) and not (fact.old and says(text, fact.old)) for text in texts]
            )
            if not suffix:
                row["entropy"] = entropy(texts) if texts else None
                row["says"] = texts[0] if texts else ""
    after = locality(model, asked)
    truths = [[prompt.fact.answer for prompt in group] for group in asked.locality]
    true = scores(model, asked.locality, truths)
    wrong = scores(model, asked.locality, news)
    for row, old_answers, new_answers, t, w in zip(rows, before, after, true, wrong, strict=True):
        pairs = zip(old_answers, new_answers, strict=True)
        row["specificity"] = _mean([old.kept_by(new) for old, new in pairs])
        row["likelier_locality"] = _mean([a.log_p > b.log_p for a, b in zip(t, w, strict=False)])
    return rows


def scores(
    model: Model, prompts: Sequence[Sequence[Prompt]], answers: Sequence[str | Sequence[str]]
) -> list[list[Score]]:
    """Each fact's prompts with an answer fed in, or with an answer each; none for an empty one."""
    chains = []
    for number, (group, of_fact) in enumerate(zip(prompts, answers, strict=True)):
        each = [of_fact] * len(group) if isinstance(of_fact, str) else of_fact
        for prompt, answer in zip(group, each, strict=True):
            with suppress(CannotAsk):
                if answer.strip():
                    chains.append((number, ask(model, prompt, answer)))
    questions = [question for _, chain in chains for question in chain.questions]
    rows = log_p(model, questions, finite=False)
    results: list[list[Score]] = [[] for _ in prompts]
    for number, chain in chains:
        pairs = [
            (row, question.token) for question, row in zip(chain.questions, rows, strict=False)
        ]
        right = [not is_nan(row) and int(row.argmax()) == token for row, token in pairs]
        logs = [-math.inf if is_nan(row) else float(row[token]) for row, token in pairs]
        results[number].append(Score(fmean(right), fmean(logs)))
    return results


def freely(model: Model, prompts: Sequence[Sequence[Prompt]]) -> list[list[str]]:
    """What the model goes on to say, the likeliest token each time, until it ends its text."""
    questions = [(n, ask_openly(model, p)) for n, group in enumerate(prompts) for p in group]
    paths = likeliest_paths(model, [q for _, q in questions], [FREE_TOKENS] * len(questions))
    texts: list[list[str]] = [[] for _ in prompts]
    for (number, _), path in zip(questions, paths, strict=True):
        texts[number].append(words_of(model, path) if path else "")
    return texts


def locality(model: Model, asked: Asked) -> list[list[Answer]]:
    """The answers to locality prompts, in as many tokens as the file's answer has."""
    asking = [(n, p) for n, group in enumerate(asked.locality) for p in group]
    counts = [
        min(max(len(plain_ids(model, f" {prompt.fact.answer}")), 1), MOST_LOCALITY)
        for _, prompt in asking
    ]
    found = answers(model, [ask_openly(model, p) for _, p in asking], counts, finite=False)
    results: list[list[Answer]] = [[] for _ in asked.locality]
    for (number, _), answer in zip(asking, found, strict=True):
        results[number].append(answer)
    return results


def neutral(model: Model) -> float:
    """The perplexity of neutral text that no editor sees."""
    return perplexity(model, unseen_texts(), finite=False)


def says(text: str, answer: str) -> bool:
    """Whether a text says an answer: its words one after the other, whatever case and accents."""
    wanted = _words(answer)
    spoken = _words(text)
    return any(
        spoken[start : start + len(wanted)] == wanted
        for start in range(len(spoken) - len(wanted) + 1)
    )


def _words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"\w+", "".join(c for c in plain if not unicodedata.combining(c)))


def _mean(values: Sequence[float]) -> float | None:
    return round(fmean(values), 4) if values else None
