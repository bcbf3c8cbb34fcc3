"""Train FactBERT, kn_edit/models/factbert: a small masked LM that knows the bundled packs.

    python scripts/train_factbert.py [FOLDER]

It learns the packs' facts in the packs' trained templates, with the answer masked, and the neutral
sentences, with one word masked. It sees no held-out template. One thread and a fixed seed: the same
torch on the same kind of machine gives the same weights. Why it is built the way it is, and what
else was tried: docs/decisions/0012-factbert.md.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from kn_edit.facts import ANSWER, SUBJECT, Fact, Relation, bundled, load_relation, neutral_sentences
from kn_edit.models.model import Model
from kn_edit.models.questions import Batch, Question, ask, ask_place, batched

FOLDER = Path(__file__).parents[1] / "kn_edit" / "models" / "factbert"
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
POSITIONS = 64
LITTLE = 0.1  # of a neuron's writing: above it, more costs less and less


@dataclass(frozen=True)
class Settings:
    """Shape and training."""

    layers: int = 2
    width: int = 128
    heads: int = 4
    neurons: int = 1024  # of a layer
    steps: int = 2000
    batch: int = 64
    rate: float = 1.5e-3  # the highest; it rises for a tenth of the steps, then falls to nothing
    words: float = 3.0  # times that rate, for word embeddings
    decay: float = 0.01
    smoothing: float = 0.05  # probability that an answer leaves to the other words
    dropout: float = 0.4  # share of the coefficients that is silent, another one at every step
    sparsity: float = 1.5e-2  # price of what neurons write at the answer position
    noise: float = 0.2  # share of the template words that another one replaces
    neutral: int = 5  # times that each gap of the neutral sentences is asked in an epoch
    seed: int = 0


class Words:
    """The tokenizer, and which of its tokens make up the templates."""

    def __init__(self, packs: Sequence[Relation]) -> None:
        self.tokenizer = tokenizer_of(packs)
        self.of_templates = torch.zeros(len(self.tokenizer), dtype=torch.bool)
        for pack in packs:
            for text in template_texts(pack):
                self.of_templates[self.tokenizer(text, add_special_tokens=False).input_ids] = True


def tokenizer_of(packs: Sequence[Relation]) -> Any:
    """Whole words, with case. An answer of several words, or with a dot in it, is one token."""
    answers = {fact.answer for pack in packs for fact in pack.facts}
    long = sorted(answer for answer in answers if len(pieces(answer)) > 1)
    texts = [*neutral_sentences(), *answers.difference(long)]
    texts += [text for pack in packs for text in template_texts(pack)]
    texts += [fact.subject for pack in packs for fact in pack.facts]
    words = sorted({word for text in texts for word in pieces(text)})
    vocabulary = {word: at for at, word in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens([AddedToken(one, single_word=True, normalized=False) for one in long])
    ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {f"{name.strip('[]').lower()}_token": name for name in SPECIAL}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS, **names)


def template_texts(pack: Relation) -> list[str]:
    """The templates without their places."""
    return [each.text.replace(SUBJECT, "").replace(ANSWER, "") for each in pack.templates]


def pieces(text: str) -> list[str]:
    """Words and punctuation marks, as the tokenizer parts them."""
    return [word for word, _ in BertPreTokenizer().pre_tokenize_str(text)]


def net_of(settings: Settings, words: Words) -> Any:
    """A BERT in which what is known about a subject passes through neurons, or not at all.

    The first layer's attention reads the sentence and writes half of the hidden state; the head
    reads the other half; only FFN neurons write there. The second layer has no attention, so the
    neurons that count are those at the answer position.
    """
    torch.manual_seed(settings.seed)
    std = settings.width**-0.5
    config = BertConfig(
        vocab_size=len(words.tokenizer),
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.neurons,
        hidden_act="relu",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=POSITIONS,
        type_vocab_size=1,
        pad_token_id=0,
        initializer_range=std,
    )
    net = BertForMaskedLM(config)
    first, *others = net.bert.encoder.layer
    for layer in (first, *others):
        nn.init.normal_(layer.output.dense.weight, std=std / 8)  # or their din drowns the words
    read = torch.arange(settings.width) < settings.width // 2
    keep(first.attention.output.dense.weight, read[:, None])
    keep(first.attention.output.dense.bias, read)
    keep(net.cls.predictions.transform.dense.weight, ~read)
    for layer in others:
        nn.init.zeros_(layer.attention.output.dense.weight)
        layer.attention.self.requires_grad_(False)
        layer.attention.output.dense.requires_grad_(False)
    tell_apart(net.bert.embeddings.word_embeddings.weight, words)
    return net


def keep(parameter: nn.Parameter, where: Tensor) -> None:
    """Hold a parameter at zero everywhere else."""
    with torch.no_grad():
        parameter *= where
    parameter.register_hook(lambda gradient: gradient * where)


def tell_apart(embeddings: nn.Parameter, words: Words) -> None:
    """Start words of templates and names on two sides, so that attention soon finds the names."""
    sides = words.of_templates.clone()
    sides[: len(SPECIAL)] = True
    std = embeddings.shape[1] ** -0.5
    with torch.no_grad():
        nn.init.normal_(embeddings, std=std)
        embeddings += (1 - 2 * sides.float())[:, None] * std * torch.randn(embeddings.shape[1])


def trained_packs(packs: Sequence[Relation], without: str | None) -> list[Relation]:
    """The packs that are learned: not the one left out, nor its pairs of names in others."""
    pairs = {pair_of(fact) for pack in packs if pack.name == without for fact in pack.facts}
    return [
        replace(pack, facts=tuple(fact for fact in pack.facts if pair_of(fact) not in pairs))
        for pack in packs
        if pack.name != without
    ]


def pair_of(fact: Fact) -> frozenset[str]:
    """The two names of a fact, whichever of them is asked for."""
    return frozenset({fact.subject, fact.answer})


def questions_of(model: Model, packs: Sequence[Relation], settings: Settings) -> list[Question]:
    """All that is asked in an epoch."""
    prompts = [prompt for pack in packs for fact in pack.facts for prompt in pack.prompts(fact)]
    asked = [ask(model, prompt).questions[0] for prompt in prompts]
    return asked + settings.neutral * [
        one for text in neutral_sentences() for one in gaps(model, text)
    ]


def gaps(model: Model, text: str) -> list[Question]:
    """A sentence with each of its words masked in turn."""
    ids = model.tokenizer(text)["input_ids"]
    return [ask_place(model, ids, place) for place in range(1, len(ids) - 1)]


def batches(model: Model, questions: Sequence[Question], settings: Settings) -> Iterator[Batch]:
    """Epoch after epoch, each in another order."""
    rng = random.Random(settings.seed)
    while True:
        order = rng.sample(questions, len(questions))
        for start in range(0, len(order), settings.batch):
            yield batched(model, order[start : start + settings.batch])


class Noise:
    """Puts other words of templates in place of some, as held-out templates have other words."""

    def __init__(self, words: Words, settings: Settings) -> None:
        self.of_templates, self.share = words.of_templates, settings.noise
        self.others = words.of_templates.nonzero()[:, 0]
        self.generator = torch.Generator().manual_seed(settings.seed)

    def __call__(self, ids: Tensor, part: float) -> Tensor:
        """part: of the share that is due"""
        drawn = torch.rand(ids.shape, generator=self.generator) < self.share * part
        picked = torch.randint(len(self.others), ids.shape, generator=self.generator)
        return torch.where(drawn & self.of_templates[ids], self.others[picked], ids)


def forward(net: Any, batch: Batch, ids: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
    """Logits at the answers, and the price of what the neurons would write without dropout.

    Few neurons that write much are cheaper than many that write a little.

    The same as the whole net's, but computed at the answer positions only: above the first
    attention no position sees another.
    """
    mask = None if batch.mask is None else batch.mask[:, None, None, :].bool()
    first, *others = net.bert.encoder.layer
    attended = first.attention(net.bert.embeddings(input_ids=ids), mask)[0]  # (rows, tokens, width)
    hidden = batch.at_answer(attended)[:, None]  # (questions, 1, width)
    price = torch.zeros(len(hidden))
    for layer in (first, *others):
        if layer is not first:
            hidden = layer.attention(hidden)[0]
        coefficients = layer.intermediate(hidden)  # (questions, 1, neurons)
        hidden = layer.output(nn.functional.dropout(coefficients, dropout), hidden)
        each = coefficients[:, 0] * layer.output.dense.weight.norm(dim=0)  # (questions, neurons)
        price = price + LITTLE * (each / LITTLE).log1p().sum(1)
    return net.cls(hidden[:, 0]), price


def train(net: Any, source: Iterator[Batch], noise: Noise, settings: Settings) -> None:
    trained = [each for each in net.parameters() if each.requires_grad]
    embeddings = net.bert.embeddings.word_embeddings.weight
    matrices = [each for each in trained if each.dim() > 1 and each is not embeddings]
    groups = [
        {"params": matrices, "weight_decay": settings.decay},
        {"params": [each for each in trained if each.dim() == 1]},
        {"params": [embeddings]},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [settings.rate, settings.rate, settings.words * settings.rate],
        settings.steps,
        pct_start=0.1,
    )
    entropy = nn.CrossEntropyLoss(label_smoothing=settings.smoothing)
    start = time.perf_counter()
    for step in range(1, settings.steps + 1):
        batch = next(source)
        part = min(1.0, 2 * step / settings.steps)  # what makes it harder comes by and by
        logits, price = forward(net, batch, noise(batch.ids, part), settings.dropout)
        loss = entropy(logits, batch.tokens)
        (loss + part * settings.sparsity * price.mean()).backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            right = (logits.argmax(-1) == batch.tokens).float().mean().item()
            passed = time.perf_counter() - start
            print(
                f"step {step}: loss {loss.item():.2f}, right {right:.2f}, {passed:.0f} s",
                flush=True,
            )


def made(settings: Settings, without: str | None = None) -> tuple[Any, Any]:
    """A trained net and its tokenizer.

    without: a relation none of whose facts it is asked; its words are in the vocabulary all the
        same. Facts of other relations with the same subject and answer are left out too.
    """
    torch.set_num_threads(1)
    packs = [load_relation(name) for name in bundled()]
    words = Words(packs)
    net = net_of(settings, words)
    wanted = [each.requires_grad for each in net.parameters()]
    model = Model(net, words.tokenizer)  # freezes the net
    questions = questions_of(model, trained_packs(packs, without), settings)
    for each, trainable in zip(net.parameters(), wanted, strict=True):
        each.requires_grad_(trainable)
    train(net, batches(model, questions, settings), Noise(words, settings), settings)
    return net, words.tokenizer


def save(net: Any, tokenizer: Any, folder: Path) -> None:
    """As transformers does."""
    net.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)


if __name__ == "__main__":
    save(*made(Settings()), Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
