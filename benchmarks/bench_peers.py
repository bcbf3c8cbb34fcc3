"""Packages from PyPI that compute the same scores, in an environment of their own.

    .bench/peers/bin/python benchmarks/bench_peers.py --threads 1 [--small]

`make bench` makes that environment. Reads the name of a peer a line, runs it once over all layers
of the same network and prompt as `bench.py`, and answers with what it took, as JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from bench_shapes import MASK, USUAL_SPREAD, bert, bert_prompt
from bench_timing import timed
from torch import Tensor

STEPS = 20


class Prompt:
    """The prompt of the benchmark, with the word that the network finds likeliest."""

    def __init__(self, net: Any) -> None:
        self.net = net
        ids, self.position = bert_prompt()
        self.ids = torch.tensor([ids])
        self.token = int(net(input_ids=self.ids).logits[0, self.position].argmax())
        self.layers = net.bert.encoder.layer


def captum(prompt: Prompt) -> Callable[[], object]:
    """Integrated gradients of captum by the paper's rule, the coefficients by a hook."""
    from captum.attr import IntegratedGradients

    def layer_scores(layer: Any) -> Tensor:
        down, seen = layer.output.dense, []
        handle = down.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        prompt.net(input_ids=prompt.ids)
        handle.remove()

        def forward(coefficients: Tensor) -> Tensor:
            def put(_: Any, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
                rows = given[0].clone()
                rows[:, prompt.position] = coefficients
                return (rows,)

            hook = down.register_forward_pre_hook(put)
            logits = prompt.net(input_ids=prompt.ids.expand(len(coefficients), -1)).logits
            hook.remove()
            return logits[:, prompt.position].softmax(-1)[:, prompt.token]

        own = seen[0][:, prompt.position]
        scores: Tensor = IntegratedGradients(forward).attribute(
            own, baselines=torch.zeros_like(own), n_steps=STEPS, method="riemann_left"
        )
        return scores

    return lambda: [layer_scores(layer) for layer in prompt.layers]


def knowledge_neurons(prompt: Prompt) -> Callable[[], object]:
    """EleutherAI's package, 20 steps in one batch."""
    from knowledge_neurons import KnowledgeNeurons

    tokenizer = SimpleNamespace(mask_token_id=MASK, convert_tokens_to_ids=lambda target: target)
    package = KnowledgeNeurons(prompt.net, tokenizer, model_type="bert", device="cpu")
    encoded = {
        "input_ids": prompt.ids,
        "attention_mask": torch.ones_like(prompt.ids),
        "token_type_ids": torch.zeros_like(prompt.ids),
    }
    return lambda: [
        package.get_scores_for_layer(
            "", prompt.token, layer, batch_size=STEPS, steps=STEPS, encoded_input=encoded
        )
        for layer in range(len(prompt.layers))
    ]


PEERS = {"captum": captum, "knowledge-neurons": knowledge_neurons}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--spread", type=float, default=USUAL_SPREAD)
    parser.add_argument("--small", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    prompt = Prompt(bert(spread=chosen.spread, small=chosen.small))
    runs = {name: make(prompt) for name, make in PEERS.items()}
    print(json.dumps(sorted(runs)), flush=True)
    for line in sys.stdin:
        print(json.dumps(vars(timed(runs[line.strip()]))), flush=True)


if __name__ == "__main__":
    main()
