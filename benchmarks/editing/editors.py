"""Ways to edit many facts, each on a live model that it leaves as it is.

Editors of weights keep what they add to value slots, so that a second batch of facts comes on top
of the first. Layers are at the depth of those that the papers write, on a scale from 0, the first
one, to 1, the last: stated here before any result.

    ROME        17 of 48 in GPT-2 XL (0.36): 10 of 30
    MEMIT, AlphaEdit    the last at the mean of GPT-2 XL (17 of 48), GPT-J (8 of 28) and Llama 3
                (8 of 32), 0.31, and the four below it: 5 to 9 of 30
    UltraEdit   18 to 24 of 32 in Llama 3: 17 to 22 of 30
    fine-tuning late, 0.9: 26 of 30
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Protocol

import torch
from torch import Tensor

from benchmarks.editing.facts import EditFact
from benchmarks.editing.places import ROWS, at_ends, second_moments
from benchmarks.editing.solutions import (
    alphaedit_shift,
    memit_shift,
    null_space,
    ridge_shift,
    rome_shift,
)
from benchmarks.editing.targets import Targets, TargetSettings, targets_of
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.method import UpdateRequest, UpdatesRequest
from kn_edit.editing.stated import answered
from kn_edit.editing.updates import Joint
from kn_edit.edits.delta import Delta
from kn_edit.edits.suffix import shifted
from kn_edit.engine.engine import Engine
from kn_edit.errors import AnswerUnknown
from kn_edit.facts import same_answer
from kn_edit.models.encoding import text_ids
from kn_edit.models.model import Model
from kn_edit.models.questions import Batch, Chain, ask, batched, grouped_by_length
from kn_edit.models.trace import LayerCall, run_from, trace
from kn_edit.seeds import USUAL

ROME_DEPTH = 17 / 47
MEMIT_DEPTH = (17 / 47 + 8 / 27 + 8 / 31) / 3
MEMIT_LAYERS = 5
BATCH = 100  # facts that are written together by editors of batches


class Editor(Protocol):
    """A way to edit.

    batch: facts that `edit` takes together; None for all of them
    borrowed: seconds of the processor that went into what it uses, before it was made
    """

    name: str
    batch: int | None
    borrowed: float

    def edit(self, facts: Sequence[EditFact]) -> None:
        """Edit some more facts, on top of those before."""
        ...

    @contextmanager
    def applied(self) -> Iterator[Model]:
        """The model with all edits, inside the block."""
        ...

    def front(self, fact: EditFact) -> str:
        """The text that stands in front of every prompt by which a fact is judged."""
        ...


@dataclass(frozen=True, eq=False)
class Whole:
    """A shift of all value slots of a layer. b: (d_ff, d_model)"""

    b: Tensor

    def written(self, coefficients: Tensor) -> Tensor:
        return coefficients @ self.b.to(coefficients)


class Unedited:
    """The model as it is."""

    name = "unedited"
    batch: int | None = None
    borrowed = 0.0

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def model(self) -> Model:
        return self._engine.model

    def edit(self, facts: Sequence[EditFact]) -> None:
        """Nothing is edited."""

    @contextmanager
    def applied(self) -> Iterator[Model]:
        with self._engine.at([]) as live:
            yield live.model

    def front(self, fact: EditFact) -> str:
        return ""


class Shifting(Unedited):
    """An editor that adds shifts to value slots. settings: of targets, where it has some"""

    settings = TargetSettings()

    def __init__(self, engine: Engine, shared: Shared) -> None:
        super().__init__(engine)
        self._shared = shared
        self._shifts: dict[int, Whole] = {}

    @contextmanager
    def applied(self) -> Iterator[Model]:
        with self._engine.at([]) as live, shifted(live.model, self._shifts):
            yield live.model

    def _targets(self, facts: Sequence[EditFact], layer: int) -> Targets:
        """Targets of some facts in the model as it is edited so far."""
        if not self._shifts:
            targets, seconds = self._shared.targets(facts, layer, self.settings)
            self.borrowed += seconds
            return targets
        with self.applied() as model:
            return targets_of(model, facts, layer, self.settings)

    def _add(self, layer: int, shift: Tensor) -> None:
        """Add to what a layer's slots are shifted by; seen by `applied` at once."""
        before = self._shifts.get(layer)
        self._shifts[layer] = Whole(shift.float() if before is None else before.b + shift.float())


