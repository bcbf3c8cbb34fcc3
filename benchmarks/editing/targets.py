"""What a layer's output is to be where a subject ends, for the new answer to come.

v* of ROME (Meng et al., 2022, equation 4) and z of MEMIT (Meng et al., 2023, equation 16), for many
facts side by side: a vector d is added to a layer's output at the subject's last token, found by
Adam from zero on

    mean over contexts of -log p(new answer) + W_KL KL("SUBJECT is a" after, before)
    where |d| <= clamp |h|

h is the output there. The papers' decay, 0.5 |d| / |h|^2, is left out: |h|^2 is in the thousands.
Nothing in front of that token changes, so keys and values of what stands
there are computed once, and a step runs the rest of each text through the layers above. A fact
whose loss is small stops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.editing.facts import EditFact
from benchmarks.editing.places import ROWS, Place, contexts, essence, padded
from kn_edit.models.model import Model
from kn_edit.models.trace import LayerCall, SharedPrefix, run_from, stored_keys, trace

W_KL, ENOUGH = 0.0625, 0.05  # as in the papers' code


@dataclass(frozen=True)
class TargetSettings:
    """How targets are found. rate: of Adam, in units of the root mean square of h"""

    steps: int = 20
    rate: float = 0.1
    clamp: float = 4.0


@dataclass(frozen=True, eq=False)
class Targets:
    """places: contexts of each fact, in order; owner: the fact of each; shifts: d of each fact."""

    places: list[Place]
    owner: Tensor  # (places,)
    shifts: Tensor  # (facts, d_model)
    states: Tensor  # h, the mean over a fact's contexts, (facts, d_model)


def targets_of(
    model: Model, facts: Sequence[EditFact], layer: int, settings: TargetSettings
) -> Targets:
    """Find d for each fact at the output of a layer."""
    by_fact = [contexts(model, fact) for fact in facts]
    places = [place for group in by_fact for place in group]
    owner = torch.tensor([number for number, group in enumerate(by_fact) for _ in group])
    names = [essence(model, fact) for fact in facts]
    groups = list(_groups(model, [*places, *names], [*owner.tolist(), *range(len(facts))], layer))
    states = torch.zeros(len(facts), model.d_model)
    for group in groups:
        asked = group.asked
        states.index_add_(0, group.owner[asked], group.hidden[asked, 0].cpu())
    states /= torch.bincount(owner)[:, None]
    shifts = _Descent(model, layer, groups, states, settings).found()
    return Targets(places, owner, shifts, states)


@dataclass(frozen=True, eq=False)
class _Group:
    """Texts from the subject's last token on, side by side, at the input of the layer above.

    Their calls lend them keys and values of what stands in front. rows, positions, tokens: where
    which token is asked; weights: of each, one over the tokens of its answer and the contexts of
    its fact; asked: whether a text asks for an answer; before: log-probabilities behind the last
    token of those that do not
    """

    hidden: Tensor  # (texts, tokens, d_model)
    calls: dict[int, LayerCall]
    shared: SharedPrefix
    pairs: list[tuple[Tensor, Tensor]]  # keys and values that it lends, of each layer
    owner: Tensor  # (texts,)
    asked: Tensor  # (texts,)
    rows: Tensor
    positions: Tensor
    tokens: Tensor
    weights: Tensor
    lasts: Tensor  # (texts,)

    def only(self, texts: Tensor) -> _Group:
        """The group of some of its texts. texts: (texts,), bool"""
        places = texts.nonzero().squeeze(1)
        number = torch.cumsum(texts, 0) - 1
        kept = texts[self.rows]
        pairs = [(keys[places], values[places]) for keys, values in self.pairs]
        shared = SharedPrefix(pairs)
        calls = {
            layer: _of_rows(call, places, len(texts)).with_cache(self.shared, shared)
            for layer, call in self.calls.items()
        }
        return replace(
            self,
            hidden=self.hidden[places],
            calls=calls,
            shared=shared,
            pairs=pairs,
            owner=self.owner[places],
            asked=self.asked[places],
            rows=number[self.rows[kept]],
            positions=self.positions[kept],
            tokens=self.tokens[kept],
            weights=self.weights[kept],
            lasts=self.lasts[places],
        )


def _of_rows(call: LayerCall, places: Tensor, count: int) -> LayerCall:
    """A call for some of its rows."""

    def part(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[places] if value.ndim > 1 and len(value) == count > 1 else value
        if isinstance(value, tuple):
            return tuple(map(part, value))
        return value

    return LayerCall(part(call.args), {name: part(value) for name, value in call.kwargs.items()})


def _groups(
    model: Model, places: Sequence[Place], owner: Sequence[int], layer: int
) -> Iterator[_Group]:
    """Texts with as many tokens in front of the subject's last one, run up to a layer's output."""
    contexts_of = torch.bincount(
        torch.tensor([fact for place, fact in zip(places, owner, strict=True) if place.chain])
    )
    by_end: dict[int, list[int]] = {}
    for number in sorted(range(len(places)), key=lambda number: len(places[number].ids)):
        by_end.setdefault(places[number].end, []).append(number)
    for end, numbers in sorted(by_end.items()):
        for start in range(0, len(numbers), ROWS):
            part = numbers[start : start + ROWS]
            texts, facts = [places[n] for n in part], [owner[n] for n in part]
            yield _group(model, texts, facts, end, layer, contexts_of)


def _group(
    model: Model,
    places: Sequence[Place],
    owner: Sequence[int],
    end: int,
    layer: int,
    contexts_of: Tensor,
) -> _Group:
    from transformers import DynamicCache

    ids = padded([place.ids for place in places])
    cache = DynamicCache(config=model.net.config)
    with torch.no_grad():
        if end:
            trace(model, ids[:, :end], cache=cache)
        pairs = stored_keys(cache)
        shared = SharedPrefix(pairs)
        run = trace(model, ids[:, end:], cache=cache)
    asked = [
        (row, question.position - end, question.token, len(place.chain.questions), owner[row])
        for row, place in enumerate(places)
        if place.chain
        for question in place.chain.questions
    ]
    columns = [torch.tensor(column, dtype=torch.long) for column in zip(*asked, strict=True)]
    rows, positions, tokens, lengths, facts = columns or [torch.zeros(0, dtype=torch.long)] * 5
    return _Group(
        hidden=run.inputs[layer + 1].detach(),
        calls={
            number: call.with_cache(cache, shared)
            for number, call in run.calls.items()
            if number > layer
        },
        shared=shared,
        pairs=pairs,
        owner=torch.tensor(owner),
        asked=torch.tensor([place.chain is not None for place in places]),
        rows=rows,
        positions=positions,
        tokens=tokens,
        weights=1 / (lengths * contexts_of[facts]),
        lasts=torch.tensor([len(place.ids) - 1 - end for place in places]),
    )


class _Descent:
    """Adam on the shifts of all facts at once."""

    def __init__(
        self,
        model: Model,
        layer: int,
        groups: list[_Group],
        states: Tensor,
        settings: TargetSettings,
    ) -> None:
        self._model, self._layer, self._settings = model, layer, settings
        self._groups = groups
        self._norms = states.norm(dim=1)  # (facts,)
        none = torch.zeros_like(states)
        with torch.no_grad():
            self._before = [self._ends(group, self._run(group, none)) for group in groups]

    def found(self) -> Tensor:
        """d of each fact, (facts, d_model)."""
        settings, norms = self._settings, self._norms
        shifts = torch.zeros(len(norms), self._model.d_model, requires_grad=True)
        # In units of the root mean square of h, so that one rate suits every model.
        unit = (norms / self._model.d_model**0.5)[:, None]
        adam = torch.optim.Adam([shifts], lr=settings.rate)
        going = torch.ones(len(norms), dtype=torch.bool)
        for step in range(settings.steps + 1):
            losses, gradient = self._losses(shifts, unit, going)
            going = going & (losses > ENOUGH)
            if step == settings.steps or not going.any():
                break
            shifts.grad = gradient * going[:, None]
            kept = shifts.detach().clone()
            adam.step()
            with torch.no_grad():
                shifts[~going] = kept[~going]
                sizes = (shifts * unit).norm(dim=1)
                most = settings.clamp * norms / sizes.clamp_min(1e-12)
                shifts *= most.clamp(max=1)[:, None]
        return (shifts * unit).detach()

    def _losses(self, shifts: Tensor, unit: Tensor, going: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each fact, (facts,), and the gradient of their sum; of facts that go on."""
        losses = torch.zeros(len(shifts))
        gradient = torch.zeros_like(shifts)
        for group, before in zip(self._groups, self._before, strict=True):
            texts = going[group.owner]
            if not texts.any():
                continue
            part = group if texts.all() else group.only(texts)
            with torch.enable_grad():
                output = self._run(part, shifts * unit)
                asked = output[part.rows, part.positions]
                log_p = self._model.logits(asked).float().log_softmax(-1)
                wanted = log_p.gather(1, part.tokens[:, None]).squeeze(1)
                loss = torch.zeros(len(shifts)).index_add(
                    0, part.owner[part.rows], -wanted * part.weights
                )
                after = self._ends(part, output)
                kl = (after.exp() * (after - before[texts[~group.asked]])).sum(1)
                loss = loss.index_add(0, part.owner[~part.asked], W_KL * kl)
                gradient += torch.autograd.grad(loss.sum(), shifts)[0]
            losses += loss.detach()
        return losses, gradient

    def _run(self, group: _Group, shifts: Tensor) -> Tensor:
        """The last layer's output where each text's subject ends in its fact's shift."""
        first = group.hidden[:, :1] + shifts[group.owner][:, None].to(group.hidden)
        hidden = torch.cat([first, group.hidden[:, 1:]], 1)
        return run_from(self._model, self._layer + 1, hidden, group.calls)

    def _ends(self, group: _Group, output: Tensor) -> Tensor:
        """Log-probabilities behind texts that ask nothing, (texts, vocabulary)."""
        rows = (~group.asked).nonzero().squeeze(1)
        return self._model.logits(output[rows, group.lasts[rows]]).float().log_softmax(-1)
