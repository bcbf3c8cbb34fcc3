"""Workers of Ray get GPUs of their own. No GPU is needed: Ray believes what it is told of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kn_edit.engine.cluster import Cluster
from kn_edit.engine.ray_workers import gpus_each
from kn_edit.errors import ClusterFailed

WORKERS = """
import json, os, tempfile
import ray
from kn_edit.engine.cluster import Cluster
from kn_edit.engine.ray_workers import RayWorkers
from kn_edit.errors import ClusterFailed

def gpus(workers):
    asked = [each.__ray_call__.remote(lambda _: os.environ.get("CUDA_VISIBLE_DEVICES"))
             for each in workers._idle]
    return sorted(map(str, ray.get(asked, timeout=400)))

with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:  # paths of sockets are short
    ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, object_store_memory=80 << 20,
             log_to_driver=False, _temp_dir=folder, _node_ip_address="127.0.0.1")
    workers = RayWorkers(Cluster(2), object, 1)
    seen = gpus(workers)
    workers.close()
    try:
        RayWorkers(Cluster(2), object, 2)
    except ClusterFailed as error:
        print(json.dumps([seen, error.reason]))
    ray.shutdown()
"""


@pytest.mark.timeout(900)  # a busy machine takes minutes to start Ray
def test_each_worker_sees_a_gpu_of_its_own(tmp_path):
    quiet = {"RAY_AUTH_TOKEN": "0" * 64, "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", WORKERS],
        env=os.environ | quiet,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    own, refused = json.loads(ran.stdout.splitlines()[-1])
    assert own == ["0", "1"]
    assert refused == "its workers need 4 GPUs, and it has 2"


@pytest.mark.parametrize(
    ("workers", "gpus", "present", "each"),
    [(2, 0, 0, 0), (2, 0, 8, 0), (2, 1, 2, 1), (2, 1, 8, 1), (3, 1, 2, 0.5), (5, 1, 2, 1 / 3)],
)
def test_a_worker_asks_for_as_many_as_its_model_runs_on(workers, gpus, present, each):
    assert gpus_each(Cluster(workers), gpus, present) == each


@pytest.mark.parametrize(("workers", "gpus", "present"), [(1, 1, 0), (2, 4, 7)])
def test_workers_that_would_wait_without_end_are_refused(workers, gpus, present):
    with pytest.raises(ClusterFailed, match="GPU"):
        gpus_each(Cluster(workers), gpus, present)