class Shared:
    """What several editors need of the unedited model: each is computed once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._by_layer: dict[int, Tensor] = {}
        self._targets: tuple[object, Targets, float] | None = None

    def targets(
        self, facts: Sequence[EditFact], layer: int, settings: TargetSettings
    ) -> tuple[Targets, float]:
        """Targets of a first batch, and the seconds that they took when they were computed."""
        wanted = (tuple(facts), layer, settings)
        if self._targets is None or self._targets[0] != wanted:
            began = time.process_time()
            targets = targets_of(self._model, facts, layer, settings)
            self._targets = (wanted, targets, time.process_time() - began)
            return targets, 0.0
        return self._targets[1:]

    def moments(self, layers: Sequence[int]) -> dict[int, Tensor]:
        """E[k k^T] of each layer, (d_ff, d_ff)."""
        missing = [layer for layer in layers if layer not in self._by_layer]
        if missing:
            self._by_layer |= second_moments(self._model, missing)[0]
        return {layer: self._by_layer[layer] for layer in layers}


class Memit(Shifting):
    """MEMIT with history: what is missing at the last layer is spread over several.

    Meng et al., 2023, algorithm 1. The weight of ordinary text is theirs in proportion to the keys:
    15,000 for 16,384 neurons of GPT-J and 14,336 of Llama 3, so one for each neuron.
    """

    name = "memit"
    batch: int | None = BATCH

    def __init__(self, engine: Engine, shared: Shared) -> None:
        super().__init__(engine, shared)
        last = round(MEMIT_DEPTH * (self.model.n_layers - 1))
        self.layers = list(range(max(0, last - MEMIT_LAYERS + 1), last + 1))
        self._moments = shared.moments(self.layers)
        self._history: dict[int, Tensor] = {}

    def edit(self, facts: Sequence[EditFact]) -> None:
        last = self.layers[-1]
        targets = self._targets(facts, last)
        goals = targets.states + targets.shifts  # z, (facts, d_model)
        for layer in self.layers:
            with self.applied() as model:
                keys, states = means_at_ends(model, targets, [layer, last])
            missing = (goals - states) / (last - layer + 1)
            self._add(layer, self._solved(layer, keys[layer], missing))
        with self.applied() as model:
            keys, _ = means_at_ends(model, targets, self.layers)
        for layer, k in keys.items():
            gram = k.double().T @ k.double()
            self._history[layer] = self._history.get(layer, torch.zeros_like(gram)) + gram

    def _solved(self, layer: int, keys: Tensor, missing: Tensor) -> Tensor:
        """What one layer's slots are shifted by, (d_ff, d_model)."""
        weight, history = self.model.d_ff, self._history.get(layer)
        return memit_shift(keys, missing, self._moments[layer], weight, history)


class AlphaEdit(Memit):
    """AlphaEdit: MEMIT's targets and layers, and changes in the null space of ordinary text.

    Fang et al., 2025. The null space is the 0.7 of all directions with the smallest eigenvalues:
    so many have one below their bound of 0.02 in the demo model's layers.
    """

    name = "alphaedit"
    share = 0.7

    def __init__(self, engine: Engine, shared: Shared) -> None:
        super().__init__(engine, shared)
        self._projections = {
            layer: null_space(moment, self.share) for layer, moment in self._moments.items()
        }

    def _solved(self, layer: int, keys: Tensor, missing: Tensor) -> Tensor:
        history = self._history.get(layer)
        return alphaedit_shift(keys, missing, self._projections[layer], history)


class Rome(Shifting):
    """ROME, one fact after the other in one layer. Meng et al., 2022, section 3.1.

    Targets and keys of ten facts are computed together, with the edits of those before.
    """

    name = "rome"
    batch: int | None = 10

    def __init__(self, engine: Engine, shared: Shared) -> None:
        super().__init__(engine, shared)
        self.layer = round(ROME_DEPTH * (self.model.n_layers - 1))
        self._moment = shared.moments([self.layer])[self.layer]

    def edit(self, facts: Sequence[EditFact]) -> None:
        targets = self._targets(facts, self.layer)
        with self.applied() as model:
            keys = means_at_ends(model, targets, [self.layer])[0][self.layer].double()
        start = self._shifts.get(self.layer)
        wanted = targets.shifts.double()
        before = keys @ start.b.double() if start else torch.zeros_like(wanted)
        for number, key in enumerate(keys):
            now = self._shifts.get(self.layer)
            drift = key @ now.b.double() - before[number] if now else torch.zeros_like(wanted[0])
            self._add(self.layer, rome_shift(key, wanted[number] - drift, self._moment))


