"""All experiments on one model, one after the other, and what they say: a page, a text, plots."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from kn_edit.canonical import short
from kn_edit.errors import OneAnswer, TooFewKnown
from kn_edit.evaluation.report import made_folder, markdown, page, write, write_plots
from kn_edit.evaluation.section import Section
from kn_edit.experiments import (
    assessing,
    erasing,
    expressing,
    scaling,
    sentences,
    sequence,
    sharing,
    updating,
)
from kn_edit.experiments.context import ExperimentContext, Plan
from kn_edit.facts import Sentences, load_relation, read_sentences
from kn_edit.seeds import USUAL, checked
from kn_edit.untrusted import path_of
from kn_edit.workspace import Workspace
from kn_edit.workspace.folder import results_folder

RELATIONS = ("capital", "country", "language", "symbol")
FACTS, EDITS = 15, 50
QUICK_FACTS, QUICK_EDITS = 2, 5
ASSESSED = 64  # facts of each relation that are assessed, known or not
LEAST = 2  # known facts that a relation must have to take part


def plan_of(
    relations: tuple[str, ...] = (),
    facts: int | None = None,
    seed: int = USUAL,
    *,
    quick: bool = False,
) -> Plan:
    """The plan of a run. seed: of everything that is drawn. Raises BadSetting for what is none."""
    usual = QUICK_FACTS if quick else FACTS
    return Plan(relations or RELATIONS, facts or usual, checked(seed))


def reproduce(
    workspace: Workspace,
    plan: Plan,
    out: str | Path,
    *,
    edits: int | None = None,
    controls: int | None = None,
    quick: bool = False,
    files: Mapping[str, str | Path] = MappingProxyType({}),
) -> list[Section]:
    """Run everything and write OUT/report.html, OUT/results.md and OUT/plots. Resumable.

    Rows are kept in OUT/rows as they come; a second run with the same plan goes on.
    edits: that are kept together
    controls: facts of each relation that are updated on random neurons as well; by default all
    files: of sentences about the facts of a relation (facts/sentences.py), by its name
    Raises TargetInsideLedger, TooFewKnown, OneAnswer, and what reading the files raises.
    """
    out = results_folder(out)
    made_folder(out)
    by_relation = {
        name: read_sentences(path_of(file), load_relation(name)) for name, file in files.items()
    }
    context = ExperimentContext.open(workspace.engine, plan, out)
    too_small = [name for name, facts in context.facts.items() if len(facts) < LEAST]
    if too_small:
        raise TooFewKnown(tuple(too_small), LEAST)
    alike = [
        name for name, relation in context.relations.items() if len(updating.answers(relation)) < 2
    ]
    if alike:
        raise OneAnswer(tuple(alike))
    assessed = 2 * assessing.GROUP if quick else ASSESSED
    together = min(edits or (QUICK_EDITS if quick else EDITS), len(context.cases))
    sections: list[Section] = []
    for section in _sections(context, assessed, together, controls, by_relation):
        sections.append(section)
        _write(context, sections)  # what is done can be read while the rest runs
    return sections


def _sections(
    context: ExperimentContext,
    assessed: int,
    together: int,
    controls: int | None,
    by_relation: Mapping[str, Sequence[Sentences]],
) -> Iterator[Section]:
    yield assessing.section(assessing.measure(context, assessed))
    yield sharing.section(sharing.measure(context))
    yield scaling.section(scaling.measure(context))
    yield expressing.section(expressing.measure(context))
    for name, group in by_relation.items():
        yield sentences.section(name, sentences.measure(context, name, group))
    yield updating.section(updating.measure(context, controls))
    yield erasing.section(erasing.measure(context))
    yield sequence.section(sequence.measure(context, together))


def _write(context: ExperimentContext, sections: list[Section]) -> None:
    base = context.engine.base
    title = f"Knowledge neurons in {base.name}"
    counts = ", ".join(f"{name} {len(facts)}" for name, facts in context.facts.items())
    facts = [
        f"Model: {base.name}, {base.model_type}, {base.dtype}, base {short(base.fingerprint)}.",
        f"Known facts in the sample: {counts}; seed {context.plan.seed}.",
        f"Machine: {platform.machine()}, {os.cpu_count()} CPUs; "
        f"Python {platform.python_version()}, torch {version('torch')}.",
    ]
    write_plots(context.out / "plots", sections)
    write(context.out / "report.html", page(title, facts, sections))
    write(context.out / "results.md", markdown(title, facts, sections, "plots"))


def claims(sections: list[Section]) -> list[tuple[str, str, bool]]:
    """Every claim with the title of its section."""
    return [
        (section.title, claim.words, claim.holds)
        for section in sections
        for claim in section.claims
    ]
