"""Locating and updating on a GPU: prompts a second, share of the peak, memory, seconds an update.

    python benchmarks/gpu.py --out FILE [--models 8b,1b,smollm2] [--seconds 140] [--device cuda]
    python benchmarks/gpu.py --out FILE --tiny      # the same on any machine, in seconds

Each model is random, in bfloat16, made on the device from its shape alone; `demo` is the demo model
itself, where it is in the cache. The peak is that of the device's own products of bfloat16
matrices, measured in the same run. FILE (JSON) is written after every part, and each part has its
own bound of time, so that one that fails or takes too long costs no other its figures.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from kn_edit.edits import calibrate
from kn_edit.edits.settings import Settings
from kn_edit.models.cache import cache_folder
from kn_edit.models.demo import FOLDER
from kn_edit.models.model import Model, load
from kn_edit.models.predict import first_tokens
from kn_edit.models.questions import Question
from kn_edit.neuron import NeuronId
from kn_edit.neurons import attribution

TOKENS = 12  # of a prompt
RIEMANN = 20  # points of the fixed rule
BATCHES = (4, 16, 48)  # prompts in one call
MEMORY = 24 << 30  # bytes that locating may take over the weights
UPDATE = {"change": 6, "keep": 24, "neurons": 20}

SHAPES: dict[str, dict[str, Any]] = {
    "smollm2": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49_152,
        "tie_word_embeddings": True,
    },
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128_256,
        "tie_word_embeddings": True,
    },
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128_256,
        "tie_word_embeddings": False,
    },
}
TINY = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}


class OutOfTime(Exception):
    """A part took longer than it may."""


@dataclass
class Run:
    """What was measured so far, in a file that is always whole."""

    out: Path
    device: torch.device
    tiny: bool
    end: float  # time.monotonic() at which everything is to be over
    results: dict[str, Any] = field(default_factory=dict)

    def part(self, name: str, seconds: float, measure: Callable[[], Any]) -> Any:
        """Measure one part, write what came out, and give it back; None where it failed."""
        left = min(seconds, self.end - time.monotonic())
        start = time.monotonic()
        found: Any = None
        try:
            if left <= 1:
                raise OutOfTime("no time was left for it")
            with at_most(left):
                found = measure()
            entry = found if isinstance(found, dict) else {}
        except Exception as error:  # the other parts are to have their turn
            last = traceback.format_exc().splitlines()[-6:]
            entry = {"failed": f"{type(error).__name__}: {error}"[:600], "where": last}
        entry["part_seconds"] = round(time.monotonic() - start, 2)
        self.results[name] = entry
        self.out.write_text(json.dumps(self.results, indent=1, default=str) + "\n")
        print(name, json.dumps(entry, default=str)[:400], flush=True)
        return found


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the block after so many seconds."""

    def stop(_signum: int, _frame: FrameType | None) -> None:
        raise OutOfTime(f"more than {seconds:.0f} s")

    former = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(device: torch.device, call: Callable[[], Any]) -> float:
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def machine(device: torch.device) -> dict[str, Any]:
    facts = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "device": str(device),
    }
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        facts |= {"card": card.name, "bytes": card.total_memory, "cuda": torch.version.cuda}
        facts["driver"] = driver()
    return facts


def driver() -> str:
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    except OSError:
        import subprocess

        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip()


def peak(device: torch.device, size: int) -> dict[str, float]:
    """FLOP a second of products of two bfloat16 matrices, the best of 5 rounds."""
    left, right = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    times = [seconds_of(device, lambda: [left @ right for _ in range(5)]) for _ in range(6)]
    return {"flops": 5 * 2 * size**3 / min(times[1:]), "size": size}


def random_model(shape: dict[str, Any], device: torch.device) -> Model:
    """A LLaMA of this shape with random weights, bfloat16, made where it is to run."""
    config = transformers.LlamaConfig(
        max_position_embeddings=512, initializer_range=0.04, use_cache=True, **shape
    )
    torch.manual_seed(0)
    with torch.device(device):
        net = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return Model(net, SimpleNamespace(pad_token_id=0, eos_token_id=0, unk_token_id=None))


def made(name: str, run: Run) -> Model:
    if name == "demo":
        return load(cache_folder() / FOLDER, dtype=torch.bfloat16, device=run.device)
    return random_model(SHAPES[name] | (TINY if run.tiny else {}), run.device)


def questions(model: Model, count: int, tokens: int = TOKENS, seed: int = 0) -> list[Question]:
    """Random prompts of equal length, each asked for what the model itself says there."""
    source = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, model.n_tokens - 1, (count, tokens), generator=source).tolist()
    asked = [Question(tuple(row), tokens - 1, 0) for row in ids]
    tokens_said = first_tokens(model, asked)
    return [
        Question(question.ids, question.position, token)
        for question, token in zip(asked, tokens_said, strict=True)
    ]


def locate(
    model: Model, asked: Sequence[Question], rule: attribution.Rule
) -> list[attribution.Attribution]:
    """Scores of prompts, through the function that locating itself calls."""
    scores = dict(attribution.attribute_many(model, asked, rule))
    return [scores[place] for place in range(len(asked))]


def attention_flops(query: Sequence[int], key: Sequence[int], *_: Any, **_named: Any) -> int:
    """FLOPs of attention, forward; torch's own count refuses keys of fewer heads than queries."""
    rows, heads, tokens, width = query
    return 2 * 2 * rows * heads * tokens * key[-2] * width


def attention_backward_flops(
    _gradient: Sequence[int], query: Sequence[int], key: Sequence[int], *_: Any, **_named: Any
) -> int:
    """FLOPs of attention, backward: five products where forward has two."""
    return attention_flops(query, key) * 5 // 2


