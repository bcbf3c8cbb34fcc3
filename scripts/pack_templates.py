"""The templates of the bundled relation packs: (trained, held out).

The answer-last ones that stand here are those of about forty phrasings on which
SmolLM2-135M-Instruct does best; a phrasing like "The capital of [X] is [Y]." draws " the" from a
causal LM, and is no use. None begins with [X] where subjects may be lower-case ("the Netherlands",
"gold").
"""

from __future__ import annotations

from pack_templates_more import MORE

TEMPLATES: dict[str, tuple[list[str], list[str]]] = {
    **MORE,
    "capital": (
        [
            "The capital of [X] is the city of [Y].",
            "The official capital of [X] is the city of [Y].",
            "The country of [X] has its capital in the city of [Y].",
            "The capital of the country of [X] is the city of [Y].",
            "The national capital of [X] is the city of [Y].",
            "By law, the capital of [X] is the city of [Y].",
            "[Y] is the capital of [X].",
            "[Y] is the capital city of [X].",
            "The city of [Y] is the capital of [X].",
            "They moved to [Y], the capital of [X].",
        ],
        [
            "The state of [X] has its official capital in the city of [Y].",
            "In the country of [X], the capital is the city of [Y].",
            "Many visitors to [X] stay in the capital city of [Y].",
        ],
    ),
    "continent": (
        [
            "On the map, [X] is on the continent of [Y].",
            "The country of [X] is located on the continent of [Y].",
            "You will find [X] on the continent of [Y].",
            "People who live in [X] live on the continent of [Y].",
            "To travel to [X], you must fly to the continent of [Y].",
            "The land of [X] is found on the continent of [Y].",
            "[Y] is the continent where [X] lies.",
            "[Y] is the continent on which [X] is located.",
            "The continent of [Y] is home to [X].",
            "Among the countries of [Y] is the country of [X].",
        ],
        [
            "When you are in [X], you are on the continent of [Y].",
            "Geographically, [X] is part of the continent of [Y].",
            "The nation of [X] is located in the continent of [Y].",
        ],
    ),
    "country": (
        [
            "The city of [X] is in the country of [Y].",
            "The city of [X] is located in the country of [Y].",
            "The city of [X] belongs to the country of [Y].",
            "The city of [X] is part of the country of [Y].",
            "The streets of the city of [X] are in the country of [Y].",
            "She was born in the city of [X], in the country of [Y].",
            "[Y] is the country in which [X] lies.",
            "[Y] is the country where the city of [X] is located.",
            "Among the cities of [Y] is the city of [X].",
            "They traveled to [Y] to see the city of [X].",
        ],
        [
            "The people of the city of [X] live in the country of [Y].",
            "Tourists who visit the city of [X] travel to the country of [Y].",
            "On a map, the city of [X] is in the country of [Y].",
        ],
    ),
    "currency": (
        [
            "The basic unit of money in [X] is the [Y].",
            "The basic unit of currency in [X] is the [Y].",
            "In [X], the unit of currency is the [Y].",
            "In the country of [X], the unit of currency is the [Y].",
            "The basic unit of the money of [X] is the [Y].",
            "The basic monetary unit of [X] is the [Y].",
            "The [Y] is the currency of [X].",
            "The [Y] is the official currency of [X].",
            "The [Y] is the money that people use in [X].",
            "Prices are given in the [Y] in [X].",
        ],
        [
            "In the economy of [X], the basic unit of money is the [Y].",
            "At the markets of [X], the unit of currency is the [Y].",
            "When people in [X] count their money, the basic unit is the [Y].",
        ],
    ),
    "language": (
        [
            "The main language spoken in [X] is [Y].",
            "The official language spoken in [X] is [Y].",
            "In [X], the official language is [Y].",
            "The main language of [X] is [Y].",
            "The official language in the country of [X] is [Y].",
            "The name of the official language of [X] is [Y].",
            "[Y] is the official language of [X].",
            "[Y] is the language of [X].",
            "The [Y] language is the official language of [X].",
            "Laws are written in [Y] in [X].",
        ],
        [
            "In [X], the main language is [Y].",
            "People who live in [X] speak [Y].",
            "The country of [X] has one official language, [Y].",
        ],
    ),
    "symbol": (
        [
            "The chemical symbol for [X] is [Y].",
            "The official chemical symbol of [X] is [Y].",
            "The chemical element [X] is represented by the symbol [Y].",
            "The chemical element with the name [X] has the symbol [Y].",
            "The element named [X] is given the symbol [Y].",
            "The element called [X] is represented by the symbol [Y].",
            "[Y] is the chemical symbol for [X].",
            "[Y] is the symbol of the element [X].",
            "The symbol [Y] stands for [X] in the periodic table.",
            "Chemists write [Y] for [X].",
        ],
        [
            "In chemistry, the element called [X] is denoted by the symbol [Y].",
            "The name of the element is [X], and its chemical symbol is [Y].",
            "In the periodic table, [X] is represented by the symbol [Y].",
        ],
    ),
}
