"""Memory over the loaded model while prompts of so many tokens are located within a budget.

python benchmarks/bench_memory.py TOKENS MB      # prints bytes
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench_timing import Figure, forget_peak, memory

PROMPTS = {12: 12, 162: 4, 600: 3}  # tokens of a prompt: prompts that are asked together
BUDGETS = (200, 600)  # MB; the second is what is taken unless said
WITHIN = 1.15  # of the budget


def measure(tokens: int, budget: int) -> int:
    """Bytes over the loaded demo model, the most at any moment. Run it in a process of its own."""
    from bench_locating import locate

    from kn_edit.models.demo import demo_folder
    from kn_edit.models.model import load
    from kn_edit.models.questions import Question
    from kn_edit.neurons.attribution import Adaptive

    model = load(demo_folder())
    model.memory = budget * 1_000_000
    words = model.tokenizer(" the city of many people and its river" * 100)["input_ids"]
    last = model.tokenizer(" The capital of France is")["input_ids"]
    questions = []
    for number in range(PROMPTS[tokens]):
        ids = (*words[number : number + tokens - len(last)], *last)
        questions.append(Question(ids, len(ids) - 1, words[1]))
    forget_peak()
    before = memory("VmRSS")
    locate(model, questions, Adaptive())
    return memory() - before


def memory_figures() -> list[Figure]:
    """The peak for each length of prompt and each budget."""
    rows = []
    for tokens, prompts in PROMPTS.items():
        for budget in BUDGETS:
            command = [sys.executable, str(Path(__file__)), str(tokens), str(budget)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            rows.append(
                Figure(
                    name=f"--memory {budget}MB: the peak, {prompts} prompts of {tokens} tokens",
                    threads=1,
                    ours=[int(done.stdout) / 1e6],
                    unit="MB",
                    bound=budget * WITHIN,
                    at_most=True,
                )
            )
    return rows


if __name__ == "__main__":
    print(measure(*map(int, sys.argv[1:])))