ATTENTION: dict[Any, Callable[..., int]] = {
    getattr(torch.ops.aten, f"_scaled_dot_product_{kind}_attention{ending}"): count
    for kind in ("efficient", "flash", "cudnn")
    for ending, count in (("", attention_flops), ("_backward", attention_backward_flops))
}


def locating(model: Model, count: int, rule: attribution.Rule, peak_flops: float) -> dict[str, Any]:
    """Prompts a second, share of the peak and memory over the weights, for so many in one call."""
    device, asked = model.device, questions(model, count)
    # The first call, which also warms up.
    with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        scores = locate(model, asked, rule)
    base = 0
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        base = torch.cuda.memory_allocated(device)
    times = []
    while len(times) < 3 and sum(times) < 8:
        times.append(seconds_of(device, lambda: locate(model, asked, rule)))
    flops = counter.get_total_flops()
    found = {
        "prompts": count,
        "tokens": TOKENS,
        "seconds": times,
        "prompts_per_second": count / min(times),
        "gflop_per_prompt": flops / count / 1e9,
        "share_of_peak": flops / min(times) / peak_flops if peak_flops else None,
        "nodes_per_layer": sum(float(one.nodes.float().mean()) for one in scores) / count,
        "largest_gap": max(float(one.gap.abs().max() / one.p) for one in scores),
        "p": sum(one.p for one in scores) / count,
        "reached": sum(one.reached for one in scores) / count,
    }
    if device.type == "cuda":
        found["bytes_over_weights"] = torch.cuda.max_memory_allocated(device) - base
    return found


def updating(model: Model) -> dict[str, Any]:
    """One solve of an update: 20 value slots, 6 prompts that change, 24 that stay."""
    device = model.device
    asked = questions(model, UPDATE["change"] + UPDATE["keep"], seed=1)
    change = [
        Question(question.ids, question.position, (question.token + 1) % model.n_tokens)
        for question in asked[: UPDATE["change"]]
    ]
    aims = calibrate.Aims(change=tuple(change), keep=tuple(asked[UPDATE["change"] :]))
    layers = range(model.n_layers // 2, model.n_layers)
    neurons = [
        NeuronId(layers[row % len(layers)], 7 * row % model.d_ff)
        for row in range(UPDATE["neurons"])
    ]
    base = 0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        base = torch.cuda.memory_allocated(device)
    steps: list[int] = []
    settings = Settings(most_steps=20)
    taken = seconds_of(
        device,
        lambda: steps.append(calibrate.solve(model, aims, neurons, settings).steps),
    )
    found: dict[str, Any] = {"seconds": taken, "steps": steps[0], "neurons": len(neurons)} | UPDATE
    if device.type == "cuda":
        found["bytes_over_weights"] = torch.cuda.max_memory_allocated(device) - base
    return found


def whole_update(run: Run) -> dict[str, Any]:
    """An update of the demo model from the first prompt to the recorded version."""
    from kn_edit.workspace import Workspace, case_of

    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace.init("demo", folder, device=str(run.device), dtype="bfloat16") as workspace,
    ):
        france = case_of(relation="capital", subject="France")
        edits: list[Any] = []
        taken = seconds_of(
            run.device, lambda: edits.append(workspace.update(france, "Rome", accept=True))
        )
        return {"seconds": taken, "metrics": edits[0].draft.metrics}


def measure(name: str, run: Run, peak_flops: float) -> None:
    """All parts of one model, which is gone afterwards."""
    kept: list[Model] = []

    def make() -> dict[str, Any]:
        taken = seconds_of(run.device, lambda: kept.append(made(name, run)))
        weights = {weight.data_ptr(): weight for weight in kept[0].net.parameters()}.values()
        count = sum(weight.numel() for weight in weights)
        size = sum(weight.numel() * weight.element_size() for weight in weights)
        return {"seconds": taken, "parameters": count, "bytes": size}

    run.part(f"{name}: made", 40, make)
    if not kept:
        return
    model, short = kept[0], run.tiny
    model.memory = MEMORY
    riemann, adaptive = attribution.Riemann(4 if short else RIEMANN), attribution.Adaptive()
    for count in (2,) if short else BATCHES:
        run.part(
            f"{name}: locate, {count} prompts, {riemann.m} points",
            20,
            lambda count=count: locating(model, count, riemann, peak_flops),
        )
    count = 2 if short else BATCHES[1]
    run.part(
        f"{name}: locate, {count} prompts, default rule",
        25,
        lambda: locating(model, count, adaptive, peak_flops),
    )
    run.part(f"{name}: update", 25, lambda: updating(model))
    if name == "demo":
        run.part("demo: update, from prompts to the record", 60, lambda: whole_update(run))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", default="8b,1b,smollm2")
    parser.add_argument("--seconds", type=float, default=140)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true")
    chosen = parser.parse_args()
    device = torch.device(chosen.device)
    end = time.monotonic() + chosen.seconds
    run = Run(out=chosen.out, device=device, tiny=chosen.tiny, end=end)
    run.part("machine", 20, lambda: machine(device))
    size = 256 if chosen.tiny else 8192 if device.type == "cuda" else 2048
    found = run.part("peak, bfloat16", 20, lambda: peak(device, size))
    names = chosen.models.split(",")
    for place, name in enumerate(names):
        left = end - time.monotonic()
        run.end = end - left + left / (len(names) - place)  # each model has an equal share of it
        measure(name, run, found["flops"] if found else 0.0)
        if device.type == "cuda":
            gc.collect()
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
