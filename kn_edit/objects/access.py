"""How a bucket is reached, and by whom: the usual AWS environment variables and files.

The client by itself reads no files, and without keys it asks the network for those of the machine
that it runs on, which takes long where there is no such service. So they are looked up here.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from kn_edit.errors import BadObjectEndpoint, ObjectKeysMissing
from kn_edit.untrusted import path_of, read_bounded

MAX_BYTES = 1 << 20  # of a file of keys
REGION = "us-east-1"  # where nobody names one; servers other than Amazon's take it
# A role that the environment names. The client asks for its keys by itself.
ROLES = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


@dataclass(frozen=True)
class ObjectAccess:
    """Server, region and keys.

    endpoint: the address of the server; None for Amazon's own
    key, secret, token: None where a role of the environment gives them, or there is no token
    """

    region: str
    endpoint: str | None = None
    key: str | None = None
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


def access_of(place: str, environment: Mapping[str, str] = os.environ) -> ObjectAccess:
    """The access that the environment gives, or else a profile in the files of AWS.

    place: what is to be reached, for errors. Raises ObjectKeysMissing, BadObjectEndpoint.
    """
    named = {name.lower(): value for name, value in environment.items() if value}
    profile = _profile(named)
    keys = named if "aws_access_key_id" in named else profile
    key, secret, token = (keys.get(name) for name in _KEYS)
    if not (key and secret) and not any(role.lower() in named for role in ROLES):
        raise ObjectKeysMissing(place, named.get("aws_profile", "default"))
    return ObjectAccess(
        region=_first(named, "aws_region", "aws_default_region") or profile.get("region", REGION),
        endpoint=_endpoint(
            _first(named, "aws_endpoint_url_s3", "aws_endpoint_url") or profile.get("endpoint_url")
        ),
        key=key if secret else None,
        secret=secret if key else None,
        token=token if key and secret else None,
    )


def _first(values: Mapping[str, str], *names: str) -> str | None:
    return next((values[name] for name in names if name in values), None)


def _endpoint(address: str | None) -> str | None:
    if address is None:
        return None
    try:
        parts = urlsplit(address)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.path.strip("/"):
        raise BadObjectEndpoint(address)
    return address.rstrip("/")


def _profile(named: Mapping[str, str]) -> dict[str, str]:
    """What the two files say of the profile that is in use; the one with keys comes first."""
    name = named.get("aws_profile", "default")
    config = _section(named.get("aws_config_file", "~/.aws/config"), name, f"profile {name}")
    keys = _section(named.get("aws_shared_credentials_file", "~/.aws/credentials"), name)
    return config | keys


def _section(path: str, *names: str) -> dict[str, str]:
    """The settings below the first of these headings that a file has; none if it is not there."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(read_bounded(Path(path_of(path)), MAX_BYTES).decode("utf-8"))
    except (OSError, ValueError, configparser.Error):
        return {}
    return next((dict(parser.items(name)) for name in names if parser.has_section(name)), {})
