"""Write the tables of docs/ that the code decides: model families, relation packs, methods, routes.

    python scripts/docs_tables.py [--check]

Each stands between `<!-- table -->` and `<!-- end of table -->`, once a page.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from kn_edit.editing.method import options_of, summary_of
from kn_edit.editing.methods import METHODS
from kn_edit.facts import bundled, load_relation
from kn_edit.models.families import FAMILIES
from kn_edit.service.api import router

DOCS = Path(__file__).parents[1] / "docs"
PLACE = re.compile(r"(?<=<!-- table -->\n).*(?=<!-- end of table -->)", re.DOTALL)


def table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    columns = head.split("|")
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(cell.strip() for cell in line)} |\n" for line in lines)


def families() -> str:
    return table(
        "`model_type` | kind | layers | down-projection | value slot | gated | to the logits",
        (
            (
                f"`{one.model_type}`",
                one.kind,
                f"`{one.layers}`",
                f"`{one.down}`",
                one.axis,
                "yes" if one.gated else "no",
                ", ".join(f"`{part}`" for part in one.head),
            )
            for one in FAMILIES.values()
        ),
    )


def packs() -> str:
    return table(
        "pack | what | facts | templates | answer last | held out | source | licence",
        map(_pack, bundled()),
    )


def _pack(name: str) -> tuple[str, ...]:
    relation = load_relation(name)
    raw = (files("kn_edit.facts") / "packs" / f"{name}.json").read_text(encoding="utf-8")
    templates = relation.templates
    counts = (
        len(relation.facts),
        len(templates),
        sum(each.answer_last for each in templates),
        sum(each.held_out for each in templates),
    )
    what = json.loads(raw)["description"]
    return (f"`{name}`", what, *map(str, counts), relation.source, relation.license)


def methods() -> str:
    return table(
        "method | kind | what it does | options | writes | needs | from",
        (
            (
                f"`{name}`",
                str(method.kind),
                summary_of(method),
                ", ".join(f"`{option.flag}`" for option, _ in options_of(method).values()),
                method.edits,
                ", ".join(sorted(method.needs)) or "nothing",
                method.source,
            )
            for name, method in METHODS.items()
        ),
    )


def routes() -> str:
    """The routes of the service, from its OpenAPI document."""
    app = FastAPI()
    app.include_router(router)
    rows = [
        (f"`{method.upper()} {path}`", _sentence(operation), _statuses(operation))
        for path, item in app.openapi()["paths"].items()
        for method, operation in item.items()
    ]
    return table("route | what it does | answers", rows)


def _sentence(operation: dict[str, Any]) -> str:
    text: str = operation.get("description") or operation["summary"]
    return text.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def _statuses(operation: dict[str, Any]) -> str:
    return ", ".join(sorted(status for status in operation["responses"] if int(status) < 400))


PAGES: dict[str, Callable[[], str]] = {
    "families.md": families,
    "facts.md": packs,
    "methods.md": methods,
    "service.md": routes,
}


def filled(page: Path, content: str) -> str:
    """The text of a page with its table as it should be."""
    text, found = PLACE.subn(lambda _: content, page.read_text(encoding="utf-8"))
    if found != 1:
        raise SystemExit(f"{page} needs one <!-- table --> with its <!-- end of table -->")
    return text


def main() -> None:
    stale = False
    for name, make in PAGES.items():
        page = DOCS / name
        wanted = filled(page, make())
        if wanted == page.read_text(encoding="utf-8"):
            continue
        stale = True
        if "--check" not in sys.argv:
            page.write_text(wanted, encoding="utf-8")
    if stale and "--check" in sys.argv:
        raise SystemExit("the tables of docs/ are out of date; run: python scripts/docs_tables.py")


if __name__ == "__main__":
    main()
