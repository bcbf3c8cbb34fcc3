"""A worker of jobs of tests, which ends with its stdin: `job_worker.py WORKSPACE`."""

from __future__ import annotations

import sys
from pathlib import Path

from job_work import perform

from kn_edit.jobs.running import run_jobs

GRACE = 0.5  # seconds

if __name__ == "__main__":
    run_jobs(Path(sys.argv[1]), perform, once=False, grace=GRACE, until_stdin_ends=True)
