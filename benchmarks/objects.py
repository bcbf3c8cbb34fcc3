"""Clients of object storage beside each other: obstore, which kn-edit uses, and s3fs.

    python benchmarks/objects.py --peer VENV/bin/python

VENV has obstore and s3fs (`pip install obstore s3fs`): what s3fs needs does not go together with
what the server of the tests needs. That server is started on the loopback, and does nearly all of
the waiting, so seconds of the client's processor are what to compare.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BUCKET, REGION = "edits", "us-east-1"
DELTAS, BYTES, LISTED = 1000, 20_000, 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default=sys.executable, help="a Python that has both clients")
    parser.add_argument("--client", choices=CLIENTS, help="measure one, on a server that runs")
    arguments = parser.parse_args()
    if arguments.client:
        measure(arguments.client)
    else:
        measure_all(arguments.peer)


def measure_all(python: str) -> None:
    """Start a server, fill it with what is listed, and measure each client in its own process."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from object_server import running_server

    from kn_edit.objects.address import ObjectAddress
    from kn_edit.objects.opening import open_bucket

    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        os.environ.update(server.environment())
        bucket = open_bucket(ObjectAddress.parse(f"s3://{BUCKET}/many"))
        for number in range(LISTED):
            bucket.replace(f"{number % 256:02x}/{number:064x}", b"x")
        print(f"{'client':10}{'what':24}{'processor s':>12}{'waited s':>10}")
        for client in CLIENTS:
            subprocess.run([python, __file__, "--client", client], check=True)


def measure(client: str) -> None:
    """Time one client, its import included."""
    random.seed(0)
    deltas = [random.randbytes(BYTES) for _ in range(DELTAS)]
    names = [hashlib.sha256(delta).hexdigest() for delta in deltas]
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def timed(what: str, work: Callable[[], object]) -> object:
        processor, wall = time.process_time(), time.perf_counter()
        result = work()
        spent = time.process_time() - processor
        print(f"{client:10}{what:24}{spent:12.2f}{time.perf_counter() - wall:10.2f}")
        return result

    put, get, count = timed("import and open", CLIENTS[client])  # type: ignore[misc]
    timed(f"put {DELTAS:,}", lambda: [put(*pair) for pair in zip(names, deltas, strict=True)])
    timed(f"get {DELTAS:,}", lambda: [get(name) for name in names])
    assert timed(f"list {LISTED:,}", count) == LISTED
    try:
        put(names[0], b"another")
        print(f"{client:10}puts a second time over the first")
    except Exception as error:
        print(f"{client:10}refuses a second creation by {type(error).__name__}")
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start
    print(f"{client:10}takes {more / 1024:.0f} MB")


def with_obstore() -> tuple[Callable[..., object], Callable[..., object], Callable[[], int]]:
    import obstore
    from obstore.store import S3Store

    def store(prefix: str) -> S3Store:
        options = {"allow_http": True}
        endpoint = os.environ["AWS_ENDPOINT_URL"]
        return S3Store(BUCKET, prefix=prefix, endpoint=endpoint, client_options=options)

    deltas = store("obstore")
    return (
        lambda name, data: obstore.put(deltas, name, data, mode="create", use_multipart=False),
        lambda name: bytes(obstore.get(deltas, name).bytes()),
        lambda: sum(len(page) for page in obstore.list(store("many"), chunk_size=1000)),
    )


def with_s3fs() -> tuple[Callable[..., object], Callable[..., object], Callable[[], int]]:
    import s3fs

    system = s3fs.S3FileSystem(use_listings_cache=False)
    return (
        lambda name, data: system.pipe_file(f"{BUCKET}/s3fs/{name}", data, mode="create"),
        lambda name: system.cat_file(f"{BUCKET}/s3fs/{name}"),
        lambda: len(system.find(f"{BUCKET}/many", detail=True)),
    )


CLIENTS = {"obstore": with_obstore, "s3fs": with_s3fs}


if __name__ == "__main__":
    main()
