"""Prompts that are scored by workers of Ray: the same bits, each once, whatever is killed."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import ray
from standings import same_standing
from tiny_models import tiny_folder
from workspaces import CAPITAL, TEMPLATES, about, known_by, quick

from kn_edit.editing import evaluating, joint_members, measuring
from kn_edit.editing.joint_answers import TOGETHER, StandingsShare, WantedLead
from kn_edit.editing.locating import prompts_for
from kn_edit.engine.cluster import Cluster
from kn_edit.engine.scores import LocalScorer
from kn_edit.engine.shared_scoring import PROMPTS, ScoreShare, SharedScorer
from kn_edit.engine.shares import ThisProcess, shared
from kn_edit.errors import BadSetting, ClusterFailed, KnEditError
from kn_edit.experiments import assessing, scaling
from kn_edit.experiments.context import ExperimentContext, Plan
from kn_edit.models.questions import ask
from kn_edit.workspace import How, Joint, Workspace, case_of, to_json

TORTURE = "KN_EDIT_TORTURE" in os.environ
KILLS = 20 if TORTURE else 1
KN_EDIT = (sys.executable, "-m", "kn_edit.cli")

ROWS = [
    (
        case_of(prompts=["the capital of [X] is [Y]"], subject=fact.subject, answer=fact.answer),
        "Madrid",
    )
    for fact in CAPITAL.facts[:4]
]
EDITS = [(about("France"), "Madrid"), (about("Japan"), "Oslo")]
TEXT = TEMPLATES[0].text
SEARCHED = replace(quick((0, 1)), search="adaptive")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_folder("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def workspace(model, tmp_path_factory):
    """A workspace with two workers, which all tests of this file share."""
    folder = tmp_path_factory.mktemp("w")
    Workspace.init(model, folder).close()
    with Workspace.open(folder, cluster=Cluster(2)) as workspace:
        yield workspace
    assert ray_processes_below(os.getpid()) == {}


@pytest.fixture(scope="module")
def chains(workspace):
    """Prompts of four shares."""
    model = workspace.engine.model
    chains = [
        ask(model, prompt) for fact in CAPITAL.facts for prompt in prompts_for(model, CAPITAL, fact)
    ]
    return (chains * 3)[: 3 * PROMPTS + 5]


@pytest.fixture
def workers(workspace):
    return workspace.engine.workers


def ray_processes_below(process: int) -> dict[int, str]:
    """Ray's processes that came from a process, however far down, with their commands."""
    parents, commands = {}, {}
    for folder in Path("/proc").iterdir():
        try:
            number = int(folder.name)
            parents[number] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            commands[number] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (ValueError, OSError):
            continue
    below = {process}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return {each: commands[each] for each in below if words_of(commands[each])}


def words_of(command: str) -> set[str]:
    """Which names of Ray's programs are in a command."""
    return {word for word in ("raylet", "gcs_server", "ray::") if word in command}


