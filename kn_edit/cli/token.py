"""Commands on the tokens of the service's callers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kn_edit.cli.opening import pass_workspace
from kn_edit.cli.options import output_options
from kn_edit.cli.output import Output
from kn_edit.cli.tables import table
from kn_edit.errors import ExtraMissing
from kn_edit.figures import moment
from kn_edit.workspace import Workspace

try:
    from kn_edit.service.access.tokens import Token, tokens_in
except ModuleNotFoundError as error:
    raise ExtraMissing("serve", error.name or "fastapi") from error

if TYPE_CHECKING:
    from rich.table import Table

_SECONDS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
NOBODY = "no token was made: whoever is on this machine may call the service"
ROLES = ("reader", "editor", "publisher")


def _expiry(context: click.Context, parameter: click.Parameter, value: str) -> float | None:
    """Seconds of a text like 30d; None for `never`."""
    match = re.fullmatch(r"([1-9]\d{0,3})([hdw])", value)
    if value == "never":
        return None
    if match is None:
        raise click.BadParameter("give 12h, 30d, 8w or never", context, parameter)
    return int(match[1]) * _SECONDS[match[2]]


@click.group()
def token() -> None:
    """Make, list and revoke the tokens of the service's callers.

    With a role: a reader looks at everything and asks the model; an editor records edits and moves,
    too; a publisher also exports and publishes.

    \b
    Example:
      kn-edit token create ana --role editor
    """


@token.command("create")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="reader",
    show_default=True,
    help="What its holder may do.",
)
@click.option(
    "--expires",
    default="30d",
    show_default=True,
    callback=_expiry,
    metavar="TIME",
    help="After how long: 12h, 30d, 8w, never.",
)
@output_options
@pass_workspace
def create(
    workspace: Workspace, name: str, role: str, expires: float | None, output: Output
) -> None:
    """Make a token called NAME, and print it: this once.

    Only its digest is kept. From the first token on, no caller of this workspace's service is let
    in without one.

    \b
    Examples:
      kn-edit token create ana --role editor
      kn-edit token create ci --role publisher --expires 8w -q
    """
    with tokens_in(workspace.folder) as tokens:
        secret = tokens.create(name, role, seconds=expires)
        made = next(each for each in tokens.tokens() if each.name == name)
    output.show(_plain(made) | {"token": secret}, [secret], lambda: [secret])
    output.notice("the token is shown this once; keep it like a password")


@token.command("list")
@output_options
@pass_workspace
def list_tokens(workspace: Workspace, output: Output) -> None:
    """List the tokens by name, with what they may do; never the tokens themselves.

    \b
    Example:
      kn-edit token list
    """
    with tokens_in(workspace.folder) as tokens:
        known = tokens.tokens()
    now = datetime.now(UTC).timestamp()
    output.show(
        [_plain(each) for each in known],
        [each.name for each in known],
        lambda: [_listed(known, now) if known else NOBODY],
    )


@token.command("revoke")
@click.argument("name")
@output_options
@pass_workspace
def revoke(workspace: Workspace, name: str, output: Output) -> None:
    """Let the token NAME open nothing from now on, nor sessions that were opened by it.

    \b
    Example:
      kn-edit token revoke ana
    """
    with tokens_in(workspace.folder) as tokens:
        tokens.revoke(name)
    output.show({"name": name, "revoked": True}, [name], lambda: [f"{name} is revoked"])


def _listed(tokens: Sequence[Token], now: float) -> Table:
    rows = table("name", "role", "made", "state")
    for each in tokens:
        made = moment(_iso(each.created) or "")
        rows.add_row(each.name, each.role.word, made, _state(each, now))
    return rows


def _plain(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": token.role.word,
        "created": _iso(token.created),
        "expires": _iso(token.expires),
        "revoked": _iso(token.revoked),
    }


def _state(token: Token, now: float) -> str:
    if token.revoked is not None:
        return "revoked"
    if token.expires is None:
        return "valid, never expires"
    return f"{'valid until' if token.valid(now) else 'expired'} {moment(_iso(token.expires) or '')}"


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
