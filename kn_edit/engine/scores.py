"""Scores and answers of prompts, kept in the user's cache: they are the slow part.

They depend on the model (weights, recipe, configuration), the tokens asked and the rule, and on
nothing else; a file is named by the hash of these. Losing the cache costs time only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kn_edit.atomic import write_atomically
from kn_edit.models.cache import cache_folder
from kn_edit.models.model import Model
from kn_edit.models.questions import Chain
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import assess
from kn_edit.neurons.locate import PromptScores, score_prompt
from kn_edit.untrusted import parse_json, read_bounded

FORMAT = 2  # raise it when a rule changes its numbers
MOST_BYTES = 1 << 20  # of one file: 512 neurons take 20,000
_SAYING = ("generation_config.json", "chat_template")  # of no weight in a score


class ScoreCache:
    """Scores at one version of one base."""

    def __init__(self, fingerprint: str, recipe: Sequence[str], files: Mapping[str, str]) -> None:
        """files: sha256 of the base's configuration, tokenizer and the like, by file name"""
        asked = {name: sha for name, sha in files.items() if not name.startswith(_SAYING)}
        self._model = [fingerprint, *recipe, sorted(asked.items())]
        self._folder = cache_folder() / "scores"

    def scores(self, model: Model, chain: Chain, method: str, m: int) -> PromptScores:
        """The scores of one prompt, computed only if they are not known yet.

        The model must be at the cache's version.
        """
        points = m if method == "riemann" else 0
        path = self._path(model, chain, method, points)
        known = _scores(_read(path), model)
        if known is not None:
            return known
        scores = score_prompt(model, chain, method, m)
        _write(path, _plain(scores))
        return scores

    def right(self, model: Model, chains: Sequence[Chain]) -> list[bool]:
        """Whether the model puts each chain's answer first, computed only for those not known.

        The model must be at the cache's version.
        """
        paths = [self._path(model, chain, "right") for chain in chains]
        known = [_read(path) for path in paths]
        new = [at for at, seen in enumerate(known) if not isinstance(seen, bool)]
        for at, one in zip(new, assess(model, [chains[at] for at in new]), strict=True):
            known[at] = one.right
            _write(paths[at], one.right)
        return [bool(seen) for seen in known]

    def _path(self, model: Model, chain: Chain, *rule: object) -> Path:
        asked = [[list(one.ids), one.position, one.token] for one in chain.questions]
        # The last digits of a score are those of the device that computed it.
        place = [str(model.dtype)]
        if model.device.type != "cpu":
            place.append(model.device.type)
        key = [FORMAT, self._model, *place, asked, *rule]
        name = hashlib.sha256(json.dumps(key).encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.json"


def _read(path: Path) -> Any:
    """What a file holds; None where it cannot be read, or is a link."""
    try:
        return None if path.is_symlink() else parse_json(read_bounded(path, MOST_BYTES))
    except (OSError, ValueError):
        return None


def _scores(raw: Any, model: Model) -> PromptScores | None:
    """The scores of a cache file; None for what this model could not have given."""
    try:
        neurons = tuple((NeuronId(layer, index), score) for layer, index, score in raw["neurons"])
        scores = PromptScores(
            raw["prompt"], raw["p"], neurons, tuple(raw["gap"]), raw["nodes"], raw["reached"]
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


def _write(path: Path, raw: object) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(raw), durable=False)
    except OSError:
        pass  # a cache that cannot be written is only slower
