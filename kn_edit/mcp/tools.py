"""The table of tools: what each is told, what it calls, which role it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from kn_edit.mcp.place import Place
from kn_edit.service import arguments as args
from kn_edit.service.access.roles import Role
from kn_edit.service.work import VERBS, checked_arguments

Plain = dict[str, Any]


class ShowArguments(args.Arguments):
    """What is shown."""

    name: args.Name = Field(
        description="A version (id, branch, tag, `head`, `base`), or at least 8 digits of an edit."
    )


class DiffArguments(args.Arguments):
    """Which versions are compared."""

    a: args.VersionName
    b: args.VersionName = "head"


class LogArguments(args.Arguments):
    """Which moves are listed."""

    branch: args.Name = Field("head", description="Its name; `head` is the current one.")
    limit: int = Field(20, ge=1, le=200, description="How many moves, the newest first.")


@dataclass(frozen=True)
class Tool:
    """A tool.

    summary: what it does; arguments: the model of its JSON
    run: calls the place with arguments that fit; role: that its caller needs
    """

    name: str
    summary: str
    arguments: type[args.Arguments]
    run: Callable[[Place, Plain], Plain]
    role: Role = Role.READER

    @property
    def writes(self) -> bool:
        """Whether it may record something."""
        return self.role > Role.READER

    @property
    def schema(self) -> Plain:
        """The JSON schema of its arguments."""
        return self.arguments.model_json_schema()

    def checked(self, arguments: Mapping[str, Any]) -> Plain:
        """Its arguments as it was given them, once they fit. Raises BadArguments."""
        model = checked_arguments(self.name, self.arguments, arguments)
        return model.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _verb(name: str) -> Tool:
    """A verb of the service as a tool."""
    verb = VERBS[name]
    return Tool(
        name=name,
        summary=verb.summary,
        arguments=verb.arguments,
        run=lambda place, arguments: place.verb(name, arguments),
        role=verb.role,
    )


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        _verb("assess"),
        _verb("locate"),
        Tool(
            name="propose",
            summary=(
                "Try a new answer of a fact out: compute the edit, measure it, record nothing. "
                "`faults` are why the gate would refuse it; none where it would let it pass. "
                "`proposal` is what the tool `record` takes."
            ),
            arguments=args.ProposeArguments,
            run=lambda place, arguments: place.verb("update", arguments | {"dry_run": True}),
        ),
        Tool(
            name="show",
            summary="Everything about a version or an edit.",
            arguments=ShowArguments,
            run=lambda place, arguments: place.show(arguments["name"]),
        ),
        Tool(
            name="diff",
            summary="What sets two versions apart.",
            arguments=DiffArguments,
            run=lambda place, arguments: place.diff(arguments["a"], arguments.get("b", "head")),
        ),
        Tool(
            name="log",
            summary="The moves that led to a branch, newest first.",
            arguments=LogArguments,
            run=lambda place, arguments: place.log(
                arguments.get("branch", "head"), arguments.get("limit", 20)
            ),
        ),
        Tool(
            name="record",
            summary="Record a proposal as it was measured, if the gate lets it pass.",
            arguments=args.ProposalArguments,
            run=lambda place, arguments: place.verb("record", arguments),
            role=VERBS["record"].role,
        ),
        _verb("revert"),
    )
}
