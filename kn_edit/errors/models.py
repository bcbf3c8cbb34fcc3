"""Errors about models: their families, neurons and tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kn_edit.errors.base import ExitCode, KnEditError, listed


@dataclass
class NotANeuron(KnEditError):
    """Text that should name a neuron does not."""

    exit_code = ExitCode.USAGE
    text: str

    def __str__(self) -> str:
        return f"{self.text!r} is not a neuron; write it as L<layer>.<index>, for instance L9.2141"


@dataclass
class UnknownFamily(KnEditError):
    """A model type that the table of families does not hold."""

    exit_code = ExitCode.ERROR
    model_type: str
    known: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"model type {self.model_type!r} is not in kn-edit's table ({', '.join(self.known)}); "
            "add a row to kn_edit/models/families.py that says where its layers, down-projection "
            "and head stand (docs/families.md)"
        )


@dataclass
class SharedLayers(KnEditError):
    """One layer serves every depth, so its value slots belong to no single layer."""

    exit_code = ExitCode.ERROR
    model_type: str

    def __str__(self) -> str:
        return (
            f"{self.model_type} shares one layer among all depths, so a value slot would change "
            "every layer at once; use a model with layers of its own, for instance BERT"
        )


@dataclass
class SlotsNotStored(KnEditError):
    """The checkpoint has no tensor for a down-projection of the model."""

    exit_code = ExitCode.ERROR
    tensor: str

    def __str__(self) -> str:
        return (
            f"the checkpoint holds no tensor {self.tensor}, so its value slots cannot be written; "
            "save the model again with save_pretrained and use that folder"
        )


@dataclass
class WeightsMissing(KnEditError):
    """The checkpoint lacks weights that the model answers with, often its language-model head."""

    exit_code = ExitCode.ERROR
    folder: Path
    tensors: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"the checkpoint {self.folder} lacks {listed(self.tensors, 3)}, without which its "
            "answers would be random; use a checkpoint saved with its language-model head"
        )
