"""Verbs that ask the model and change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kn_edit.engine.undisturbed import verb
from kn_edit.evaluation.protocols import (
    SAMPLES,
    TOKENS,
    FreeOptions,
    ProtocolPlan,
    requested,
    rounding_named,
)
from kn_edit.facts import Case, Relation
from kn_edit.later import later
from kn_edit.seeds import USUAL, checked
from kn_edit.workspace.opened import OpenWorkspace

if TYPE_CHECKING:
    from kn_edit.editing import locating
    from kn_edit.editing.evaluating import Evaluation
    from kn_edit.editing.scaling import Scaled
    from kn_edit.neurons.assess import Assessment
    from kn_edit.neurons.locate import Located
    from kn_edit.workspace import asking
    from kn_edit.workspace import benchmark as measuring
else:
    locating = later("kn_edit.editing.locating")
    asking = later("kn_edit.workspace.asking")
    measuring = later("kn_edit.workspace.benchmark")


class AskingVerbs(OpenWorkspace):
    """What the model says, where it keeps facts, and how a version differs from the base."""

    @verb
    def assess(
        self, case: Case, *, version: str = "head", answer: str | None = None
    ) -> list[Assessment]:
        """p(answer), rank, top 5 and what the model says for every prompt of a fact.

        Held-out prompts too.
        """
        return asking.assess(self, case, self._named(version), answer)

    @verb
    def assess_many(
        self, cases: Sequence[Case], *, version: str = "head", answer: str | None = None
    ) -> list[list[Assessment]]:
        """What `assess` says of each of several facts; workers of a cluster ask beside each other.

        Raises what the first fact raises that cannot be asked.
        """
        return [*asking.assess_many(self, cases, self._named(version), answer)]

    @verb
    def check(self, case: Case, to: str | None = None) -> None:
        """Whether the model can be asked a case, with a new answer too; changes nothing.

        The old answer of a benchmark's row need not be one that it can: then what it says counts.
        Raises EmptyField, BadField, NothingToAsk, CannotAsk.
        """
        asking.check(self, case, to)

    @verb
    def asked_otherwise(self, case: Case) -> tuple[str, ...]:
        """A sentence for each prompt of a case that the tokenizer cannot say as it is written."""
        return asking.asked_otherwise(self, case)

    @verb
    def locate(
        self,
        case: Case,
        *,
        search: locating.Search | str | None = None,
        version: str = "head",
        seed: int = USUAL,
    ) -> Located:
        """The knowledge neurons of a fact. seed: of the relation's other facts that are asked"""
        return asking.locate(self, case, search, version=self._named(version), seed=seed)

    @verb
    def benchmark(
        self, relation: Relation, *, prompts: int = 10, update: bool = True
    ) -> measuring.Benchmark:
        """Seconds of a prompt and of an update of the base on this machine, memory, peak.

        No cached score is used, and nothing is recorded. prompts: how many are scored together;
        update: whether an update is timed as well. Raises NoFactToAsk where the relation has no
        fact that the model can be asked, or no second answer.
        """
        return measuring.benchmark(self, relation, prompts=prompts, update=update)

    @verb
    def locate_relation(
        self,
        relation: Relation,
        *,
        most: int | None = None,
        search: locating.Search | str | None = None,
        version: str = "head",
        seed: int = USUAL,
    ) -> list[Located]:
        """The knowledge neurons of the facts of a relation that the model knows.

        seed: of the order in which its facts are asked
        """
        return asking.locate_relation(
            self, relation, most, search, version=self._named(version), seed=seed
        )

    @verb
    def scale(
        self,
        case: Case,
        factor: float,
        *,
        search: locating.Search | str | None = None,
        version: str = "head",
        seed: int = USUAL,
    ) -> Scaled:
        """Suppress (0) or amplify (2) a fact's neurons, beside controls. Raises NoNeurons.

        seed: of the controls: random neurons, and other facts
        """
        return asking.scale(self, case, factor, search, version=self._named(version), seed=seed)

    @verb
    def evaluate(
        self,
        version: str = "head",
        *,
        seed: int = USUAL,
        protocols: Iterable[str] = (),
        tokens: int = TOKENS,
        samples: int = SAMPLES,
        rounded: str | None = None,
    ) -> Evaluation:
        """A version against the base: what its updates reach, and what they cost.

        seed: of the other subjects that judge, and of texts that are drawn
        protocols: how its updates are asked too, such as `free`; `all` is every protocol
        tokens, samples: of a text that is generated, at most; texts drawn beside the greedy one
        rounded: to `bfloat16`, `int8`, `int4` or `nf4` weights are rounded while they are asked
        Raises BadSetting, and CannotContinue where a masked LM would have to generate text.
        """
        options = FreeOptions(tokens=tokens, samples=samples, seed=checked(seed))
        plan = ProtocolPlan(requested(protocols), options, rounding_named(rounded))
        return asking.evaluate(self, self._named(version), seed, plan)

    @verb
    def passed_over(self, relation: Relation) -> int:
        """How many templates of a relation the model cannot be asked."""
        return locating.passed_over(self.engine.model, relation)

    @verb
    def load(self, version: str = "head") -> Any:
        """A live transformers model at a version, to keep; its tokenizer is `.tokenizer`'s."""
        return asking.load(self, self._named(version))

    @property
    @verb
    def tokenizer(self) -> Any:
        return self.engine.model.tokenizer.plain
