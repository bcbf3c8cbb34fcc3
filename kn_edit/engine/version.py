"""The live model at one version of its base, as a value: what scores and locators are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from kn_edit.edits.delta import Delta
from kn_edit.engine.scores import CachedScorer, LocalScorer, Scorer, ScoreStore
from kn_edit.errors import VersionLeft
from kn_edit.models.model import Model

Scoring = Callable[["ModelVersion"], Scorer]


class ModelVersion:
    """A base's model with the deltas of one version folded in; `Engine.at` makes it.

    It holds for the length of that block. Afterwards the same network is at another version, so
    that `model` and `scorer` raise VersionLeft.
    fingerprint: of the base; deltas: in the order of the version's recipe
    files: sha256 of the base's configuration, tokenizer and the like, by file name
    """

    def __init__(
        self,
        model: Model,
        fingerprint: str,
        deltas: tuple[Delta, ...],
        files: Mapping[str, str],
        scoring: Scoring,
    ) -> None:
        self.fingerprint, self.deltas, self.files = fingerprint, deltas, files
        self._model: Model | None = model
        self._scoring = scoring

    @property
    def model(self) -> Model:
        """The model itself. Raises VersionLeft after the block."""
        if self._model is None:
            raise VersionLeft()
        return self._model

    @property
    def recipe(self) -> tuple[str, ...]:
        """The ids of its edits, in order."""
        return tuple(delta.id for delta in self.deltas)

    @property
    def scorer(self) -> Scorer:
        """What scores prompts at this version. Raises VersionLeft after the block."""
        assert self.model
        return self._scorer

    @cached_property
    def _scorer(self) -> Scorer:
        return self._scoring(self)

    def leave(self) -> None:
        """End it, when its block ends."""
        self._model = None


def cached_locally(version: ModelVersion) -> Scorer:
    """Scores computed in this process, those that are known taken from the user's cache."""
    return CachedScorer(LocalScorer(version.model), store_of(version))


def store_of(version: ModelVersion) -> ScoreStore:
    """The user's cache of scores at a version."""
    return ScoreStore(
        fingerprint=version.fingerprint,
        recipe=version.recipe,
        files=version.files,
        model=version.model,
    )
