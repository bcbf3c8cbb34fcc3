"""What stays of a fact that two sides of a merge answer differently: by an option, or asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import click

from kn_edit.canonical import short
from kn_edit.cli.again import again
from kn_edit.cli.many import MOST_OVERLAPS
from kn_edit.cli.options import grouped
from kn_edit.cli.output import Output
from kn_edit.credentials import tokens_in_use
from kn_edit.errors import Advice, FactsDiffer, SlotOverlap
from kn_edit.figures import moment
from kn_edit.safetext import shown
from kn_edit.workspace import Claim, FactConflict, VersionRecord

MEANT = {
    "ours": "keep the answers of the current branch, or of what is named first",
    "theirs": "take the answers of what is merged",
    "both": "keep both edits, in order; nobody measured what the model says then",
}
CHOICES = tuple(MEANT)
MOST_SHOWN = 200  # characters of a name or an answer


@dataclass(frozen=True)
class KeepOptions:
    """What the user said that stays, for all facts."""

    ours: bool
    theirs: bool
    both: bool

    @property
    def choice(self) -> str | None:
        """The choice, if there is one. Raises UsageError for two."""
        chosen = [name for name in CHOICES if getattr(self, name)]
        if len(chosen) > 1:
            raise click.UsageError("--ours, --theirs and --both exclude each other; give one")
        return chosen[0] if chosen else None


def _choice_option(name: str, help_: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(f"--{name}", is_flag=True, help=help_)


keep_options = grouped(
    "keep",
    KeepOptions,
    [
        _choice_option("ours", "Where sides answer a fact differently, keep the first answer."),
        _choice_option("theirs", "There, keep the answer of what is merged."),
        _choice_option("both", "There, keep both edits, in order."),
    ],
)


class Joining(Protocol):
    """A merge that can be tried with other choices."""

    def __call__(
        self, *, keep: str | Callable[[FactConflict], str] | None, allow_overlap: bool
    ) -> VersionRecord: ...


def settled(join: Joining, keep: KeepOptions, allow_overlap: bool, output: Output) -> VersionRecord:
    """Carry out a merge, with what the user chose or, on a terminal, is asked for.

    Raises what the merge raises; FactsDiffer then has commands to try.
    """
    choice = keep.choice
    if _can_ask(output):
        choose = _Chooser(output)
        try:
            return join(keep=choice or choose, allow_overlap=allow_overlap)
        except SlotOverlap as overlap:
            output.meter.stop()
            question = f"{overlap.summary}; go on, in the order of the list?"
            if not click.confirm(question, err=True):
                raise
            return join(keep=choice or choose, allow_overlap=True)
    try:
        return join(keep=choice, allow_overlap=allow_overlap)
    except FactsDiffer as error:
        _tell(error, output)
        context = click.get_current_context()
        error.tries = tuple(
            Advice(MEANT[name], again(context, options={f"--{name}": [""]})) for name in CHOICES
        )
        raise


def _can_ask(output: Output) -> bool:
    """Whether a person sits there, who wants to read."""
    if output.as_json or output.quiet:
        return False
    streams = (sys.stdin, sys.stderr)
    return all(stream is not None and stream.isatty() for stream in streams)


@dataclass
class _Chooser:
    """Asks for each conflict what stays, once."""

    output: Output
    answers: dict[FactConflict, str] = field(default_factory=dict)

    def __call__(self, conflict: FactConflict) -> str:
        if conflict not in self.answers:
            self.output.meter.stop()
            click.echo(_safe(conflict.name), err=True)
            for name, claim in (("ours", conflict.ours), ("theirs", conflict.theirs)):
                click.echo(f"  {name:<6}  {_claimed(claim)}", err=True)
            self.answers[conflict] = click.prompt(
                "keep ours, theirs or both", value_proc=_chosen, err=True
            )
        return self.answers[conflict]


def _chosen(text: str) -> str:
    """The choice that a word, or the beginning of one, stands for. Raises UsageError."""
    typed = text.strip().lower()
    names = [name for name in CHOICES if typed and name.startswith(typed)]
    if len(names) != 1:
        raise click.UsageError("type ours, theirs or both")
    return names[0]


def _claimed(claim: Claim) -> str:
    when = moment(claim.since)
    return f"{_safe(claim.answer_text)}  (edit {short(claim.edit)}, {when} UTC)"


def _safe(text: str) -> str:
    return shown(text, MOST_SHOWN, *tokens_in_use())


def _tell(error: FactsDiffer, output: Output) -> None:
    """Notice each fact, where there are several; the sentence of the error has room for one."""
    facts = error.facts if len(error.facts) > 1 else ()
    for relation, subject, *claims in facts[:MOST_OVERLAPS]:
        our_answer, our_edit, our_time, their_answer, their_edit, their_time = claims
        ours = f"{our_answer} in {error.ours} (edit {short(our_edit)}, {our_time[:10]})"
        theirs = f"{their_answer} in {error.theirs} (edit {short(their_edit)}, {their_time[:10]})"
        output.notice(f"{relation}: {subject} is {ours} and {theirs}")
    if len(facts) > MOST_OVERLAPS:
        output.notice(f"and {len(facts) - MOST_OVERLAPS} more facts; --json has all")