class UltraEdit(Shifting):
    """UltraEdit: one ridge solution a batch, from one run forward and back of each fact.

    Gu et al., 2025, section 4: the coefficients h where each token of the new answer is asked and
    the gradient g of the loss at what the layer writes there are normalised by the means and
    deviations of all edits so far; the layer is to write -rate |h|^2 g more. Their rate is a number
    for each model; here it is in units of what the layer usually writes, for a usual |h|^2 and |g|.
    The down-projections at the depth of layers 18 to 24 of Llama 3, which they write, are written.
    """

    name = "ultraedit"
    batch: int | None = BATCH
    rate = 0.3

    def __init__(self, engine: Engine, shared: Shared) -> None:
        super().__init__(engine, shared)
        top = self.model.n_layers - 1
        self.layers = sorted({round(layer / 31 * top) for layer in range(18, 25)})
        self._seen = {layer: Running() for layer in self.layers}

    def edit(self, facts: Sequence[EditFact]) -> None:
        with self.applied() as model:
            pairs = _keys_and_gradients(model, facts, self.layers)
        for layer, (keys, gradients) in pairs.items():
            normal = self._seen[layer].normalised(torch.cat([keys, gradients], 1))
            h, g = torch.split(normal, [keys.shape[1], gradients.shape[1]], 1)
            usual = (keys @ self.model.slots(layer).float()).norm(dim=1).median()
            unit = self.rate * usual / g.shape[1] ** 0.5
            wanted = -unit * h.square().mean(1, keepdim=True) * g
            self._add(layer, ridge_shift(keys, wanted))


class Running:
    """Means and deviations of all rows seen so far (Welford)."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = torch.zeros(1)
        self._squares = torch.zeros(1)

    def normalised(self, rows: Tensor) -> Tensor:
        """Take in some rows, (n, width), and give them normalised by all that were seen."""
        count = self._count + len(rows)
        mean = rows.mean(0)
        between = mean - self._mean
        share = self._count * len(rows) / count
        self._squares = self._squares + (rows - mean).square().sum(0) + share * between.square()
        self._mean = self._mean + between * len(rows) / count
        self._count = count
        deviation = (self._squares / max(count - 1, 1)).sqrt()
        return (rows - self._mean) / (deviation + 1e-8)


class FineTuned(Shifting):
    """Fine-tuning of one late down-projection, breadth first over small batches.

    Yang et al., 2025 (LocFT-BF, arXiv 2509.22072): epochs over all facts rather than one fact to
    its end; Adam on -log p of the new answer. Epochs end where every answer is likely enough.
    """

    name = "fine-tuning"
    batch: int | None = BATCH
    depth, epochs, rate, enough, minibatch = 0.9, 20, 1e-3, 0.05, 16

    def __init__(self, engine: Engine, shared: Shared) -> None:
        super().__init__(engine, shared)
        self.layer = round(self.depth * (self.model.n_layers - 1))

    def edit(self, facts: Sequence[EditFact]) -> None:
        layer = self.layer
        with self.applied() as model, torch.no_grad():
            groups = _answer_groups(model, facts, self.minibatch)
            starts = [self._start(model, group) for group in groups]
        start = self._shifts.get(layer)
        b = torch.zeros(self.model.d_ff, self.model.d_model) if start is None else start.b.clone()
        b.requires_grad_()
        adam = torch.optim.Adam([b], lr=self.rate)
        draw = Random(USUAL)
        with self._engine.at([]) as live, torch.enable_grad():
            for _ in range(self.epochs):
                worst = 0.0
                for batch, hidden, calls in draw.sample(starts, len(starts)):
                    with shifted(live.model, {layer: Whole(b)}):
                        output = run_from(live.model, layer, hidden, calls)
                    log_p = live.model.logits(batch.at_answer(output)).float().log_softmax(-1)
                    losses = -log_p.gather(1, batch.tokens[:, None])
                    worst = max(worst, float(losses.detach().max()))
                    adam.zero_grad()
                    losses.mean().backward()  # type: ignore[no-untyped-call]
                    adam.step()
                if worst < self.enough:
                    break
        self._shifts[layer] = Whole(b.detach())

    def _start(
        self, model: Model, chains: Sequence[Chain]
    ) -> tuple[Batch, Tensor, dict[int, LayerCall]]:
        """Texts at the input of the written layer, below which nothing changes."""
        batch = batched(model, [question for chain in chains for question in chain.questions])
        run = trace(model, batch.ids)
        return batch, run.inputs[self.layer], run.calls


class InContext(Unedited):
    """Statements in front of the prompt: that of the fact, behind as many others as fit."""

    name = "in-context"
    others = 64  # tokens of other facts' statements, at most

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._statements: list[str] = []
        self._place: dict[EditFact, int] = {}

    def edit(self, facts: Sequence[EditFact]) -> None:
        for fact in facts:
            prompt = fact.prompts(self.model)[0]
            text = f"{prompt.before}{fact.to}{prompt.after}".strip()
            self._place[fact] = len(self._statements)
            self._statements.append(text if text[-1] in ".?!" else f"{text}.")

    def front(self, fact: EditFact) -> str:
        place, count = self._place[fact], len(self._statements)
        room, chosen = self.others, [self._statements[place]]
        for step in range(1, count):
            text = self._statements[(place + step) % count]
            room -= len(text_ids(self.model, text))
            if room < 0:
                break
            chosen.append(text)
        return " ".join(reversed(chosen))


class JointEdit(Unedited):
    """kn-edit's joint update of all facts as one set."""

    name = "kn-edit joint"

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._facts: list[EditFact] = []
        self._deltas: list[Delta] = []

    def edit(self, facts: Sequence[EditFact]) -> None:
        self._facts += facts
        requests = tuple(request for fact in self._facts for request in self._requests(fact))
        context = EditContext(self._engine, seed=USUAL)
        self._deltas = [Joint().propose(context, UpdatesRequest(requests)).delta]

    def _requests(self, fact: EditFact) -> Iterator[UpdateRequest]:
        """The request of a fact; none where the model says the new answer, or nothing, today."""
        with suppress(AnswerUnknown):
            case = answered(self._engine, [], fact.case)
            if not same_answer(case.fact.answer, fact.to):
                yield UpdateRequest(case, fact.to)

    @contextmanager
    def applied(self) -> Iterator[Model]:
        with self._engine.at(self._deltas) as live:
            yield live.model


