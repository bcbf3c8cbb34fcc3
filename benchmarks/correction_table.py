"""Results of corrections by method, as a Markdown table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from kn_edit.evaluation.statistics import Estimate, mean

Z = 1.959964  # of a two-sided 95%
Result = dict[str, Any]
COUNTED = {  # kn-edit's own metrics, with how many prompts are behind each
    "specificity": "neighbours",
    "same_subject": "same_subject_prompts",
    "generalization": "paraphrases",
}
NAMING = ("as in the prompt", "in other letters", "in other words")
ASKED = ("prompt", "rephrased", "locality")  # one answer per prompt of the row's file


def table(results: dict[str, list[Result]]) -> str:
    """A Markdown table of the results by method; in brackets how many prompts are behind each."""
    columns = [*ASKED, "neutral", *COUNTED, "CPU s", "kB"]
    lines = [
        f"| method | rows | {' | '.join(columns)} |",
        "|---|---|" + "---|" * len(columns),
    ]
    for name, rows in results.items():
        cells = [_shares([row[key] for row in rows]) for key in ASKED]
        neutral = [float(row["neutral"]) for row in rows]
        within = sum(each <= 1.02 for each in neutral)
        cells.append(f"{mean(neutral)}, most {max(neutral):.3f}, {within} of {len(rows)} <= 1.02")
        for key, count in COUNTED.items():
            known = [float(row[key]) for row in rows if row[key] is not None]
            asked_in_all = sum(row[count] or 0 for row in rows)
            cells.append(f"{wilson(known)} ({asked_in_all})" if known else "none")
        seconds = [float(row["seconds"]) for row in rows if row["device"] == "cpu"]
        cells.append(f"{mean(seconds)}, most {max(seconds):.0f}" if seconds else "none")
        cells.append(f"{fmean(row['bytes'] for row in rows) / 1000:.0f}")
        lines.append(f"| {name} | {len(rows)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shares(rows: Sequence[Sequence[bool]]) -> str:
    shares = [fmean(answers) for answers in rows if answers]
    return f"{wilson(shares)} ({sum(map(len, rows))})" if shares else "none"


def wilson(shares: Sequence[float]) -> Estimate:
    """The mean of shares with Wilson's score interval: one that all ones do not make a point."""
    count, share = len(shares), fmean(shares)
    centre = share + Z * Z / (2 * count)
    half = Z * math.sqrt(share * (1 - share) / count + (Z / (2 * count)) ** 2)
    whole = 1 + Z * Z / count
    return Estimate(
        share, max(0.0, (centre - half) / whole), min(1.0, (centre + half) / whole), count
    )


def by_naming(results: dict[str, list[Result]], naming: Sequence[str]) -> str:
    """A Markdown table of the rephrased column by how the rephrased prompt names the subject.

    naming: of each row, in the order of the results
    """
    kinds = [kind for kind in NAMING if kind in naming]
    lines = [
        f"| rephrased: the subject is named | {' | '.join(kinds)} |",
        "|---|" + "---|" * len(kinds),
    ]
    for name, rows in results.items():
        cells = []
        for kind in kinds:
            shares = [
                row["rephrased"] for row, own in zip(rows, naming, strict=True) if own == kind
            ]
            cells.append(f"{_shares(shares)} of {len(shares)} rows")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def unmeasured(results: dict[str, list[Result]]) -> list[str]:
    """The columns that nothing is behind, by row and method."""
    return [
        f"{name}, row {row['row']}: nothing asked for {key}"
        for name, rows in results.items()
        for row in rows
        for key in (*ASKED, *COUNTED.values())
        if not row[key]
    ]


def about_rome(results: Sequence[Result]) -> list[str]:
    """Where ROME edited, and of how many tokens its C is."""
    known = {(row["story"].get("layer"), row["story"].get("tokens")) for row in results}
    return [f"\nROME: layer {layer}, C of {tokens} tokens" for layer, tokens in known if tokens]
