"""How fast facts are located and edited with this model on this machine, nothing cached."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from kn_edit.editing.drafting import draft
from kn_edit.editing.drafts import EditContext
from kn_edit.editing.locating import Locator, Search, chains_for
from kn_edit.editing.method import UpdateRequest
from kn_edit.engine.engine import Engine
from kn_edit.engine.scores import LocalScorer
from kn_edit.engine.version import ModelVersion
from kn_edit.errors import CannotAsk, NoFactToAsk
from kn_edit.facts import Case, Fact, Relation
from kn_edit.models.memory import listed_devices
from kn_edit.models.model import Model
from kn_edit.models.placement import dtype_name
from kn_edit.models.questions import Chain
from kn_edit.progress import Progress
from kn_edit.workspace.opened import OpenWorkspace

SIDES = {"cpu": 2048}  # of the matrices whose product says the peak
SIDE = 8192  # on other devices
PRODUCTS = 4
MEMORY = Path("/proc/self")

T = TypeVar("T")


@dataclass(frozen=True)
class Timing:
    """Seconds on the clock, and of the processor, all threads together."""

    wall: float
    cpu: float

    def of(self, parts: int) -> Timing:
        """The time of one of so many equal parts."""
        return Timing(self.wall / parts, self.cpu / parts)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What a model takes on a machine.

    peak: GFLOP/s of the device's own matrix products in the model's number format
    load: of the model; prompt: of scoring one, the mean of `prompts` scored together
    weights: bytes; memory: bytes over them while prompts were scored, None where nobody knows
    update: of a fact by the usual method, from its first prompt to what is measured, None where it
        was left out; no score was known before
    """

    device: str
    dtype: str
    threads: int
    parameters: int
    weights: int
    peak: float
    load: Timing
    prompts: int
    tokens: int  # of the longest prompt
    prompt: Timing
    memory: int | None
    update: Timing | None
    fact: str  # that was updated


def benchmark(
    workspace: OpenWorkspace, relation: Relation, *, prompts: int, update: bool
) -> Benchmark:
    """Measure the base on prompts of a relation. Records nothing. Raises NoFactToAsk."""
    engine = Engine(
        workspace.base,
        workspace.ledger_folder,
        workspace.progress,
        workspace.engine.placement,
        scoring=lambda version: LocalScorer(version.model),
    )
    model, load = timed(lambda: engine.model)
    with engine.at([]) as live:
        facts, chains = _questions(live, relation, prompts)
        memory = PeakMemory(model)
        _, scoring = timed(lambda: _scored(live, chains, workspace.progress))
        most = memory.most()
        peak = peak_of(model)
    fact, change = facts[0], None
    if update:
        request = UpdateRequest(Case(relation, fact), _other_answer(model, relation, facts))
        _, change = timed(lambda: draft(EditContext(engine, progress=workspace.progress), request))
    return Benchmark(
        device=listed_devices(model.layer_shares),
        dtype=dtype_name(model.dtype),
        threads=torch.get_num_threads(),
        parameters=sum(weight.numel() for weight in model.net.parameters()),
        weights=model.weight_bytes,
        peak=peak,
        load=load,
        prompts=len(chains),
        tokens=max(len(question.ids) for chain in chains for question in chain.questions),
        prompt=scoring.of(len(chains)),
        memory=most,
        update=change,
        fact=f"{relation.name}: {fact.subject}, {fact.answer}",
    )


def timed(call: Callable[[], T]) -> tuple[T, Timing]:
    """What a call gives, and what it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = call()
    return result, Timing(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


def peak_of(model: Model) -> float:
    """GFLOP/s of the best of a few products of square matrices where the model lies."""
    side = SIDES.get(model.device.type, SIDE)
    matrix = torch.ones(side, side, dtype=model.dtype, device=model.device)

    def product() -> float:
        return float((matrix @ matrix)[0, 0])  # which waits for a GPU

    product()
    seconds = [timed(product)[1].wall for _ in range(PRODUCTS)]
    return 2 * side**3 / min(seconds) / 1e9


class PeakMemory:
    """The most memory that is taken from now on, over what is taken now."""

    def __init__(self, model: Model) -> None:
        self._kinds = model.device_kinds
        self._gpus = [device for device in model.layer_shares if device.type == "cuda"]
        self._before: int | None = None
        if self._gpus:
            for gpu in self._gpus:
                torch.cuda.reset_peak_memory_stats(gpu)
            self._before = sum(map(torch.cuda.memory_allocated, self._gpus))
            return
        with suppress(OSError):  # of Linux alone
            (MEMORY / "clear_refs").write_text("5")
            self._before = _status("VmRSS")

    def most(self) -> int | None:
        """Bytes; None where the system does not say."""
        if self._before is None or "mps" in self._kinds:
            return None
        if self._gpus:
            return sum(map(torch.cuda.max_memory_allocated, self._gpus)) - self._before
        return max(0, _status("VmHWM") - self._before)


def _status(field: str) -> int:
    """Bytes of memory of this process, as Linux says."""
    lines = (MEMORY / "status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{field}:")]
    return int(line.split()[1]) << 10


def _questions(
    live: ModelVersion, relation: Relation, count: int
) -> tuple[list[Fact], list[Chain]]:
    """Facts that the model knows, if there are any, and their first prompts, round by round."""
    facts = Locator(live, Search(), lambda task, done, total: None).known_facts(relation)
    if not facts:
        raise NoFactToAsk(relation.name)
    each = [chains_for(live.model, relation, fact) for fact in facts[:count]]
    rounds = max(map(len, each))
    chains = [chains[turn] for turn in range(rounds) for chains in each if turn < len(chains)]
    return facts, chains[:count]


def _scored(live: ModelVersion, chains: Sequence[Chain], progress: Progress) -> None:
    scores = live.scorer.scores(chains, "adaptive", 0)
    for done, _ in enumerate(scores, 1):
        progress("locating", done, len(chains))


def _other_answer(model: Model, relation: Relation, facts: Sequence[Fact]) -> str:
    """An answer of another fact that the first one can be updated to. Raises NoFactToAsk."""
    for fact in facts[1:]:
        if fact.answer != facts[0].answer:
            with suppress(CannotAsk):
                chains_for(model, relation, facts[0], fact.answer)
                return fact.answer
    raise NoFactToAsk(relation.name)
