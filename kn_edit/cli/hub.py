"""Commands on the Hub: push, pull, rollback. `log REPO` is beside the other log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from kn_edit.canonical import short
from kn_edit.cli.form_options import FormName, check_max_rank, follow_links_option, max_rank_option
from kn_edit.cli.opening import pass_workspace
from kn_edit.cli.options import output_options, version_option
from kn_edit.cli.output import Output
from kn_edit.cli.signals import signal_of
from kn_edit.cli.stops import StoppedOnTheWay
from kn_edit.figures import count
from kn_edit.workspace import Workspace, to_json

if TYPE_CHECKING:
    from kn_edit.workspace import Pushed

branch_option = click.option(
    "--branch", metavar="B", default="main", show_default=True, help="Of the repository."
)


@click.command()
@click.argument("repo")
@version_option
@click.option(
    "--as",
    "form",
    type=FormName(publishable=True),
    default="checkpoint",
    show_default=True,
    help="A full model; a PEFT LoRA; the edits with their order.",
)
@branch_option
@click.option("--tag", metavar="NAME", help="Tag the commit; a tag never moves.")
@click.option("--pr", "offer", is_flag=True, help="Offer it as a pull request.")
@click.option("--private", is_flag=True, help="Only you see a repository that this makes.")
@max_rank_option
@click.option("--license", metavar="L", help="As the Hub spells it (that of the base).")
@follow_links_option
@output_options
@pass_workspace
def push(
    workspace: Workspace,
    repo: str,
    version: str,
    form: str,
    branch: str,
    tag: str | None,
    offer: bool,
    private: bool,
    max_rank: int | None,
    license: str | None,
    follow_links: bool,
    output: Output,
) -> None:
    """Publish a version on the Hub, in one commit.

    REPO is owner/name; it is made if it is not there. Files that stand there already are not sent
    again. Beside the weights come a model card, the recipe and the edits, so that others can pull
    them, take any of them back, and push on. Log in with `hf auth login`, or set HF_TOKEN.

    \b
    Examples:
      kn-edit push me/model --tag v1
      kn-edit push me/model-lora --as adapter --private
      kn-edit push their/model --as delta --pr
    """
    check_max_rank(max_rank, form)
    if offer and (tag is not None or private):
        raise click.UsageError("--pr goes with neither --tag nor --private")
    with _on_the_way(repo):
        pushed = workspace.push(
            repo,
            version=version,
            form=form,
            branch=branch,
            tag=tag,
            offer=offer,
            private=private,
            most_rank=max_rank,
            license=license,
            follow_links=follow_links,
        )
    _show(pushed, output)


@click.command()
@click.argument("source", metavar="REPO[@REV]")
@output_options
@pass_workspace
def pull(workspace: Workspace, source: str, output: Output) -> None:
    """Take in the edits of a published version.

    Its recipe and deltas are fetched, each compared with its sha256, and recorded as a version of
    this workspace, which must stand on the same base. The head moves on if that only adds edits to
    it. Else it stays, and the version goes by REPO@REV (exit code 3).

    \b
    Examples:
      kn-edit pull me/model
      kn-edit pull me/model@v1
    """
    pulled = workspace.pull(source)
    message = (
        f"the head is {short(pulled.version.id)}, with {count(len(pulled.version.edits), 'edit')}"
        if pulled.moved
        else f"the head has all of {pulled.source} already"
    )
    output.show(
        to_json.pulled(pulled),
        [pulled.version.id],
        lambda: [f"{count(len(pulled.edits), 'new edit')} from {pulled.source}", message],
        done=f"{pulled.source} is version {short(pulled.version.id)} here",
    )


@click.command()
@click.argument("repo")
@click.option(
    "--to", metavar="V", required=True, help="A version, tag or commit that was published there."
)
@branch_option
@output_options
@pass_workspace
def rollback(workspace: Workspace, repo: str, to: str, branch: str, output: Output) -> None:
    """Restore an earlier state of a repository, by a new commit.

    Its history stays: what was published in between can be restored the same way. The workspace
    does not change.

    \b
    Examples:
      kn-edit rollback me/model --to v1
      kn-edit rollback me/model --to 38509b7d43e2
    """
    with _on_the_way(repo):
        restored = workspace.rollback(repo, to, branch=branch)
    _show(restored, output)


@contextmanager
def _on_the_way(repo: str) -> Iterator[None]:
    """Ctrl-C leaves the ledger whole; what the Hub did, only a second look can tell."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedOnTheWay(None, signum=signal_of(error), repo=repo) from None


def _show(pushed: Pushed, output: Output) -> None:
    content = f"version {short(pushed.version)} as {pushed.form}"
    if pushed.pull_request is not None:
        message = f"{content} is offered to {pushed.repo} as {pushed.pull_request}"
    elif not pushed.made:
        message = f"{pushed.repo} holds {content} already, commit {short(pushed.commit)}"
    else:
        message = f"{content} is {pushed.repo} ({pushed.branch}), commit {short(pushed.commit)}"
    lines = [message, *([_sent(pushed)] if pushed.made else []), pushed.url]
    output.show(to_json.pushed(pushed), [pushed.version], lambda: lines, done=message)


def _sent(pushed: Pushed) -> str:
    if not pushed.sent:
        return "no file sent: the Hub has them all"
    size = sum(pushed.sent.values())
    megabytes = f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
    return f"{count(len(pushed.sent), 'file')} sent, {megabytes}"
