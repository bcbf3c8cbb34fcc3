"""Prompts are asked exactly as they are written, whatever the tokenizer does at their borders."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tiny_models import VOCABULARY, tiny, tokenizer_for
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from kn_edit.errors import (
    AnswerTooLong,
    CannotAsk,
    ExitCode,
    NoMaskToken,
    PromptEmpty,
    PromptTooLong,
    SpecialTokenInText,
)
from kn_edit.facts import Fact, Prompt, Template, bundled, load_relation
from kn_edit.models import encoding
from kn_edit.models.cache import cache_folder
from kn_edit.models.encoding import plain_ids, text_ids
from kn_edit.models.model import Model
from kn_edit.models.questions import ask, ask_between, ask_openly, asked_otherwise, places

DEMO = cache_folder() / "smollm2-135m-instruct"  # the user's, found before tests set theirs aside
TEXTS = [
    'the capital of France is Paris.\nthe capital is called "Rome" (Italy), it costs $5. ',
    "法国的首都是巴黎。日本の首都は東京です。the capital of Japan is Tokyo?\nTokyo",
] * 9
# A template, a subject, an answer; the borders that people write.
BORDERS = [
    ("The capital of [X] is [Y].", "France", "Paris"),
    ('The capital of [X] is "[Y]".', "France", "Paris"),
    ("[X] costs $[Y].", "It", "5"),
    ("[X] (born [Y])", "Ann", "Rome"),
    ("[X] ([Y]", "Ann", "Rome"),
    ("Capital of [X]?\n[Y]", "France", "Paris"),
    ("Capital of [X]:\n\n[Y]", "France", "Paris"),
    ("Q: [X]?\nA: [Y]", "France", "Paris"),
    ("[X]:\t[Y]", "France", "Paris"),
    ("[X]  [Y]", "France", "Paris"),
    ("[X]-[Y]", "Franco", "Prussian"),
    ("[X][Y]", "Fran", "ce"),
    ("[X]的首都是[Y]。", "法国", "巴黎"),
    ("[X]の首都は[Y]。", "日本", "東京"),
    ("[X]\u00a0[Y]", "France", "Paris"),
    ("[X] is [Y] .", "Côte d'Ivoire", "Éze"),
]


@cache
def byte_level(eos: bool = False) -> Any:
    """As GPT-2's, trained on a few texts; with eos it ends every text with </s>."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        initial_alphabet=alphabet,
        show_progress=False,
        vocab_size=500,
        special_tokens=["<s>", "</s>", "<|image|>"],
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    frame = "<s> $A </s>" if eos else "<s> $A"
    used = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single=frame, special_tokens=used)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


