"""Propose the erasure of a relation: locate, choose, set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from kn_edit.editing.drafts import EditContext, Proposal
from kn_edit.editing.measuring import ErasureExam
from kn_edit.editing.method import EraseRequest, Kind
from kn_edit.edits.delta import Delta
from kn_edit.edits.erase import (
    overwritten,
    unknown_token,
    written_slot,
)
from kn_edit.errors import NoNeurons
from kn_edit.evaluation.fluency import perplexity_at
from kn_edit.models.predict import coefficients, first_tokens
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import assess, perplexity_of
from kn_edit.neurons.locate import Located, mean_shares
from kn_edit.neurons.selection import relation_specific

MOST_TRIED = 60  # neurons, until enough is forgotten
SPARE = 0.05  # so much more perplexing, at most, may other relations become by it


@dataclass(frozen=True, eq=False)
class EraseTask:
    """A relation that is to be erased, its facts located at the context's version.

    erased: the delta that overwrites the slots of some neurons
    """

    context: EditContext
    located: Sequence[Located]
    exam: ErasureExam
    erased: Callable[[Sequence[NeuronId]], Delta]

    @property
    def sets(self) -> list[set[NeuronId]]:
        """The neurons of each fact, those that speak for the relation too."""
        return [
            {neuron for neuron, _ in located.neurons} | {*located.dropped}
            for located in self.located
        ]


@dataclass(frozen=True)
class Chosen:
    """Neurons to erase."""

    neurons: tuple[NeuronId, ...]
    words: str
    whose: str = "any known fact"


class OverwriteMethod(Protocol):
    """A method that overwrites value slots; see `kn_edit.editing.erasures`."""

    name: ClassVar[str]
    kind: ClassVar[Kind]

    @property
    def zero(self) -> bool:
        """Whether they become zero also where there is an unknown token."""
        ...

    @property
    def facts(self) -> int:
        """Known facts that are looked at."""
        ...

    @property
    def aim(self) -> float:
        """How many times as perplexing the relation shall become."""
        ...

    def choose(self, task: EraseTask) -> Chosen:
        """The neurons whose slots are overwritten."""
        ...


def propose_erasure(
    context: EditContext, request: EraseRequest, method: OverwriteMethod
) -> Proposal:
    """Compute the erasure of a relation by a method that overwrites value slots.

    Raises NoNeurons, NoFactToAsk, EmbeddingWidthDiffers, ChangeOutOfRange, NotFinite.
    """
    relation = request.relation
    with context.engine.at(context.deltas) as live:
        model, locator = live.model, context.locator(live)
        facts = locator.known_facts(relation, most=method.facts)
        located = locator.relation(relation, facts)
        exam = ErasureExam.about(model, relation, facts, method.aim, seed=context.seed)
        token = None if method.zero else unknown_token(model)
        slot = written_slot(model, token)

    def erased(neurons: Sequence[NeuronId]) -> Delta:
        return overwritten(context.engine.place, neurons, slot)

    chosen = method.choose(EraseTask(context=context, located=located, exam=exam, erased=erased))
    if not chosen.neurons:
        raise NoNeurons(f"{chosen.whose} of {relation.name}")
    written = "zero" if token is None else model.tokenizer.convert_ids_to_tokens(token)
    return Proposal(
        kind=method.kind,
        delta=erased(chosen.neurons),
        relation=relation.name,
        subject=None,
        answer=None,
        target=None,
        method=f"set to {written}",
        neurons=tuple((neuron, 0.0) for neuron in sorted(chosen.neurons)),
        found={
            "facts": [fact.subject for fact in facts],
            "by": method.name,
            "chosen": chosen.words,
            "written": written,
            "method": context.search.method,
        },
        notices=_warnings(method, token),
        message=f"{relation.name}: erased",
        exam=exam,
    )


def serving_neurons(task: EraseTask, times: float) -> tuple[NeuronId, ...]:
    """Choose few neurons that make the relation `times` as perplexing, and spare other relations.

    Candidates in the order of `relation_specific`; each is erased with those taken before it, and
    stays if the relation becomes more perplexing and what the model says elsewhere hardly does.
    """
    context, exam = task.context, task.exam
    with context.engine.at(context.deltas) as live:
        model = live.model
        shares = mean_shares([prompt for located in task.located for prompt in located.prompts])
        relation_coefficients = coefficients(model, [chain.questions[0] for chain in exam.chains])
        candidates = relation_specific(
            shares, relation_coefficients, coefficients(model, exam.spared)
        )[:MOST_TRIED]
        predictions = zip(exam.spared, first_tokens(model, exam.spared), strict=True)
        spared = [replace(question, token=token) for question, token in predictions]
        least = perplexity_of(assess(model, exam.sample))
        enough = times * least
        most = (1 + SPARE) * perplexity_at(model, spared)
        whole_before = perplexity_of(assess(model, exam.chains))
    chosen: list[NeuronId] = []
    for done, neuron in enumerate(candidates):
        context.progress("choosing neurons", done, len(candidates))
        with context.engine.at([*context.deltas, task.erased([*chosen, neuron])]) as live:
            model = live.model
            sample = assess(model, exam.sample, finite=False)
            perplexity = perplexity_of(sample)
            harmless = perplexity_at(model, spared, finite=False) <= most  # NaN is not
            if not (harmless and perplexity > least and all(answer.finite for answer in sample)):
                continue
            chosen.append(neuron)
            least = perplexity
            if least < enough:
                continue
            answers = assess(model, exam.chains, finite=False)
            if perplexity_of(answers) >= times * whole_before:
                break
    return tuple(chosen or candidates[:1])


def _warnings(method: OverwriteMethod, token: int | None) -> tuple[str, ...]:
    if token is None and not method.zero:
        return ("the tokenizer has no unknown token of its own, so erased slots are set to zero",)
    return ()
