"""Trials over the operations of a command, and what must be true after each of them."""

from __future__ import annotations

import contextlib
import errno
import io
import random
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from commands import COMMANDS, Command
from library import DISK, GROWING, Fault, Kind, Mode
from stage import Ran, Reference, Seen, Stage

import kn_edit.errors
from kn_edit.cli.run import run

TYPED = set(kn_edit.errors.__all__)
# Errors that say that it cannot be known whether something is recorded, or there.
UNCLEAR = {"CommitUnknown", "CommitUnclear", "WriteUnknown"}
# Errors that say that the Hub has it, and what is left to do.
PUBLISHED = {"NotFinished", "NotNoted"}
STOPPED = 130
NOTHING = "nothing was written"


@dataclass(frozen=True)
class Failure:
    """A trial after which something was not true."""

    command: str
    fault: str
    operation: str
    reason: str
    code: int
    told: str


@dataclass(frozen=True)
class Aftermath:
    """What stood there after a trial, and after the same command was run again."""

    seen: Seen
    again: int
    told: str
    out: str
    final: Seen
    files: list[str]


def points(count: int, most: int | None, seed: int) -> list[int]:
    """Operations 1 to count: all, or `most` of them spread evenly."""
    if most is None or most >= count:
        return list(range(1, count + 1))
    chance = random.Random(seed)
    step = count / most
    return sorted({1 + int(step * (at + chance.random())) for at in range(most)})


def kills(stage: Stage, name: str, most: int | None, seed: int) -> tuple[int, list[Failure]]:
    """kill -9 before and in the middle of operations; how many, and what was wrong."""
    count = stage.reference(name).operations
    faults = [
        Fault(Mode.KILL if (at + seed) % 2 else Mode.TEAR, at) for at in points(count, most, seed)
    ]
    if most is None:  # each operation both ways
        faults = [Fault(mode, at) for at in range(1, count + 1) for mode in (Mode.KILL, Mode.TEAR)]
    return _tried(stage, name, faults, _after_a_kill)


def errors(stage: Stage, name: str, most: int | None, seed: int) -> tuple[int, list[Failure]]:
    """The n-th operation fails, once or for good; how many trials, and what was wrong."""
    count = stage.reference(name).operations
    forms = [
        Fault(Mode.FAIL, kinds=DISK, number=errno.EIO),
        Fault(Mode.FAIL_ON, kinds=DISK, number=errno.EIO),
        Fault(Mode.FAIL_ON, kinds=GROWING, number=errno.ENOSPC),
        Fault(Mode.FAIL, kinds=GROWING, number=errno.ENOSPC),
        Fault(Mode.FAIL, kinds=DISK, number=errno.EINTR),
    ]
    if COMMANDS[name].hub:
        forms += [
            Fault(mode, kinds=Kind.SEND, number=errno.ECONNRESET)
            for mode in (Mode.FAIL, Mode.FAIL_ON)
        ]
    if most is None:
        return _until_clean(stage, name, forms)
    faults = [
        replace(forms[number % len(forms)], at=at)
        for number, at in enumerate(points(count, most, seed))
    ]
    return _tried(stage, name, faults, after_an_error)


def _until_clean(stage: Stage, name: str, forms: list[Fault]) -> tuple[int, list[Failure]]:
    """Let the first operation fail, the second, and so on, until a run meets no fault."""
    count, failures = 0, []
    for form in forms:
        hits, at = 1, 0
        while hits:
            at += 1
            fault = replace(form, at=at)
            ran, reason = trial(stage, COMMANDS[name], fault, after_an_error)
            hits, count = ran.hits, count + 1
            if reason:
                failures.append(_failure(name, fault, ran, reason))
    return count, failures


def signals(stage: Stage, name: str, most: int | None, seed: int) -> tuple[int, list[Failure]]:
    """SIGINT and SIGTERM at operations; how many, and what was wrong."""
    count = stage.reference(name).operations
    numbers = (signal.SIGINT, signal.SIGTERM)
    faults = [Fault(Mode.SIGNAL, at, number=numbers[at % 2]) for at in points(count, most, seed)]
    if most is None:
        faults = [Fault(Mode.SIGNAL, at, number=n) for n in numbers for at in range(1, count + 1)]
    return _tried(stage, name, faults, _after_a_signal)


Judge = Callable[[Ran, Seen, Reference], str | None]


def _tried(stage: Stage, name: str, faults: list[Fault], judge: Judge) -> tuple[int, list[Failure]]:
    failures = []
    for fault in faults:
        ran, reason = trial(stage, COMMANDS[name], fault, judge)
        if reason:
            failures.append(_failure(name, fault, ran, reason))
    return len(faults), failures


def _failure(name: str, fault: Fault, ran: Ran, reason: str) -> Failure:
    told = (ran.err or ran.out)[-600:]
    return Failure(name, str(fault), ran.report, reason, ran.code, told)


