"""One forward and one backward pass for nodes of many prompts and all layers.

At layer l the rows of that layer's nodes join, and all rows climb on together. A new row starts
behind the coefficients that it scales: what its layer computes before them is that of the prompt
as it is. At the end only answer positions are left: in a masked LM the last layer makes keys and
values of all tokens, and the rest of the answer's alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from kn_edit.errors import NotFinite
from kn_edit.models.attention import (
    KeysTaken,
    Span,
    attend_to_prefixes,
    attend_within_rows,
    attending,
    packed_attention,
    take_keys,
    with_keys,
)
from kn_edit.models.clean import CleanRun, joined_call
from kn_edit.models.head import p_of
from kn_edit.models.model import Model
from kn_edit.models.placement import dtype_name
from kn_edit.models.replay import run_behind_coefficients, side_by_side
from kn_edit.models.trace import run_layer

Nodes = Mapping[int, Sequence[float]]  # layer -> places on its path


@dataclass(frozen=True, eq=False)
class Along:
    """What one layer's path looks like at some nodes."""

    p: Tensor  # p(answer), (nodes,)
    gradients: Tensor  # d p(answer) / d coefficient, (nodes, d_ff)


@dataclass(frozen=True, eq=False)
class Request:
    """Nodes that are asked of one prompt."""

    run: CleanRun
    token: int  # the answer
    nodes: Nodes


def joined(parts: Sequence[Along]) -> Along:
    """Parts of one layer's path, one behind the other."""
    if len(parts) == 1:
        return parts[0]
    return Along(
        p=torch.cat([part.p for part in parts]),
        gradients=torch.cat([part.gradients for part in parts]),
    )


