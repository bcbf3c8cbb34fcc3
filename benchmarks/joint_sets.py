"""Whether a joint edit is a function of its set of facts, tried on many of them.

    python benchmarks/joint_sets.py --data FILE [--facts 200] [--tried 20] [--seed 0]
        [--model demo]

The first facts of a file, in an order drawn by the seed, are made one joint edit of a workspace.
Then the same facts are solved for in so many other orders; and so many facts, drawn, are taken out
of the edit, one at a time, each compared with the edit that is made of the other facts and never
heard of that one. What is compared is the digest of the delta, a SHA-256 over its bytes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from random import Random

import torch

from kn_edit.editing.drafts import EditContext
from kn_edit.editing.joint_base import JointBase
from kn_edit.editing.joint_held import JointSurroundings
from kn_edit.editing.joint_members import member_fact
from kn_edit.editing.joint_update import EndsPart, joint_shifts
from kn_edit.edits.members import Member
from kn_edit.edits.settings import JointSettings
from kn_edit.facts import Case, read_cases
from kn_edit.workspace import Workspace


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--facts", type=int, default=200)
    parser.add_argument("--tried", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", default="demo")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    cases = _drawn(chosen.data, chosen.facts, chosen.seed)
    with (
        tempfile.TemporaryDirectory() as folder,
        Workspace.init(chosen.model, Path(folder) / "work") as workspace,
    ):
        made = workspace.update_many(cases, how="joint", accept=True)
        print(f"{len(cases)} facts: edit {made.edit}", flush=True)
        solver = _Solver(workspace, cases)
        draw = Random(chosen.seed)
        orders = [draw.sample(solver.members, len(cases)) for _ in range(chosen.tried)]
        digests = {solver.digest(order) for order in orders}
        same = "that of the edit" if digests == {made.edit} else "not that of the edit alone"
        print(f"{chosen.tried} other orders: {len(digests)} digest, {same}", flush=True)
        equal, seconds = 0, 0.0
        for member in draw.sample(solver.members, chosen.tried):
            began = time.perf_counter()
            without = workspace.revert(member.id).edits
            seconds += time.perf_counter() - began
            others = [other for other in solver.members if other is not member]
            equal += tuple(without) == (solver.digest(others),)
            workspace.rewind(str(made.version))
        each = seconds / chosen.tried
        print(f"{chosen.tried} facts taken out: {equal} digests equal, {each:.1f} s each")


class _Solver:
    """Solves for facts that were looked at once, without a ledger."""

    def __init__(self, workspace: Workspace, cases: list[Case]) -> None:
        self._context = EditContext(workspace.engine)
        with workspace.engine.at([]) as live:
            self._base = JointBase.of(self._context, live, JointSettings())
            self.members = [
                member_fact(self._base, case, str(case.target)).member for case in cases
            ]

    def digest(self, members: list[Member]) -> str:
        """The digest of the delta that these facts come to."""
        with self._context.engine.at([]):
            ends = EndsPart.of(JointSurroundings.of(self._base, members))
        shifts = joint_shifts(self._context.engine, ends)
        return shifts.delta(self._context.engine.place).id


def _drawn(file: Path, most: int, seed: int) -> list[Case]:
    """So many facts of a file, each about a subject of its own."""
    cases = {case.fact.subject: case for case in read_cases(file) if case.target}
    return Random(seed).sample([*cases.values()], most)


if __name__ == "__main__":
    main()
