"""What people do in notebooks: paths as text, torch set otherwise, threads, a closed workspace."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import tiny, tiny_folder
from workspaces import QUICK, TEMPLATES, Way, about, bits, changed, new_workspace, quick

from kn_edit.edits.calibrate import Aims, solve
from kn_edit.edits.erase import overwritten, written_slot
from kn_edit.edits.settings import Settings
from kn_edit.errors import (
    BadSetting,
    CheckpointFolderMissing,
    ExitCode,
    KnEditError,
    ModelInUse,
    NotANeuron,
    NoTarget,
    WorkspaceClosed,
)
from kn_edit.facts import Fact, Prompt, Relation
from kn_edit.models.questions import ask
from kn_edit.neuron import NeuronId
from kn_edit.neurons.attribution import Adaptive, attribute_chain
from kn_edit.workspace import (
    Calibrated,
    Case,
    ClosedForm,
    How,
    Search,
    Workspace,
    case_of,
    load_relation,
    read_cases,
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))


# --- paths and names ------------------------------------------------------------------------------


def test_folders_and_files_may_be_text(tmp_path):
    model = tiny_folder("llama", tmp_path / "model")
    with Workspace.init(model, str(tmp_path / "work")) as workspace:
        workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        out = workspace.export(str(tmp_path / "out"))
        assert isinstance(out, Path)
        assert (out / "model.safetensors").is_file()
        workspace.backup(str(tmp_path / "b.tar"))
        assert (tmp_path / "b.tar").is_file()
    with Workspace.open(str(tmp_path / "work")) as workspace:
        assert len(workspace.head.edits) == 1


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path / ".")
    tiny_folder("llama", tmp_path / "model")
    with Workspace.init("~/model", "~/work") as workspace:
        assert workspace.folder == tmp_path / "work"
        workspace.export("~/out")
        workspace.backup(Path("~/b.tar"))
    monkeypatch.setenv("KN_EDIT_WORKSPACE", "~/work")
    with Workspace.open() as workspace:
        assert workspace.folder == tmp_path / "work"
    row = '{"relation": "capital", "subject": "France", "to": "Rome"}\n'
    (tmp_path / "facts.jsonl").write_text(row)
    assert len(read_cases("~/facts.jsonl")) == 1
    assert not list(Path.cwd().glob("~*"))


def test_what_is_not_there_is_told_in_one_sentence(tmp_path):
    for model in (tmp_path / "none", str(tmp_path / "none"), "~nobody-of-this-name/x"):
        with pytest.raises(KnEditError):
            Workspace.init(model, tmp_path / "work")
    with pytest.raises(KnEditError):
        load_relation(str(tmp_path / "none.json"))


def test_a_name_that_is_none_is_never_taken_for_another(tmp_path):
    with new_workspace(tmp_path) as workspace:
        for wrong in ("lora", "adaptor", "", "Checkpoint", None):
            with pytest.raises(BadSetting, match="checkpoint, adapter, patch, delta") as told:
                workspace.export(tmp_path / "out", form=wrong)  # type: ignore[arg-type]
            assert told.value.exit_code == ExitCode.USAGE
            with pytest.raises(BadSetting, match="checkpoint, adapter, delta"):
                workspace.push("owner/name", form=wrong)  # type: ignore[arg-type]
        assert not (tmp_path / "out").exists()
        for make in (lambda: Search.by("gradient"), lambda: Search("Riemann")):
            with pytest.raises(BadSetting, match="adaptive, riemann, activation"):
                make()


def test_an_update_needs_a_new_answer(tmp_path):
    with new_workspace(tmp_path) as workspace:
        for nothing in ("", "  ", "\t\n"):
            with pytest.raises(KnEditError, match="answer"):
                workspace.update(about("France"), nothing)
        with pytest.raises(NoTarget):
            workspace.update(about("France"), None)  # type: ignore[arg-type]
        assert workspace.head.edits == ()


# --- torch, set otherwise -------------------------------------------------------------------------


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SETTINGS: dict[str, Callable[[], Any]] = {
    "inference mode": torch.inference_mode,
    "no grad": torch.no_grad,
    "grad": torch.enable_grad,
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: default_device("meta"),
    "meta block": lambda: torch.device("meta"),
    "deterministic": deterministic,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


LYRA = Relation("own", TEMPLATES[:1], (Fact("own", "Lyra", "Paris"), Fact("own", "Will", "Rome")))


def all_verbs(folder: Path) -> dict[str, Any]:
    """Numbers of every kind that a workspace gives."""
    case = Case(LYRA, LYRA.facts[0])
    with Workspace.open(folder) as workspace:
        how = Way(search=Search.by("adaptive"), settings=QUICK.settings)
        done = workspace.update(case, "Oslo", how=how, dry_run=True)
        by_hand = quick((0, 1), closed_form=True)
        closed = workspace.update(case, "Oslo", how=by_hand, dry_run=True)
        zeros = written_slot(workspace.engine.model, None)
        return {
            "assessed": [(one.p, one.rank, one.top) for one in workspace.assess(case)],
            "updated": (done.draft.delta.id, done.draft.metrics, done.draft.found),
            "closed": (closed.draft.delta.id, closed.draft.metrics),
            "erased": overwritten(workspace.engine.place, [NeuronId(0, 1)], zeros).id,
            "loaded": {name: bits.tolist() for name, bits in bits(workspace.load()).items()},
        }


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KN_EDIT_CACHE", str(folder / "cache"))
        new_workspace(folder).close()
        return folder / "work", all_verbs(folder / "work")


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_setting_of_torch_reaches_the_numbers(setting, plain):
    folder, expected = plain
    with SETTINGS[setting]():
        found = all_verbs(folder)
    for name, numbers in expected.items():
        assert found[name] == numbers, name


def test_a_solver_and_a_rule_work_alone_in_inference_mode():
    model = tiny("llama")
    prompt = Prompt(Fact("capital", "France", "Paris"), TEMPLATES[0])
    neurons = [NeuronId(0, 1), NeuronId(1, 2)]

    def numbers() -> list[Any]:
        chain = ask(model, prompt, "Rome")
        solution = solve(model, Aims(chain.questions, ()), neurons, Settings(most_steps=3))
        return [solution.b.tolist(), attribute_chain(model, chain, Adaptive()).scores.tolist()]

    expected = numbers()
    with torch.inference_mode():
        assert numbers() == expected


def test_settings_of_torch_are_as_they_were_afterwards(tmp_path):
    with ExitStack() as stack:
        stack.enter_context(default_dtype(torch.float64))
        stack.enter_context(torch.inference_mode())
        with new_workspace(tmp_path) as workspace:
            workspace.update(about("France"), "Rome", how=QUICK, accept=True)
            net = workspace.load()
        assert torch.get_default_dtype() == torch.float64
        assert torch.is_inference_mode_enabled()
    weight = net.get_input_embeddings().weight
    assert not weight.is_inference()  # what is handed out can be trained


# --- one model, one user at a time ----------------------------------------------------------------


def test_a_model_that_stands_at_a_version_is_not_asked_for_another(tmp_path):
    with new_workspace(tmp_path) as workspace:
        done = workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        delta = done.draft.delta
        before = bits(workspace.engine.model.net)
        with workspace.engine.at([delta]):
            edited = bits(workspace.engine.model.net)
            with (
                pytest.raises(ModelInUse, match="block around this one") as told,
                workspace.engine.at([]),
            ):
                pass
            assert told.value.exit_code == ExitCode.CONFLICT
            with pytest.raises(ModelInUse):
                workspace.assess(about("Japan"))
            assert changed(bits(workspace.engine.model.net), edited) == []
        assert changed(bits(workspace.engine.model.net), before) == []
        assert len(workspace.assess(about("Japan"))) == 4


def test_a_second_thread_is_told_to_open_its_own(tmp_path):
    refusals: list[BaseException] = []
    with new_workspace(tmp_path) as workspace:

        def ask() -> None:
            try:
                workspace.assess(about("Japan"))
            except ModelInUse as error:
                refusals.append(error)

        with workspace.engine.at([]):
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
        assert [str(one)[:14] for one in refusals] == ["another thread"]
        thread = threading.Thread(target=ask)  # one after the other they may
        thread.start()
        thread.join()
        assert len(refusals) == 1


def test_two_workspaces_of_one_model_do_not_meet(tmp_path):
    with new_workspace(tmp_path) as one, Workspace.init(tmp_path / "model", tmp_path / "b") as two:
        one.update(about("France"), "Rome", how=QUICK, accept=True)
        with one.engine.at(one.ledger.deltas(one.head.edits)):
            plain = two.assess(about("France"))
        assert plain == two.assess(about("France"), version="base")
        assert two.head.edits == ()


def test_every_public_method_runs_undisturbed_and_only_while_open():
    others = {"init", "open", "restore", "close", "trim_cache", "base", "engine"}
    others |= {"call", "progress"}  # of verbs, not verbs
    for name, member in vars(Workspace).items():
        method = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and name not in others:
            assert hasattr(method, "__wrapped__"), name


def test_a_closed_workspace_says_so(tmp_path):
    workspace = new_workspace(tmp_path)
    workspace.close()
    workspace.close()  # twice does no harm
    for use in (
        lambda: workspace.assess(about("France")),
        lambda: workspace.update(about("France"), "Rome"),
        lambda: workspace.log(),
        lambda: workspace.head,
        lambda: workspace.export(tmp_path / "out"),
        lambda: workspace.tokenizer,
    ):
        with pytest.raises(WorkspaceClosed, match="is closed; open it again"):
            use()


# --- values of other types ------------------------------------------------------------------------


class Named:
    """A path of some other library."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_paths_may_be_of_any_kind(tmp_path):
    tiny_folder("llama", tmp_path / "model")
    with Workspace.init(PurePath(tmp_path / "model"), Named(tmp_path / "work")) as workspace:
        workspace.export(PurePath(tmp_path / "out"))
        workspace.backup(Named(tmp_path / "b.tar"))
    assert (tmp_path / "out" / "model.safetensors").is_file()
    row = '{"relation": "capital", "subject": "France", "to": "Rome"}\n'
    (tmp_path / "facts.jsonl").write_text(row)
    assert len(read_cases(Named(tmp_path / "facts.jsonl"))) == 1
    with pytest.raises(CheckpointFolderMissing):
        Workspace.init(Named(tmp_path / "none"), tmp_path / "other")


