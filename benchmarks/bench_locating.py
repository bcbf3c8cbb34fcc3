"""Figures of attribution: one prompt of BERT's shape, prompts of SmolLM2, a norm behind the FFN."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from bench_plain import cached_prefix_loop, full_pass_loop
from bench_shapes import USUAL_SPREAD, bert, bert_prompt, gemma, no_tokenizer
from bench_timing import Figure, Sample, in_turns, timed, timing
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from kn_edit.facts import load_relation
from kn_edit.models.demo import demo_folder
from kn_edit.models.model import Model, load
from kn_edit.models.questions import Question, ask
from kn_edit.neurons import attribution
from kn_edit.neurons.attribution import Adaptive, Attribution, Riemann, Rule
from kn_edit.neurons.paths import Paths

BENCHMARKS = Path(__file__).parent
PADDED = 128  # tokens of every prompt in the paper's code
COUNTRIES = (
    ("Japan", "Tokyo"),
    ("France", "Paris"),
    ("Italy", "Rome"),
    ("Egypt", "Cairo"),
    ("Norway", "Oslo"),
    ("Cuba", "Havana"),
    ("Russia", "Moscow"),
    ("Greece", "Athens"),
    ("Kenya", "Nairobi"),
    ("Peru", "Lima"),
)
EXACT = (8, 24)  # panels and Gauss nodes of the reference that errors are told from


def locate(model: Model, questions: Sequence[Question], rule: Rule) -> list[Attribution]:
    """The one place where the benchmark asks kn-edit for scores: many prompts in one call."""
    found = dict(attribution.attribute_many(model, questions, rule))
    return [found[place] for place in range(len(questions))]


class Peers:
    """The packages of the peers' environment, each run once when it is asked."""

    def __init__(self, python: Path, threads: int, spread: float, *, small: bool) -> None:
        command = [str(python), str(BENCHMARKS / "bench_peers.py"), "--threads", str(threads)]
        command += ["--spread", str(spread)]
        self._command = [*command, *(["--small"] if small else [])]

    def __enter__(self) -> Peers:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True)
        self.names: list[str] = json.loads(self._line())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def sample(self, name: str) -> Sample:
        """What one run of a peer took, in its own process."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return Sample(**json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def bert_figures(
    threads: int,
    repeats: int,
    peak: float,
    python: Path | None,
    *,
    small: bool,
    spread: float = USUAL_SPREAD,
) -> list[Figure]:
    """One prompt of BERT's shape: by the paper's rule, and by the default beside the packages."""
    model = Model(bert(spread=spread, small=small), no_tokenizer())
    ids, position = bert_prompt()
    token = int(model.net(input_ids=torch.tensor([ids])).logits[0, position].argmax())
    question = Question(tuple(ids), position, token)
    half = (0, model.n_layers // 2, model.n_layers - 1)
    calls = {
        "riemann": timing(lambda: locate(model, [question], Riemann(20))),
        "default": timing(lambda: locate(model, [question], Adaptive())),
        "plain loop": timing(lambda: cached_prefix_loop(model, question)),
        "padded loop": lambda: _whole(model, question, half),
    }
    if python is None:
        samples = in_turns(calls, repeats)
    else:
        with Peers(python, threads, spread, small=small) as peers:
            for name in peers.names:
                calls[name] = lambda name=name: peers.sample(name)
            samples = in_turns(calls, repeats)
    wide = "" if spread == USUAL_SPREAD else f" (weights of spread {spread})"
    shape = f"BERT-base shape{wide}, 13 tokens"
    rows = [
        ("plain loop", "riemann", f"{shape}, the paper's rule, m = 20", 1.15, ""),
        ("captum", "default", f"{shape}, default rule / captum", 12, ""),
        ("knowledge-neurons", "default", f"{shape}, default rule / EleutherAI", 12, ""),
        ("padded loop", "default", f"{shape}, default rule / the paper's code", 80, "3 layers"),
    ]
    figures = [
        Figure(
            name=name,
            threads=threads,
            ours=samples[ours],
            against=against,
            reference=samples[against],
            bound=bound,
            note=note,
        )
        for against, ours, name, bound, note in rows
        if against in samples
    ]
    with FlopCounterMode(display=False) as counter:
        locate(model, [question], Riemann(20))
    gflop = counter.get_total_flops() / 1e9
    shares = [gflop / sample.cpu / peak for sample in samples["riemann"]]
    figures.append(
        Figure(
            name=f"{shape}, the paper's rule: share of the peak",
            threads=threads,
            ours=shares,
            unit="of the peak",
            bound=0.85,
            note=f"{gflop:.0f} GFLOP",
        )
    )
    if threads == 1:
        error = relative_error(model, question, locate(model, [question], Adaptive())[0].scores)
        figures.append(
            Figure(
                name=f"{shape}, default rule: error of the scores",
                threads=threads,
                ours=[error],
                unit="of the largest score",
                bound=1e-4,
                at_most=True,
            )
        )
    return figures


def _whole(model: Model, question: Question, layers: Sequence[int]) -> Sample:
    """What the paper's code takes for all layers, from some of them: it pads to 128 tokens."""
    part = timed(lambda: full_pass_loop(model, question, pad_to=PADDED, layers=layers))
    scale = model.n_layers / len(layers)
    return Sample(wall=part.wall * scale, cpu=part.cpu * scale)


