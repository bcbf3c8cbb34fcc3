"""The table of forms in which a version is exported and published; one that is added is known
everywhere.

Packages that are installed add theirs by an entry point of the group `kn_edit.forms`, which names a
class. Importing this needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from kn_edit.checkpoints.form import Export, ExportForm, Published
from kn_edit.errors import BadSetting, require_known
from kn_edit.later import later
from kn_edit.models.families import family_of
from kn_edit.plugins import add_installed

if TYPE_CHECKING:
    from kn_edit.checkpoints import adapter, materialise, patch, recipe
else:
    adapter = later("kn_edit.checkpoints.adapter")
    materialise = later("kn_edit.checkpoints.materialise")
    patch = later("kn_edit.checkpoints.patch")
    recipe = later("kn_edit.checkpoints.recipe")

GROUP = "kn_edit.forms"
NAME = re.compile(r"[a-z][a-z0-9_]{0,15}")  # also of a form that only the publisher knows


class CheckpointForm(ExportForm):
    """The whole model, as transformers loads it."""

    name = "checkpoint"
    summary = "a full model"
    library = "transformers"
    relation = "finetune"
    holds = "This repository holds the whole model."
    with_companions = True

    def write(self, export: Export, target: Path) -> Path:
        return materialise.export_checkpoint(
            export.shards,
            export.deltas,
            target,
            expected=export.digests,
            fingerprint=export.base.fingerprint,
            follow_links=export.options.follow_links,
            progress=export.progress,
        )

    def files(self, export: Export, scratch: Path) -> Mapping[str, bytes | Path]:
        return materialise.checkpoint_files(export, scratch)

    def loading(self, published: Published) -> tuple[str, ...]:
        return (
            f"from transformers import AutoTokenizer, {published.auto}",
            "",
            f'model = {published.auto}.from_pretrained("{published.repo}")',
            f'tokenizer = AutoTokenizer.from_pretrained("{published.repo}")',
        )


class AdapterForm(ExportForm):
    """A LoRA adapter of the edits' true rank, as PEFT loads it over the base."""

    name = "adapter"
    summary = "a PEFT LoRA"
    library = "peft"
    relation = "adapter"
    holds = "This repository holds a LoRA adapter that goes on top of it."
    ranked = True

    def write(self, export: Export, target: Path) -> Path:
        return adapter.export_adapter(
            export.shards,
            export.base,
            family_of(export.model_type),
            export.deltas,
            target,
            most_rank=export.options.most_rank,
        )

    def files(self, export: Export, scratch: Path) -> Mapping[str, bytes]:
        family, most_rank = family_of(export.model_type), export.options.most_rank
        return adapter.adapter_files(export.shards, export.base, family, export.deltas, most_rank)

    def loading(self, published: Published) -> tuple[str, ...]:
        base = f'"{published.base}"{published.at_revision}'
        return (
            "from peft import PeftModel",
            f"from transformers import {published.auto}",
            "",
            f"base = {published.auto}.from_pretrained({base})",
            f'model = PeftModel.from_pretrained(base, "{published.repo}")',
        )


class PatchForm(ExportForm):
    """The changed numbers alone, as safetensors."""

    name = "patch"
    summary = "the changed numbers"
    library = "safetensors"
    relation = "adapter"
    holds = "This repository holds the numbers that differ from it."
    publishable = False

    def write(self, export: Export, target: Path) -> Path:
        return patch.export_patch(export.shards, export.deltas, target)


class DeltaForm(ExportForm):
    """The edits alone, with their order, as `kn-edit pull` takes them in."""

    name = "delta"
    summary = "the edits with their order"
    library = "kn-edit"
    relation = "adapter"
    holds = "This repository holds the edits alone, as kn-edit deltas."

    def write(self, export: Export, target: Path) -> Path:
        return recipe.export_deltas(export.base, export.deltas, target)

    def files(self, export: Export, scratch: Path) -> Mapping[str, bytes]:
        return {}  # recipe and deltas travel with every form


# The first one is taken where nobody names one.
FORMS: dict[str, type[ExportForm]] = {
    form.name: form for form in (CheckpointForm, AdapterForm, PatchForm, DeltaForm)
}
F = TypeVar("F", bound=type[ExportForm])


def add_form(form: F) -> F:
    """Add a form to the table; usable as a decorator of its class.

    Raises BadSetting where the name is another one's, or none that a ledger can hold.
    """
    if not NAME.fullmatch(form.name):
        raise BadSetting("the form's name", form.name, "at most 16 of a to z, 0 to 9 and _")
    if FORMS.setdefault(form.name, form) is not form:
        raise BadSetting("the form's name", form.name, "one that no other form has")
    return form


def forms(*, publishable: bool = False) -> dict[str, type[ExportForm]]:
    """The forms by name, those of installed packages too, the usual one first.

    publishable: those alone that `push` takes
    """
    add_installed(GROUP, add_form)
    return {name: form for name, form in FORMS.items() if form.publishable or not publishable}


def form_of(name: str, *, publishable: bool = False) -> ExportForm:
    """A form by its name. Raises BadSetting."""
    known_forms = forms(publishable=publishable)
    require_known("the form", name, tuple(known_forms))
    return known_forms[name]()
