"""Whether a model still speaks: perplexity on neutral text, n-gram entropy of what it generates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from kn_edit.models.encoding import text_ids
from kn_edit.models.greedy import likeliest_paths
from kn_edit.models.model import Model
from kn_edit.models.predict import log_p
from kn_edit.models.questions import Question, places

NEW_TOKENS = 40
MOST_EXPONENT = 700.0  # of a perplexity; beyond it the number overflows


def perplexity(model: Model, texts: Sequence[str], *, finite: bool = True) -> float:
    """exp of the mean of -log p(token), over every token but each text's first.

    In a masked LM each token is masked in turn (pseudo-perplexity, Salazar et al., ACL 2020), the
    special ones at the ends left alone. Raises NotFinite; finite: False gives NaN instead.
    """
    questions = [place for text in texts for place in places(model, text)]
    return perplexity_at(model, questions, finite=finite)


def perplexity_at(model: Model, questions: Sequence[Question], *, finite: bool = True) -> float:
    """exp of the mean of -log p(token) over questions; infinite where that overflows.

    NaN where there are no questions. Raises NotFinite; finite: False gives NaN instead.
    """
    rows = zip(questions, log_p(model, questions, finite=finite), strict=True)
    logs = [float(row[question.token]) for question, row in rows]
    mean = sum(logs) / len(logs) if logs else math.nan
    return math.exp(-mean) if not -mean > MOST_EXPONENT else math.inf


def generated(model: Model, texts: Sequence[str], tokens: int = NEW_TOKENS) -> list[str]:
    """What a causal LM goes on to say behind each text, the likeliest token each time.

    Free, not teacher-forced.
    """
    ids = [text_ids(model, text) for text in texts]
    questions = [Question(text, len(text) - 1, 0) for text in ids]
    paths = likeliest_paths(model, questions, [tokens] * len(questions))
    return [str(model.tokenizer.decode(list(path))) for path in paths]


def entropy(texts: Sequence[str]) -> float:
    """Mean over texts of the n-gram entropy in bits, 2-grams weighing 2/3 and 3-grams 4/3.

    It falls when a model repeats itself; the weights are those of Meng et al. (2022), appendix.
    """
    values = [
        (2 / 3 * _entropy(words, 2) + 4 / 3 * _entropy(words, 3)) / 2
        for words in (text.split() for text in texts)
    ]
    return sum(values) / len(values) if values else 0.0


def _entropy(words: Sequence[str], n: int) -> float:
    counts = Counter(zip(*(words[start:] for start in range(n)), strict=False))
    total = sum(counts.values())
    return -sum(count / total * math.log2(count / total) for count in counts.values())
