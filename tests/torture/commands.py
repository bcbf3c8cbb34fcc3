"""The commands that write, each with the workspace that it begins in."""

from __future__ import annotations

from dataclasses import dataclass

from hub_side import REPO

# Places in the arguments: the model, its relation pack, ids that a template knows.
MODEL, PACK, FIRST = "{model}", "{pack}", "{first}"

HEAVY = 240  # points of a command that takes long, or does hundreds of operations


@dataclass(frozen=True)
class Command:
    """A command, and what is true of it.

    template: the folder that it begins in, of stage.py
    target: what it writes beside the ledger, if anything
    hub: the state of the Hub that it begins with, of stage.py
    cache: whether operations on its cache count too; what it prints is the same with any cache
    again: exit codes of the same command where it was carried out already
    """

    name: str
    template: str
    args: tuple[str, ...]
    target: str | None = None
    again: tuple[int, ...] = (0,)
    partly: bool = False  # what it writes or removes may be done in part, and then be finished
    hub: str | None = None
    cache: bool = False
    repeats: bool = False  # run again where it is done, it does more of the same
    points: int | None = None  # operations that are tried in the full form; None: all
    rare: bool = False  # in the full form only

    @property
    def heavy(self) -> bool:
        return self.points is not None


KNOWN = ("--relation", "{known}", "--rule", "activation", "--accept", "--limit", "3")
FACT = ("--relation", PACK, "--rule", "activation", "--accept")
DONE_ALREADY = (1, 3)

COMMANDS = {
    command.name: command
    for command in (
        Command("init", "empty", ("init", MODEL)),
        Command(
            "update",
            "edited",
            ("update", *FACT, "--subject", "Cuba", "--to", "Oslo"),
            again=(0, 2, 3, 8),
            points=HEAVY,
        ),
        Command(
            "erase",
            "fresh",
            (
                "erase",
                *KNOWN,
                "--top-k",
                "2",
                "--with",
                "zero",
                "--limit",
                "3",
                "--threshold",
                "0.1",
            ),
            again=(0, 1, 2, 3, 8),
            repeats=True,
            points=HEAVY,
        ),
        Command("revert", "edited", ("revert", FIRST, "--allow-overlap"), again=DONE_ALREADY),
        Command("rewind", "edited", ("rewind", "base"), again=DONE_ALREADY),
        Command("compose", "apart", ("compose", "v1", "v2", "--allow-overlap"), again=DONE_ALREADY),
        Command("merge", "branched", ("merge", "other", "--allow-overlap")),
        Command("branch", "edited", ("branch", "more"), again=DONE_ALREADY, rare=True),
        Command("switch", "branched", ("switch", "other"), rare=True),
        Command("switch-create", "edited", ("switch", "-c", "more"), again=DONE_ALREADY),
        Command(
            "branch-delete", "branched", ("branch", "--delete", "other"), again=(1,), rare=True
        ),
        Command("branch-rename", "branched", ("branch", "--rename", "other", "more"), again=(1,)),
        Command("tag", "edited", ("tag", "v2")),
        Command("tag-move", "edited", ("tag", "--move", "v1")),
        Command("tag-after-a-kill", "hot", ("tag", "v2")),
        Command("gc", "littered", ("gc",), ".kn-edit/blobs", partly=True),
        Command("backup", "edited", ("backup", "saved.tar"), "saved.tar", DONE_ALREADY, cache=True),
        Command("restore", "saved", ("restore", "saved.tar"), again=DONE_ALREADY),
        Command("restore-replace", "behind", ("restore", "saved.tar", "--replace"), repeats=True),
        Command("base-set", "edited", ("base", "set", MODEL)),
        *(
            Command(
                f"export-{form}",
                "edited",
                ("export", "out", "--as", form),
                "out",
                (1, 2, 3),
                points=HEAVY if form == "checkpoint" else None,
                cache=form == "delta",
            )
            for form in ("checkpoint", "adapter", "patch", "delta")
        ),
        Command("report", "edited", ("report", "out"), "out/report.html", points=HEAVY, rare=True),
        Command(
            "report-edit",
            "edited",
            ("report", "out", "--edit", FIRST),
            "out/report.html",
            rare=True,
        ),
        Command(
            "reproduce",
            "fresh",
            ("reproduce", "out", "--quick", "--relation", "{known}", "--edits", "1"),
            "out/results.md",
            partly=True,
            points=12,
            rare=True,
        ),
        Command("locate", "edited", ("locate", *KNOWN[:4], "--limit", "2"), cache=True),
        Command("evaluate", "edited", ("evaluate",), cache=True, points=HEAVY, rare=True),
        Command("upgrade", "old", ("tag", "after")),
        Command("upgrade-of-the-first", "oldest", ("tag", "after"), rare=True),
        Command("upgrade-by-looking", "old", ("log",), rare=True),
        Command("push", "edited", ("push", REPO), hub="earlier", points=HEAVY),
        Command("push-new", "edited", ("push", REPO, "--as", "delta", "--tag", "v1"), hub="bare"),
        Command(
            "push-adapter", "edited", ("push", REPO, "--as", "adapter"), hub="earlier", rare=True
        ),
        Command("rollback", "edited", ("rollback", REPO, "--to", "v0"), hub="published"),
        Command("pull", "fresh", ("pull", REPO), hub="published"),
    )
}