def trial(stage: Stage, command: Command, fault: Fault, judge: Judge) -> tuple[Ran, str | None]:
    """Run a command with a fault, look, run it again, look; what is wrong, if anything."""
    reference = stage.reference(command.name)
    place = stage.fresh(command)
    try:
        ran = stage.run(command, place, fault)
        after = stage.aside(lambda: aftermath(stage, command, place))
        return ran, next(wrong(ran, after, command, reference, judge), None)
    finally:
        stage.remove(place)


def aftermath(stage: Stage, command: Command, place: Path) -> Aftermath:
    """Look, run the command again, look, let gc tidy; call it in a child."""
    seen = stage.look(command, place)
    code, out, told = repeated(stage, command, place)
    final = stage.look(command, place)
    files = stage.kept(place) if final.ledger is not None else []
    return Aftermath(seen, code, told, out, final, files)


def repeated(stage: Stage, command: Command, place: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command without faults; call it in a child."""
    stage.enter(place)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(stage.arguments(command))
    return code, out.getvalue(), err.getvalue()


def wrong(
    ran: Ran, after: Aftermath, command: Command, reference: Reference, judge: Judge
) -> Iterator[str]:
    """What is not as it should be after a trial."""
    seen, final = after.seen, after.final
    if seen.problem:
        yield f"the ledger cannot be read: {seen.problem}"
    if seen.ledger not in (reference.old.ledger, reference.new.ledger):
        yield f"the ledger is neither the old nor the new one: {difference(seen, reference)}"
    if not command.partly and not whole(seen, command, reference):
        yield f"{command.target or 'what the Hub holds'} is there in part"
    noted = seen.ledger == reference.new.ledger != reference.old.ledger
    if command.hub and noted and seen.target != reference.new.target:
        yield "it is noted, and not published"
    if "Traceback" in ran.err or "Exception ignored" in ran.err:
        yield "a traceback was printed"
    if ran.code == 0 and not same(seen, reference.new):
        yield "exit 0, and it is not done"
    reason = judge(ran, seen, reference)
    if reason:
        yield reason
    outputs = {out for code, out in ((ran.code, ran.out), (after.again, after.out)) if code == 0}
    if command.cache and not outputs <= {reference.out}:
        yield "it gave other figures"
    done = same(seen, reference.new) and not same(reference.old, reference.new)
    if after.again not in (command.again if done else (0,)):
        state = "it is done" if done else "it is not done"
        yield f"run again ({state}) it ended with {after.again}: {after.told[-300:]}"
    more = command.repeats and done and after.again == 0
    if final.problem or not (same(final, reference.new) or more):
        yield f"run again it did not do it: {final.problem or difference(final, reference)}"
    rest = sorted(set(after.files) - set(reference.files))
    if rest and not more:
        yield f"nobody collects {', '.join(rest)}"
    if set(reference.files) - set(after.files):
        yield f"missing: {', '.join(sorted(set(reference.files) - set(after.files)))}"


def whole(seen: Seen, command: Command, reference: Reference) -> bool:
    """Whether the target is as before or as it shall be; of the Hub, files first and tags then."""
    old, new = reference.old.target, reference.new.target
    if not (command.hub and seen.target and old and new):
        return seen.target in (old, new)
    return seen.target in (old, new, {"files": new["files"], "tags": old["tags"]})


def same(one: Seen, other: Seen) -> bool:
    return one.ledger == other.ledger and one.target == other.target


def difference(seen: Seen, reference: Reference) -> str:
    """The parts of the ledger that differ from the new state."""
    if seen.ledger is None or reference.new.ledger is None:
        return "there is no ledger" if seen.ledger is None else "there is one"
    parts = [
        f"{key}: {seen.ledger[key]}"[:300]
        for key, value in reference.new.ledger.items()
        if seen.ledger[key] != value
    ]
    return "; ".join(parts) or "the target"


def _after_a_kill(ran: Ran, seen: Seen, reference: Reference) -> str | None:
    acknowledged = ran.code == 0 or ran.out.strip()
    if acknowledged and not reference.done(seen):
        return "it was acknowledged, and is lost"
    return None


def after_an_error(ran: Ran, seen: Seen, reference: Reference) -> str | None:
    """What is wrong where a command ended with an error: no typed one, or it was done."""
    if ran.code == 0:
        return None
    kind = str(ran.error.get("error", ""))
    if kind not in TYPED or ran.error.get("code") != ran.code:
        return f"no typed error, but {kind or 'none'} with exit code {ran.code}"
    published = kind in PUBLISHED and seen.target != reference.old.target
    if kind in PUBLISHED and not published:
        return f"{kind}, and it is not there"
    if kind not in UNCLEAR and not published and reference.changed(seen):
        return f"{kind}, and yet it was done"
    return None


def _after_a_signal(ran: Ran, seen: Seen, reference: Reference) -> str | None:
    changed = not same(seen, reference.old)
    if NOTHING in ran.err and changed:
        return "it says that nothing was written, and something was"
    if ran.code not in (0, STOPPED, 128 + signal.SIGTERM, -signal.SIGTERM):
        return f"it ended with {ran.code}"
    return None


def report(count: int, failures: list[Failure]) -> dict[str, object]:
    """A sweep's outcome as JSON."""
    return {"trials": count, "failures": [asdict(failure) for failure in failures]}
