"""A served workspace: the verbs of `Workspace` by name, with results as the JSON of `--json`."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from kn_edit.client.moving import MovingVerbs


class RemoteWorkspace(MovingVerbs):
    """A workspace that `kn-edit serve` serves. Use it as a context manager, or `close` it.

    Verbs have the names of `Workspace`, and the arguments of the command line by keyword; results
    are the JSON that commands print with `--json`. Verbs that run the model are jobs of the
    service: a call waits for its job, and tells `progress` how far it has come. A call that ends
    early, by Ctrl-C, leaves its job running: `cancel` ends it.
    A verb that moves a branch builds on the version that the branch is at when the call begins,
    or on `expected_head`; where another caller moves it meanwhile, the verb raises HeadMoved.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
