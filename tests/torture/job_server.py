"""What a server is to its workers: `job_server.py WORKSPACE WORKERS`.

Prints the process ids of its workers, a line for each change, until its stdin ends.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from kn_edit.jobs.children import Workers

WORKER = Path(__file__).with_name("job_worker.py")
GLANCE = 0.05  # seconds


def main(folder: Path, count: int) -> None:
    """Have workers until stdin ends."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    told: list[int] = []
    with Workers([sys.executable, str(WORKER), str(folder)], count, grace=0.5) as workers:
        while not ended.is_set():
            if workers.process_ids != told:
                told = workers.process_ids
                sys.stdout.write(f"{' '.join(map(str, told))}\n")
                sys.stdout.flush()
            time.sleep(GLANCE)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
