"""Verifying a ledger, backups, tidying."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from kn_edit.errors import LedgerDamaged
from kn_edit.ledger import archive, events, verification
from kn_edit.ledger.opened import OpenLedger
from kn_edit.ledger.records import Problem, Report
from kn_edit.ledger.tidying import GRACE, collect


class UpkeepVerbs(OpenLedger):
    """What looks at the ledger as a whole."""

    def check(self, since: str | None = None) -> list[Problem]:
        """Everything that is wrong with the ledger; the bits of weights are the caller's part.

        since: a digest that `chain` once gave. Raises BadDigest for what is none.
        """
        return list(self.examine(since).problems)

    def examine(self, since: str | None = None) -> Report:
        """What is wrong, what cannot be proven, and the digest of the chain. See `check`."""
        return verification.report(self._database, self.blobs, since, self.delta)

    def chain(self) -> str:
        """The digest of the journal's last event, which stands for all that was ever recorded."""
        with self._database.reading() as connection:
            last = events.last(connection)
        if last is None:
            raise LedgerDamaged(self._database.place, "it has no events")
        return last[1]

    def backup(self, file: Path, notes: Path | None = None) -> None:
        """Write the ledger to one new tar file, while others may use it. `restore` takes it back.

        notes: a folder to note in where work under way is, for `gc` after a kill
        Raises BackupExists, LedgerUnusable, and what reading a damaged delta raises.
        """
        archive.backup(self._database, self.blobs, file, notes)

    def gc(self, *, older_than: timedelta = GRACE) -> list[str]:
        """Remove deltas of no edit, and what killed commands left; where each was.

        Others may write meanwhile. Younger deltas stay: a command that was cut off finds its own
        when it is run again. Raises LedgerBusy, LedgerUnusable.
        """
        return collect(self._database, self.blobs, older_than)