def test_neurons_with_numbers_of_numpy_are_recorded_as_any_other(tmp_path):
    with new_workspace(tmp_path) as workspace:
        named = (NeuronId(np.int64(0), np.int32(3)), (1, np.int64(5)), "L1.7", [0, 9])
        method = ClosedForm(named)  # type: ignore[arg-type]
        assert [type(number) for neuron in method.neurons for number in neuron] == [int] * 8
        edited = workspace.update(
            about("France"), "Rome", how=How(method, QUICK.search), accept=True
        )
        for neuron, _ in edited.draft.neurons:
            assert [blame.edit.id for blame in workspace.blame(neuron)] == [edited.edit]
            again = NeuronId(np.int64(neuron.layer), np.int64(neuron.index))
            assert workspace.blame(again) == workspace.blame(str(neuron)) != []
        assert workspace.verify() == []


@pytest.mark.parametrize("wrong", [3, None, (1,), (1, 2, 3), ("a", "b"), (1.5, 2), "L1", b"L1.2"])
def test_what_names_no_neuron_is_refused(wrong):
    with pytest.raises(NotANeuron):
        Calibrated(neurons=(wrong,))


def test_a_search_may_be_named_by_its_method(tmp_path):
    with new_workspace(tmp_path) as workspace:
        with pytest.raises(BadSetting, match="adaptive, riemann, activation"):
            workspace.update(about("France"), "Rome", how=How(search="gradient"))
        by_name = workspace.locate(about("France"), search="activation")
        assert by_name.neurons == workspace.locate(about("France"), search=QUICK.search).neurons