def relative_error(model: Model, question: Question, scores: Tensor) -> float:
    """The largest error of a score, relative to the largest score, by many Gauss nodes."""
    paths = Paths.of_one(model, question)
    panels, nodes = EXACT
    x, w = np.polynomial.legendre.leggauss(nodes)
    exact = torch.zeros(paths.n_layers, paths.d_ff, dtype=torch.float64)
    for panel in range(panels):
        places = ((panel + (x + 1) / 2) / panels).tolist()
        along = paths.evaluate(dict.fromkeys(range(paths.n_layers), places))
        weights = torch.tensor(w / 2 / panels)[:, None]
        for layer, path in along.items():
            mean = (weights * path.gradients.double()).sum(0)
            exact[layer] += mean * paths.coefficients_of(layer)
    return float((scores - exact).abs().max() / exact.max())


def capitals(model: Model) -> list[Question]:
    """Ten prompts of one relation that SmolLM2 knows, 8 to 9 tokens."""
    questions = []
    for country, city in COUNTRIES:
        ids = tuple(model.tokenizer(f"The capital of {country} is the city of")["input_ids"])
        answer = model.tokenizer(f" {city}")["input_ids"][0]
        questions.append(Question(ids, len(ids) - 1, answer))
    return questions


def demo_figures(threads: int, repeats: int, *, small: bool) -> list[Figure]:
    """SmolLM2: ten prompts of one relation by the default, a plain loop for one of them each.

    The loop runs for every fifth layer, times five: their mean is that of all.
    """
    model = load(demo_folder())
    questions = capitals(model)[: 2 if small else None]
    layers = range(14, 15) if small else range(2, model.n_layers, 5)
    number = iter(range(repeats))

    def plain() -> Sample:
        question = questions[next(number) % len(questions)]
        sample = timed(lambda: full_pass_loop(model, question, layers=layers))
        scale = model.n_layers / len(layers)
        return Sample(sample.wall * scale, sample.cpu * scale)

    def ours() -> Sample:
        return timed(lambda: locate(model, questions, Adaptive())).of(len(questions))

    samples = in_turns({"ours": ours, "plain loop": plain}, repeats)
    name = "SmolLM2-135M, a prompt of a relation"
    note = f"{len(questions)} prompts together; the loop: {len(layers)} layers"
    return [
        Figure(
            name=f"{name}, default rule",
            threads=threads,
            ours=samples["ours"],
            against="plain loop, m = 20",
            reference=samples["plain loop"],
            bound=40,
            note=note,
        ),
        Figure(
            name=f"{name}: CPU seconds",
            threads=threads,
            ours=[sample.cpu for sample in samples["ours"]],
            unit="CPU s",
            bound=1.2,
            at_most=True,
            note=note,
        ),
    ]


def growth_figures(threads: int, repeats: int, *, small: bool) -> list[Figure]:
    """SmolLM2: a prompt of each of 60 facts of a relation beside a prompt of each of 10 of them.

    Both by the prompt, so 1 is linear. The 10 are every sixth of the 60.
    """
    model = load(demo_folder())
    questions = _questions_of("capital", model, 6 if small else 60)
    few = questions[::6]
    samples = in_turns(
        {
            "many": lambda: timed(lambda: locate(model, questions, Adaptive())).of(len(questions)),
            "few": lambda: timed(lambda: locate(model, few, Adaptive())).of(len(few)),
        },
        repeats,
    )
    return [
        Figure(
            name=f"SmolLM2-135M, locating {len(questions)} facts of a relation, by the fact",
            threads=threads,
            ours=samples["many"],
            against=f"{len(few)} of them",
            reference=samples["few"],
            bound=1.1,
            at_most=True,
            note="a prompt of each",
        )
    ]


def _questions_of(relation: str, model: Model, count: int) -> list[Question]:
    """The first prompts of the first facts of a relation, each asked for the answer's start."""
    pack = load_relation(relation)
    chains = (
        ask(model, pack.prompts(fact, answer_last=True)[0]) for fact in islice(pack.facts, count)
    )
    return [chain.questions[0] for chain in chains]


def gemma_figures(threads: int, repeats: int, *, small: bool) -> list[Figure]:
    """A norm behind the FFN and 262,144 words, beside the same shape without them."""
    ids = torch.randint(1000, 40_000, (12,), generator=torch.Generator().manual_seed(0)).tolist()
    calls = {}
    for name, words, norm in (("ours", 262_144, True), ("reference", 49_152, False)):
        model = Model(gemma(words, norm_behind=norm, small=small), no_tokenizer())
        token = int(model.net(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        question = Question(tuple(ids), len(ids) - 1, token)
        calls[name] = timing(lambda m=model, q=question: locate(m, [q], Adaptive()))
    samples = in_turns(calls, repeats)
    return [
        Figure(
            name="Gemma-3 shape (norm behind the FFN, 262,144 words), default rule",
            threads=threads,
            ours=samples["ours"],
            against="without that norm, 49,152 words",
            reference=samples["reference"],
            bound=2,
            at_most=True,
        )
    ]
