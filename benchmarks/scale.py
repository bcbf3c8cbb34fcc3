"""Updates that workers compute beside each other: CPU seconds of each process, bytes that travel.

    python benchmarks/scale.py [--model demo-bert] [--facts 6] [--workers 1 2]

Capital facts that the model knows, each updated to the next one's answer, as a dry run: by this
process, then by so many workers of Ray on this machine. CPU seconds, because they do not depend on
what else the machine does; those of a worker are told with and without its start, in which it
imports and loads the model. The edits must be the same, or the run fails. Bytes are those of a
share and of what it comes to, as they are pickled; deltas of the version travel once for a worker.
"""

from __future__ import annotations

import argparse
import os
import pickle
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from kn_edit.editing.drafting import UpdateShare
from kn_edit.editing.locating import Locator, Search
from kn_edit.editing.method import Kind
from kn_edit.edits.delta import Delta
from kn_edit.engine.engine import Engine
from kn_edit.facts import Case, load_relation
from kn_edit.progress import silent
from kn_edit.workspace import Cluster, Workspace
from kn_edit.workspace.making import Making
from kn_edit.workspace.on_head import requests_at, terms_of

Row = tuple[Case, str]


@dataclass(frozen=True)
class ClockShare:
    """Asks which process this is and how long it computed. The model is loaded, if it was not."""

    def computed(self, engine: Engine, deltas: Sequence[Delta]) -> tuple[int, float]:
        """The process and its CPU seconds."""
        with engine.at(deltas):
            return os.getpid(), time.process_time()


def clocks(workspace: Workspace, workers: int) -> dict[int, float]:
    """CPU seconds of every worker, none of which computes anything now."""
    seconds: dict[int, float] = {}
    while len(seconds) < workers:
        shares = [ClockShare()] * (2 * workers)
        seconds |= dict(result for _, result in workspace.engine.workers.results([], shares))
    return seconds


def known_rows(workspace: Workspace, count: int) -> list[Row]:
    """Facts that the model knows, each with the answer of the next."""
    relation = load_relation("capital")
    with workspace.engine.at([]) as live:
        locator = Locator(live, Search(), silent)
        known = (fact for fact in relation.facts if locator.knows(relation, fact))
        facts = [*islice(known, count + 1)]
    return [(Case(relation, fact), following.answer) for fact, following in pairwise(facts)]


def made(workspace: Workspace, rows: Sequence[Row]) -> list[str]:
    """The edits of a dry run of all rows, computed anew."""
    batch = workspace.batch(rows, dry_run=True, accept=True, at_once=len(rows))
    return [result.edited.draft.delta.id for result in batch if result.edited]


def traffic(workspace: Workspace, rows: Sequence[Row]) -> tuple[int, int]:
    """Bytes of the largest share, and of what it comes to."""
    making = Making.of(Kind.UPDATE, None, accept=True, dry_run=True)
    cases, targets = [case for case, _ in rows], [to for _, to in rows]
    terms = terms_of(workspace, making.how, ())
    requests = requests_at(workspace, workspace.head, cases, targets)
    shares = [UpdateShare(request, making.method, terms) for request in requests]
    result = shares[0].computed(workspace.engine, [])
    return max(len(pickle.dumps(share)) for share in shares), len(pickle.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo-bert")
    parser.add_argument("--facts", type=int, default=6)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["KN_EDIT_CACHE"] = str(folder / "cache here")
        with Workspace.init(chosen.model, folder / "work") as alone:
            rows = known_rows(alone, chosen.facts)
            start, began = time.process_time(), time.monotonic()
            expected = made(alone, rows)
            seconds, passed = time.process_time() - start, time.monotonic() - began
            print(
                f"{len(rows)} facts; this process: {seconds:.1f} CPU s, {passed:.0f} s", flush=True
            )
            share, result = traffic(alone, rows)
            print(f"a share: {share} bytes; what it comes to: {result} bytes", flush=True)
        for workers in chosen.workers:
            os.environ["KN_EDIT_CACHE"] = str(folder / f"cache {workers}")
            with Workspace.open(folder / "work", cluster=Cluster(workers)) as workspace:
                before = clocks(workspace, workers)
                start, began = time.process_time(), time.monotonic()
                assert made(workspace, rows) == expected
                own, passed = time.process_time() - start, time.monotonic() - began
                after = clocks(workspace, workers)
            each = sorted(f"{after[process] - before[process]:.1f}" for process in before)
            starts = sorted(f"{each_start:.1f}" for each_start in before.values())
            print(
                f"{workers} workers: {', '.join(each)} CPU s (starts {', '.join(starts)}); "
                f"this process {own:.1f} CPU s; {passed:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