def test_one_text_in_place_of_a_list_is_one_and_not_its_letters():
    case = case_of(prompts="[X] is in [Y].", subject="Lyra", answer="Oxford", neighbours="Will")
    assert [prompt.fact.subject for prompt in case.neighbours] == ["Will"]
    assert [template.text for template in case.relation.templates] == ["[X] is in [Y]."]
    with pytest.raises(BadSetting, match="a list of texts"):
        case_of(prompts=7, subject="Lyra", answer="Oxford")  # type: ignore[arg-type]


def test_versions_may_come_from_any_iterable(tmp_path):
    with new_workspace(tmp_path) as workspace:
        workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        workspace.tag("rome")
        workspace.rewind("base")
        assert workspace.compose("rome").id == workspace.ledger.version("rome").id
        workspace.rewind("base")
        assert workspace.compose(name for name in ["rome"]).id == workspace.head.id


def test_values_that_are_no_text_are_told_in_one_sentence(tmp_path):
    with new_workspace(tmp_path) as workspace:
        verbs: dict[str, Callable[[Any], Any]] = {
            "subject": lambda wrong: case_of(relation="capital", subject=wrong),
            "answer": lambda wrong: workspace.update(about("France"), wrong),
            "version": workspace.show,
            "tag": workspace.tag,
            "rewind": workspace.rewind,
            "revert": workspace.revert,
        }
        for verb in verbs.values():
            for wrong in (1969, 2.5, True, [], b"head"):
                with pytest.raises(KnEditError):
                    verb(wrong)
        assert workspace.head.edits == ()
