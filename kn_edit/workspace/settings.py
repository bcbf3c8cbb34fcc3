"""What holds for a workspace unless a call says otherwise: `kn-edit.toml` in its folder.

People write it by hand (`init` writes the table [model] where it is told a device, a number
format or a memory, and [ledger] where it is told of a place), and may keep it in version control
beside the workspace. No password or key stands in it:

    [ledger]
    blobs = "s3://bucket/prefix"
    database = "postgresql://ann@db.example.org/edits"
    name = "capitals"

    [model]
    device = "cuda:1"
    dtype = "bfloat16"
    memory = "2GB"

    [gate]
    efficacy = 0.9
    specificity = 0.7

    [serve]
    exports = "exported"
    push = ["me/model"]
    hosts = ["edits.example.org"]
    requests_per_second = 20
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from kn_edit.atomic import write_atomically
from kn_edit.errors import BadSetting, BadSettingsFile, ExportsNotAllowed, reason_of
from kn_edit.evaluation.gate import Gate
from kn_edit.models.placement import Placement
from kn_edit.safetext import escaped, shortened
from kn_edit.untrusted import read_bounded
from kn_edit.workspace.storage import Storage

SETTINGS = "kn-edit.toml"
MOST_BYTES = 64 << 10
TABLES = ("gate", "ledger", "model", "serve")
SHOWN = 200  # letters of what a parser says

_LISTS = {
    "push": "a list of repositories",
    "hosts": "a list of names",
    "origins": "a list of origins, such as https://edits.example.org",
}
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?")
_BOUNDS: dict[str, tuple[float, float]] = {  # least and most of each number
    "requests_per_second": (0.1, 1e6),
    "requests_at_once": (1, 1e6),
    "body_bytes": (1 << 10, 1 << 30),
    "body_seconds": (1, 3600),
    "keep_jobs": (0, 1e9),
    "keep_jobs_days": (0, 36_500),
}
_WHOLE = frozenset({"requests_at_once", "body_bytes", "keep_jobs"})


@dataclass(frozen=True)
class ServeSettings:
    """What callers of the service may make it write to, its names, and how much they may ask.

    exports: the folder below which exports are made, as the workspace's folder sees it
    push: repositories that versions may be published in
    hosts: names by which the service is called, beside addresses in numbers and `localhost`
    origins: of pages that may write, beside those of the service itself; `https://HOST[:PORT]`
    requests_per_second, requests_at_once: of one caller
    body_bytes, body_seconds: the largest request, and how long one may take to arrive
    keep_jobs, keep_jobs_days: finished jobs beyond these are removed
    """

    exports: str | None = None
    push: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    requests_per_second: float = 100.0
    requests_at_once: int = 400
    body_bytes: int = 1 << 20
    body_seconds: float = 20.0
    keep_jobs: int = 10_000
    keep_jobs_days: float = 90.0

    def __post_init__(self) -> None:
        if not isinstance(self.exports, str | None):
            raise BadSetting("exports", self.exports, "a folder")
        for name, meaning in _LISTS.items():
            value = getattr(self, name)
            if not isinstance(value, list | tuple) or not all(isinstance(x, str) for x in value):
                raise BadSetting(name, value, meaning)
            object.__setattr__(self, name, tuple(value))
        object.__setattr__(self, "origins", tuple(origin.lower() for origin in self.origins))
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin):
                raise BadSetting("origins", origin, "such as https://edits.example.org")
        for name, (least, most) in _BOUNDS.items():
            _require_number(name, getattr(self, name), least, most, whole=name in _WHOLE)

    def export_target(self, folder: Path, name: str) -> Path:
        """Where an export of a name goes. folder: of the workspace. Raises ExportsNotAllowed."""
        if self.exports is None:
            raise ExportsNotAllowed(SETTINGS)
        return folder / self.exports / name


S = TypeVar("S", "Gate", Placement, Storage, ServeSettings)


def gate_of(folder: Path) -> Gate:
    """The limits that edits of a workspace are held to, the usual ones where none are named.

    folder: of the workspace. Raises BadSettingsFile.
    """
    return _of_table(folder / SETTINGS, "gate", Gate)


def placement_of(folder: Path) -> Placement:
    """Where the model of a workspace runs, unless a call says otherwise.

    folder: of the workspace. Raises BadSettingsFile.
    """
    return _of_table(folder / SETTINGS, "model", Placement)


def serve_settings(folder: Path) -> ServeSettings:
    """What callers of the service may do beyond looking, and how much. folder: of the workspace

    Raises BadSettingsFile.
    """
    return _of_table(folder / SETTINGS, "serve", ServeSettings)


def placement_named(device: str | None, dtype: str | None, memory: str | None) -> dict[str, str]:
    """The settings of a placement that a call names. Raises BadSetting for names that are none."""
    named = {"device": device, "dtype": dtype, "memory": memory}
    settings = {name: value for name, value in named.items() if value is not None}
    Placement(**settings)
    return settings


def storage_of(folder: Path) -> Storage:
    """Where the ledger of a workspace lies, as far as that is not its folder.

    folder: of the workspace. Raises BadSettingsFile.
    """
    return _of_table(folder / SETTINGS, "ledger", Storage)


def require_settings(folder: Path, table: str, named: Mapping[str, str]) -> None:
    """Refuse defaults that differ from those which the file names already.

    folder: of the workspace; table: model, ledger; named: settings of it. Raises BadSettingsFile.
    """
    path = folder / SETTINGS
    defaults = _table(path).get(table, {}) if named else {}
    if defaults and any(defaults.get(name) != value for name, value in named.items()):
        raise BadSettingsFile(path, f"its [{table}] says otherwise already")


def keep_settings(folder: Path, table: str, named: Mapping[str, str]) -> None:
    """Write a table into the settings of a workspace, below what stands there.

    folder: of the workspace; table: model, ledger; named: settings of it. Raises BadSettingsFile.
    """
    path = folder / SETTINGS
    if not named or table in _table(path):
        return
    text = read_bounded(path, MOST_BYTES).decode("utf-8").rstrip("\n") if path.exists() else ""
    lines = [f"[{table}]", *(f'{name} = "{value}"' for name, value in named.items())]
    try:
        write_atomically(path, "\n".join([text, "", *lines, ""] if text else [*lines, ""]))
    except OSError as error:
        raise BadSettingsFile(path, reason_of(error)) from error


def _of_table(path: Path, name: str, make: type[S]) -> S:
    """The settings of one table of a file, the usual ones where it names none."""
    settings = _table(path).get(name, {})
    if not isinstance(settings, dict):
        raise BadSettingsFile(path, f"{name} is no table; write its settings below [{name}]")
    _check_names(path, settings, [field.name for field in fields(make)], f"[{name}]")
    try:
        return make(**settings)
    except BadSetting as error:
        raise BadSettingsFile(path, str(error)) from None


def _table(path: Path) -> dict[str, Any]:
    """The whole file; empty where there is none."""
    try:
        table = tomllib.loads(read_bounded(path, MOST_BYTES).decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):  # what cannot hold a workspace is told later
        return {}
    except OSError as error:
        raise BadSettingsFile(path, error.strerror or "it cannot be read") from None
    except UnicodeDecodeError:
        raise BadSettingsFile(path, "it is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadSettingsFile(path, shortened(escaped(str(error)), SHOWN)) from None
    _check_names(path, table, TABLES, "it")
    return table


def _check_names(path: Path, table: dict[str, Any], allowed: Collection[str], where: str) -> None:
    unknown = sorted(table.keys() - {*allowed})
    if unknown:
        name = shortened(escaped(unknown[0]), SHOWN)
        raise BadSettingsFile(path, f"{where} has no setting {name}, only {', '.join(allowed)}")


def _require_number(name: str, value: object, least: float, most: float, *, whole: bool) -> None:
    """Refuse what is no number, or not within bounds. Raises BadSetting."""
    kinds = int if whole else int | float
    fits = isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most
    if not fits:
        kind = "a whole number" if whole else "a number"
        raise BadSetting(name, value, f"{kind} from {least:g} to {most:g}")
