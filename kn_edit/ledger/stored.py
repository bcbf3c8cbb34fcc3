"""Values as a ledger's file holds them, believed only as far as they have the right form.

SQLite keeps any kind of value in any column, and a file can be damaged or made up. So every row is
read through here: what is not text, a number or JSON where it must be is a `DamagedRow`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import RowMapping

from kn_edit.untrusted import JsonProblem, encodable, parse_json


class DamagedRow(ValueError):
    """A row that cannot be what kn-edit wrote: in which table, why. Databases say so to users."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Row:
    """A row of a table, by the names of its columns."""

    def __init__(self, table: str, values: RowMapping) -> None:
        self.table = table
        self._values = values

    def text(self, column: str) -> str:
        """A column that holds text. Raises DamagedRow."""
        value = self._values[column]
        if not isinstance(value, str) or not encodable(value):
            raise self._damaged(column, "text")
        return value

    def text_or_none(self, column: str) -> str | None:
        """A column that holds text, or nothing. Raises DamagedRow."""
        return None if self._values[column] is None else self.text(column)

    def number(self, column: str) -> int:
        """A column that holds a whole number. Raises DamagedRow."""
        value = self._values[column]
        if not isinstance(value, int):
            raise self._damaged(column, "a whole number")
        return value

    def mapping(self, column: str) -> dict[str, Any]:
        """A column that holds a JSON object. Raises DamagedRow."""
        value = self._values[column]
        if not isinstance(value, dict):
            raise self._damaged(column, "a JSON object")
        return value

    def texts(self, column: str) -> tuple[str, ...]:
        """A column that holds a JSON list of texts. Raises DamagedRow."""
        value = self._values[column]
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._damaged(column, "a JSON list of texts")
        return tuple(value)

    def texts_by_name_or_none(self, column: str) -> dict[str, str] | None:
        """A column that holds a JSON object of texts, or nothing. Raises DamagedRow."""
        if self._values[column] is None:
            return None
        value = self.mapping(column)
        if not all(isinstance(each, str) for each in value.values()):
            raise self._damaged(column, "a JSON object of texts")
        return value

    def _damaged(self, column: str, form: str) -> DamagedRow:
        return DamagedRow(f"the column {column} of a row of {self.table} does not hold {form}")


def stored_json(value: object) -> Any:
    """The value of a JSON column. Raises DamagedRow."""
    if not isinstance(value, (str, bytes)):
        raise DamagedRow("a column for JSON holds something else")
    try:
        return parse_json(value)
    except JsonProblem as problem:
        raise DamagedRow(f"a column for JSON cannot be read: {problem}") from None


def any_text(data: bytes) -> str:
    """Text of a column, also where it is not UTF-8; `encodable` tells them apart."""
    return data.decode("utf-8", "surrogateescape")