class Pass:
    """One pass; packed: whether rows of all prompts go through a layer in one call."""

    def __init__(self, model: Model, requests: Sequence[Request], *, packed: bool) -> None:
        self._model, self._requests, self._packed = model, requests, packed
        self._last = model.n_layers - 1
        self._rows = [0] * len(requests)  # of each prompt, as they climb
        self.leaves: dict[int, Tensor] = {}  # scaled coefficients, layer -> (nodes, d_ff)

    def evaluate(self) -> list[dict[int, Along]]:
        """What the paths of each request look like at its nodes. Raises NotFinite."""
        with torch.enable_grad():
            hidden = self.climb()
            tokens = torch.tensor([request.token for request in self._requests])
            p = p_of(self._model, hidden, tokens.repeat_interleave(torch.tensor(self._rows)))
            gradients = torch.autograd.grad(p.sum(), list(self.leaves.values()))
        return self._sorted(p.detach(), dict(zip(self.leaves, gradients, strict=True)))

    def climb(self) -> Tensor:
        """The last layer's output at the answers of all rows, prompt by prompt, (rows, d_model)."""
        hidden: Tensor | None = None  # (tokens of all rows, d_model)
        first = min(layer for request in self._requests for layer in request.nodes)
        with packed_attention(self._model) if self._packed else nullcontext():
            for layer in range(first, self._last + 1):
                if hidden is not None:
                    hidden = self._through(layer, hidden)
                new = [len(request.nodes.get(layer, ())) for request in self._requests]
                if any(new):
                    leaf = self.leaves[layer] = self._scaled(layer)
                    hidden = self._merged(layer, hidden, self._joining(layer, new, leaf), new)
        assert hidden is not None
        return hidden

    def _scaled(self, layer: int) -> Tensor:
        """The layer's coefficients at the nodes of all prompts, (nodes, d_ff)."""
        parts = []
        for request in self._requests:
            coefficients = request.run.coefficients[layer]
            scale = torch.tensor(
                request.nodes.get(layer, ()), dtype=coefficients.dtype, device=coefficients.device
            )
            parts.append(scale[:, None] * coefficients)
        return torch.cat(parts).requires_grad_(torch.is_grad_enabled())

    def _joining(self, layer: int, new: Sequence[int], leaf: Tensor) -> list[Tensor]:
        """The layer's output in its new rows, for each prompt (tokens of its rows, d_model)."""
        joining = [pair for pair in zip(self._requests, new, strict=True) if pair[1]]
        runs = [request.run for request, _ in joining]
        rows = [count for _, count in joining]
        answer = torch.cat(
            [
                run.inputs[layer][0, run.position].expand(count, -1)
                for run, count in zip(runs, rows, strict=True)
            ]
        )
        outputs = side_by_side([run.outputs[layer] for run in runs], rows)
        call = runs[0].calls[layer]
        written = run_behind_coefficients(
            self._model, layer, answer[None], call=call, outputs=outputs, coefficients=leaf
        )[0]  # (new rows, d_model)
        parts = torch.split(written, list(new))
        return [
            self._filled(layer, request.run, part)
            for request, part in zip(self._requests, parts, strict=True)
        ]

    def _filled(self, layer: int, run: CleanRun, answer: Tensor) -> Tensor:
        """Rows of a whole prompt, from what is at the answer: (rows * tokens, d_model)."""
        if run.tokens == 1 or layer == self._last:
            return answer
        clean = run.behind(layer).to(answer.device).expand(len(answer), -1, -1)
        before, after = clean[:, : run.position], clean[:, run.position + 1 :]
        return torch.cat([before, answer[:, None], after], dim=1).flatten(0, 1)

    def _merged(
        self, layer: int, hidden: Tensor | None, joining: Sequence[Tensor], new: Sequence[int]
    ) -> Tensor:
        """Old and new rows, those of a prompt side by side."""
        tokens = self._tokens(layer + 1)
        if hidden is None:
            parts = list(joining)
        else:
            old = torch.split(hidden, [n * t for n, t in zip(self._rows, tokens, strict=True)])
            parts = [part for pair in zip(old, joining, strict=True) for part in pair]
        self._rows = [old_rows + added for old_rows, added in zip(self._rows, new, strict=True)]
        return torch.cat(parts)

    def _tokens(self, layer: int) -> list[int]:
        """Tokens of each prompt's rows in front of a layer: behind the last one, the answer."""
        return [1 if layer > self._last else request.run.tokens for request in self._requests]

    def _through(self, layer: int, hidden: Tensor) -> Tensor:
        """Run one layer on all rows; of the last one, only the answers come out."""
        if not self._packed:
            return self._one_by_one(layer, hidden)
        if self._model.causal:
            return self._causal(layer, hidden)
        return self._masked(layer, hidden)

    def _causal(self, layer: int, hidden: Tensor) -> Tensor:
        spans = list(self._spans(layer))
        runs = [request.run for request, rows in self._climbing() if rows]
        rows = [rows for rows in self._rows if rows]
        call = runs[0].calls[layer]
        if len({run.length for run in runs}) > 1:
            call = joined_call([run.calls[layer] for run in runs], rows)
        with attending(attend_to_prefixes(spans)):
            return run_layer(self._model, layer, hidden[None], call)[0]

    def _climbing(self) -> Iterator[tuple[Request, int]]:
        return zip(self._requests, self._rows, strict=True)

    def _spans(self, layer: int) -> Iterator[Span]:
        start = 0
        for request, rows in self._climbing():
            if rows:
                yield Span(start, start + rows, request.run.prefixes[layer])
            start += rows

    def _masked(self, layer: int, hidden: Tensor) -> Tensor:
        sizes = [(rows, request.run.tokens) for request, rows in self._climbing() if rows]
        call = self._requests[0].run.calls[layer]
        if layer < self._last:
            with attending(attend_within_rows(sizes)):
                return run_layer(self._model, layer, hidden[None], call)[0]
        try:
            with attending(take_keys):
                run_layer(self._model, layer, hidden[None], call)
        except KeysTaken as taken:
            key, value = taken.key, taken.value
        attend = with_keys(attend_within_rows(sizes, queries=1), key, value)
        with attending(attend):
            return run_layer(self._model, layer, self._answers(hidden)[None], call)[0]

    def _answers(self, hidden: Tensor) -> Tensor:
        """The answer position of each row, (rows, d_model)."""
        return torch.cat([rows[:, run.position] for run, rows in self._by_prompt(hidden)])

    def _by_prompt(self, hidden: Tensor) -> Iterator[tuple[CleanRun, Tensor]]:
        """The rows of each prompt that has some, (rows, tokens, d_model)."""
        lengths = [rows * request.run.tokens for request, rows in self._climbing()]
        for request, part in zip(self._requests, torch.split(hidden, lengths), strict=True):
            if len(part):
                yield request.run, part.view(-1, request.run.tokens, part.shape[1])

    def _one_by_one(self, layer: int, hidden: Tensor) -> Tensor:
        """Run one layer prompt by prompt, in the layer's own attention."""
        hidden = torch.cat(
            [
                run_layer(self._model, layer, rows, run.single_calls[layer]).flatten(0, 1)
                for run, rows in self._by_prompt(hidden)
            ]
        )
        return self._answers(hidden) if layer == self._last else hidden

    def _sorted(self, p: Tensor, gradients: dict[int, Tensor]) -> list[dict[int, Along]]:
        """Results by request and layer; in each request its rows are in the order of layers."""
        along: list[dict[int, Along]] = [{} for _ in self._requests]
        used = [0] * len(self._requests)
        by_prompt = torch.split(p, self._rows)
        for layer, gradient in gradients.items():
            new = [len(request.nodes.get(layer, ())) for request in self._requests]
            for place, part in enumerate(torch.split(gradient.to(p.device), new)):
                if new[place]:
                    own_p = by_prompt[place][used[place] : used[place] + new[place]]
                    self.check(layer, own_p, part)
                    along[place][layer] = Along(p=own_p, gradients=part)
                    used[place] += new[place]
        return along

    def check(self, layer: int, p: Tensor, gradient: Tensor) -> None:
        """Raise NotFinite where p(answer) or a gradient is not a number."""
        if not bool(p.isfinite().all() and gradient.isfinite().all()):
            raise NotFinite(f"layer {layer} (its integration path)", dtype_name(self._model.dtype))