def alive(process: int) -> bool:
    """Whether a process is there and not only waiting to be noticed as ended."""
    try:
        return (Path(f"/proc/{process}") / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_of(workers) -> list[int]:
    """The ids of the workers' processes that live, none of which computes anything now.

    One that was killed when its work was done is noticed with the next share.
    """
    processes = []
    for worker in [*workers.started._idle]:
        with suppress(ray.exceptions.RayActorError):
            processes.append(ray.get(worker.__ray_call__.remote(lambda _: os.getpid())))
    return processes


# --- the same numbers ----------------------------------------------------------------------------


def test_workers_give_the_bits_of_this_process(workspace, chains, workers):
    here = dict(SharedScorer(ThisProcess(workspace.engine), []).scores(chains, "adaptive", 20))
    with workspace.engine.at([]) as live:
        assert dict(SharedScorer(workers, []).scores(chains, "adaptive", 20)) == here
        assert here.keys() == set(range(len(chains)))
        # As many as are held at once are scored by an engine without workers in the same way.
        alone = dict(LocalScorer(live.model).scores(chains[:PROMPTS], "adaptive", 20))
        assert alone == {place: here[place] for place in range(PROMPTS)}
        assert SharedScorer(workers, []).right(chains) == LocalScorer(live.model).right(chains)


def test_workers_are_at_the_version_that_is_asked(workspace, chains, workers):
    japan = case_of(prompts=["the capital of [X] is [Y]"], subject="Japan", answer="Tokyo")
    edited = workspace.update(japan, "Oslo", how=quick((0, 1), (1, 2)), accept=True)
    delta = workspace.ledger.delta(edited.edit)
    alone = SharedScorer(ThisProcess(workspace.engine), [delta])
    here = dict(alone.scores(chains, "riemann", 3))
    there = dict(SharedScorer(workers, [delta]).scores(chains, "riemann", 3))
    base = dict(SharedScorer(workers, []).scores(chains, "riemann", 3))
    assert there == here != base


def test_a_relation_is_located_by_workers(workspace, model, tmp_path):
    with Workspace.init(model, tmp_path) as alone:
        facts = alone.locate_relation(CAPITAL, version="base")
    located = workspace.locate_relation(CAPITAL, version="base")
    assert [each.fact for each in located] == [each.fact for each in facts]


# --- what is lost --------------------------------------------------------------------------------


def test_the_share_of_a_killed_worker_is_computed_again_and_nothing_twice(
    workspace, chains, workers, record_property
):
    expected = dict(SharedScorer(workers, []).scores(chains, "adaptive", 20))
    choice = random.Random(0)
    for _ in range(KILLS):
        victims = processes_of(workers)
        scores = SharedScorer(workers, []).scores(chains, "adaptive", 20)
        results = [next(scores)]
        time.sleep(choice.random() * 0.05)
        os.kill(choice.choice(victims), signal.SIGKILL)
        results += scores
        assert sorted(place for place, _ in results) == list(range(len(chains)))
        assert dict(results) == expected
    record_property("kills", KILLS)


def test_a_batch_whose_workers_are_killed_records_each_fact_once(workspace, workers):
    before = len(workspace.ledger.edits())
    batch = workspace.batch(ROWS[1:], how=SEARCHED, accept=True)
    for result in batch:
        assert result.error is None
        os.kill(processes_of(workers)[0], signal.SIGKILL)
    edits = workspace.ledger.edits()[before:]
    assert [edit.subject for edit in edits] == [case.fact.subject for case, _ in ROWS[1:]]
    assert workspace.verify() == []


@pytest.fixture
def branch(workspace):
    """A branch that begins without edits, for one test."""
    workspace.switch("alone", create=True, at="base")
    yield
    workspace.switch("main")
    workspace.delete_branch("alone", force=True)


def test_rows_are_made_by_workers_as_by_this_process(workspace, model, tmp_path, branch):
    results = {}
    with Workspace.init(model, tmp_path) as alone:
        for place, each in {"here": alone, "there": workspace}.items():
            tried = [*each.batch(ROWS, how=SEARCHED, accept=True, dry_run=True)]
            made = [*each.batch(ROWS, how=SEARCHED, accept=True, at_once=3)]
            assert len(each.head.edits) == len(ROWS)
            results[place] = [
                [(result.row.name, result.status, result.metrics) for result in (*tried, *made)],
                each.head.edits,
            ]
    assert results["there"] == results["here"]


def test_facts_are_asked_by_workers_as_by_this_process(workspace, model, tmp_path):
    cases = [case for case, _ in ROWS]
    with Workspace.init(model, tmp_path) as alone:
        asked = [alone.assess(case, version="base") for case in cases]
    assert workspace.assess_many(cases, version="base") == asked


def test_a_version_is_evaluated_by_workers_as_by_this_process(
    workspace, model, tmp_path, branch, monkeypatch
):
    monkeypatch.setattr(evaluating, "UPDATES", 1)  # so that two workers have a share
    monkeypatch.setattr(evaluating, "PROMPTS", 5)
    evaluations = []
    with Workspace.init(model, tmp_path) as alone:
        for each in (alone, workspace):
            for case, to in EDITS:
                each.update(case, to, how=quick((0, 1), (1, 2)), accept=True)
            evaluations.append(to_json.evaluation(each.evaluate()))
    assert evaluations[0] == evaluations[1]
    assert len(evaluations[0]["updates"]) == len(EDITS)


def test_a_set_of_facts_is_solved_and_measured_with_workers_as_by_this_process(
    workspace, model, tmp_path, branch, monkeypatch
):
    monkeypatch.setattr(joint_members, "SHARE", 1)  # so that two workers have a share
    monkeypatch.setattr(measuring, "EXAMS", 1)
    # Two facts about each subject, so that both workers look for a shift of several.
    currency = partial(case_of, prompts=["the currency of [X] [Y]"])
    edits = [
        *EDITS,
        (currency(subject="France", answer="euro"), "yen"),
        (currency(subject="Japan", answer="yen"), "euro"),
    ]
    drafts = []
    with Workspace.init(model, tmp_path) as alone:
        for place, each in (("alone", alone), ("workers", workspace)):
            monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / place))
            done = each.update_many(edits, how=How(Joint()), accept=True, dry_run=True)
            drafts.append(done.draft)
    assert drafts[0].delta.id == drafts[1].delta.id
    assert drafts[0].members == drafts[1].members
    assert drafts[0].by_fact == drafts[1].by_fact and len(drafts[0].by_fact) == len(edits)


