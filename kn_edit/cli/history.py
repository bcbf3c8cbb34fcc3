"""Commands on the history. Those that only look import no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import click

from kn_edit.canonical import short
from kn_edit.cli import graph, records
from kn_edit.cli.keeping import KeepOptions, keep_options, settled
from kn_edit.cli.many import MOST_OVERLAPS
from kn_edit.cli.opening import pass_workspace
from kn_edit.cli.options import allow_overlap_option, output_options
from kn_edit.cli.output import Output
from kn_edit.errors import listed
from kn_edit.figures import count
from kn_edit.jobs.callers import caller_json, callers_of
from kn_edit.neuron import NeuronId
from kn_edit.workspace import EditRecord, Step, VersionRecord, Workspace, to_json


@click.command()
@output_options
@pass_workspace
def status(workspace: Workspace, output: Output) -> None:
    """The model, where the head is, which edits it holds.

    \b
    Example:
      kn-edit status
    """
    output.show(to_json.status(workspace), [workspace.head.id], lambda: records.status(workspace))


@click.command()
@click.argument("name", required=False, metavar="[BRANCH | REPO[@BRANCH]]")
@click.option("-n", "most", type=click.IntRange(min=1), help="Only so many, the newest.")
@click.option("--all", "every", is_flag=True, help="Every branch and tag, drawn as one graph.")
@output_options
@pass_workspace
def log(
    workspace: Workspace, name: str | None, most: int | None, every: bool, output: Output
) -> None:
    """Every move of a branch, newest first.

    That is the current one, or BRANCH. It goes on with the moves of the one that it was made from.
    Of a move that came through the service it is told who asked for it, and from where (with
    --json: `by`, `address`).
    With REPO (owner/name), the versions that are published there on the Hub, with their commits,
    tags and branches.

    \b
    Examples:
      kn-edit log
      kn-edit log -n 20
      kn-edit log capitals
      kn-edit log --all
      kn-edit log -q | head -1
      kn-edit log me/model
    """
    if every:
        if name is not None:
            raise click.UsageError("--all shows every branch, so name none")
        drawn = workspace.graph(most)
        callers = callers_of(workspace.folder, drawn)
        output.show(
            lambda: [to_json.drawn_step(step) | caller_json(step, callers) for step in drawn],
            [step.version for step in drawn],
            lambda: graph.drawn(drawn, workspace.current_branch, callers),
        )
        _explain_marks(drawn, output)
        return
    branches = {ref.name for ref in workspace.ledger.refs() if ref.kind == "branch"}
    if name is not None and "/" in name and name not in branches:
        releases = workspace.published(name)[:most]
        output.show(
            [to_json.release(release) for release in releases],
            [release.version for release in releases],
            lambda: records.releases(releases),
        )
        return
    steps = workspace.log(most, branch=name or "head")
    callers = callers_of(workspace.folder, steps)
    output.show(
        lambda: [to_json.step(step) | caller_json(step, callers) for step in steps],
        [step.version for step in steps],
        lambda: records.log(steps, callers),
    )
    _explain_marks(steps, output)


def _explain_marks(steps: Sequence[Step], output: Output) -> None:
    """Notice what the mark of some steps means, where people read it."""
    if any(step.overruled for step in steps) and not (output.as_json or output.quiet):
        output.notice("! marks edits that were recorded although the gate refused them")


@click.command()
@click.argument("id_", metavar="ID")
@output_options
@pass_workspace
def show(workspace: Workspace, id_: str, output: Output) -> None:
    """Everything about an edit or a version.

    ID is the first 8 digits of an id or more, a branch, a tag, `head` or `base`.

    \b
    Example:
      kn-edit show head
    """
    record = workspace.show(id_)
    if isinstance(record, EditRecord):
        edit = record
        output.show(to_json.edit(edit), [edit.id], lambda: records.edit(workspace, edit))
    else:
        version, refs = record, workspace.ledger.refs()
        places = [
            publication
            for publication in workspace.ledger.publications()
            if publication.version == version.id
        ]
        moves = workspace.ledger.moves_to(version)
        output.show(
            to_json.version(version, refs)
            | {
                "published": [*map(to_json.publication, places)],
                "moves": [*map(to_json.move, moves)],
            },
            [version.id],
            lambda: records.version(workspace, version, refs, moves, places),
        )


@click.command()
@click.argument("a")
@click.argument("b", default="head")
@output_options
@pass_workspace
def diff(workspace: Workspace, a: str, b: str, output: Output) -> None:
    """What sets two versions apart.

    Edits that only one of them has, the facts by which their joint edits differ, and the value
    slots that they write. B is the head where it is left out. -q gives the ids of those edits.

    \b
    Example:
      kn-edit diff base head
    """
    id_a, id_b = workspace.ledger.version_id(a), workspace.ledger.version_id(b)
    difference = workspace.diff(a, b)
    output.show(
        to_json.difference(id_a, id_b, difference),
        [*difference.only_a, *difference.only_b],
        lambda: records.difference(workspace, id_a, id_b, difference),
    )


@click.command()
@click.argument("neuron")
@output_options
@pass_workspace
def blame(workspace: Workspace, neuron: str, output: Output) -> None:
    """Which edits write the value slot of a neuron.

    The oldest comes first, of a joint edit with its facts. NEURON is written L<layer>.<index>.

    \b
    Example:
      kn-edit blame L9.2141
    """
    entries = workspace.blame(NeuronId.parse(neuron))
    output.show(
        [to_json.blame(entry) for entry in entries],
        [entry.edit.id for entry in entries],
        lambda: records.blame(neuron, entries),
    )


@click.command()
@click.argument("edit", metavar="EDIT | FACT")
@allow_overlap_option
@output_options
@pass_workspace
def revert(workspace: Workspace, edit: str, allow_overlap: bool, output: Output) -> None:
    """Make a new version without EDIT, wherever it stands.

    The weights are rebuilt from the base, so what the edit wrote is gone bit for bit.
    A fact of a joint edit can be taken out of it, by its id or its name as `kn-edit show EDIT`
    lists them. The others are solved for again: the version is the one in which it never was.

    \b
    Examples:
      kn-edit revert 3f9a0c12
      kn-edit revert "capital: France"
    """
    show_move(workspace, lambda: workspace.revert(edit, allow_overlap=allow_overlap), output)


@click.command()
@click.argument("version")
@output_options
@pass_workspace
def rewind(workspace: Workspace, version: str, output: Output) -> None:
    """Move the current branch back to VERSION. Nothing is lost: later versions keep their ids.

    \b
    Examples:
      kn-edit rewind base
      kn-edit rewind before-paris
    """
    show_move(workspace, lambda: workspace.rewind(version), output)


@click.command()
@click.argument("versions", nargs=-1, required=True, metavar="VERSION...")
@keep_options
@allow_overlap_option
@output_options
@pass_workspace
def compose(
    workspace: Workspace,
    versions: tuple[str, ...],
    keep: KeepOptions,
    allow_overlap: bool,
    output: Output,
) -> None:
    """Make a new version with the edits of several. One VERSION is put on top of the head.

    The first VERSION is ours where two of them give a fact different answers; see `kn-edit merge`.

    \b
    Examples:
      kn-edit compose languages
      kn-edit compose capitals languages
    """
    join = partial(workspace.compose, versions)
    show_move(workspace, lambda: settled(join, keep, allow_overlap, output), output)


@click.command()
@click.argument("name")
@click.argument("version", default="head")
@click.option("--move", is_flag=True, help="Let a tag that exists name this version from now on.")
@output_options
@pass_workspace
def tag(workspace: Workspace, name: str, version: str, move: bool, output: Output) -> None:
    """Name a version, by default the head.

    \b
    Example:
      kn-edit tag before-paris
    """
    ref = workspace.tag(name, version, move=move)
    output.show(
        {"version": ref.version, "tag": ref.name},
        [ref.version],
        lambda: [f"{ref.name} is version {short(ref.version)}"],
        done=f"{ref.name} is version {short(ref.version)}",
    )


def show_move(workspace: Workspace, move: Callable[[], VersionRecord], output: Output) -> None:
    """Move the head, and show where it is. Nothing is read afterwards: the move is recorded."""
    before = workspace.ledger.refs()
    head = next(ref.version for ref in before if ref.current)
    version = move()
    refs = [replace(ref, version=version.id) if ref.current else ref for ref in before]
    sums = [each for each in version.overlaps if not each.order_counts]  # others are asked about
    for overlap in sums[:MOST_OVERLAPS]:
        pair = f"edits {short(overlap.edit)} and {short(overlap.other)}"
        output.notice(f"{pair} add to the same slots: {listed(overlap.slot_names)}")
    if len(sums) > MOST_OVERLAPS:
        output.notice(f"and so do {len(sums) - MOST_OVERLAPS} more pairs of edits; --json has all")
    for each in version.settled[:MOST_OVERLAPS]:
        output.notice(str(each))
    if len(version.settled) > MOST_OVERLAPS:
        output.notice(f"and {len(version.settled) - MOST_OVERLAPS} more facts; --json has all")
    for edit in version.returned[:MOST_OVERLAPS]:
        back = f"kn-edit revert {short(edit)}"
        output.notice(f"edit {short(edit)}, which was reverted here, is back; {back} takes it out")
    for edit in version.stayed[:MOST_OVERLAPS]:
        back = f"kn-edit revert {short(edit)}"
        output.notice(f"edit {short(edit)}, which was reverted there, stays; {back} takes it out")
    if version.id == head and not version.settled:
        output.notice("nothing was recorded: the current branch has all of these edits")
    output.show(
        lambda: to_json.moved(version, refs),
        [version.id],
        lambda: [f"the head is {short(version.id)}, with {count(len(version.edits), 'edit')}"],
        done=f"it is recorded, the head is {short(version.id)}",
    )
