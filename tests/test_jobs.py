"""Jobs: where they stand, who gets them, and that none runs twice."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from job_work import begun, marks, perform, wait_request
from ledgers import only_postgres, only_sqlite
from postgres_server import server
from workspaces import about, new_workspace, quick

from kn_edit.errors import JobEnded, UnknownJob, WorkerLost
from kn_edit.jobs.job import JobProgress, JobRequest, JobState
from kn_edit.jobs.presence import WorkerFiles
from kn_edit.jobs.queue import Jobs
from kn_edit.jobs.rows import Outcome
from kn_edit.jobs.worker import TIDYING, Worker
from kn_edit.workspace import Edited, PlannedMove, Workspace


@pytest.fixture
def workspace(tmp_path: Path, database: str) -> Iterator[Workspace]:
    with new_workspace(tmp_path) as workspace:
        yield workspace


@pytest.fixture
def jobs(workspace: Workspace) -> Iterator[Jobs]:
    jobs = Jobs(workspace)
    yield jobs
    jobs.close()


@pytest.fixture
def worker(jobs: Jobs) -> Iterator[str]:
    """The name of a worker that lives."""
    with jobs.present() as name:
        yield name


def run_all(workspace: Workspace, jobs: Jobs) -> int:
    return Worker(workspace, jobs, perform).run(once=True)


# --- what becomes of a job -----------------------------------------------------------------------


def test_a_job_runs_once_and_keeps_what_came_of_it(workspace, jobs):
    request = JobRequest("wait", {"name": "a"}, "main", "0" * 64, by="ann", key="k")
    job = jobs.submit(request)
    assert (job.state, job.started, job.result) == (JobState.QUEUED, None, None)
    assert run_all(workspace, jobs) == 1
    job = jobs.get(job.id)
    assert (job.state, job.request) == (JobState.DONE, request)
    assert job.result == {"name": "a", "expected_head": "0" * 64}
    assert job.error is None
    assert job.created <= job.started <= job.ended
    assert (job.progress.task, job.progress.done, job.progress.total) == ("waiting", 2, 2)
    assert [line.split(" ", 1)[1] for line in job.log] == ["waiting"]
    assert run_all(workspace, jobs) == 0
    assert begun(workspace.folder) == {"a": 1}


def test_a_result_may_hold_what_is_no_number(workspace, jobs):
    job = jobs.submit(wait_request("a"))
    Worker(workspace, jobs, lambda *arguments, **named: {"p": float("nan")}).run(once=True)
    assert str(jobs.get(job.id).result) == "{'p': nan}"


def test_an_error_of_a_verb_is_kept_as_its_document(workspace, jobs):
    job = jobs.submit(JobRequest("refuse", {"name": "v1"}))
    run_all(workspace, jobs)
    job = jobs.get(job.id)
    assert job.state is JobState.FAILED
    assert job.error["error"] == "TagExists"
    assert job.error["remedies"] == ["move"]


def test_a_mistake_of_the_program_ends_the_job_and_not_the_worker(workspace, jobs, caplog):
    broken = jobs.submit(JobRequest("break", {"name": "a"}))
    after = jobs.submit(wait_request("b"))
    assert run_all(workspace, jobs) == 2
    assert jobs.get(broken.id).error["error"] == "JobBroke"
    assert jobs.get(broken.id).error["detail"]["kind"] == "ZeroDivisionError"
    assert jobs.get(after.id).state is JobState.DONE
    assert "ZeroDivisionError" in caplog.text


def test_two_requests_with_one_key_are_one_job(workspace, jobs):
    first = jobs.submit(JobRequest("wait", {"name": "a"}, key="k"))
    assert jobs.submit(JobRequest("wait", {"name": "b"}, key="k")).id == first.id
    assert jobs.submit(wait_request("c")).id != jobs.submit(wait_request("c")).id
    run_all(workspace, jobs)
    assert begun(workspace.folder) == {"a": 1, "c": 2}


def test_jobs_are_listed_newest_first_a_page_at_a_time(jobs):
    ids = [jobs.submit(wait_request(str(number))).id for number in range(5)]
    newest = [job.id for job in jobs.jobs(2)]
    assert newest == [ids[4], ids[3]]
    assert [job.id for job in jobs.jobs(2, before=newest[-1])] == [ids[2], ids[1]]
    with pytest.raises(UnknownJob):
        jobs.jobs(before="nobody")


def test_who_waits_is_told_of_the_end_or_of_the_time(workspace, jobs):
    job = jobs.submit(wait_request("a", 0.2))
    assert jobs.wait(job.id, 0.0).state is JobState.QUEUED
    thread = threading.Thread(target=run_all, args=(workspace, jobs))
    thread.start()
    assert jobs.wait(job.id, 20).state is JobState.DONE
    thread.join()


def test_a_queued_job_survives_a_restart(workspace):
    before = Jobs(workspace)
    job = before.submit(wait_request("a", branch="main"))
    before.close()
    after = Jobs(workspace)
    assert run_all(workspace, after) == 1
    assert after.get(job.id).state is JobState.DONE
    after.close()


# --- cancelling ----------------------------------------------------------------------------------


def test_a_queued_job_that_is_cancelled_never_begins(workspace, jobs):
    job, other = jobs.submit(wait_request("a")), jobs.submit(wait_request("b"))
    assert jobs.cancel(job.id).state is JobState.CANCELLED
    assert run_all(workspace, jobs) == 1
    assert begun(workspace.folder) == {"b": 1}
    with pytest.raises(JobEnded):
        jobs.cancel(job.id)
    with pytest.raises(JobEnded):
        jobs.cancel(other.id)
    with pytest.raises(UnknownJob):
        jobs.cancel("nobody")


def test_a_running_job_that_is_cancelled_stops_where_it_tells_of_its_progress(workspace, jobs):
    job = jobs.submit(wait_request("a", 60))
    thread = threading.Thread(target=run_all, args=(workspace, jobs))
    thread.start()
    until_begun(workspace.folder, "a")
    assert jobs.cancel(job.id).cancelling
    thread.join(20)
    job = jobs.get(job.id)
    assert (job.state, job.error["error"]) == (JobState.CANCELLED, "Cancelled")


def test_a_worker_that_is_to_stop_cancels_its_job_after_a_time_of_grace(workspace, jobs):
    job, waiting = jobs.submit(wait_request("a", 60)), jobs.submit(wait_request("b"))
    worker = Worker(workspace, jobs, perform, grace=0.3)
    thread = threading.Thread(target=worker.run)
    thread.start()
    until_begun(workspace.folder, "a")
    stopped = time.monotonic()
    worker.stop()
    thread.join(20)
    assert time.monotonic() - stopped > 0.25
    assert jobs.get(job.id).state is JobState.CANCELLED
    assert jobs.get(waiting.id).state is JobState.QUEUED


def test_a_job_that_ends_within_the_grace_is_done(workspace, jobs):
    job = jobs.submit(wait_request("a", 0.3))
    worker = Worker(workspace, jobs, perform, grace=60)
    thread = threading.Thread(target=worker.run)
    thread.start()
    until_begun(workspace.folder, "a")
    worker.stop()
    thread.join(20)
    assert jobs.get(job.id).state is JobState.DONE


def until_begun(folder: Path, name: str) -> None:
    """Wait until a job has begun."""
    until = time.monotonic() + 20
    while not begun(folder)[name]:
        assert time.monotonic() < until
        time.sleep(0.01)


# --- branches ------------------------------------------------------------------------------------


def test_jobs_of_one_branch_wait_for_each_other_and_for_nobody_else(jobs, worker):
    first = jobs.submit(wait_request("a", branch="main"))
    second = jobs.submit(wait_request("b", branch="main"))
    side = jobs.submit(wait_request("c", branch="side"))
    looks = [jobs.submit(wait_request(name)) for name in "de"]
    taken = [job.id for job in iter(lambda: jobs.take(worker), None)]
    assert taken == [first.id, side.id, *(job.id for job in looks)]
    jobs.end(first.id, worker, Outcome(JobState.DONE, result={}))
    assert jobs.take(worker).id == second.id
    assert jobs.take(worker) is None


def test_jobs_of_a_branch_run_in_the_order_in_which_they_were_submitted(workspace, jobs):
    names = [f"{number:02}" for number in range(12)]
    for name in names:
        jobs.submit(wait_request(name, branch="main"))
    lose_from_lane(jobs, "main", 3)
    run_all(workspace, jobs)
    assert [name for word, name, _ in marks(workspace.folder) if word == "end"] == names


def test_two_workers_run_jobs_of_two_branches_side_by_side(workspace, jobs):
    for name, branch in (("a", "main"), ("b", "main"), ("c", "side"), ("d", "side")):
        jobs.submit(wait_request(name, 0.4, branch))

    def work() -> None:
        with Workspace.open(workspace.folder) as own, closing(Jobs(own)) as own_jobs:
            run_all(own, own_jobs)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    moments = {
        name: {word: moment for word, other, moment in marks(workspace.folder) if other == name}
        for name in "abcd"
    }
    assert moments["a"]["end"] < moments["b"]["begin"]
    assert moments["c"]["end"] < moments["d"]["begin"]
    assert moments["c"]["begin"] < moments["b"]["end"]  # the second branch did not wait
    assert max(begun(workspace.folder).values()) == 1


def lose_from_lane(jobs: Jobs, branch: str | None, count: int) -> list[str]:
    """Take ids out of their lane and begin none, as a worker that is killed between the two."""
    return [str(jobs._lanes.take(branch)) for _ in range(count)]


# --- deaths --------------------------------------------------------------------------------------


@only_sqlite  # in PostgreSQL a row is its own place in the lane
def test_a_job_that_was_handed_out_and_has_not_begun_is_put_back(workspace, jobs):
    job = jobs.submit(wait_request("a"))
    assert lose_from_lane(jobs, None, 1) == [job.id]
    assert jobs.restore() == [job.id]
    assert jobs.restore() == []
    assert run_all(workspace, jobs) == 1


def test_an_id_that_is_in_its_lane_twice_begins_once(workspace, jobs):
    job = jobs.submit(wait_request("a", branch="main"))
    jobs._lanes.put("main", 1, job.id)
    assert run_all(workspace, jobs) == 1
    assert begun(workspace.folder) == {"a": 1}


def test_a_job_whose_worker_died_has_failed_and_frees_its_branch(workspace, jobs):
    job = jobs.submit(wait_request("a", branch="main"))
    after = jobs.submit(wait_request("b", branch="main"))
    with jobs.present() as name:
        assert jobs.take(name).id == job.id
        assert jobs.get(job.id).state is JobState.RUNNING
        assert jobs.settle() == []
    lost = jobs.get(job.id)
    assert (lost.state, lost.error["error"]) == (JobState.FAILED, "WorkerLost")
    assert lost.log[-1] == "the worker died"
    assert run_all(workspace, jobs) == 1
    assert begun(workspace.folder) == {"b": 1}
    assert jobs.get(after.id).state is JobState.DONE


def test_a_job_that_was_to_be_cancelled_when_its_worker_died_is_cancelled(jobs):
    job = jobs.submit(wait_request("a"))
    with jobs.present() as name:
        jobs.take(name)
        jobs.cancel(job.id)
    assert jobs.get(job.id).state is JobState.CANCELLED


def test_a_job_whose_edit_was_recorded_before_its_worker_died_is_done(workspace, jobs):
    edit, lost = (jobs.submit(JobRequest("edit", {}, "main")) for _ in range(2))
    with jobs.present() as name:
        jobs.take(name)
        with workspace.call(recording=lambda move: jobs.note_move(edit.id, name, vars(move))):
            how = quick((0, 1), closed_form=True)
            edited = workspace.update(about("France"), "Rome", how=how, accept=True)
    assert jobs.get(edit.id).state is JobState.DONE
    assert jobs.get(edit.id).result == {
        "edit": edited.edit,
        "version": edited.version,
        "worker_lost": True,
    }
    with jobs.present() as name:
        assert jobs.take(name).id == lost.id
        jobs.note_move(lost.id, name, {"branch": "main", "version": "f" * 64, "edit": None})
    assert jobs.get(lost.id).error["error"] == "WorkerLost"


def record(workspace: Workspace, recording: Callable[[PlannedMove], None]) -> Edited:
    with workspace.call(recording=recording):
        how = quick((0, 1), closed_form=True)
        return workspace.update(about("France"), "Rome", how=how, accept=True)


def test_a_worker_whose_job_was_taken_from_it_records_nothing_more(workspace, jobs, worker):
    job = jobs.submit(JobRequest("edit", {}, "main"))
    jobs.take(worker)
    assert not jobs.is_cancelling(job.id, worker)
    with taken_for_dead(jobs, worker):
        assert jobs.settle() == [job.id]
    with pytest.raises(WorkerLost):
        record(workspace, lambda move: jobs.note_move(job.id, worker, vars(move)))
    assert workspace.head.edits == () and workspace.ledger.edits() == []
    assert jobs.is_cancelling(job.id, worker)
    jobs.note(job.id, worker, JobProgress("going on", 1, 2), "going on")
    jobs.end(job.id, worker, Outcome(JobState.DONE, result={}))
    lost = jobs.get(job.id)
    assert (lost.state, lost.progress, lost.log) == (JobState.FAILED, None, ("the worker died",))


@only_postgres
def test_what_a_worker_records_while_it_is_taken_for_dead_is_waited_for(workspace, jobs, worker):
    job = jobs.submit(JobRequest("edit", {}, "main"))
    jobs.take(worker)
    settling = threading.Thread(target=jobs.settle)

    def recording(move: PlannedMove) -> None:
        jobs.note_move(job.id, worker, vars(move))
        settling.start()
        while not jobs.is_cancelling(job.id, worker):  # until the job is taken from the worker
            time.sleep(0.01)

    with taken_for_dead(jobs, worker):
        edited = record(workspace, recording)
        settling.join()
    done = jobs.get(job.id)
    assert (done.state, done.result["edit"]) == (JobState.DONE, edited.edit)


@only_postgres
def test_a_worker_whose_session_broke_goes_on_by_another_name(workspace, jobs):
    sessions: list[int] = []

    def breaking(*arguments: Any, **named: Any) -> dict[str, Any]:
        sessions.append(session_of_the_worker())
        if len(sessions) == 1:
            server().execute(f"SELECT pg_terminate_backend({sessions[0]}, 10000)")
        return perform(*arguments, **named)

    first = jobs.submit(wait_request("a", 2 * TIDYING, "main"))
    second = jobs.submit(wait_request("b", 0, "main"))
    assert Worker(workspace, jobs, breaking).run(once=True) == 2
    assert [jobs.get(job.id).state for job in (first, second)] == [JobState.DONE] * 2
    assert len({*sessions}) == 2


def session_of_the_worker() -> int:
    """The process of PostgreSQL that holds the lock of the only worker."""
    locks = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock'"
    ((process,),) = server().execute(locks)
    return int(str(process))


@contextmanager
def taken_for_dead(jobs: Jobs, worker: str) -> Iterator[None]:
    """Let everybody take a worker for dead, as when its connection broke."""
    presence = jobs._database.place.presence
    lives = presence.lives
    presence.lives = lambda name: name != worker and lives(name)
    yield
    presence.lives = lives


def test_moves_are_told_before_they_are_recorded(workspace):
    told: list[tuple[PlannedMove, str]] = []
    with workspace.call(recording=lambda move: told.append((move, workspace.head.id))):
        edited = workspace.update(
            about("France"), "Rome", how=quick((0, 1), closed_form=True), accept=True
        )
        version = workspace.revert(edited.edit)
    root = workspace.ledger.log()[-1].version
    assert told == [
        (PlannedMove("main", edited.version, edited.edit), root),
        (PlannedMove("main", version.id, None), edited.version),
    ]


def test_a_worker_lives_as_long_as_it_holds_its_lock(jobs):
    with jobs.present() as name:
        assert jobs.lives(name)
        assert jobs.lives(name)
        assert jobs.living_workers() == [os.getpid()]
    assert not jobs.lives(name)
    assert jobs.living_workers() == []


def test_what_a_killed_worker_leaves_in_a_folder_is_removed(tmp_path):
    workers = WorkerFiles(tmp_path)
    (tmp_path / "gone.worker").touch()
    assert not workers.lives("gone")
    assert list(tmp_path.iterdir()) == []
