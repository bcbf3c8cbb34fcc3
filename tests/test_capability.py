"""Tasks of lm-eval on the base and on a version; `make capability` installs it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from workspaces import QUICK, about, new_workspace

from kn_edit.errors import BadSetting, ExtraMissing
from kn_edit.experiments import capability
from kn_edit.workspace import Workspace

INSTALLED = find_spec("lm_eval") is not None
TASK = """
task: capitals
dataset_path: json
dataset_kwargs:
  data_files: {test: capitals.jsonl}
test_split: test
output_type: multiple_choice
doc_to_text: "The capital of {{country}} is"
doc_to_choice: "{{choices}}"
doc_to_target: answer
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
COUNTRIES = ("France", "Japan", "Italy", "Egypt")
CHOICES = ["Paris", "Tokyo", "Rome", "Cairo"]


@pytest.fixture
def task(tmp_path):
    rows = (
        {"country": country, "choices": CHOICES, "answer": place}
        for place, country in enumerate(COUNTRIES)
    )
    (tmp_path / "capitals.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = tmp_path / "capitals.yaml"
    path.write_text(TASK)
    return path


def test_data_files_are_named_relative_to_the_task(task):
    config = capability._config(task)
    assert config["task"] == "capitals"
    assert config["dataset_kwargs"] == {"data_files": {"test": str(task.parent / "capitals.jsonl")}}
    assert capability._absolute(["a", "/b"], Path("/c")) == ["/c/a", "/b"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "task: [a]",
        "a: {",
        "!function tasks.run",
        TASK.replace("capitals.jsonl", "!function x.y"),
        TASK.replace("dataset_path: json", "dataset_path: someone/dataset"),
        TASK.replace("data_files: {test: capitals.jsonl}", "revision: main"),
    ],
)
def test_what_is_no_task_with_local_data_is_refused(text, tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text(text)
    with pytest.raises(BadSetting):
        capability._config(path)
    with pytest.raises(BadSetting):
        capability._config(tmp_path / "nowhere.yaml")


def test_metrics_are_told_from_their_errors_and_from_other_values():
    values = {
        "alias": "a",
        "acc,none": 0.5,
        "acc_stderr,none": 0.1,
        "f1,x": 1,
        "f1_stderr,x": "N/A",
    }
    assert list(capability._metrics(values)) == [("acc,none", 0.5), ("f1,x", 1.0)]
    assert capability._error(values, "acc,none") == 0.1
    assert capability._error(values, "f1,x") is None


@pytest.mark.skipif(INSTALLED, reason="lm-eval is installed")
def test_without_the_package_it_is_said_how_to_get_it(tmp_path, task):
    workspace = new_workspace(tmp_path)
    with pytest.raises(ExtraMissing, match="lm-eval"):
        capability.capability(workspace, [task])


@pytest.mark.skipif(not INSTALLED, reason="`make capability` installs lm-eval")
def test_a_task_is_run_on_the_base_and_on_the_version(tmp_path, task):
    workspace = new_workspace(tmp_path)
    workspace.update(about("France"), "Rome", how=QUICK, accept=True)
    folder = workspace.folder
    expected = {version: accuracy(workspace, version) for version in ("base", "head")}
    workspace.close()
    command = ("capability", str(task), "--json", "--workspace", str(folder))
    program = "import sys; from kn_edit.cli.run import run; sys.exit(run(sys.argv[1:]))"
    ran = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    (score,) = json.loads(ran.stdout)
    assert (score["task"], score["metric"]) == ("capitals", "acc,none")
    assert (score["base"], score["version"]) == (expected["base"], expected["head"])


def accuracy(workspace: Workspace, version: str) -> float:
    """The share of countries whose capital is the likeliest of the choices, by plain runs."""
    net, tokenizer = workspace.load(version), workspace.engine.model.tokenizer
    right = 0
    for place, country in enumerate(COUNTRIES):
        ids = tokenizer(f"The capital of {country} is", return_tensors="pt")["input_ids"]
        tokens = [tokenizer(choice, add_special_tokens=False)["input_ids"][0] for choice in CHOICES]
        right += int(net(input_ids=ids).logits[0, -1][tokens].argmax()) == place
    return right / len(COUNTRIES)