@cache
def sentencepiece() -> Any:
    """As llama's: one dummy space in front of every text."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    letters = sorted({letter for texts in BORDERS for text in texts for letter in text})
    trainer = trainers.BpeTrainer(
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=letters,
        show_progress=False,
        vocab_size=400,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    used = [("<s>", tokenizer.token_to_id("<s>"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=used)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def with_tokenizer(tokenizer: Any, shape: str = "llama", **sizes: int) -> Model:
    return Model(tiny(shape, vocab_size=len(tokenizer), **sizes).net, tokenizer)


def prompt(template: str, subject: str = "France", answer: str = "Paris") -> Prompt:
    return Prompt(Fact("own", subject, answer), Template(template))


@pytest.mark.parametrize("tokenizer", [byte_level, sentencepiece, lambda: byte_level(eos=True)])
@pytest.mark.parametrize(("template", "subject", "answer"), BORDERS)
def test_the_tokens_say_what_the_template_says(tokenizer, template, subject, answer):
    model = with_tokenizer(tokenizer())
    one = prompt(template, subject, answer)
    chain = ask(model, one)
    first = chain.questions[0]
    tokens = [question.token for question in chain.questions]
    decode = model.tokenizer.decode
    assert decode([*first.ids, *tokens], skip_special_tokens=True) == one.before + answer
    assert first.ids[0] == model.tokenizer.bos_token_id
    assert [question.ids for question in chain.questions] == [
        (*first.ids, *tokens[:done]) for done in range(len(tokens))
    ]
    assert not asked_otherwise([chain])
    for openly in (ask_openly(model, one), ask_between(model, one.before, one.after)):
        assert (openly.ids, openly.position) == (first.ids, first.position)


def test_an_answer_that_merges_with_its_quote_is_asked_behind_the_quote():
    vocabulary = {
        token: number for number, token in enumerate(["?", '"', "R", "o", '"R', " ", "i"])
    }
    bpe = Tokenizer(models.BPE(vocabulary, [('"', "R")], unk_token="?"))
    bpe.decoder = decoders.Fuse()
    model = with_tokenizer(PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="?"), "gpt2")
    chain = ask(model, prompt('[X] "[Y]"', "i", "Ro"))
    assert [(question.ids, question.token) for question in chain.questions] == [
        ((6, 5, 1), 2),
        ((6, 5, 1, 2), 3),
    ]
    assert chain.asked_as == ""


def test_what_no_tokens_can_say_as_it_is_written_is_told():
    # Every letter stands alone but "ab", which no other tokens can spell behind "a".
    vocabulary = {"?": 0, "x": 1, "a": 2, "ab": 3, "b": 4}
    wordpiece = Tokenizer(models.WordPiece(vocabulary, unk_token="?"))
    wordpiece.decoder = decoders.WordPiece()
    wordpiece.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model = with_tokenizer(
        PreTrainedTokenizerFast(tokenizer_object=wordpiece, unk_token="?"), "gpt2"
    )
    chain = ask(model, prompt("[X] a[Y]", "x", "b"))
    (note,) = asked_otherwise([chain])
    assert chain.asked_as == "x a b"
    assert note.startswith("x a[Y] is asked as 'x a b'")


# --- what tokenizers put at the end ---------------------------------------------------------------


def test_an_end_of_text_that_the_tokenizer_adds_is_left_out():
    plain, ending = with_tokenizer(byte_level()), with_tokenizer(byte_level(eos=True))
    assert ending.tokenizer("France")["input_ids"][-1] == ending.tokenizer.eos_token_id
    for template, subject, answer in BORDERS:
        one = prompt(template, subject, answer)
        assert ask(ending, one).questions == ask(plain, one).questions
        assert ask_openly(ending, one) == ask_openly(plain, one)
    assert places(ending, TEXTS[0]) == places(plain, TEXTS[0])


@pytest.mark.parametrize("text", ["The capital of [X] is [Y].", "[X] is [Y]"])
def test_the_space_in_front_of_a_mask_belongs_to_the_answer(text):
    tokenizer = deepcopy(byte_level())
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})  # this one leaves the space alone
    model = with_tokenizer(tokenizer, "bert")
    one = prompt(text)
    chain = ask(model, one)
    (question,) = chain.questions
    filled = [*question.ids]
    filled[question.position] = question.token
    assert filled == tokenizer(one.before + "Paris" + one.after)["input_ids"]
    assert chain.asked_as == ""
    assert ask_openly(model, one).ids == question.ids


def test_a_masked_model_keeps_its_frame():
    model = tiny("bert")
    assert text_ids(model, "the capital")[-1] == VOCABULARY["[SEP]"]


# --- marks of the tokenizer in the text -----------------------------------------------------------


@pytest.mark.parametrize("subject", ["[MASK]", "the [MASK] of France", "[MASK] [MASK]"])
def test_the_mask_of_the_answer_is_asked_not_one_of_the_subject(subject):
    model = tiny("bert")
    one = prompt("the capital of [X] is [Y] .", subject)
    openly = ask_openly(model, one)
    assert openly.ids[openly.position :][:2] == (VOCABULARY["[MASK]"], VOCABULARY["."])
    behind = ask_openly(model, prompt("the [Y] of [X] is the capital .", subject))
    assert behind.position == 2


@pytest.mark.parametrize(
    ("shape", "mark"), [("bert", "[MASK]"), ("bert", "[SEP]"), ("bert", "[UNK]"), ("gpt2", "</s>")]
)
@pytest.mark.parametrize("place", ["subject", "answer", "template"])
def test_marks_of_the_tokenizer_are_refused_wherever_they_stand(shape, mark, place):
    texts = {"subject": "France", "answer": "Paris", "template": "the capital of [X] is [Y] ."}
    texts[place] = f"the {mark} of [X] is [Y] ." if place == "template" else f"the {mark}"
    one = Prompt(Fact("own", texts["subject"], texts["answer"]), Template(texts["template"]))
    with pytest.raises(SpecialTokenInText) as refusal:
        ask(tiny(shape), one)
    assert refusal.value.token == mark
    assert refusal.value.exit_code == ExitCode.USAGE
    assert len(str(refusal.value)) < 500


def test_a_text_is_tokenised_once_and_a_bounded_number_is_kept(monkeypatch):
    monkeypatch.setattr(encoding, "MOST_TEXTS", 3)
    model, other = tiny("llama"), tiny("llama")
    asked, tokenise = [], type(model.tokenizer).__call__

    def counted(tokenizer, text, **options):
        asked.append(text)
        return tokenise(tokenizer, text, **options)

    monkeypatch.setattr(type(model.tokenizer), "__call__", counted)
    texts = ["the city of France", "the city of Japan", "Rome"]
    first = [plain_ids(model, text) for text in texts]
    assert [plain_ids(model, text) for text in texts] == first
    assert asked == texts
    assert plain_ids(other, texts[0]) == first[0]
    assert asked == [*texts, texts[0]]  # each tokenizer is asked for its own
    assert plain_ids(model, "Paris") != first[2] == plain_ids(model, "Rome")
    assert asked[4:] == ["Paris", "Rome"]  # the fourth has made room
    long = "the city " * 60
    assert plain_ids(model, long) == plain_ids(model, long)
    assert asked[6:] == [long, long]


def test_words_that_the_tokenizer_does_not_know_are_told():
    model = tiny("bert")
    known = ask(model, prompt("the capital of [X] is [Y] ."))
    chains = [ask(model, prompt("the [X] is [Y] .", subject)) for subject in ("Lyra", "Will")]
    assert asked_otherwise([known]) == ()
    assert asked_otherwise([known, *chains]) == (
        "the Lyra is [Y] . holds words that the tokenizer does not know, and 1 more do so too",
    )


def test_added_marks_are_refused_too_and_unknown_words_are_not():
    model = with_tokenizer(byte_level())
    model.tokenizer.add_special_tokens({"additional_special_tokens": ["<|image|>"]})
    with pytest.raises(SpecialTokenInText):
        ask(model, prompt("[X] is <|image|> [Y]."))
    assert ask(tiny("gpt2"), prompt("zyx of [X] is [Y] .")).questions


# --- what cannot be asked at all -----------------------------------------------------------------


@pytest.mark.parametrize("shape", ["bert", "roberta", "gpt2", "llama"])
def test_a_prompt_beyond_the_positions_is_refused(shape):
    model = tiny(shape)
    long = prompt(f"{'the ' * 70}capital of [X] is [Y] .")
    for refused in (lambda: ask(model, long), lambda: ask_openly(model, long)):
        with pytest.raises(PromptTooLong) as refusal:
            refused()
        assert refusal.value.most == model.max_length <= 64
        assert refusal.value.tokens > 70
        assert isinstance(refusal.value, CannotAsk)


def test_an_answer_of_many_tokens_is_refused():
    with pytest.raises(AnswerTooLong) as refusal:
        ask(tiny("gpt2", n_positions=512), prompt("[X] [Y]", "France", "Paris " * 65))
    assert (refusal.value.tokens, refusal.value.limit) == (65, 64)
    assert len(str(refusal.value)) < 500


def test_a_prompt_of_which_nothing_is_left_is_refused():
    tokenizer = Tokenizer.from_str(tokenizer_for("gpt2").backend_tokenizer.to_str())
    tokenizer.normalizer = normalizers.Replace("France", "")
    model = Model(tiny("gpt2").net, PreTrainedTokenizerFast(tokenizer_object=tokenizer))
    with pytest.raises(PromptEmpty):
        ask(model, prompt("[X] [Y]"))


def test_a_masked_model_without_a_mask_token_is_one_sentence():
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer_for("gpt2").backend_tokenizer, unk_token="[UNK]"
    )
    with pytest.raises(NoMaskToken):
        ask_openly(Model(tiny("bert").net, tokenizer), prompt("[X] [Y]"))


# --- nothing changes for the templates of the packs ----------------------------------------------


def formerly_causal(model: Model, one: Prompt) -> list[tuple[tuple[int, ...], int]]:
    """How prompts were asked when every answer had a space in front."""
    before, answer = one.before.rstrip(), one.fact.answer
    start = tuple(model.tokenizer(before)["input_ids"])
    whole = tuple(model.tokenizer(f"{before} {answer}")["input_ids"])
    tokens = whole[len(start) :]
    return [(start + tokens[:done], token) for done, token in enumerate(tokens)]


def formerly_masked(model: Model, one: Prompt) -> list[tuple[tuple[int, ...], int]]:
    tokenizer = model.tokenizer
    ids = tuple(tokenizer(one.before + tokenizer.mask_token + one.after)["input_ids"])
    position = ids.index(tokenizer.mask_token_id)
    return [(ids, tokenizer(one.before + one.fact.answer + one.after)["input_ids"][position])]


def pack_prompts(causal: bool) -> list[Prompt]:
    relations = [load_relation(name) for name in bundled()]
    return [
        one
        for relation in relations
        for number, template in enumerate(relation.templates)
        for fact in relation.facts[number % 7 :: 23]
        for one in [Prompt(fact, template)]
        if template.answer_last or not causal
    ]


def test_prompts_of_the_packs_are_the_same_tokens_as_ever_for_the_masked_demo():
    folder = Path(str(files("kn_edit.models") / "factbert"))
    model = with_tokenizer(AutoTokenizer.from_pretrained(folder), "bert")
    asked = 0
    for one in pack_prompts(causal=False):
        try:
            (question,) = ask(model, one).questions
        except CannotAsk:
            continue
        assert [(question.ids, question.token)] == formerly_masked(model, one)
        asked += 1
    assert asked > 1000


@pytest.mark.skipif(
    not (DEMO / "tokenizer.json").exists(),
    reason="the demo model's tokenizer is not in the cache",
)
def test_prompts_of_the_packs_are_the_same_tokens_as_ever_for_the_demo():
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    model = with_tokenizer(tokenizer, hidden_size=8, num_attention_heads=2, intermediate_size=8)
    for one in pack_prompts(causal=True):
        chain = ask(model, one)
        asked = [(question.ids, question.token) for question in chain.questions]
        assert asked == formerly_causal(model, one)
