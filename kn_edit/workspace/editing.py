"""Make an edit: locate, compute, measure, judge. Recording it is the workspace's part."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from kn_edit.edits.build import delta_of
from kn_edit.edits.calibrate import Aims, Settings
from kn_edit.edits.delta import Delta, Mode
from kn_edit.edits.erase import carried_by, most_frequent, unknown_token, written_slot
from kn_edit.edits.update import calibrated, closed_form
from kn_edit.errors import NoNeurons, SameAnswer
from kn_edit.evaluation.gate import Gate
from kn_edit.evaluation.metrics import Probes, Readings, compare, read
from kn_edit.facts import Case, Fact, Prompt, Relation, bundled, load_relation, neutral_sentences
from kn_edit.models.model import Model
from kn_edit.models.predict import first_tokens
from kn_edit.models.questions import Chain, Question, ask, ask_openly
from kn_edit.neuron import NeuronId
from kn_edit.neurons.assess import Assessment, assess
from kn_edit.neurons.locate import Located
from kn_edit.workspace.engine import Engine
from kn_edit.workspace.locating import Locator, Search, prompts_for
from kn_edit.workspace.progress import Progress
from kn_edit.workspace.scores import ScoreCache

SEED = 0
HELD = 16  # other facts that the solver holds in place, a prompt of each
PROBES = 2  # prompts of every other fact that judges, trained and held out alike
NEUTRAL_TEXTS = 6
NEUTRAL_TOKENS = 12  # of each text
NEUTRAL_PLACES = 4  # asked in each
OTHER_FACTS = 4  # of every other bundled relation, to see whether an erasure spares them


@dataclass(frozen=True)
class How:
    """How to make an edit."""

    closed_form: bool = False
    scale: tuple[float, float] = (1.0, 8.0)  # (l1, l2) of the closed form
    settings: Settings = field(default_factory=Settings)
    search: Search = field(default_factory=Search)
    gate: Gate = field(default_factory=Gate)
    neurons: tuple[NeuronId, ...] = ()  # use these and no others, instead of the fact's own
    least: int = 5  # facts that an erased neuron must carry (m)
    top: int | None = None  # instead: so many of the most frequent neurons
    zero: bool = False  # erase with zero also where there is an unknown token
    facts: int = 20  # known facts of a relation that an erase looks at


@dataclass(frozen=True, eq=False)
class Draft:
    """An edit that was computed and measured, not yet recorded."""

    kind: str
    delta: Delta
    relation: str
    subject: str | None
    answer: str | None
    target: str | None
    method: str
    neurons: tuple[tuple[NeuronId, float], ...]  # with their scores
    before: tuple[Assessment, ...]
    after: tuple[Assessment, ...]
    metrics: dict[str, Any]
    found: dict[str, Any]
    faults: tuple[str, ...]
    notices: tuple[str, ...]
    message: str


class Editor:
    """Makes drafts on top of a recipe."""

    def __init__(
        self,
        engine: Engine,
        recipe: Sequence[str],
        deltas: Sequence[Delta],
        how: How,
        progress: Progress,
    ) -> None:
        self._engine, self._deltas = engine, list(deltas)
        self._how, self._progress = how, progress
        self._recipe = tuple(recipe)

    def update(self, case: Case, to: str) -> Draft:
        """Draft an update of one fact to a new answer.

        Raises SameAnswer, NoNeurons, NothingToAsk, AnswerNotOneToken, AnswerNotInVocabulary.
        """
        if to.strip().casefold() == case.fact.answer.strip().casefold():
            raise SameAnswer(case.fact.subject, to)
        with self._engine.at([]) as model:
            edited = prompts_for(model, case.relation, case.fact)
            chains = [ask(model, prompt, to) for prompt in edited]  # a bad answer ends here
            # The filter is taken from the base, so that every edit finds its scores made already.
            common = self._locator(model, ()).spoken_for(case.relation, case.fact)
        with self._engine.at(self._deltas) as model:
            locator = self._locator(model, self._recipe)
            kept, judging = self._neighbours(model, locator, case)
            held_out = prompts_for(model, case.relation, case.fact, held_out=True)
            probes = Probes(edited, held_out, judging)
            old_chains = [ask(model, prompt) for prompt in edited]
            old = assess(model, old_chains)
            before = read(model, probes, to)
            found = locator.fact(case.relation, case.fact, common)
            change = tuple(question for chain in chains for question in chain.questions)
            aims = Aims(change, (*kept, *neutral_questions(model)))
            neurons, b, story = self._solved(model, found, aims, old_chains[0], to)
        delta = delta_of(self._engine.place, neurons, b, Mode.ADD)
        with self._engine.at([*self._deltas, delta]) as model:
            self._progress("measuring", 0, 0)
            after = read(model, probes, to)
            still = assess(model, old_chains)
        metrics = compare(before, after)
        scores = dict(found.neurons)
        return Draft(
            "update",
            delta,
            case.relation.name,
            case.fact.subject,
            case.fact.answer,
            to,
            "closed-form" if self._how.closed_form else "calibrated",
            tuple((neuron, scores.get(neuron, 0.0)) for neuron in sorted(neurons)),
            before.edited,
            after.edited,
            metrics.plain() | _odds(old, still, before, after),
            self._story(found) | story,
            self._how.gate.faults(metrics),
            _doubts(found),
            f"{case.relation.name}: {case.fact.subject}, {case.fact.answer} -> {to}",
        )

    def erase(self, relation: Relation) -> Draft:
        """Draft the erasure of a relation from the neurons that many of its facts share."""
        with self._engine.at(self._deltas) as model:
            locator = self._locator(model, self._recipe)
            facts = locator.known(relation)[: self._how.facts]
            found = locator.relation(relation, facts)
            sets = [{neuron for neuron, _ in one.neurons} | {*one.dropped} for one in found]
            if self._how.top is None:
                neurons = carried_by(sets, self._how.least)
            else:
                neurons = most_frequent(sets, self._how.top)
            if not neurons:
                raise NoNeurons(f"at least {self._how.least} facts of {relation.name} together")
            token = None if self._how.zero else unknown_token(model)
            slot = written_slot(model, token)
            prompts = [prompt for fact in facts for prompt in prompts_for(model, relation, fact)]
            chains = [ask(model, prompt) for prompt in prompts]
            others = self._other_relations(model, relation.name)
            before, other_before = assess(model, chains), first_tokens(model, others)
        delta = delta_of(self._engine.place, neurons, slot.expand(len(neurons), -1), Mode.SET)
        with self._engine.at([*self._deltas, delta]) as model:
            self._progress("measuring", 0, 0)
            after, other_after = assess(model, chains), first_tokens(model, others)
        kept = [one == other for one, other in zip(other_before, other_after, strict=True)]
        specificity = sum(kept) / len(kept) if kept else None
        written = "zero" if token is None else model.tokenizer.convert_ids_to_tokens(token)
        notices = (
            ()
            if token is not None or self._how.zero
            else ("the tokenizer has no unknown token of its own, so erased slots are set to zero",)
        )
        return Draft(
            "erase",
            delta,
            relation.name,
            None,
            None,
            None,
            f"set to {written}",
            tuple((neuron, 0.0) for neuron in neurons),
            tuple(before),
            tuple(after),
            {
                "accuracy_before": _mean([one.right for one in before]),
                "accuracy_after": _mean([one.right for one in after]),
                "p_before": _mean([one.p for one in before]),
                "p_after": _mean([one.p for one in after]),
                "specificity": specificity,
                "neighbours": len(kept),
            },
            {
                "facts": [fact.subject for fact in facts],
                "least": self._how.least if self._how.top is None else None,
                "top": self._how.top,
                "written": written,
                "method": self._how.search.method,
            },
            self._how.gate.harm(specificity, "other relations"),
            notices,
            f"{relation.name}: erased",
        )

    def _locator(self, model: Model, recipe: Sequence[str]) -> Locator:
        cache = ScoreCache(self._engine.base.fingerprint, recipe)
        return Locator(model, cache, self._how.search, self._progress)

    def _solved(
        self, model: Model, found: Located, aims: Aims, old_chain: Chain, to: str
    ) -> tuple[Sequence[NeuronId], Tensor, dict[str, Any]]:
        """The neurons, their shifts (n, d_model), and what to tell of it."""
        how = self._how
        own = list(dict.fromkeys(how.neurons)) or [neuron for neuron, _ in found.neurons]
        ranking = () if how.neurons else found.ranking
        if how.closed_form:
            if not own:
                raise NoNeurons(str(found.fact))
            old, new = old_chain.questions[0].token, aims.change[0].token
            return own, closed_form(model, own, old, new, how.scale), {"scale": list(how.scale)}
        steps = how.settings.most_steps

        def tick(step: int, margin: float) -> None:
            self._progress(f"solving for {to}", step, steps)

        result = calibrated(model, aims, own, ranking, how.settings, tick=tick)
        solution = result.solution
        return (
            solution.neurons,
            solution.b,
            {
                "steps": solution.steps,
                "margin": solution.margin,
                "kl": solution.kl,
                "reached": solution.reached,
                "added": len(solution.neurons) - result.own,
                "why": result.why,
            },
        )

    def _neighbours(
        self, model: Model, locator: Locator, case: Case
    ) -> tuple[list[Question], tuple[Prompt, ...]]:
        """Prompts of other subjects: those the solver holds in place, and those that judge it."""
        tried = locator.tried(case.relation, case.fact)
        if case.neighbours:
            # Readers pair each neighbour with every template, also with those passed over.
            causal = model.causal
            kept = [p for p in case.neighbours if p.template.answer_last or not causal]
        else:
            # Half of what the model knows is held in place and half judges; what it says of
            # facts that it does not know is to stay as well.
            known = locator.known(case.relation, case.fact)
            near = [*known[::2], *(fact for fact in tried if fact not in known)][:HELD]
            turns = [prompts_for(model, case.relation, fact) for fact in near]
            kept = [prompts[at % len(prompts)] for at, prompts in enumerate(turns)]
        held = {prompt.fact.subject for prompt in kept}
        judges = [fact for fact in tried if fact.subject not in held]
        judging = [prompt for fact in judges for prompt in _probes(model, case, fact)]
        # A prompt that the model gets wrong anyway says little about harm.
        stated = [prompt for prompt in judging if prompt.fact.stated]
        answers = iter(assess(model, [ask(model, prompt) for prompt in stated]))
        judging = [p for p in judging if not p.fact.stated or next(answers).right]
        return [ask_openly(model, prompt) for prompt in kept], tuple(judging)

    def _other_relations(self, model: Model, name: str) -> list[Question]:
        """Places whose first token an erasure must not change."""
        questions = []
        for other in (load_relation(pack) for pack in bundled() if pack != name):
            facts = list(other.facts)
            random.Random(SEED).shuffle(facts)
            prompts = [p for fact in facts[:OTHER_FACTS] for p in prompts_for(model, other, fact)]
            questions += [ask_openly(model, prompt) for prompt in prompts]
        return questions

    def _story(self, found: Located) -> dict[str, Any]:
        """How the neurons were found, to be recorded with the edit."""
        search = self._how.search
        return {
            "method": search.method,
            "threshold": search.thresholds.coarse,
            "share": found.share,
            "neurons": [
                {"layer": neuron.layer, "index": neuron.index, "score": score}
                for neuron, score in found.neurons
            ],
            "dropped": [str(neuron) for neuron in found.dropped],
            "gap": max(found.gap, default=None),
        }


def neutral_questions(model: Model) -> list[Question]:
    """Places in neutral text whose predictions must stay; in a masked LM each is masked."""
    rng = random.Random(SEED)
    questions = []
    for text in neutral_sentences()[:NEUTRAL_TEXTS]:
        ids = tuple(model.tokenizer(text)["input_ids"])[:NEUTRAL_TOKENS]
        for place in sorted(rng.sample(range(2, len(ids) - 1), NEUTRAL_PLACES)):
            if model.causal:
                questions.append(Question(ids, place, 0))
            else:
                masked = (*ids[:place], model.tokenizer.mask_token_id, *ids[place + 1 :])
                questions.append(Question(masked, place, 0))
    return questions


def _probes(model: Model, case: Case, fact: Fact) -> tuple[Prompt, ...]:
    trained = prompts_for(model, case.relation, fact)[:PROBES]
    return (*trained, *prompts_for(model, case.relation, fact, held_out=True)[:PROBES])


def _odds(
    old: Sequence[Assessment],
    still: Sequence[Assessment],
    before: Readings,
    after: Readings,
) -> dict[str, Any]:
    """Mean p of the old and the new answer on the edited prompts, before and after."""
    return {
        "p_old_before": _mean([one.p for one in old]),
        "p_old_after": _mean([one.p for one in still]),
        "p_new_before": _mean([one.p for one in before.edited]),
        "p_new_after": _mean([one.p for one in after.edited]),
    }


def _doubts(found: Located) -> tuple[str, ...]:
    if found.reached:
        return ()
    return ("the attribution did not reach its tolerance on every prompt; see gap",)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
