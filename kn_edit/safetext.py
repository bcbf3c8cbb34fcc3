"""Text of strangers, made safe to show: in a terminal, a log, a card, a page.

Subjects, tags, tensor names and what a server answers can hold escape sequences that set a
window's title or wipe its screen, marks that turn the reading order round, a megabyte of letters,
or the very token of the user. What is shown goes through here. Letters of every script stay.
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # Unicode categories that draw no letter
_BLANK = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # letters and marks that draw nothing
_JOINERS = "\u200c\u200d"  # needed inside words of Persian, Hindi and others, and in emoji
_MARKS = {"Mn", "Me"}  # drawn over the letter before them
_MOST_MARKS = 4  # over one letter; Hebrew and Vietnamese need three
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNUSUAL = re.compile(r"[^\x20-\x7e]")
_SECRET = re.compile(
    r"(?i)\b(?:hf_(?!endpoint\b)[A-Za-z0-9]{8,}|api_org_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{16,}"
    r"|kne_[A-Za-z0-9_-]{16,}"  # of the service
    r"|AKIA[A-Z0-9]{16}|sk-[A-Za-z0-9_-]{16,}|eyJ[A-Za-z0-9_-]{8,999}\.[A-Za-z0-9_-]{8,}[A-Za-z0-9._-]*)"
)
_NAMED_SECRET = re.compile(  # what stands after these words, whatever it looks like
    r"""(?ix) ( authorization ["']? \s* [:=] \s* ["']? (?: (?:bearer|basic|token) \s+ )?
      | \b bearer \s+ (?= \S* \d )
      | \b basic \s+ (?= [a-z]* [0-9+/=] ) (?= [a-z0-9+/]{12,} =* (?: \W | $ ) )
      | [?&] (?: x-amz-signature | x-amz-security-token | x-amz-credential | signature | sig
               | (?:access_|api_)? token | api_?key | password ) =
      | (?:^|[\s"'{,;]) (?: cookie | set-cookie | x-api-key ) ["']? \s* [:=] \s* ["']?
      ) [^\s"'&,;<>]{4,} """
)
_URL_USER = re.compile(r"(\b\w[\w+.-]{0,20}://)[^\s/@:]*:[^\s/@]+@")
STRUCK = "[secret]"
_WINDOW = 2048  # characters that are looked through, beside those that may be shown


def escaped(text: str, keep: str = "") -> str:
    """The text with every control, bidirectional and unassigned character as its escape.

    Joiners stay inside words and emoji, and a few combining marks over each letter.
    keep: control characters that may stay, such as line breaks
    """
    if text.isascii() and text.isprintable():
        return text

    def replaced(match: re.Match[str]) -> str:
        letter = match[0]
        if letter in keep or not _hides(match):
            return letter
        return _SHORT.get(letter) or _escape(letter)

    return _UNUSUAL.sub(replaced, text)


def escaped_json(text: str) -> str:
    """A JSON text with the characters that `escaped` replaces as \\u escapes: the same value.

    Line breaks between the values stay; inside strings JSON has none.
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return text

    def replaced(match: re.Match[str]) -> str:
        letter = match[0]
        if letter == "\n" or not _hides(match):
            return letter
        code = ord(letter)
        if code < 0x10000:
            return f"\\u{code:04x}"
        code -= 0x10000
        return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"

    return _UNUSUAL.sub(replaced, text)


def shortened(text: str, most: int) -> str:
    """The text, or its two ends where it is longer than so many characters."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 1]}…{text[len(text) - tail :]}"


def shown(text: str, most: int, *secrets: str) -> str:
    """The text as it may be shown: without secrets, escaped, of at most so many characters."""
    return shortened(escaped(struck(text, 2 * most, *secrets)), most)


def struck(text: str, most: int, *secrets: str) -> str:
    """The text without secrets, of at most so many characters, however long it is.

    Secrets go first: half a token would not be known as one.
    """
    for secret in filter(None, secrets):
        text = text.replace(secret, STRUCK)
    return shortened(without_secrets(shortened(text, 4 * most + _WINDOW)), most)


def without_secrets(text: str, *secrets: str) -> str:
    """The text without whatever looks like a token, and without these very ones."""
    for secret in filter(None, secrets):
        text = text.replace(secret, STRUCK)
    text = _SECRET.sub(STRUCK, text)
    text = _NAMED_SECRET.sub(rf"\1{STRUCK}", text)
    return _URL_USER.sub(rf"\1{STRUCK}@", text)


def inert_markdown(text: str) -> str:
    """A text for a cell or a line of Markdown that stays text: no link, mention, strike or HTML.

    What some renderer would make a link of (an address, a mention, a number of an issue) becomes
    code, the one place where none of them looks.
    """
    line = escaped(" ".join(text.split()))
    if not _ACTIVE.search(line):
        return _PUNCTUATION.sub(r"\\\1", line)
    return code_span(line)


def code_span(text: str) -> str:
    """A text as code in Markdown, in a table too, whatever it holds."""
    line = escaped(" ".join(text.split())).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    if not longest:
        return f"`{line}`"
    fence = "`" * (longest + 1)
    return f"{fence} {line} {fence}"


_PUNCTUATION = re.compile(r"([\\`*_\[\]<>|#!&])")
_ACTIVE = re.compile(r"://|[@#~$^]|(?i:www\.|mailto:|xmpp:)|\w\.[^\W\d_]|\b[0-9a-f]{7,}\b")


def _hides(match: re.Match[str]) -> bool:
    """Whether a character of a text draws nothing, moves others, or piles up on a letter."""
    letter, text, start = match[0], match.string, match.start()
    category = unicodedata.category(letter)
    if letter in _JOINERS:
        return not (_joins(text[start - 1 : start]) and _joins(text[start + 1 : start + 2]))
    if category in _MARKS and letter not in _BLANK:
        before = text[max(start - _MOST_MARKS, 0) : start]
        return len(before) == _MOST_MARKS and all(
            unicodedata.category(mark) in _MARKS for mark in before
        )
    return category in _HIDDEN or letter in _BLANK


def _joins(neighbour: str) -> bool:
    """Whether a joiner beside it can mean anything: a letter, a mark or a sign beyond ASCII."""
    return (
        bool(neighbour) and ord(neighbour) > 0x2FF and unicodedata.category(neighbour)[0] in "LMS"
    )


def _escape(letter: str) -> str:
    code = ord(letter)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
