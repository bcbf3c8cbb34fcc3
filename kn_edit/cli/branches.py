"""Commands on branches: list, make, rename, delete and merge them, go from one to another."""

from __future__ import annotations

from functools import partial

import click

from kn_edit.canonical import short
from kn_edit.cli import records
from kn_edit.cli.history import show_move
from kn_edit.cli.keeping import KeepOptions, keep_options, settled
from kn_edit.cli.opening import pass_workspace
from kn_edit.cli.options import allow_overlap_option, output_options
from kn_edit.cli.output import Output
from kn_edit.workspace import Ref, Workspace, to_json


@click.command()
@click.argument("name", required=False)
@click.argument("version", required=False)
@click.option("--delete", is_flag=True, help="Delete branch NAME; edits and versions stay.")
@click.option("--force", is_flag=True, help="Delete it even if no other branch has its edits.")
@click.option("--rename", is_flag=True, help="Rename NAME to the second name; or the current one.")
@output_options
@pass_workspace
def branch(
    workspace: Workspace,
    name: str | None,
    version: str | None,
    delete: bool,
    force: bool,
    rename: bool,
    output: Output,
) -> None:
    """List the branches, or make NAME at VERSION (the head).

    A branch is a name that moves on with every edit. The current one is marked with *; the first
    one is called main. With -q a list has names only.

    \b
    Examples:
      kn-edit branch
      kn-edit branch capitals
      kn-edit branch before-paris 7309fc339b2f
      kn-edit branch --rename capitals cities
      kn-edit branch --delete cities
    """
    _check_use(name, version, delete=delete, force=force, rename=rename)
    if name is None:
        _list(workspace, output)
    elif delete:
        _deleted(workspace.delete_branch(name, force=force), output)
    elif rename:
        former, new = (name, version) if version else (workspace.current_branch, name)
        _show(workspace.rename_branch(former, new), f"branch {former} is called {new} now", output)
    else:
        created = workspace.branch(name, version or "head")
        done = f"branch {name} is made, at version {short(created.version)}"
        _show(created, done, output, f"go there: kn-edit switch {name}")


@click.command()
@click.argument("name")
@click.argument("version", required=False)
@click.option("--create", "-c", is_flag=True, help="Make the branch first, at VERSION (the head).")
@output_options
@pass_workspace
def switch(
    workspace: Workspace, name: str, version: str | None, create: bool, output: Output
) -> None:
    """Go to branch NAME: from now on edits are recorded there.

    Nothing is loaded or written but the name of the current branch. A command that is at work
    records its edit on the branch where it began.

    \b
    Examples:
      kn-edit switch -c capitals
      kn-edit switch -c again base
      kn-edit switch main
    """
    if version is not None and not create:
        raise click.UsageError("a version belongs to --create; `kn-edit rewind` moves a branch")
    ref = workspace.switch(name, create=create, at=version or "head")
    _show(ref, f"the current branch is {ref.name}, at version {short(ref.version)}", output)


@click.command()
@click.argument("branches", nargs=-1, required=True, metavar="BRANCH...")
@keep_options
@allow_overlap_option
@output_options
@pass_workspace
def merge(
    workspace: Workspace,
    branches: tuple[str, ...],
    keep: KeepOptions,
    allow_overlap: bool,
    output: Output,
) -> None:
    """Put the edits of BRANCH onto the current branch.

    Those that the current branch lacks come after its own, in their order; BRANCH may be any
    version, and of several each is put onto what those before it came to. Where there is none,
    nothing is recorded, and that is no error.

    Two edits, one on each side, that give a fact different answers are a conflict of facts, as is
    an erasure on one side and an update on the other. A terminal asks for each what stays;
    elsewhere --ours (of the current branch), --theirs or --both says it for all. What loses is left
    out whole. With --both both edits are kept in order, and nobody measured what the model says.

    \b
    Examples:
      kn-edit merge capitals
      kn-edit merge capitals languages --theirs
    """
    join = partial(workspace.merge, branches)
    show_move(workspace, lambda: settled(join, keep, allow_overlap, output), output)


def _check_use(
    name: str | None, version: str | None, *, delete: bool, force: bool, rename: bool
) -> None:
    """Raise UsageError for options that say nothing together."""
    if delete and rename:
        raise click.UsageError("--delete and --rename are two things; give one of them")
    if force and not delete:
        raise click.UsageError("--force belongs to --delete")
    if name is None and (delete or rename):
        raise click.UsageError("name the branch")
    if delete and version is not None:
        raise click.UsageError("--delete takes one branch, and no version")


def _list(workspace: Workspace, output: Output) -> None:
    branches = workspace.branches()
    output.show(
        [to_json.branch(record) for record in branches],
        [record.name for record in branches],
        lambda: records.branches(branches),
    )


def _deleted(ref: Ref, output: Output) -> None:
    done = f"branch {ref.name} is deleted; it was at version {short(ref.version)}"
    again = f"bring it back: kn-edit branch {ref.name} {short(ref.version)}"
    _show(ref, done, output, again)


def _show(ref: Ref, done: str, output: Output, further: str = "") -> None:
    """Print what was done with a branch."""
    output.show(
        {"branch": ref.name, "version": ref.version, "current": ref.current},
        [ref.version],
        lambda: [done, *([further] if further else [])],
        done=done,
    )
