"""A tokenizer whose failures are one typed error, whatever they are.

The library behind it is written in Rust. What fails there is a panic: a BaseException that no
`except Exception` sees, and whose stack is printed to the process's stderr, whoever catches it. A
stranger's tokenizer can load and read most texts, and fail on one.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from kn_edit.errors import KnEditError, TokenizerFailed

_NOT_OURS = (KnEditError, KeyboardInterrupt, SystemExit, GeneratorExit)
_STDERR = threading.RLock()  # one at a time, or the wrong stderr is put back


class GuardedTokenizer:
    """Does what a tokenizer of transformers does, and raises TokenizerFailed where that fails.

    plain: the tokenizer itself
    """

    def __init__(self, tokenizer: Any) -> None:
        self.plain: Any = tokenizer.plain if isinstance(tokenizer, GuardedTokenizer) else tokenizer

    def __call__(self, *texts: Any, **options: Any) -> Any:
        return _guarded(self.plain, texts, options)

    def __len__(self) -> int:
        return len(self.plain)

    def __getattr__(self, name: str) -> Any:
        if name == "plain":  # of a copy on its way
            raise AttributeError(name)
        attribute = getattr(self.plain, name)
        if not callable(attribute):
            return attribute

        def method(*values: Any, **options: Any) -> Any:
            return _guarded(attribute, values, options)

        return method


def _guarded(function: Any, values: tuple[Any, ...], options: dict[str, Any]) -> Any:
    try:
        with _held_back():
            return function(*values, **options)
    except _NOT_OURS:
        raise
    except BaseException as error:
        words = " ".join(str(error)[:2000].split())
        text = str(values[0])[:2000] if values else ""
        raise TokenizerFailed(text, f"{type(error).__name__}: {words}") from error


@contextmanager
def _held_back() -> Iterator[None]:
    """Hold back what the block writes to the process's stderr, and drop it if the block fails.

    Other threads may write there meanwhile, so it is not dropped otherwise.
    """
    with _STDERR, ExitStack() as opened:
        try:
            stderr = os.dup(2)
            opened.callback(os.close, stderr)
            held = _file_in_memory()
            opened.callback(os.close, held)
        except OSError:  # no stderr, or too many files: then the stack is seen
            yield
            return
        os.dup2(held, 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
        if size := os.fstat(held).st_size:
            with suppress(OSError):
                os.write(2, os.pread(held, size, 0))


def _file_in_memory() -> int:
    """The descriptor of a new file without a name."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("stderr")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
