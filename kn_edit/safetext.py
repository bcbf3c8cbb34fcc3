"""Text of strangers, made safe to show: in a terminal, a log, a card, a page.

Subjects, tags, tensor names and what a server answers can hold escape sequences that set a
window's title or wipe its screen, marks that turn the reading order round, a megabyte of letters,
or the very token of the user. What is shown goes through here.
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # Unicode categories that draw no letter
_JOINERS = "\u200c\u200d"  # needed inside words of Persian, Hindi and others, and in emoji
_SECRET = re.compile(
    r"(?i)\b(?:hf_[A-Za-z0-9]{8,}|api_org_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{16,}"
    r"|AKIA[A-Z0-9]{16}|sk-[A-Za-z0-9_-]{16,}|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}[A-Za-z0-9._-]*"
    r"|(?<=bearer )\S+|(?<=basic )[A-Za-z0-9+/=]{8,})"
)
STRUCK = "[secret]"


def escaped(text: str, keep: str = "") -> str:
    """The text with every control, bidirectional and unassigned character as its escape.

    keep: control characters that may stay, such as line breaks
    """
    if text.isprintable() and text.isascii():
        return text
    return "".join(
        letter if letter in keep or not _hidden(letter) else _escape(letter) for letter in text
    )


def shortened(text: str, most: int) -> str:
    """The text, or its two ends where it is longer than so many characters."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 1]}…{text[len(text) - tail :]}"


def without_secrets(text: str, *secrets: str) -> str:
    """The text without whatever looks like a token, and without these very ones."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, STRUCK)
    return _SECRET.sub(STRUCK, text)


def _hidden(letter: str) -> bool:
    return unicodedata.category(letter) in _HIDDEN and letter not in _JOINERS


def _escape(letter: str) -> str:
    code = ord(letter)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
