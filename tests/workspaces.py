"""Small workspaces for tests: tiny models on disk, a relation in their words, quick edits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ledgers import KIND, POSTGRES, database_url
from tiny_models import SPECIAL, WORDS, tiny_folder
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from kn_edit.edits.settings import Settings
from kn_edit.facts import Fact, Prompt, Relation, Template
from kn_edit.models.predict import first_tokens
from kn_edit.models.questions import ask, ask_openly
from kn_edit.neuron import NeuronId
from kn_edit.workspace import (
    Calibrated,
    Case,
    ClosedForm,
    EditMethod,
    Frequent,
    How,
    Search,
    Shared,
    Specific,
    Workspace,
)

SHAPES = ("llama", "gpt2", "bert")  # gated columns, rows, a masked LM
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
BITS = {torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16}
IDS = torch.tensor([[7, 8, 9, 18, 10, 12, 11]])

CAPITALS = {
    "France": "Paris",
    "Japan": "Tokyo",
    "Italy": "Rome",
    "Egypt": "Cairo",
    "Norway": "Oslo",
    "Cuba": "Havana",
    "Spain": "Madrid",
}
TEMPLATES = (
    Template("The capital of [X] is [Y] ."),
    Template("the capital city of [X] is [Y]"),
    Template("[X] is a country , the capital is [Y] ."),
    Template("the city which is the capital of [X] is [Y]", held_out=True),
)
CAPITAL = Relation("capital", TEMPLATES, tuple(Fact("capital", *fact) for fact in CAPITALS.items()))


@dataclass(frozen=True)
class Way(How):
    """How a test edits, in one line: the method is made of these settings."""

    search: Search | str | None = "activation"
    settings: Settings = field(default_factory=lambda: Settings(most_steps=3))
    neurons: tuple[NeuronId, ...] = ()
    closed_form: bool = False
    scale: tuple[float, float] = (1.0, 8.0)
    erasure: EditMethod | None = None  # in place of an update's method

    def __post_init__(self) -> None:
        method: EditMethod = Calibrated(self.neurons, settings=self.settings)
        if self.closed_form:
            method = ClosedForm(self.neurons, self.scale)
        object.__setattr__(self, "method", self.erasure or method)


QUICK = Way()


def quick(*neurons: tuple[int, int], **options: Any) -> Way:
    """A quick way to edit, with these neurons and no others; or to erase, with these options."""
    chosen = tuple(NeuronId(*neuron) for neuron in neurons)
    ours = {name: options.pop(name) for name in ("gate", "closed_form") if name in options}
    erasure: EditMethod | None = None
    if options:
        kind = Frequent if "top" in options else Shared if "least" in options else Specific
        erasure = kind(**options)
    return Way(neurons=chosen, erasure=erasure, **ours)


def about(subject: str, relation: Relation = CAPITAL, neighbours: tuple[Prompt, ...] = ()) -> Case:
    return Case(relation, relation.fact(subject), None, neighbours)


def known_by(workspace: Workspace, template: Template = TEMPLATES[0]) -> Relation:
    """A relation of which the model knows every fact: the answers are what it says."""
    model = workspace.engine.model
    prompts = [Prompt(Fact("capital", word, ""), template) for word in WORDS.split()]
    said = first_tokens(model, [ask_openly(model, prompt) for prompt in prompts])
    words = model.tokenizer.convert_ids_to_tokens(said)
    facts = {
        prompt.fact.subject: Fact("capital", prompt.fact.subject, word)
        for prompt, word in zip(prompts, words, strict=True)
        if word not in SPECIAL
    }
    return Relation("capital", (template,), tuple(facts.values()))


def new_workspace(
    folder: Path, shape: str = "llama", dtype: torch.dtype = torch.float32, seed: int = 0
) -> Workspace:
    """A workspace in `folder/work` on a random model in `folder/model`, made if it is not there."""
    model = folder / "model"
    if not model.exists():
        tiny_folder(shape, model, dtype, seed)
    work = folder / "work"
    url = database_url(work / ".kn-edit") if KIND.get() == POSTGRES else None
    return Workspace.init(str(model), work, database=url)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def shard(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def exported(workspace: Workspace, version: str = "head") -> Path:
    """A version as a checkpoint beside the workspace; once for each version."""
    target = workspace.folder.parent / f"out-{workspace.ledger.version(version).id[:12]}"
    return target if target.exists() else workspace.export(target, version=version)


def plainly_loaded(folder: Path) -> Any:
    """What a user of transformers gets from a checkpoint, without kn-edit."""
    masked = "MaskedLM" in (folder / "config.json").read_text()
    auto = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    return auto.from_pretrained(folder, dtype="auto").eval()


def logits(net: Any, ids: Tensor = IDS) -> Tensor:
    with torch.no_grad():
        found: Tensor = net(input_ids=ids).logits
    return found


def answers(workspace: Workspace, net: Any, case: Case) -> list[int]:
    """The first token that a model says to each prompt that the solver saw."""
    return [
        int(logits(net, torch.tensor([ids]))[0, position].argmax())
        for ids, position, _ in _asked(workspace, case, None)
    ]


def tokens(workspace: Workspace, case: Case, answer: str) -> list[int]:
    """The first token of an answer, for each of those prompts."""
    return [token for _, _, token in _asked(workspace, case, answer)]


def asked(workspace: Workspace, case: Case) -> list[list[int]]:
    """The tokens of each prompt that the solver saw."""
    return [list(ids) for ids, _, _ in _asked(workspace, case, None)]


def _asked(
    workspace: Workspace, case: Case, answer: str | None
) -> list[tuple[tuple[int, ...], int, int]]:
    prompts = case.relation.prompts(case.fact, answer_last=True)
    firsts = [ask(workspace.engine.model, prompt, answer).questions[0] for prompt in prompts]
    return [(one.ids, one.position, one.token) for one in firsts]


def bits(net: Any) -> dict[str, Tensor]:
    return {
        name: weight.detach().clone().view(BITS.get(weight.dtype, weight.dtype))
        for name, weight in net.state_dict().items()
    }


def changed(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
    """The tensors that are not the same bits."""
    assert ours.keys() == theirs.keys()
    return [name for name in ours if not ours[name].equal(theirs[name])]