def means_at_ends(
    model: Model, targets: Targets, layers: Sequence[int]
) -> tuple[dict[int, Tensor], Tensor]:
    """Means over each fact's contexts of what `at_ends` gives: a row for each fact."""
    keys, states = at_ends(model, targets.places, layers)
    counts = torch.bincount(targets.owner)[:, None]

    def mean(rows: Tensor) -> Tensor:
        sums = torch.zeros(len(counts), rows.shape[1]).index_add_(0, targets.owner, rows)
        return sums / counts

    return {layer: mean(rows) for layer, rows in keys.items()}, mean(states)


def _keys_and_gradients(
    model: Model, facts: Sequence[EditFact], layers: Sequence[int]
) -> dict[int, tuple[Tensor, Tensor]]:
    """Coefficients and gradients of -log p(new answer) where its tokens are asked, of each layer.

    (tokens, d_ff) and (tokens, d_model); the gradient is that at what the layer writes.
    """
    keys: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    gradients: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    for group in _answer_groups(model, facts, ROWS):
        batch = batched(model, [question for chain in group for question in chain.questions])
        zeros = {
            layer: torch.zeros(*batch.ids.shape, model.d_model, requires_grad=True)
            for layer in layers
        }
        with torch.enable_grad(), added(model, zeros):
            run = trace(model, batch.ids)
            assert run.output is not None
            log_p = model.logits(batch.at_answer(run.output)).float().log_softmax(-1)
            loss = -log_p.gather(1, batch.tokens[:, None]).sum()
            by_layer = torch.autograd.grad(loss, [zeros[layer] for layer in layers])
        for layer, gradient in zip(layers, by_layer, strict=True):
            keys[layer].append(batch.at_answer(run.coefficients[layer]).detach().float())
            gradients[layer].append(batch.at_answer(gradient))
    return {layer: (torch.cat(keys[layer]), torch.cat(gradients[layer])) for layer in layers}


def _answer_groups(model: Model, facts: Sequence[EditFact], most: int) -> list[list[Chain]]:
    """The facts' own prompts asked for their new answers, in groups of similar length."""
    chains = [ask(model, prompt, fact.to) for fact in facts for prompt in fact.prompts(model)]
    return grouped_by_length(chains, lambda chain: len(chain.questions[-1].ids), most=most)


@contextmanager
def added(model: Model, additions: Mapping[int, Tensor]) -> Iterator[None]:
    """Add to what layers' down-projections write at every token, inside the block."""

    def adding(addition: Tensor) -> Any:
        return lambda _module, _inputs, written: written + addition.view(written.shape)

    with ExitStack() as hooks:
        for layer, addition in additions.items():
            handle = model.downs[layer].register_forward_hook(adding(addition))
            hooks.callback(handle.remove)
        yield


def editors(engine: Engine, shared: Shared) -> dict[str, Callable[[], Editor]]:
    """Every way to edit by its name; each call gives one that has edited nothing."""
    kinds: tuple[type[Unedited], ...] = (Unedited, InContext, JointEdit)
    shifting = (FineTuned, Rome, Memit, AlphaEdit, UltraEdit)
    return {
        **{kind.name: partial(kind, engine) for kind in kinds},
        **{kind.name: partial(kind, engine, shared) for kind in shifting},
    }
