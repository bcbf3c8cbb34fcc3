"""Other ways to correct a fact, from their papers' formulas: ROME, and constrained fine-tuning.

Both change one whole down-projection W of a causal LM, here as changes of its value slots, ROME's
of rank one, so that they are folded and measured as kn-edit's edits are.

ROME (Meng et al., "Locating and Editing Factual Associations in GPT", NeurIPS 2022, section 3.1):

    k* = mean over contexts of the coefficients at the subject's last token
    v* = argmin over z of  mean over contexts of -log p(answer | what W writes there is z)
                           + 0.0625 KL(p(. | "SUBJECT is a") after, before) + weight decay
    W' = W + (v* - W k*) (C^-1 k*)^T / ((C^-1 k*)^T k*),    C = mean of k k^T over tokens of texts

The layer is at the depth of theirs, 17 of 48: 10 of 30. Steps, rate, weight decay (0.5 |delta| /
|v|^2), clamp (|delta| <= 4 |v|) and the loss that ends the steps are those of their code for GPT-2
XL, but 25 steps for 20. Contexts are each prompt as it is, and behind ten texts that the model
makes up (five of 5 tokens, five of 10; theirs are twenty). C is of the bundled sentences and the
neutral text that solvers see, in place of 100,000 of Wikipedia; a thousandth of its median diagonal
is added to the diagonal.

FT-L (the constrained fine-tuning that ROME's paper compares with, after Zhu et al. 2020): Adam on
-log p(answer) over W of the first layer, no entry of which moves by more than a bound; 25 steps,
the rate as large as the bound, as in their code. The bound is of a sweep, as theirs is: on three
rows of WikiBigEdit at odd places their 5e-4 (for GPT-2 XL) says no answer of three, 2e-3 one, and
5e-3, taken here, all three.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor

from kn_edit.editing.locating import prompts_for
from kn_edit.editing.neutral import SEEN_TEXTS
from kn_edit.editing.updating import LowRankShifts, Shifts
from kn_edit.edits.suffix import Shift, shifted
from kn_edit.facts import Case, Prompt, Template, bundled, load_relation, neutral_sentences
from kn_edit.facts.fact import SUBJECT
from kn_edit.models.encoding import text_ids
from kn_edit.models.model import Model
from kn_edit.models.questions import Batch, Question, ask, batched
from kn_edit.models.trace import LayerCall, run_from, trace
from kn_edit.neuron import NeuronId

DEPTH = 17 / 47  # of ROME's layer, 0 the first one and 1 the last
PREFIXES = (5,) * 5 + (10,) * 5  # tokens of each
TOP = 5  # likeliest tokens, of which a prefix is drawn
TEXTS = 1500  # bundled sentences of which C is taken
DAMPING = 1e-3
BATCH = 32
STEPS, RATE = 25, 0.5
W_KL, W_DECAY, CLAMP, ENOUGH = 0.0625, 0.5, 4.0, 0.05
FT_LAYER, FT_STEPS, FT_RATE, FT_BOUND, FT_ENOUGH = 0, 25, 5e-3, 5e-3, 1e-2


class Rome:
    """ROME on one model: what all facts share is made once."""

    def __init__(self, model: Model, seed: int = 0) -> None:
        self.layer = round(DEPTH * (model.n_layers - 1))
        self._model = model
        self._prefixes = _prefixes(model, seed)
        self._covariance, self.tokens = _covariance(model, self.layer, Random(seed))

    def edit(self, case: Case, to: str) -> LowRankShifts:
        """The rank-one edit that says a new answer."""
        model, layer = self._model, self.layer
        contexts = self._contexts(case, to)
        essence = _essence(model, case)
        places = [place for _, place in contexts]
        groups = [questions for questions, _ in contexts]
        batch = batched(model, [*(one for group in groups for one in group), essence[0]])
        with torch.no_grad():
            run = trace(model, batch.ids, mask=batch.mask)
        firsts = [sum(map(len, groups[:at])) for at in range(len(groups))]
        rows = [int(batch.rows[first]) for first in firsts]
        keys = run.coefficients[layer][rows, places].float()  # (contexts, d_ff)
        slots = model.slots(layer).float()  # (d_ff, d_model)
        marks = torch.zeros(*batch.ids.shape, 1, device=model.device)
        marks[[*rows, int(batch.rows[-1])], [*places, essence[1]]] = 1
        written = keys[0] @ slots  # at the prompt as it is
        start = _Start(run.inputs[layer], run.calls, batch, list(map(len, groups)))
        delta, steps, loss = self._solved(start, marks, written)
        key = keys.mean(0)
        spread = torch.linalg.solve(self._covariance, key.double()).float()  # C^-1 k*
        change = (written + delta - key @ slots) / (spread @ key)  # (d_model,)
        provenance = {"layer": layer, "steps": steps, "loss": loss, "tokens": self.tokens}
        return LowRankShifts({layer: (spread.cpu(), change.cpu())}, provenance)

    def _contexts(self, case: Case, to: str) -> list[tuple[tuple[Question, ...], int]]:
        """Each with the answer's questions, and the place of the subject's last token."""
        prompts = prompts_for(self._model, case.relation, case.fact)
        plain = [(prompt, "") for prompt in prompts]
        behind = [(prompts[at % len(prompts)], text) for at, text in enumerate(self._prefixes)]
        return [_context(self._model, *each, to) for each in (*plain, *behind)]

    def _solved(self, start: _Start, marks: Tensor, written: Tensor) -> tuple[Tensor, int, float]:
        """v* less what W writes now, (d_model,), the steps that it took, and the loss there."""
        model = self._model
        delta = torch.zeros_like(written, requires_grad=True)
        adam = torch.optim.Adam([delta], lr=RATE)
        before, steps, loss = torch.empty(0), 0, torch.zeros(())
        with torch.enable_grad(), _adding(model, self.layer, marks, delta):
            for _ in range(STEPS):
                hidden = run_from(model, self.layer, start.inputs, start.calls)
                log_p = model.logits(start.batch.at_answer(hidden)).float().log_softmax(-1)
                if steps == 0:
                    before = log_p[-1].detach()
                wanted = log_p[:-1].gather(1, start.batch.tokens[:-1, None]).squeeze(1)
                groups = torch.split(wanted, start.counts)
                loss = -torch.stack([group.mean() for group in groups]).mean()
                loss = loss + W_KL * (log_p[-1].exp() * (log_p[-1] - before)).sum()
                loss = loss + W_DECAY * delta.norm() / written.norm() ** 2
                if float(loss.detach()) < ENOUGH:
                    break
                adam.zero_grad()
                loss.backward()
                adam.step()
                steps += 1
                with torch.no_grad():
                    delta *= (CLAMP * written.norm() / delta.norm()).clamp(max=1)
        return delta.detach(), steps, float(loss.detach())


@dataclass(frozen=True, eq=False)
class _Start:
    """Contexts at the input of the edited layer; counts: questions of each."""

    inputs: Tensor  # (rows, tokens, d_model)
    calls: dict[int, LayerCall]
    batch: Batch
    counts: list[int]


def fine_tuned(model: Model, case: Case, to: str) -> Shifts:
    """FT-L's change of one down-projection that says a new answer."""
    chains = [ask(model, prompt, to) for prompt in prompts_for(model, case.relation, case.fact)]
    batch = batched(model, [question for chain in chains for question in chain.questions])
    index = torch.arange(model.d_ff, device=model.device)
    b = torch.zeros(model.d_ff, model.d_model, device=model.device, requires_grad=True)
    adam = torch.optim.Adam([b], lr=FT_RATE)
    steps, loss = 0, torch.zeros(())
    with torch.enable_grad():
        for _ in range(FT_STEPS):
            with shifted(model, {FT_LAYER: Shift(index, b)}):
                output = trace(model, batch.ids, mask=batch.mask).output
            assert output is not None
            log_p = model.logits(batch.at_answer(output)).float().log_softmax(-1)
            loss = -log_p.gather(1, batch.tokens[:, None]).mean()
            if float(loss.detach()) < FT_ENOUGH:
                break
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            steps += 1
            with torch.no_grad():
                b.clamp_(-FT_BOUND, FT_BOUND)
    provenance = {"layer": FT_LAYER, "steps": steps, "loss": float(loss.detach())}
    neurons = tuple(NeuronId(FT_LAYER, at) for at in range(model.d_ff))
    return Shifts(neurons, b.detach().cpu(), {}, provenance)