def test_answers_are_asked_again_by_workers_as_by_this_process(chains, workspace, workers):
    wanted = [
        WantedLead(question, 2.0, question) for chain in chains * 2 for question in chain.questions
    ]
    ask_again = partial(StandingsShare, layers=(1,), step=1.0)
    standings = shared(workers, [], wanted, ask_again, TOGETHER, tell=lambda _number, _of: None)
    alone = ask_again(tuple(wanted)).computed(workspace.engine, [])
    assert len(standings) == len(alone) > TOGETHER
    for standing, expected in zip(standings, alone, strict=True):
        assert same_standing(standing, expected)
    assert any(standing.lacking for standing in standings)


def test_rows_of_experiments_are_made_by_workers_as_by_this_process(workspace, model, tmp_path):
    known = known_by(workspace)
    file = tmp_path / "pack.json"
    facts = [[fact.subject, fact.answer] for fact in known.facts[:6]]
    file.write_text(json.dumps({"name": "r", "templates": [{"text": TEXT}], "facts": facts}))
    rows = []
    with Workspace.init(model, tmp_path / "alone") as alone:
        for place, each in (("here", alone), ("there", workspace)):
            plan = Plan((str(file),), facts=2)
            context = ExperimentContext.open(each.engine, plan, tmp_path / place)
            rows.append([experiment.measure(context) for experiment in (assessing, scaling)])
    assert rows[0] == rows[1]
    assert all(rows[0])


def test_rows_whose_workers_are_killed_are_computed_again_and_recorded_once(
    workspace, workers, branch, record_property
):
    expected = [
        result.edited.draft.delta.id
        for result in workspace.batch(ROWS, how=SEARCHED, accept=True, dry_run=True)
    ]
    choice = random.Random(0)
    for _ in range(KILLS):
        victims = processes_of(workers)
        deltas = []
        for result in workspace.batch(ROWS, how=SEARCHED, accept=True, dry_run=True):
            deltas.append(result.edited.draft.delta.id)
            if len(deltas) == 1:
                os.kill(choice.choice(victims), signal.SIGKILL)
        assert deltas == expected
    victims = processes_of(workers)
    for _ in workspace.batch(ROWS, how=SEARCHED, accept=True, at_once=4):
        while victims:
            os.kill(victims.pop(), signal.SIGKILL)
    assert workspace.head.edits == tuple(expected)
    assert workspace.verify() == []
    record_property("kills", KILLS)


def test_what_a_share_raises_is_raised_here(workspace, chains, workers):
    with pytest.raises(BadSetting):
        dict(SharedScorer(workers, []).scores(chains, "no rule", 1))
    assert len(dict(SharedScorer(workers, []).scores(chains, "activation", 1))) == len(chains)


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_share_that_ends_each_of_its_workers_ends_the_job(workspace, chains, workers):
    with pytest.raises(ClusterFailed, match="without Ray"):
        [*workers.results([], [ScoreShare((Deadly(),), "activation", 1)])]
    assert len(SharedScorer(workers, []).right(chains)) == len(chains)


# --- the command line ----------------------------------------------------------------------------


@pytest.mark.timeout(900)
def test_the_command_line_ends_rays_processes_when_it_is_stopped(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Workspace.init(model, tmp_path / "w").close()
    command = [*KN_EDIT, "--workspace", str(tmp_path / "w"), "locate", "--engine", "ray"]
    question = ["--prompt", "the capital of [X] is [Y]", "--subject=Japan", "--answer=Tokyo"]
    # Once more where Ray lost the signal while it started, later; where all was done, earlier.
    wait, lost, done = 0.0, 0.0, math.inf
    for attempt in range(10):
        monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / f"cache-{attempt}"))
        process = subprocess.Popen(
            [*command, *question], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while process.poll() is None and not ray_processes_below(process.pid):
            time.sleep(0.05)
        time.sleep(wait)
        started = ray_processes_below(process.pid)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=100)
        if started and process.returncode != 0:
            break
        lost, done = (wait, done) if started else (lost, wait)
        wait = 2 * wait + 0.5 if done == math.inf else (lost + done) / 2
    assert started and process.returncode == 130, error
    assert error.strip().splitlines()[-1].startswith("stopped")
    deadline = time.monotonic() + 30
    while any(map(alive, started)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(alive, started))
    assert not (tmp_path / ".ray").exists()


def test_workers_without_ray_are_refused(capsys):
    from kn_edit.cli.run import run

    assert run(["locate", "--relation", "capital", "--subject", "x", "--workers", "2"]) == 2
    assert "--engine ray" in capsys.readouterr().err
    with pytest.raises(KnEditError):
        Cluster(0)
