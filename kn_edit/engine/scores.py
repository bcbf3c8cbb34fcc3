"""Scores and answers of prompts, kept in the user's cache: they are the slow part.

They depend on the model (weights, recipe, configuration), the tokens asked and the rule, and on
nothing else; a file is named by the hash of these. Losing the cache costs time only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from kn_edit.canonical import digest
from kn_edit.engine.score_files import ScoreFiles
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import assess
from kn_edit.neurons.locate import PromptScores, score_prompts

FORMAT = 3  # raise it when a rule changes its numbers
_SAYING = ("generation_config.json", "chat_template")  # of no weight in a score


class Scorer(Protocol):
    """Scores prompts at one version of a model: questions in, scores out."""

    def scores(
        self, chains: Sequence[Chain], method: str, m: int
    ) -> Iterator[tuple[int, PromptScores]]:
        """The scores of prompts, each with its place in `chains`, as soon as it is known.

        method: one of `METHODS`; m: points of the Riemann rule
        """
        ...

    def right(self, chains: Sequence[Chain]) -> list[bool]:
        """Whether the model puts each chain's answer first."""
        ...


class LocalScorer:
    """Scores prompts in this process, many at a time."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def scores(
        self, chains: Sequence[Chain], method: str, m: int
    ) -> Iterator[tuple[int, PromptScores]]:
        return score_prompts(self._model, chains, method, m)

    def right(self, chains: Sequence[Chain]) -> list[bool]:
        return [answer.right for answer in assess(self._model, chains)]


class CachedScorer:
    """Takes scores that are known from a store, and has another scorer compute the rest."""

    def __init__(self, scorer: Scorer, store: ScoreStore) -> None:
        self._scorer, self._store = scorer, store

    def scores(
        self, chains: Sequence[Chain], method: str, m: int
    ) -> Iterator[tuple[int, PromptScores]]:
        rule = (method, m if method == "riemann" else 0)
        missing: list[int] = []
        for place, chain in enumerate(chains):
            scores = self._store.scores(chain, *rule)
            if scores is None:
                missing.append(place)
            else:
                yield place, scores
        computed = self._scorer.scores([chains[place] for place in missing], method, m)
        for index, scores in computed:
            self._store.keep_scores(chains[missing[index]], scores, *rule)
            yield missing[index], scores

    def right(self, chains: Sequence[Chain]) -> list[bool]:
        stored = [self._store.right(chain) for chain in chains]
        missing = [chain for chain, right in zip(chains, stored, strict=True) if right is None]
        computed = iter(self._scorer.right(missing))
        for place, chain in enumerate(chains):
            if stored[place] is None:
                stored[place] = next(computed)
                self._store.keep_right(chain, bool(stored[place]))
        return list(map(bool, stored))


class ScoreStore:
    """The files of scores and answers at one version of one base, on one kind of device."""

    def __init__(
        self, fingerprint: str, recipe: Sequence[str], files: Mapping[str, str], model: Model
    ) -> None:
        """files: sha256 of the base's configuration, tokenizer and the like, by file name"""
        relevant_files = {name: sha for name, sha in files.items() if not name.startswith(_SAYING)}
        # The last digits of a score are those of the device that computed it.
        devices = [] if model.device_kinds == ("cpu",) else model.device_kinds
        self._key = [
            [fingerprint, *recipe, sorted(relevant_files.items())],
            str(model.dtype),
            *devices,
        ]
        self._model = model
        self._files = ScoreFiles()

    def scores(self, chain: Chain, *rule: object) -> PromptScores | None:
        """The scores of a prompt by a rule; None where they are not known."""
        return _scores(self._files.read(self._name(chain, *rule)), self._model)

    def keep_scores(self, chain: Chain, scores: PromptScores, *rule: object) -> None:
        """Write the scores of a prompt by a rule."""
        self._files.write(self._name(chain, *rule), _plain(scores))

    def right(self, chain: Chain) -> bool | None:
        """Whether a prompt's answer is first; None where it is not known."""
        answer = self._files.read(self._name(chain, "right"))
        return answer if isinstance(answer, bool) else None

    def keep_right(self, chain: Chain, right: bool) -> None:
        """Write whether a prompt's answer is first."""
        self._files.write(self._name(chain, "right"), right)

    def _name(self, chain: Chain, *rule: object) -> str:
        questions = [
            [list(question.ids), question.position, question.token] for question in chain.questions
        ]
        key = [FORMAT, *self._key, questions, *rule]
        return digest(json.dumps(key).encode())


def _scores(raw: Any, model: Model) -> PromptScores | None:
    """The scores of a cache file; None for what this model could not have given."""
    try:
        neurons = tuple((NeuronId(layer, index), score) for layer, index, score in raw["neurons"])
        scores = PromptScores(
            prompt=raw["prompt"],
            p=raw["p"],
            neurons=neurons,
            gap=tuple(raw["gap"]),
            nodes=raw["nodes"],
            reached=raw["reached"],
        )
    except (ValueError, KeyError, TypeError):
        return None
    return scores if _possible(scores, model) else None


def _possible(scores: PromptScores, model: Model) -> bool:
    inside = all(
        type(place.layer) is type(place.index) is int
        and 0 <= place.layer < model.n_layers
        and 0 <= place.index < model.d_ff
        for place, _ in scores.neurons
    )
    values = [score for _, score in scores.neurons]
    return (
        inside
        and isinstance(scores.prompt, str)
        and isinstance(scores.reached, bool)
        and 0 <= scores.p <= 1
        and len(scores.gap) in (0, model.n_layers)
        and len(set(scores.neurons)) == len(scores.neurons)
        and values == sorted(values, reverse=True)
    )


def _plain(scores: PromptScores) -> dict[str, Any]:
    return {
        "prompt": scores.prompt,
        "p": scores.p,
        "neurons": [[*neuron, score] for neuron, score in scores.neurons],
        "gap": scores.gap,
        "nodes": scores.nodes,
        "reached": scores.reached,
    }
