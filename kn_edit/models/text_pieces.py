"""The text of tokens while they come, with nothing of it told that a later token would change."""

from __future__ import annotations

from collections.abc import Sequence

from kn_edit.models.model import Model

CONTEXT = (
    5  # tokens of the prompt that are decoded too: whether a space comes first depends on them
)


class TextPieces:
    """Turns tokens into text as they come, up to the first stop string.

    prompt: the tokens in front, of which no text is told
    stop: strings that end the text; they are not part of it
    """

    def __init__(self, model: Model, prompt: Sequence[int], stop: Sequence[str] = ()) -> None:
        self._model = model
        self._tokens = list(prompt[-CONTEXT:])
        self._stop = tuple(stop)
        self._start = 0  # decoded from this token on
        self._read = len(self._tokens)  # the text of the tokens before it was taken
        self._held = ""  # text that was taken and not told: a stop string may begin in it
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that is certain now. Letters of several tokens wait for their last one."""
        self._tokens.append(token)
        text = self._new_text()
        if not text or text.endswith("\ufffd"):
            # A mark, that is no text and tells no word of a space; or a letter whose other bytes
            # are in the next tokens. The tokens before it are still needed.
            return ""
        self._start, self._read = self._read, len(self._tokens)
        return self._released(text)

    def end(self) -> str:
        """What was held back; no token comes any more."""
        if self.stopped:
            return ""
        text = self._released(self._new_text())
        text, self._held = text + self._held, ""
        return text

    def _new_text(self) -> str:
        """What the unread tokens add to the text of those in front of them."""
        before = self._decoded(self._tokens[self._start : self._read])
        return self._decoded(self._tokens[self._start :])[len(before) :]

    def _decoded(self, tokens: Sequence[int]) -> str:
        decoded = self._model.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return str(decoded)

    def _released(self, text: str) -> str:
        """The text that no stop string can begin in any more; up to the first stop string."""
        text = self._held + text
        places = [place for stop in self._stop if (place := text.find(stop)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        held = max((_overlap(text, stop) for stop in self._stop), default=0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]


def _overlap(text: str, stop: str) -> int:
    """The length of the longest beginning of a stop string that the text ends with."""
    lengths = range(min(len(text), len(stop) - 1), 0, -1)
    return next((length for length in lengths if text.endswith(stop[:length])), 0)
