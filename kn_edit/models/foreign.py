"""The border to transformers: whatever goes wrong behind it comes back as one typed error.

Strangers' files reach code that was written for friends. What it raises there has any type, from
AttributeError to a panic of the tokenizer library, and any length.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kn_edit.errors import CheckpointUnloadable, KnEditError
from kn_edit.models.quiet import quiet_loading

_NOT_OURS = (KeyboardInterrupt, SystemExit, GeneratorExit)


@contextmanager
def foreign_code(folder: Path, what: str, *, scratch: Path | None = None) -> Iterator[None]:
    """Turn any failure inside the block into CheckpointUnloadable, in silence.

    what: what was tried, for the sentence; scratch: a copy of the folder, not to be named
    """
    try:
        with quiet_loading(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (KnEditError, *_NOT_OURS):
        raise
    except BaseException as error:  # a panic of the tokenizer library is no Exception
        words = " ".join(str(error).split()) or "no reason given"
        if scratch is not None:
            words = words.replace(str(scratch), folder.name)
        reason = f"{what} ({type(error).__name__}: {words[:2000]})"
        raise CheckpointUnloadable(folder, reason) from error