@contextmanager
def _adding(model: Model, layer: int, marks: Tensor, delta: Tensor) -> Iterator[None]:
    """Add delta to what a down-projection writes at marked places, (rows, tokens, 1)."""

    def hook(_module: Any, _inputs: Any, written: Tensor) -> Tensor:
        return written + (marks * delta).view_as(written).to(written.dtype)

    handle = model.downs[layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _context(
    model: Model, prompt: Prompt, prefix: str, to: str
) -> tuple[tuple[Question, ...], int]:
    """A prompt behind a text, asked for an answer, and where its subject ends."""
    text = prompt.template.text
    whole = f"{prefix}. {text}" if prefix else text
    asked = Prompt(prompt.fact, Template(whole))
    end = whole.index(SUBJECT) + len(prompt.fact.subject)
    until = text_ids(model, asked.before[:end])
    return ask(model, asked, to).questions, len(until) - 1


def _essence(model: Model, case: Case) -> tuple[Question, int]:
    """The place behind `SUBJECT is a`, whose predictions stay, and where the subject ends there."""
    subject = case.fact.subject
    ids = text_ids(model, f"{subject} is a")
    return Question(ids, len(ids) - 1, 0), len(text_ids(model, subject)) - 1


def _prefixes(model: Model, seed: int) -> list[str]:
    """Texts that the model makes up."""
    vocabulary = model.tokenizer.get_vocab()
    first = vocabulary.get("<|endoftext|>", model.tokenizer.bos_token_id or 0)
    start = torch.tensor([[first]], device=model.device)
    texts = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for tokens in PREFIXES:
            made = model.net.generate(
                start,
                attention_mask=torch.ones_like(start),
                max_new_tokens=tokens,
                do_sample=True,
                top_k=TOP,
                pad_token_id=first,
            )
            text = str(model.tokenizer.decode(made[0, 1:], skip_special_tokens=True))
            texts.append(" ".join(text.replace("[", "(").split()))
    return texts


def _covariance(model: Model, layer: int, draw: Random) -> tuple[Tensor, int]:
    """C of a layer's coefficients, (d_ff, d_ff), float64, and how many tokens it is of."""
    lengths: dict[int, list[tuple[int, ...]]] = {}
    for text in {text_ids(model, text) for text in _texts(draw)}:
        lengths.setdefault(len(text), []).append(text)
    total = torch.zeros(model.d_ff, model.d_ff, dtype=torch.float64, device=model.device)
    count = 0
    for same in lengths.values():
        for start in range(0, len(same), BATCH):
            ids = torch.tensor(sorted(same[start : start + BATCH]), device=model.device)
            stop = layer + 1 if layer + 1 < model.n_layers else None
            with torch.no_grad():
                seen = trace(model, ids, stop_at=stop).coefficients[layer]
            keys = seen.flatten(0, 1).float()
            total += (keys.T @ keys).double()
            count += len(keys)
    total /= count
    total.diagonal().add_(DAMPING * total.diagonal().median())
    return total, count


def _texts(draw: Random) -> Sequence[str]:
    """Neutral sentences that solvers see, and drawn ones of the bundled relations."""
    sentences = [
        f"{prompt.before}{fact.answer}{prompt.after}"
        for name in bundled()
        for relation in [load_relation(name)]
        for fact in relation.facts
        for prompt in relation.prompts(fact)
    ]
    drawn = draw.sample(sentences, min(TEXTS, len(sentences)))
    return [*neutral_sentences()[:SEEN_TEXTS], *drawn]
