"""Commands on files: init, export, verify, backup, restore, gc."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Unpack

import click

from kn_edit.canonical import short
from kn_edit.cli.form_options import FormName, check_max_rank, follow_links_option, max_rank_option
from kn_edit.cli.opening import folder_named, pass_workspace, workspace_option
from kn_edit.cli.options import finite, model_defaults, output_options, version_option
from kn_edit.cli.output import Output
from kn_edit.cli.remedies import COMMAND_LINE
from kn_edit.cli.signals import signal_of
from kn_edit.cli.stops import Stopped, signature
from kn_edit.cli.tables import pairs
from kn_edit.cli.types import USER_PATH, USER_TARGET
from kn_edit.errors import LedgerDamaged, Unsound, worded
from kn_edit.figures import count
from kn_edit.jobs.pruning import Keeping, prune_folder
from kn_edit.workspace import Workspace, to_json
from kn_edit.workspace.folder import DATABASE, LEDGER, chosen_folder, current_folder
from kn_edit.workspace.opened import InitOptions
from kn_edit.workspace.settings import serve_settings
from kn_edit.workspace.storage import BLOBS_URL

MOST_DAYS = 365_000  # a thousand years; a time span has an end


@click.command()
@click.argument("model")
@model_defaults
@click.option(
    "--blobs",
    metavar="URL",
    envvar=BLOBS_URL,
    help="Keep the deltas of edits in object storage: s3://bucket/prefix. Keys and server come "
    "from the usual variables and files of AWS; the address is kept in kn-edit.toml.",
)
@click.option(
    "--database",
    metavar="URL",
    help="Keep the ledger in a database, beside others: postgresql://user@host/database. The "
    "password comes from KN_EDIT_DATABASE_URL (which names the database, too), PGPASSWORD or "
    "~/.pgpass; the address is kept in kn-edit.toml.",
)
@click.option(
    "--name",
    metavar="NAME",
    help="What the workspace is called in that database (as its folder).",
)
@output_options
@workspace_option
def init(
    model: str,
    output: Output,
    workspace_folder: Path | None,
    **options: Unpack[InitOptions],
) -> None:
    """Start a workspace on a Hub model, a folder or a demo.

    Makes .kn-edit/ here, or in --workspace DIR. A Hub id is pinned to its commit. `demo` is a small
    language model (SmolLM2-135M-Instruct), fetched once. `demo-bert` is a tiny masked one that was
    taught the bundled relations; it comes with kn-edit. Run again on the same model, it changes
    nothing; once something is recorded it refuses (exit code 3).

    \b
    Examples:
      kn-edit init demo
      kn-edit init demo-bert
      kn-edit init HuggingFaceTB/SmolLM2-135M
      kn-edit init ./my-checkpoint --workspace edits
      kn-edit init meta-llama/Llama-3.1-8B --device cuda --dtype bfloat16
      kn-edit init demo --blobs s3://bucket/edits
      kn-edit init demo --database postgresql://ann@db/edits --name capitals
    """
    folder = folder_named(workspace_folder)
    with _making(folder):
        try:
            workspace = Workspace.init(model, folder, progress=output.meter, **options)
        finally:
            output.meter.stop()
        with workspace:
            base = workspace.base
            place = f"workspace in {workspace.folder.absolute()}"
            output.show(
                lambda: to_json.status(workspace),
                _head(workspace),
                lambda: [
                    place,
                    f"{base.name} ({base.model_type}, {base.dtype}), "
                    f"base {short(base.fingerprint)}",
                    "next: kn-edit assess --relation capital --subject France",
                ],
                done=place,
            )


@contextmanager
def _making(folder: Path | None) -> Iterator[None]:
    """Tell by the ledger whether a signal stops `init` or `restore` before or after its end."""
    ledger = (chosen_folder(folder) or current_folder()) / LEDGER / DATABASE
    before = signature(ledger)
    try:
        yield
    except KeyboardInterrupt as error:
        there = signature(ledger) not in (None, before)
        done = f"the workspace in {ledger.parents[1]} is there" if there else ""
        raise Stopped(None, done, signal_of(error)) from None


@click.command()
@click.argument("target", metavar="DIR", type=USER_TARGET)
@version_option
@click.option(
    "--as",
    "form",
    type=FormName(),
    default="checkpoint",
    show_default=True,
    help="A full model; a PEFT LoRA; the changed numbers; the edits with their order.",
)
@max_rank_option
@follow_links_option
@output_options
@pass_workspace
def export(
    workspace: Workspace,
    target: Path | str,
    version: str,
    form: str,
    max_rank: int | None,
    follow_links: bool,
    output: Output,
) -> None:
    """Write a version to a new folder.

    Or to a bucket, where it is named as s3://bucket/prefix.

    A checkpoint loads with transformers' from_pretrained like any other; only the bytes of edited
    value slots differ from the base. An adapter loads with PEFT over the untouched base, its rank
    the most slots that are changed in one layer. A patch lists the changed numbers.

    In a bucket the files come first, then config.json, then kn-edit-export.json, which lists the
    sha256 of each: without it an export is not whole. Keys and server come from the usual
    variables and files of AWS.

    \b
    Examples:
      kn-edit export edited-model
      kn-edit export small --as adapter
      kn-edit export recipe --version v1 --as delta
      kn-edit export s3://bucket/models/v1 --version v1
    """
    check_max_rank(max_rank, form)
    record = workspace.ledger.version(version)
    path = workspace.export(
        target, version=record.id, form=form, most_rank=max_rank, follow_links=follow_links
    )
    output.show(
        {"version": record.id, "path": str(path), "as": form},
        [record.id],
        lambda: [f"version {short(record.id)} is in {path}"],
        done=f"version {short(record.id)} is in {path}",
    )


@click.command()
@click.argument("version", required=False)
@click.option(
    "--since",
    metavar="DIGEST",
    help="Digest of the journal that an earlier verify printed: it has to stand in it still.",
)
@output_options
@pass_workspace
def verify(workspace: Workspace, version: str | None, since: str | None, output: Output) -> None:
    """Rebuild versions and compare every digest; check the ledger.

    Without VERSION, all that the head ever was. Exit code 4 where something is wrong.

    It prints the digest of the journal. Who keeps that elsewhere can pass it to --since later:
    then a journal that was cut off or written anew shows as well.

    \b
    Examples:
      kn-edit verify
      kn-edit verify --since "$(cat journal-digest)"
    """
    report = workspace.examine(version, since=since)
    problems = [
        replace(problem, message=worded(problem.message, COMMAND_LINE))
        for problem in report.problems
    ]
    notes = [worded(note, COMMAND_LINE) for note in report.notes]
    sentences = [f"{problem.part} {problem.subject}: {problem.message}" for problem in problems]
    data = [
        {"part": problem.part, "subject": problem.subject, "message": problem.message}
        for problem in problems
    ]
    output.show(
        {
            "ok": not problems,
            "version": _id_of(workspace, version or "head"),
            "problems": data,
            "notes": notes,
            "chain": report.chain,
        },
        [problem.subject for problem in problems],
        lambda: [
            *(
                [
                    pairs(
                        (problem.part, f"{problem.subject}: {problem.message}")
                        for problem in problems
                    )
                ]
                if problems
                else ["all is well: base, deltas, versions and events are as recorded"]
            ),
            *(f"note: {note}" for note in notes),
            *([f"digest of the journal: {report.chain}"] if report.chain else []),
        ],
    )
    if problems:
        raise Unsound(tuple(sentences))


def _id_of(workspace: Workspace, version: str) -> str | None:
    """The id of a version, where the ledger can still tell it."""
    try:
        return workspace.ledger.version_id(version)
    except LedgerDamaged:
        return None


@click.command()
@click.argument("file", type=USER_PATH)
@output_options
@pass_workspace
def backup(workspace: Workspace, file: Path, output: Output) -> None:
    """Write the whole ledger to one new tar file.

    Others may go on working meanwhile. The model is not in it. `kn-edit restore FILE` takes it
    back.

    \b
    Example:
      kn-edit backup edits.tar
    """
    head = workspace.ledger.current_branch().version
    workspace.backup(file)
    output.show(
        lambda: {"file": str(file), "bytes": file.stat().st_size, "version": head},
        [str(file)],
        lambda: [f"the ledger is in {file} ({file.stat().st_size / 1000:.0f} kB)"],
        done=f"the ledger is in {file}",
    )


@click.command()
@click.argument("file", type=USER_PATH)
@click.option(
    "--replace",
    is_flag=True,
    help="Also where a ledger is, damaged or not. That one is kept aside.",
)
@output_options
@workspace_option
def restore(file: Path, replace: bool, output: Output, workspace_folder: Path | None) -> None:
    """Make a workspace of a file that `kn-edit backup` made.

    Everything in FILE is checked before any of it takes its place: the database, and the sha256 of
    every delta. With --replace the former ledger stays beside it, as .kn-edit.before-restore-TIME.
    Stop other commands on that ledger first.

    \b
    Examples:
      kn-edit restore edits.tar
      kn-edit restore edits.tar --replace
      kn-edit restore edits.tar --workspace elsewhere
    """
    with _making(folder_named(workspace_folder)):
        restored = Workspace.restore(file, folder_named(workspace_folder), replace=replace)
        place, aside = restored.folder.absolute(), restored.aside
        message = f"the ledger is in {place}, its head is {short(restored.version)}"
        output.show(
            {
                "workspace": str(place),
                "version": restored.version,
                "edits": list(restored.edits),
                "aside": str(aside) if aside else None,
            },
            [restored.version],
            lambda: [
                message,
                *([f"the former one is in {aside}"] if aside else []),
                "next: kn-edit verify",
            ],
            done=message,
        )


@click.command()
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(min=0),
    default=14,
    show_default=True,
    metavar="DAYS",
    callback=finite,
    help="How old the delta of no edit must be. 0 is safe, too, beside other commands.",
)
@output_options
@pass_workspace
def gc(workspace: Workspace, days: float, output: Output) -> None:
    """Remove files that nothing refers to.

    Deltas that belong to no edit, what killed commands left here and beside the targets of exports
    and backups, the least recently used scores beyond 256 MB, and jobs of the service that ended
    long ago. Other commands may run meanwhile: what they need stays.

    \b
    Examples:
      kn-edit gc
      kn-edit gc --older-than 0
    """
    gone = [str(path) for path in workspace.gc(older_than=timedelta(days=min(days, MOST_DAYS)))]
    scores = workspace.trim_cache()
    jobs = _prune_jobs(workspace)
    data = {
        "removed": gone,
        "scores": {"removed": scores.files, "bytes": scores.bytes},
        "jobs": {"removed": jobs},
    }
    lines = [f"{count(len(gone), 'file')} removed", *gone]
    if scores.files:
        trimmed = f"{count(scores.files, 'cached score')} removed ({scores.bytes / 1e6:.0f} MB)"
        lines.append(trimmed)
    if jobs:
        lines.append(f"{count(jobs, 'finished job')} removed")
    output.show(data, gone, lambda: lines, done=lines[0])


def _prune_jobs(workspace: Workspace) -> int:
    """Remove old jobs of the service, as far as its settings say; how many."""
    settings = serve_settings(workspace.folder)
    keeping = Keeping(settings.keep_jobs, settings.keep_jobs_days)
    return prune_folder(workspace.folder, keeping)


def _head(workspace: Workspace) -> Iterator[str]:
    """The id of the head, read only where it is asked for."""
    yield workspace.ledger.current_branch().version
