"""What a caller may have set in torch, set aside while a verb runs, so that numbers stay the same.

Notebooks work inside `torch.inference_mode()`, set a default dtype or device, or run under
autocast. None of it may reach kn-edit's numbers, and no tensor of an inference mode may reach its
solver. Importing this needs no torch: who has not imported it has set nothing.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from kn_edit.errors import ModelInUse, WorkspaceClosed

if TYPE_CHECKING:
    from collections.abc import Callable


class Closable(Protocol):
    """What has verbs, as long as it is open."""

    folder: Path
    closed: bool

    def _during_a_verb(self) -> AbstractContextManager[None]:
        """What holds for the time of a verb."""


P = ParamSpec("P")
S = TypeVar("S", bound=Closable)
T = TypeVar("T")


def verb(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """A method that needs an open workspace, and runs undisturbed. Raises WorkspaceClosed."""

    @wraps(method)
    def called(self: S, *args: P.args, **named: P.kwargs) -> T:
        if self.closed:
            raise WorkspaceClosed(self.folder)
        with undisturbed(), self._during_a_verb():
            return method(self, *args, **named)

    return cast("Callable[Concatenate[S, P], T]", called)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Torch as it is when nobody has set anything: float32, CPU, no inference mode, no autocast.

    Products of float32 matrices have all digits.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        precision = torch.get_float32_matmul_precision()
        if precision != "highest":  # products of float32 with the digits of 16-bit numbers
            torch.set_float32_matmul_precision("highest")
            stack.callback(torch.set_float32_matmul_precision, precision)
        dtype = torch.get_default_dtype()
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, dtype)
        yield


class InUse:
    """A mark on something that one block at a time may use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: int | None = None

    @contextmanager
    def once(self) -> Iterator[None]:
        """Mark it inside the block. Raises ModelInUse where it is marked."""
        if not self._lock.acquire(blocking=False):
            raise ModelInUse(nested=self._thread == threading.get_ident())
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = None
            self._lock.release()
