"""The border to transformers: whatever goes wrong behind it comes back as one typed error.

Strangers' files reach code that was written for friends. What it raises there has any type, from
AttributeError to a panic of the tokenizer library, and any length.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kn_edit.errors import CheckpointUnloadable, KnEditError, is_out_of_memory
from kn_edit.models.logging import quiet_loading

_NOT_OURS = (KeyboardInterrupt, SystemExit, GeneratorExit)


@contextmanager
def foreign_code(folder: Path, failure: str, *, scratch: Path | None = None) -> Iterator[None]:
    """Turn any failure inside the block into CheckpointUnloadable, in silence.

    failure: what cannot be done, for the sentence; scratch: a copy of the folder, not to be named
    """
    try:
        with quiet_loading(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (KnEditError, *_NOT_OURS):
        raise
    except BaseException as error:  # a panic of the tokenizer library is no Exception
        if is_out_of_memory(error):  # of the machine, not of the files
            raise
        words = " ".join(str(error).split()) or "no reason given"
        if scratch is not None:
            words = words.replace(str(scratch), folder.name)
        reason = f"{failure} ({type(error).__name__}: {words[:2000]})"
        raise CheckpointUnloadable(folder, reason) from error


@contextmanager
def muted() -> Iterator[None]:
    """Keep what libraries write to the process's stderr themselves away, for a moment.

    A panic of the tokenizer library prints its stack there, whoever catches it.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
