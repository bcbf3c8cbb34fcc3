"""The adaptive rule on models with a norm behind the FFN, beside the same shape without one.

    python benchmarks/norms.py [--layers 8] [--width 192] [--words 8192] [--prompts 2]

Models have random weights of standard deviation 0.1, so that p(answer) bends as in trained ones.
Prompts are 12 random tokens, the answer is what the model says. Prints evaluations per layer, the
largest error of a score relative to the prompt's largest, beside a reference of 276 nodes per layer
that are graded towards 0, and CPU seconds per prompt on one thread. `--words 0` gives each family
its own number of words: 262,144, and 49,152 without the norm; without references it is quick.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from kn_edit.models.model import Model
from kn_edit.models.questions import Question
from kn_edit.neurons.attribution import Adaptive, attribute_many
from kn_edit.neurons.paths import Paths

SHAPES = {"gemma3_text": 262_144, "gemma2": 262_144, "olmo2": 100_352, "llama": 49_152}
TOKENS = 12
EDGES = [0.0, *(2.0**-k for k in range(22, -1, -1))]
NODES = 12  # of each panel of the reference


def network(kind: str, words: int, layers: int, width: int) -> Any:
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](
        vocab_size=words,
        hidden_size=width,
        intermediate_size=8 * width // 3,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=1,
        head_dim=width // 4,
        initializer_range=0.1,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    return AutoModelForCausalLM.from_config(config)


def questions(model: Model, count: int) -> list[Question]:
    source = torch.Generator().manual_seed(0)
    rows = torch.randint(5, model.n_tokens, (count, TOKENS), generator=source)
    with torch.no_grad():
        answers = model.net(input_ids=rows).logits[:, -1].argmax(-1).tolist()
    return [
        Question(tuple(ids), TOKENS - 1, answer)
        for ids, answer in zip(rows.tolist(), answers, strict=True)
    ]


def reference(paths: Paths) -> torch.Tensor:
    """Scores by composite Gauss-Legendre quadrature, (layers, d_ff)."""
    x, w = np.polynomial.legendre.leggauss(NODES)
    scores = torch.zeros(paths.n_layers, paths.d_ff, dtype=torch.float64)
    for start, end in pairwise(EDGES):
        nodes = ((start + end) / 2 + (end - start) / 2 * x).tolist()
        weights = torch.tensor((end - start) / 2 * w)[:, None]
        along = paths.evaluate(dict.fromkeys(range(paths.n_layers), nodes))
        for layer, path in along.items():
            scores[layer] += (weights * path.gradients.double()).sum(0) * paths.coefficients_of(
                layer
            )
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, number in [("layers", 8), ("width", 192), ("words", 8192), ("prompts", 2)]:
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--no-reference", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    print("| shape | words | nodes per layer | error, worst | CPU s a prompt |")
    print("|---|---|---|---|---|")
    for kind, own_words in SHAPES.items():
        words = chosen.words or own_words
        model = Model(
            network(kind, words, chosen.layers, chosen.width),
            tokenizer=SimpleNamespace(pad_token_id=0),
        )
        asked = questions(model, chosen.prompts)
        start = time.process_time()
        found = dict(attribute_many(model, asked, Adaptive()))
        seconds = (time.process_time() - start) / len(asked)
        nodes = [float(each.nodes.float().mean()) for each in found.values()]
        errors = []
        for place, question in enumerate([] if chosen.no_reference else asked):
            truth = reference(Paths.of_one(model, question))
            errors.append(float((found[place].scores - truth).abs().max() / truth.max()))
        worst = f"{max(errors):.2%}" if errors else "-"
        mean = sum(nodes) / len(nodes)
        print(f"| {kind} | {words:,} | {mean:.1f} | {worst} | {seconds:.2f} |", flush=True)


if __name__ == "__main__":
    main()
