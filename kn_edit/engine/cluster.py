"""Which workers compute beside this process. Importing this needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from kn_edit.errors import require_whole


@dataclass(frozen=True)
class Cluster:
    """Workers of Ray that compute shares, each with a model of its own. Raises BadSetting.

    workers: how many; address: of a Ray cluster that runs, `host:6379` or `auto`; None to start
        one on this machine, which ends with the workspace
    """

    workers: int = 2
    address: str | None = None

    def __post_init__(self) -> None:
        require_whole("the workers", self.workers, 1)
