"""What a model says of facts, by the protocols that papers use and by what it says freely."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.editing.facts import EditFact
from benchmarks.editing.places import ROWS, behind
from kn_edit.editing.neutral import unseen_texts
from kn_edit.errors import CannotAsk
from kn_edit.evaluation.fluency import entropy, perplexity
from kn_edit.evaluation.mentions import mentions
from kn_edit.facts import Prompt
from kn_edit.models.encoding import plain_ids
from kn_edit.models.greedy import ending_tokens, words_of
from kn_edit.models.model import Model
from kn_edit.models.predict import is_nan, log_p
from kn_edit.models.questions import Chain, Question, ask, ask_openly

FREE_TOKENS = 24
MOST_LOCALITY = 8  # tokens of a locality answer that are said

Front = Callable[[EditFact], str]
Tokens = tuple[int, ...]
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


OWN, PARAPHRASES, ELSEWHERE = "own", "paraphrases", "locality"


@dataclass(frozen=True)
class Asked:
    """Everything that is asked about some facts, behind what stands in front of each.

    prompts: by kind, those of each fact; an answer that stays is that of an elsewhere prompt's fact
    """

    facts: Sequence[EditFact]
    prompts: Mapping[str, Sequence[Sequence[Prompt]]]

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
            {
                OWN: all_behind([fact.prompts(model) for fact in facts]),
                PARAPHRASES: all_behind([fact.paraphrases(model) for fact in facts]),
                ELSEWHERE: all_behind([fact.locality for fact in facts]),
            },
        )


def measured(model: Model, asked: Asked, before: Sequence[Sequence[Tokens]]) -> list[Row]:
    """The figures of each fact. before: what the unedited model says to locality prompts"""
    pairs = scored(model, asked)
    texts = spoken(model, asked)
    rows: list[Row] = []
    for number, fact in enumerate(asked.facts):
        row: Row = {}
        for kind, name, suffix in (
            (OWN, "efficacy", ""),
            (PARAPHRASES, "paraphrase", "_paraphrase"),
        ):
            of_kind = pairs[kind][number]
            row[name] = _mean([new.right == 1 for new, _ in of_kind])
            row[f"forced{suffix}"] = _mean([new.right for new, _ in of_kind])
            row[f"likelier{suffix}"] = _mean([new.log_p > old.log_p for new, old in of_kind if old])
            said = [words_of(model, path) if path else "" for path in texts[kind][number]]
            row[f"free{suffix}"] = _mean([_right(text, fact) for text in said])
            if kind == OWN:
                row |= {"entropy": round(entropy(said), 3), "says": said[0]}
        after = texts[ELSEWHERE][number]
        row["specificity"] = _mean([o == n for o, n in zip(before[number], after, strict=True)])
        row["likelier_locality"] = _mean(
            [true.log_p > new.log_p for new, true in pairs[ELSEWHERE][number] if true]
        )
        rows.append(row)
    return rows


def scored(model: Model, asked: Asked) -> dict[str, list[list[tuple[Score, Score | None]]]]:
    """Each prompt with the new answer fed in, and with the answer that it had, if one is stated.

    A prompt that cannot be asked for the new answer is left out.
    """
    chains: list[tuple[str, int, Chain, Chain | None]] = []
    for number, fact in enumerate(asked.facts):
        for kind, groups in asked.prompts.items():
            for prompt in groups[number]:
                stated = prompt.fact.answer if kind == ELSEWHERE else fact.old
                with suppress(CannotAsk):
                    new = ask(model, prompt, fact.to)
                    chains.append((kind, number, new, _asked_for(model, prompt, stated)))
    every = [chain for *_, new, old in chains for chain in (new, old) if chain]
    rows = log_p(model, [q for chain in every for q in chain.questions], finite=False)
    scores = {id(chain): _score(chain, rows) for chain in every}
    result: dict[str, list[list[tuple[Score, Score | None]]]] = {
        kind: [[] for _ in asked.facts] for kind in asked.prompts
    }
    for kind, number, new, old in chains:
        result[kind][number].append((scores[id(new)], scores[id(old)] if old else None))
    return result


def _asked_for(model: Model, prompt: Prompt, answer: str) -> Chain | None:
    with suppress(CannotAsk):
        return ask(model, prompt, answer) if answer.strip() else None
    return None


def _score(chain: Chain, rows: Iterator[Tensor]) -> Score:
    pairs = [(next(rows), question.token) for question in chain.questions]
    right = [not is_nan(row) and int(row.argmax()) == token for row, token in pairs]
    logs = [-math.inf if is_nan(row) else float(row[token]) for row, token in pairs]
    return Score(fmean(right), fmean(logs))


def spoken(
    model: Model, asked: Asked, kinds: Sequence[str] = (OWN, PARAPHRASES, ELSEWHERE)
) -> dict[str, list[list[Tokens]]]:
    """Tokens that the model says to prompts, the likeliest each time, until it ends its text.

    To the first one of a fact and to its first paraphrase; to locality prompts, each in as many
    tokens as its answer has.
    """
    asking: list[tuple[str, int, Question, int]] = []
    for kind in kinds:
        for number, group in enumerate(asked.prompts[kind]):
            for prompt in group if kind == ELSEWHERE else group[:1]:
                length = len(plain_ids(model, f" {prompt.fact.answer}"))
                most = min(max(length, 1), MOST_LOCALITY) if kind == ELSEWHERE else FREE_TOKENS
                asking.append((kind, number, ask_openly(model, prompt), most))
    paths = continued(
        model, [question.ids for *_, question, _ in asking], [most for *_, most in asking]
    )
    result: dict[str, list[list[Tokens]]] = {kind: [[] for _ in asked.facts] for kind in kinds}
    for (kind, number, *_), path in zip(asking, paths, strict=True):
        result[kind][number].append(path)
    return result


def continued(model: Model, texts: Sequence[Tokens], most: Sequence[int]) -> list[Tokens]:
    """What the model goes on to say behind texts, side by side and filled up at their beginnings.

    kn-edit's own `likeliest_paths` takes texts of one length together, which are few here.
    """
    ends, pad = ending_tokens(model), model.tokenizer.pad_token_id or 0
    paths: list[Tokens] = [()] * len(texts)
    order = sorted(range(len(texts)), key=lambda number: (most[number], len(texts[number])))
    for start in range(0, len(order), ROWS):
        group = order[start : start + ROWS]
        longest = max(len(texts[number]) for number in group)
        room = (model.max_length or longest + FREE_TOKENS) - longest
        missing = [longest - len(texts[number]) for number in group]
        rows = [(pad,) * gap + texts[number] for gap, number in zip(missing, group, strict=True)]
        mask = [[0] * gap + [1] * (longest - gap) for gap in missing]
        with torch.no_grad():
            made = model.net.generate(
                torch.tensor(rows),
                attention_mask=torch.tensor(mask),
                max_new_tokens=max(1, min(room, max(most[number] for number in group))),
                do_sample=False,
                pad_token_id=pad,
            )
        for number, row in zip(group, made[:, longest:].tolist(), strict=True):
            end = next((place + 1 for place, token in enumerate(row) if token in ends), len(row))
            paths[number] = tuple(row[: min(end, most[number])])
    return paths


def _right(text: str, fact: EditFact) -> bool:
    """Whether a text names the new answer and not the old one."""
    old = (fact.old,) if fact.old else ()
    return mentions(text, (fact.to,), old, fact.case.fact.subject).right


def neutral(model: Model) -> float:
    """The perplexity of neutral text that no editor sees."""
    return perplexity(model, unseen_texts(), finite=False)


def _mean(values: Sequence[float]) -> float | None:
    return round(fmean(values), 4) if values else None
