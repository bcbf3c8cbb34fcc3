"""The schemas that this kn-edit knows, and the way from an older one to a newer: the migrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from kn_edit.ledger.stored import DamagedRow


def migrate(connection: Connection, target: str = "head") -> None:
    """Run the migrations inside the transaction of this connection. Raises DamagedRow."""
    # Imported late: only old ledgers need it, and it takes a while.
    from alembic import command
    from alembic.util import CommandError

    config = _alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, target)
    except CommandError as error:
        raise DamagedRow(f"its schema cannot be followed: {error}") from error


def migrations_folder() -> Path:
    """Inside the package in an installed wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside, beside = package / "migrations", package.parent / "migrations"
    return inside if inside.is_dir() else beside


def _alembic_config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def known_schemas() -> set[str]:
    """The names of all schemas that the migrations lead to."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_alembic_config())
    return {script.revision for script in scripts.walk_revisions()}


def stamp(connection: Connection, schema: str = "head") -> None:
    """Note that the tables of this connection's database are those of a schema."""
    from alembic import command

    config = _alembic_config()
    config.attributes["connection"] = connection
    command.stamp(config, schema)
