"""Memory over the loaded model while one prompt of so many tokens is located.

python benchmarks/bench_memory.py TOKENS      # prints bytes
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench_timing import Figure, forget_peak, memory

TOKENS = (12, 162, 600)
DEFAULT_BUDGET = 600  # MB


def measure(tokens: int) -> int:
    """Bytes over the loaded demo model, the most at any moment. Run it in a process of its own."""
    from bench_locating import locate

    from kn_edit.models.demo import demo_folder
    from kn_edit.models.model import load
    from kn_edit.models.questions import Question
    from kn_edit.neurons.attribution import Adaptive

    model = load(demo_folder())
    words = model.tokenizer(" the city of many people and its river" * 100)["input_ids"]
    last = model.tokenizer(" The capital of France is")["input_ids"]
    ids = (*words[: tokens - len(last)], *last)
    question = Question(ids, len(ids) - 1, words[1])
    forget_peak()
    before = memory("VmRSS")
    locate(model, [question], Adaptive())
    return memory() - before


def memory_figures() -> list[Figure]:
    """The peak for each length of prompt."""
    rows = []
    for tokens in TOKENS:
        command = [sys.executable, str(Path(__file__)), str(tokens)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(
            Figure(
                name=f"memory over the loaded model, {tokens} tokens",
                threads=1,
                ours=[int(done.stdout) / 1e6],
                unit="MB",
                bound=DEFAULT_BUDGET * 1.15,
                at_most=True,
            )
        )
    return rows


if __name__ == "__main__":
    print(measure(int(sys.argv[1])))
