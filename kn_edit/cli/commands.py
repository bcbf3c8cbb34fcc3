"""The commands, in the order in which a fact meets them. Each is loaded when it is called."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from kn_edit import __version__
from kn_edit.cli.types import USER_PATH
from kn_edit.errors import ExitCode


@dataclass(frozen=True)
class Entry:
    """A command before it is loaded. module: of this package, where it stands by its name"""

    module: str
    summary: str  # the first sentence of its help

    def load(self, name: str) -> click.Command:
        """The command."""
        command: click.Command = getattr(import_module(f"kn_edit.cli.{self.module}"), name)
        return command


SECTIONS: dict[str, dict[str, Entry]] = {
    "Look at a model": {
        "init": Entry("disk", "Start a workspace on a Hub model, a folder or a demo."),
        "assess": Entry("ask", "What the model answers to every prompt of a fact."),
        "locate": Entry("ask", "Find the neurons that carry a fact, or a whole relation."),
        "evaluate": Entry("ask", "Measure VERSION (head) against the base."),
        "capability": Entry("capability", "Run tasks of lm-eval on a version and on the base."),
        "bench": Entry("bench", "Measure how fast facts are located and edited here."),
    },
    "See what its neurons do": {
        "suppress": Entry("scale", "See what p(answer) does when a fact's neurons are silent."),
        "amplify": Entry("scale", "See what p(answer) does when a fact's neurons are amplified."),
    },
    "Reports": {
        "report": Entry("experiment", "Write a page about a version, or one edit."),
        "reproduce": Entry("experiment", "Run the paper's experiments on the base, with controls."),
    },
    "Change it": {
        "update": Entry("edit", "Change the answer of a fact, measure it, and record it."),
        "erase": Entry("edit", "Erase a relation from the model, measure it, and record it."),
    },
    "Look at the history": {
        "status": Entry("history", "The model, where the head is, which edits it holds."),
        "log": Entry("history", "Every move of a branch, newest first."),
        "show": Entry("history", "Everything about an edit or a version."),
        "diff": Entry("history", "What sets two versions apart."),
        "blame": Entry("history", "Which edits write the value slot of a neuron."),
    },
    "Move in the history": {
        "revert": Entry("history", "Make a new version without EDIT, wherever it stands."),
        "rewind": Entry("history", "Move the current branch back to VERSION."),
        "compose": Entry("history", "Make a new version with the edits of several."),
        "tag": Entry("history", "Name a version, by default the head."),
    },
    "Branches": {
        "branch": Entry("branches", "List the branches, or make NAME at VERSION (the head)."),
        "switch": Entry("branches", "Go to branch NAME: from now on edits are recorded there."),
        "merge": Entry("branches", "Put the edits of BRANCH onto the current branch."),
    },
    "Files": {
        "base": Entry("base", "Say where the base model lies now."),
        "export": Entry("disk", "Write a version to a new folder."),
        "verify": Entry("disk", "Rebuild versions and compare every digest; check the ledger."),
        "backup": Entry("disk", "Write the whole ledger to one new tar file."),
        "restore": Entry("disk", "Make a workspace of a file that `kn-edit backup` made."),
        "gc": Entry("disk", "Remove files that nothing refers to."),
    },
    "The Hub": {
        "push": Entry("hub", "Publish a version on the Hub, in one commit."),
        "pull": Entry("hub", "Take in the edits of a published version."),
        "rollback": Entry("hub", "Restore an earlier state of a repository, by a new commit."),
    },
    "A service": {
        "serve": Entry("serve", "Serve the workspace over HTTP, with pages and an API."),
        "mcp": Entry("mcp", "Offer the workspace to an assistant as tools."),
        "token": Entry("token", "Make, list and revoke the tokens of the service's callers."),
        "worker": Entry("worker", "Run the jobs of the workspace, one after the other."),
    },
    "This program": {
        "doctor": Entry("machine", "Look at what kn-edit stands on."),
        "completion": Entry("machine", "Print the script that makes the Tab key work."),
    },
}


class Commands(MutableMapping[str, click.Command]):
    """The commands by name; one that is asked for is loaded."""

    def __init__(self) -> None:
        self.entries = {name: entry for part in SECTIONS.values() for name, entry in part.items()}
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            self._loaded[name] = self.entries[name].load(name)
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self.entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


class Sections(click.Group):
    """A group whose help lists the commands by theme, and loads none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                rows = [(f"{name:{width}}", entry.summary) for name, entry in entries.items()]
                formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return [
            *(
                CompletionItem(name, help=entry.summary)
                for entries in SECTIONS.values()
                for name, entry in entries.items()
                if name.startswith(incomplete)
            ),
            *click.Command.shell_complete(self, ctx, incomplete),
        ]


@click.group(
    cls=Sections,
    commands=Commands(),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.option(
    "--workspace",
    "workspace_folder",
    type=USER_PATH,
    metavar="DIR",
    help="The folder that holds .kn-edit/; may stand after the command too.",
)
@click.version_option(__version__, prog_name="kn-edit")
@click.pass_context
def kn_edit(context: click.Context, workspace_folder: Path | None) -> None:
    """Git for the facts in a model.

    Find the neurons that carry a fact, change or erase it by rewriting a handful of value slots,
    and take any change back, bit for bit.

    \b
    Try it:
      kn-edit init demo
      kn-edit assess --relation capital --subject France
      kn-edit update --relation capital --subject France --to Rome
      kn-edit log
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help(), err=True)
        context.exit(ExitCode.USAGE)
