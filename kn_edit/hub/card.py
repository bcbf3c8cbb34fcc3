"""The model card: what was changed, how well it works, how to load it, how to undo it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from kn_edit.canonical import short
from kn_edit.checkpoints.form import ExportForm, Published
from kn_edit.credentials import tokens_in_use
from kn_edit.evaluation.metric import METRICS, headline, in_columns, metrics
from kn_edit.figures import count, share
from kn_edit.hub.contents import Version
from kn_edit.hub.manifest import FOLDER
from kn_edit.ledger.records import EditRecord, FactChange
from kn_edit.models.cache import DEMO, DEMO_BERT
from kn_edit.models.families import family_of
from kn_edit.safetext import code_span, inert_markdown, shown, struck

TAGS = ("model-editing", "knowledge-neurons", "kn-edit")
TASK = {"causal": ("text-generation", "AutoModelForCausalLM")}
MASKED = ("fill-mask", "AutoModelForMaskedLM")
UNKNOWN = {"license": "other", "license_name": "unknown"}

MOST_FACTS = 200  # of one edit
MOST_CELL = 300  # characters
DIGITS = 12  # of an id, in a list
_LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}")


@dataclass(frozen=True)
class Origin:
    """What the base is called on the Hub, and its license as a card states it."""

    repo: str | None
    revision: str | None
    license: Mapping[str, str]
    init: str  # what `kn-edit init` takes to begin with this base
    remark: str = ""


APACHE = {"license": "apache-2.0"}
DEMOS = {
    DEMO: Origin(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        None,
        APACHE,
        DEMO,
        ", dequantised from GGUF as `kn-edit init demo` does it",
    ),
    DEMO_BERT: Origin(None, None, APACHE, DEMO_BERT),
}


def license_of(card: str) -> dict[str, str]:
    """The license that a model card states; `other`, unknown, where it states none."""
    from huggingface_hub import ModelCard

    data: dict[str, Any] = vars(ModelCard(card, ignore_metadata_errors=True).data)
    stated = data.get("license")
    if not isinstance(stated, str) or not _LICENSE.fullmatch(stated):
        return dict(UNKNOWN)
    details = {name: data.get(name) for name in ("license_name", "license_link")}
    return {"license": stated} | {
        name: value
        for name, value in details.items()
        if isinstance(value, str) and len(value) < 300
    }


def card(repo: str, version: Version, form: ExportForm, origin: Origin) -> bytes:
    """README.md of a published version. Equal versions give equal bytes."""
    metadata = _metadata(repo, version, form, origin)
    parts = [
        f"---\n{metadata}\n---",
        f"# {repo.partition('/')[2]}",
        _summary(version, form, origin),
        "## Edits",
        *_edits(version.edits),
        *_measured(version.edits),
        "## Load it",
        *_loading(repo, version, form, origin),
        "## Undo it",
        *_undoing(repo, version, origin),
    ]
    return ("\n\n".join(parts) + "\n").encode()


def figures(edits: Sequence[EditRecord]) -> dict[str, float]:
    """Means over the edits that measured them."""
    means = {}
    for name in (metric.name for metric in metrics() if metric.card_words):
        values = [edit.metrics[name] for edit in edits if _is_number(edit.metrics.get(name))]
        if values:
            means[name] = round(fmean(values), 4)
    return means


def _metadata(repo: str, version: Version, form: ExportForm, origin: Origin) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    task, _ = _task(version)
    data: dict[str, Any] = {
        **origin.license,
        "library_name": form.library,
        "pipeline_tag": task,
        "tags": list(TAGS),
    }
    if origin.repo is not None:
        data |= {"base_model": origin.repo, "base_model_relation": form.relation}
    results = [
        EvalResult(task, "kn-edit", "the edited facts", name, value, metric_name=name)
        for name, value in figures(version.edits).items()
    ]
    if results:
        data |= {"model_name": repo.partition("/")[2], "eval_results": results}
    return ModelCardData(**data).to_yaml()


def _task(version: Version) -> tuple[str, str]:
    return TASK.get(family_of(version.base.model_type).kind, MASKED)


def _summary(version: Version, form: ExportForm, origin: Origin) -> str:
    base = _base(version, origin)
    edits = count(len(version.edits), "edit") if version.edits else "no edit"
    return (
        f"{base} with {edits}, made with kn-edit: facts were changed by {_changed(version.edits)}, "
        f"and every other weight is as it was. {form.holds}\n\n"
        f"| | |\n|---|---|\n| version | `{version.record.id}` |\n"
        f"| base | {base}{origin.remark} |\n"
        f"| base revision | {_code(origin.revision or 'none pinned')} |\n"
        f"| base fingerprint | `{version.base.fingerprint}` |\n"
        f"| license | {_cell(origin.license['license'])} |"
    )


def _changed(edits: Sequence[EditRecord]) -> str:
    """What the edits did to the weights, in words."""
    slots = "rewriting the value slots of a few neurons"
    layers = sorted({change.layer for edit in edits for change in edit.layers})
    if not layers:
        return slots
    names = f"layer{'s' if len(layers) > 1 else ''} {', '.join(map(str, layers))}"
    low_rank = f"adding a low-rank change to all value slots of {names}"
    return f"{slots}, and {low_rank}" if any(edit.neurons for edit in edits) else low_rank


def _base(version: Version, origin: Origin) -> str:
    if origin.repo is None:
        return f"A {version.base.model_type} model"
    return f"[{origin.repo}](https://huggingface.co/{origin.repo})"


def _edits(edits: Sequence[EditRecord]) -> Iterator[str]:
    if not edits:
        yield "None: these are the weights of the base."
        return
    labels = (metric.label for metric in in_columns())
    columns = ("what", "from", "to", "neurons", *labels, "sha256")
    rows = [_row(*columns), "|" + "---|" * len(columns)]
    for edit in edits:
        ranks = [f"layer {each.layer}, rank {each.rank}" for each in edit.layers]
        count = "; ".join(
            [*([str(len(edit.neurons))] if edit.neurons or not ranks else []), *ranks]
        )
        if edit.further:
            summary = (f"{len(edit.facts)} facts in one edit, the means", "", "", count)
            rows.append(_row(*summary, *_shares(edit.metrics), _code(edit.id)))
            rows += _rows_of_facts(edit)
        else:
            rows.append(_row(*_fact(edit.facts[0]), count, *_shares(edit.metrics), _code(edit.id)))
    yield "\n".join(rows)
    against = [
        f"- {_code(edit.id[:DIGITS])}: {_cell('; '.join(edit.faults))}"
        for edit in edits
        if edit.faults
    ]
    if against:
        yield "Recorded although the gate refused them:"
        yield "\n".join(against)
    yield (
        f"They apply in this order. `{FOLDER}/` holds the numbers of each, in a file that is "
        "named by its sha256, and how its neurons were found."
    )


def _rows_of_facts(edit: EditRecord) -> Iterator[str]:
    """A row for each fact of an edit of many, or for the first of very many."""
    for each in edit.by_fact[:MOST_FACTS]:
        yield _row(*_fact(each.change), "", *_shares(each.metrics), "")
    if len(edit.facts) > MOST_FACTS:
        note = f"and {len(edit.facts) - MOST_FACTS} more facts, which `kn-edit show` lists"
        yield _row(note, *([""] * (4 + len(in_columns()))))


def _fact(change: FactChange) -> tuple[str, str, str]:
    """What is changed, from what, to what."""
    erased = f"{change.relation}, erased"
    changed_fact = f"{change.relation}: {change.subject}" if change.subject else erased
    return _cell(changed_fact), _cell(change.answer or ""), _cell(change.target or "")


def _shares(measured: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(share(measured.get(name)) for name in headline())


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _measured(edits: Sequence[EditRecord]) -> Iterator[str]:
    means = figures(edits)
    if means:
        yield "## Measured"
        rows = [
            (METRICS[name].label, f"{value:g}", METRICS[name].card_words)
            for name, value in means.items()
        ]
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        yield "\n".join(["| | mean | |", "|---|---|---|", *lines])
        yield "Each edit was measured when it was made, on top of those before it."


def _loading(repo: str, version: Version, form: ExportForm, origin: Origin) -> Iterator[str]:
    base = origin.repo or "the-base-model"
    lines = form.loading(Published(repo, _task(version)[1], base, origin.revision))
    if lines:
        yield _python(*lines)
    else:
        yield _console(*_workspace(origin), f"kn-edit pull {repo}", "kn-edit export edited-model")
    yield "A branch, a tag or a commit goes in as `revision`, or behind an `@` for kn-edit."


def _undoing(repo: str, version: Version, origin: Origin) -> Iterator[str]:
    yield "Any edit comes out again, wherever it stands in the list, and leaves no trace:"
    edit = short(version.edits[0].id) if version.edits else "EDIT"
    yield _console(*_workspace(origin), f"kn-edit pull {repo}", f"kn-edit revert {edit}")
    yield (
        "Then `kn-edit export DIR` writes the model without it, and `kn-edit push` publishes that. "
        f"`kn-edit rollback {repo} --to VERSION` restores an earlier state of this repository."
    )


def _workspace(origin: Origin) -> tuple[str, ...]:
    return ("pip install kn-edit", f"kn-edit init {origin.init}")


def _python(*lines: str) -> str:
    return "```python\n" + "\n".join(lines) + "\n```"


def _console(*lines: str) -> str:
    return "```console\n" + "\n".join(lines) + "\n```"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _code(text: str) -> str:
    return code_span(shown(text, MOST_CELL, *tokens_in_use()))


def _cell(text: str) -> str:
    """A text that stays text inside its cell, whatever it says."""
    return inert_markdown(struck(text, MOST_CELL, *tokens_in_use()))
