"""Errors about prompts and answers that a model cannot be asked."""

from __future__ import annotations

from dataclasses import dataclass

from kn_edit.errors.base import ExitCode, KnEditError, listed


class CannotAsk(KnEditError):
    """A prompt or an answer that this model cannot be asked; another model may well be."""

    exit_code = ExitCode.USAGE


@dataclass
class AnswerNotOneToken(CannotAsk):
    """A masked LM has one mask to fill, and the answer needs several tokens."""

    answer: str
    tokens: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"the answer {self.answer!r} is {len(self.tokens)} tokens for this masked LM "
            f"({listed(self.tokens)}); "
            "choose an answer that is one token, or a causal LM"
        )


@dataclass
class AnswerNotInVocabulary(CannotAsk):
    """The tokenizer turns the answer into its unknown token."""

    answer: str

    def __str__(self) -> str:
        return (
            f"the tokenizer does not know the answer {self.answer!r}; "
            "choose an answer from its vocabulary"
        )


@dataclass
class AnswerTooLong(CannotAsk):
    """An answer of more tokens than an edit can reasonably give."""

    answer: str
    tokens: int
    limit: int

    def __str__(self) -> str:
        return (
            f"the answer {self.answer!r} is {self.tokens:,} tokens for this model and "
            f"kn-edit asks at most {self.limit}; give a shorter answer"
        )


@dataclass
class TokenNotEmbedded(CannotAsk):
    """The tokenizer makes a token of a text that the model has no embedding of."""

    token: str
    id: int
    embeddings: int

    def __str__(self) -> str:
        return (
            f"the tokenizer makes token {self.id} ({self.token}) of a text "
            f"here, and the model has embeddings for {self.embeddings} tokens only; "
            "write the text without it, or use the tokenizer that belongs to the model"
        )


@dataclass
class PromptTooLong(CannotAsk):
    """A text that is longer than what the model was made for."""

    tokens: int
    most: int

    def __str__(self) -> str:
        return (
            f"a prompt is {self.tokens} tokens long, and the model takes at most {self.most}; "
            "shorten the template, the subject or the answer"
        )


@dataclass
class SpecialTokenInText(CannotAsk):
    """A subject, an answer or a template holds the text of one of the tokenizer's own marks."""

    token: str
    text: str

    def __str__(self) -> str:
        return (
            f"{self.text!r} holds {self.token!r}, which this model's tokenizer reads "
            "as a mark of its own and not as text; write it in other words"
        )


@dataclass
class TokenizerFailed(CannotAsk):
    """The checkpoint's tokenizer fails on a text, though it loads and reads others."""

    text: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the model's tokenizer fails on {self.text!r} ({self.reason}); write it in other "
            "words, or use a checkpoint with a sound tokenizer"
        )


@dataclass
class PromptEmpty(CannotAsk):
    """Nothing of a prompt is left when it is tokenised, so there is no place for an answer."""

    prompt: str

    def __str__(self) -> str:
        return (
            f"the tokenizer leaves nothing of the prompt {self.prompt!r}; "
            "write it in words that the model knows"
        )


@dataclass
class NoMaskToken(CannotAsk):
    """A masked LM whose tokenizer has no token to put in place of the answer."""

    def __str__(self) -> str:
        return (
            "the tokenizer of this masked LM has no mask token, so no answer can be asked; "
            "use a checkpoint whose tokenizer names one"
        )
