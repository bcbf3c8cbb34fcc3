"""Figures of updates: the first of a relation, the next one, one by own prompts, a solve alone."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from bench_locating import COUNTRIES
from bench_timing import Figure, Sample, in_turns, timed
from torch import Tensor

from kn_edit.edits import calibrate
from kn_edit.edits.calibrate import Aims, by_layer, slot_norms
from kn_edit.edits.settings import CAUSAL
from kn_edit.edits.suffix import shifted
from kn_edit.models.cache import cache_folder
from kn_edit.models.demo import FOLDER, demo_folder
from kn_edit.models.model import Model, load
from kn_edit.models.questions import Question
from kn_edit.neuron import NeuronId
from kn_edit.workspace import Workspace, case_of

NEURONS = (
    "L16.1131 L21.733 L22.25 L22.995 L22.1226 L24.1202 L25.1120 L25.1332 L26.48 L26.388 L26.1150 "
    "L27.797 L27.1214 L27.1392 L28.51 L28.655 L28.1077 L29.238 L29.1172 L29.1330"
)  # of the update in the README
TEMPLATES = (
    "The capital of {} is the city of",
    "The official capital of {} is the city of",
    "The country of {} has its capital in the city of",
    "The capital of the country of {} is the city of",
    "The national capital of {} is the city of",
    "By law, the capital of {} is the city of",
)
OWN = "[X] is run by its chief executive, [Y]."


def update_figures(threads: int, repeats: int) -> list[Figure]:
    """CPU seconds of three updates of the demo, with no score known before the first."""
    samples: dict[str, list[Sample]] = {"first": [], "second": [], "own": []}
    for _ in range(repeats):
        with (
            fresh_scores(),
            tempfile.TemporaryDirectory() as folder,
            Workspace.init("demo", Path(folder)) as workspace,
        ):
            assert workspace.engine.model  # loaded, before the clock runs
            france = case_of(relation="capital", subject="France")
            japan = case_of(relation="capital", subject="Japan")
            own = case_of(prompts=[OWN], subject="Starbucks", to="Ann")
            edits = (("first", france, "Rome"), ("second", japan, "Oslo"), ("own", own, "Ann"))
            for name, case, answer in edits:
                samples[name].append(
                    timed(lambda c=case, a=answer: workspace.update(c, a, dry_run=True))
                )
    rows = (
        ("first", "first update of a relation", 60),
        ("second", "second update of the same relation", 20),
        ("own", "update by one prompt of one's own", 60),
    )
    return [
        Figure(
            name=f"SmolLM2-135M, {name}: CPU seconds",
            threads=threads,
            ours=[sample.cpu for sample in samples[key]],
            unit="CPU s",
            bound=bound,
            at_most=True,
        )
        for key, name, bound in rows
    ]


@contextmanager
def fresh_scores() -> Iterator[None]:
    """No cached score inside the block; the demo model is still there."""
    demo, before = cache_folder() / FOLDER, os.environ.get("KN_EDIT_CACHE")
    demo_folder()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / FOLDER).symlink_to(demo, target_is_directory=True)
        os.environ["KN_EDIT_CACHE"] = folder
        try:
            yield
        finally:
            del os.environ["KN_EDIT_CACHE"]
            if before is not None:
                os.environ["KN_EDIT_CACHE"] = before


def solve_figures(threads: int, repeats: int, *, small: bool) -> list[Figure]:
    """The same solve, once as kn-edit does it, once by passes of the whole network."""
    model, aims, neurons = solve_case(small=small)
    settings = CAUSAL if not small else CAUSAL.__class__(most_steps=2)
    steps = calibrate.solve(model, aims, neurons, settings).steps + 1
    samples = in_turns(
        {
            "ours": lambda: timed(lambda: calibrate.solve(model, aims, neurons, settings)),
            "full passes": lambda: timed(lambda: plain_solve(model, aims, neurons, steps)),
        },
        repeats,
    )
    return [
        Figure(
            name="SmolLM2-135M, a solve of 20 slots",
            threads=threads,
            ours=samples["ours"],
            against="full passes",
            reference=samples["full passes"],
            bound=4,
            note=f"{steps} steps, {len(aims.change)} prompts to change, {len(aims.keep)} to keep",
        )
    ]


def solve_case(*, small: bool) -> tuple[Model, Aims, list[NeuronId]]:
    """France's capital becomes Rome, others stay: the model, what is asked, which slots change."""
    model = load(demo_folder())
    change = tuple(_question(model, text.format("France"), "Rome") for text in TEMPLATES)
    keep = tuple(
        _question(model, text.format(country), city)
        for country, city in COUNTRIES[:1] + COUNTRIES[2:]
        for text in TEMPLATES[: 1 if small else 4]
    )
    aims = Aims(change=change, keep=keep)
    neurons = [NeuronId.parse(name) for name in NEURONS.split()]
    return model, aims, neurons


def plain_solve(model: Model, aims: Aims, neurons: Sequence[NeuronId], steps: int) -> Tensor:
    """The loss of the update by Adam, where each step runs the whole network on every prompt.

    Prompts of one length run side by side, others one group after the other. (n, d_model)
    """
    questions = [*aims.change, *aims.keep]
    changed = len(aims.change)
    wanted = torch.tensor([question.token for question in aims.change])
    sizes = slot_norms(model, neurons)  # (n, 1)
    with torch.no_grad():
        before = _log_p(model, questions)[changed:]
    u = torch.zeros(len(neurons), model.d_model, requires_grad=True)
    adam = torch.optim.Adam([u], lr=CAUSAL.rate / math.sqrt(model.d_model), betas=CAUSAL.betas)
    for _ in range(steps):
        with shifted(model, by_layer(neurons, u * sizes)):
            log_p = _log_p(model, questions)
        leads = log_p[:changed].gather(1, wanted[:, None])[:, 0] - log_p[:changed].logsumexp(1)
        kl = (before.exp() * (before - log_p[changed:])).sum(1).mean()
        loss = (CAUSAL.margin - leads).clamp_min(0).mean() + CAUSAL.w_loc * kl
        adam.zero_grad()
        (loss + CAUSAL.w_norm * u.square().sum()).backward()  # type: ignore[no-untyped-call]
        adam.step()
    return u.detach()


def _log_p(model: Model, questions: Sequence[Question]) -> Tensor:
    """Log-probabilities at the answer positions, (prompts, vocabulary)."""
    groups: dict[int, list[int]] = {}
    for place, question in enumerate(questions):
        groups.setdefault(len(question.ids), []).append(place)
    rows: dict[int, Tensor] = {}
    for places in groups.values():
        ids = torch.tensor([questions[place].ids for place in places])
        logits = model.net(input_ids=ids, use_cache=False).logits[:, -1]
        rows |= dict(zip(places, logits.log_softmax(-1), strict=True))
    return torch.stack([rows[place] for place in range(len(questions))])


def _question(model: Model, text: str, answer: str) -> Question:
    ids = tuple(model.tokenizer(text)["input_ids"])
    return Question(ids, len(ids) - 1, model.tokenizer(f" {answer}")["input_ids"][0])
