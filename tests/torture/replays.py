"""Power cuts: states of the disk in which what was not synced is lost or reordered."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import hub_side
from commands import COMMANDS, Command
from disk import LOSSES, Disk, Operation, read_trace, write_after_power_cut
from library import Fault, Kind, Mode
from stage import Ran, Reference, Seen, Stage
from sweeps import Failure, aftermath, points, wrong

from kn_edit.atomic import is_leftover_name

MOST = 50  # operations after which power is cut, each with every loss, in the full form
KILLED_FIRST = 20  # kills of a first run, in the full form
FEW = 3  # of those right after a file got its name, in the short form


@dataclass(frozen=True)
class History:
    """What happened to a disk, and after which operations power is cut, with which losses."""

    label: str
    place: Path
    disk: Disk
    operations: list[Operation]
    cuts: dict[int, tuple[str, ...]]
    acknowledged: bool = True  # whether the command ended well after the last of them


def power_cuts(stage: Stage, name: str, most: int | None, seed: int) -> tuple[int, list[Failure]]:
    """Cut power during a command and after its end; how many states, and what was wrong.

    Also after the end of a command whose first run was killed: what it finds half done must be on
    disk when it says that all is done.
    """
    command, chance = COMMANDS[name], random.Random(seed)
    stage.reference(name)
    count, failures = 0, []
    for history in _histories(stage, command, most, seed):
        for at, operation in enumerate(history.operations, 1):
            history.disk.do(operation)
            done = history.acknowledged and at == len(history.operations)
            for loss in history.cuts.get(at, ()):
                count += 1
                reason, told = _after_a_cut(stage, command, history, loss, chance, done)
                if reason:
                    label = f"{history.label}cut after {at}, {loss} lost"
                    where = f"{operation.kind} {operation.path}"
                    failures.append(Failure(name, label, where, reason, 0, told))
    return count, failures


def _histories(stage: Stage, command: Command, most: int | None, seed: int) -> Iterator[History]:
    """A command, cut anywhere; and a killed run with a second one, cut at its end."""
    place = stage.fresh(command)
    disk = Disk(place / "w")
    operations, _ = _traced(stage, command, place, Fault(Mode.COUNT))
    _keep_hub(command)
    count = MOST if most is None else most
    cuts = {
        at: LOSSES if most is None else LOSSES[number % len(LOSSES) :][:1]
        for number, at in enumerate(points(len(operations) - 1, count, seed))
    }
    yield History(
        "", place, disk, operations, cuts | {len(operations): LOSSES[:: 1 if most is None else 4]}
    )
    stage.remove(place)
    for kill in _first_kills(stage, command, operations, most, seed):
        place = stage.fresh(command)
        disk = Disk(place / "w")
        first, _ = _traced(stage, command, place, kill)
        second, code = _traced(stage, command, place, Fault(Mode.COUNT))
        _keep_hub(command)
        operations = first + second
        cuts = {len(operations): LOSSES[:1]}
        yield History(f"{kill}, again, ", place, disk, operations, cuts, acknowledged=code == 0)
        stage.remove(place)


def _keep_hub(command: Command) -> None:
    if command.hub:
        hub_side.keep("after")


def _first_kills(
    stage: Stage, command: Command, operations: list[Operation], most: int | None, seed: int
) -> Iterator[Fault]:
    """Kills right after a file got its name, before anybody made sure of it; then others."""
    namings = sum(operation.kind in ("rename", "link", "exchange") for operation in operations)
    for at in points(namings, FEW if most is not None else None, seed):
        yield Fault(Mode.TEAR, at, kinds=Kind.RENAME | Kind.LINK | Kind.EXCHANGE)
    if most is None:
        for at in points(stage.reference(command.name).operations, KILLED_FIRST, seed):
            yield Fault(Mode.TEAR, at)


def _traced(
    stage: Stage, command: Command, place: Path, fault: Fault
) -> tuple[list[Operation], int]:
    """What a command did to the disk, and its exit code."""
    ran = stage.run(command, place, fault, place / "trace")
    return list(read_trace(place / "trace")), ran.code


def _after_a_cut(
    stage: Stage, command: Command, history: History, loss: str, chance: random.Random, done: bool
) -> tuple[str | None, str]:
    """What is wrong with a state, if anything, and what the command said when run again."""

    def judge(ran: Ran, seen: Seen, reference: Reference) -> str | None:
        lost = done and not reference.done(seen)
        return "it was acknowledged, and is lost" if lost else None

    place = history.place
    if command.hub:
        hub_side.begin("after")  # nothing of it is on the disk whose power is cut
    shutil.rmtree(place / "w")
    write_after_power_cut(history.disk, place / "w", loss, chance)
    after = stage.aside(lambda: aftermath(stage, command, place))
    # The note that leads gc to work under way beside a target is not flushed: it may be lost.
    files = [name for name in after.files if not is_leftover_name(name.partition("/")[0])]
    reasons = wrong(
        Ran(-9, "", "", ""),
        replace(after, files=files),
        command,
        stage.reference(command.name),
        judge,
    )
    return next(reasons, None), after.told
