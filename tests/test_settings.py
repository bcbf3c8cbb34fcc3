"""A workspace's own limits: kn-edit.toml in its folder, and what a call says instead."""

from __future__ import annotations

import pytest
from tiny_models import tiny_folder

from kn_edit.errors import BadSettingsFile, ExitCode, GateFailed
from kn_edit.evaluation.gate import Gate
from kn_edit.workspace import How, Workspace, case_of
from kn_edit.workspace.settings import MOST_BYTES, ServeSettings, gate_of, serve_settings

FACT = {"prompts": ["the capital of [X] is [Y]"], "subject": "Japan", "answer": "Tokyo"}


def write(folder, text):
    (folder / "kn-edit.toml").write_text(text, encoding="utf-8")


def test_without_a_file_the_usual_limits_hold(tmp_path):
    assert gate_of(tmp_path) == Gate()


def test_a_file_names_the_limits_that_it_names(tmp_path):
    write(tmp_path, "# agreed in May\n[gate]\nspecificity = 0.7\n")
    assert gate_of(tmp_path) == Gate(efficacy=1.0, specificity=0.7)
    write(tmp_path, "[gate]\nefficacy = 0\nspecificity = 1\n")
    assert gate_of(tmp_path) == Gate(efficacy=0, specificity=1)
    write(tmp_path, "")
    assert gate_of(tmp_path) == Gate()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[gate]\nspecificity = 1.5\n", "specificity cannot be 1.5"),
        ("[gate]\nefficacy = nan\n", "efficacy cannot be nan"),
        ("[gate]\nefficacy = true\n", "efficacy cannot be True"),
        ("[gate]\nefficacy = '0.5'\n", "efficacy cannot be '0.5'"),
        ("[gate]\nspecifity = 0.5\n", "[gate] has no setting specifity, only efficacy"),
        ("[gates]\nefficacy = 0.5\n", "it has no setting gates, only gate"),
        ("gate = 0.5\n", "gate is no table"),
        ("[gate\n", "line 1"),
        ("a = " + "[" * 5000, ""),
        ("#" * (MOST_BYTES + 1), "larger than"),
        ("'\x1b[31m' = 1\n", "invalid character"),
        ('"\\u001b[31m" = 1\n', "it has no setting"),
    ],
)
def test_a_file_that_says_something_else_is_refused_with_its_path(tmp_path, text, reason):
    write(tmp_path, text)
    with pytest.raises(BadSettingsFile) as refusal:
        gate_of(tmp_path)
    sentence = str(refusal.value)
    assert sentence.startswith(str(tmp_path / "kn-edit.toml"))
    assert reason in sentence
    assert sentence.isprintable()
    assert len(sentence) < 500 + len(str(tmp_path))
    assert refusal.value.exit_code == ExitCode.USAGE


def test_a_file_names_the_limits_of_the_service(tmp_path):
    assert serve_settings(tmp_path) == ServeSettings()
    write(
        tmp_path,
        "[serve]\nrequests_per_second = 0.5\nbody_bytes = 2048\nkeep_jobs_days = 7\n"
        'origins = ["https://Edits.example.org", "http://[::1]:8018"]\n',
    )
    assert serve_settings(tmp_path) == ServeSettings(
        requests_per_second=0.5,
        body_bytes=2048,
        keep_jobs_days=7,
        origins=("https://edits.example.org", "http://[::1]:8018"),
    )


@pytest.mark.parametrize(
    "line",
    [
        "requests_per_second = 0",
        "requests_per_second = nan",
        "requests_at_once = 1.5",
        "requests_at_once = true",
        "body_bytes = 0",
        "body_bytes = 99999999999",
        "body_seconds = '20'",
        "keep_jobs = -1",
        "keep_jobs_days = inf",
        "origins = 'https://edits.example.org'",
        "origins = ['https://edits.example.org/']",
        "origins = ['*']",
        "origins = ['null']",
        "origins = [1]",
    ],
)
def test_a_limit_of_the_service_that_is_none_is_refused_by_its_name(tmp_path, line):
    write(tmp_path, f"[serve]\n{line}\n")
    with pytest.raises(BadSettingsFile, match=line.split()[0]):
        serve_settings(tmp_path)


def test_what_is_no_text_or_no_file_is_refused(tmp_path):
    path = tmp_path / "kn-edit.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadSettingsFile, match="UTF-8"):
        gate_of(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BadSettingsFile):
        gate_of(tmp_path)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    with Workspace.init(tiny_folder("llama", folder / "model"), folder / "w") as workspace:
        yield workspace


def update(workspace, **named):
    return workspace.update(case_of(**FACT), "Rome", dry_run=True, **named).draft


def test_edits_are_held_to_the_workspaces_limits_and_say_so(workspace):
    write(workspace.folder, "[gate]\nefficacy = 1.0\nspecificity = 1.0\n")
    draft = update(workspace, how=How("closed-form"))
    assert draft.found["gate"]["specificity"] == 1.0
    assert draft.faults  # the paper's formula changes other answers of this model
    write(workspace.folder, "[gate]\nefficacy = 0\nspecificity = 0\n")
    draft = update(workspace, how=How("closed-form"))
    assert draft.faults == ()
    assert draft.found["gate"] == {"efficacy": 0, "specificity": 0, "faults": []}


def test_a_call_has_the_last_word(workspace):
    write(workspace.folder, "[gate]\nefficacy = 0\nspecificity = 0\n")
    strict = How("closed-form", gate=Gate(1.0, 1.0))
    with pytest.raises(GateFailed):
        workspace.update(case_of(**FACT), "Rome", how=strict)


def test_a_broken_file_stops_an_edit_before_anything_is_computed(workspace):
    head = workspace.head.id
    write(workspace.folder, "[gate]\nspecificity = 2\n")
    with pytest.raises(BadSettingsFile):
        update(workspace)
    assert workspace.head.id == head
    (workspace.folder / "kn-edit.toml").unlink()
