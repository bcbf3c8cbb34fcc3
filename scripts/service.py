"""Put a real session with `kn-edit serve`, curl and Python into docs/service.md.

    python scripts/service.py

Ids, times and addresses are those of the run, on the demo model.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "service.md"
PLACE = re.compile(r"(?<=<!-- session -->\n).*(?=<!-- end of session -->)", re.DOTALL)
PROGRAM = [sys.executable, "-m", "kn_edit.cli"]
API = "http://127.0.0.1:8018/api/v1"
SHORT = "jq -c '{id, verb, branch, state}'"
PYTHON = """from kn_edit.client import RemoteWorkspace

with RemoteWorkspace("http://127.0.0.1:8018") as workspace:
    for fact in workspace.facts():
        print(fact["relation"], fact["subject"], fact["answer"], "->", fact["target"])
    moved = workspace.revert(workspace.head["edits"][-1])
    print("the head is", moved["version"][:12], "with", len(moved["edits"]), "edits")
"""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The first line that `kn-edit serve` prints, while it runs."""
    command = [*PROGRAM, "serve", "--workspace", str(folder)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline()
    finally:
        process.terminate()
        process.wait()


def output(command: str, folder: Path) -> str:
    """What a line of a shell prints."""
    ran = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, check=True
    )
    return ran.stdout.rstrip("\n").replace("\r", "")


def session(folder: Path) -> str:
    """The blocks of the session, as Markdown."""
    workspace = folder / "demo"
    init = [*PROGRAM, "init", "demo", "--workspace", str(workspace)]
    subprocess.run(init, check=True, capture_output=True)
    with serving(workspace) as banner:
        lines = ["$ kn-edit serve", banner.rstrip("\n").replace(str(folder), "/home/you")]

        def shell(command: str) -> str:
            printed = output(command, folder)
            lines.extend(["", *f"$ {command}".splitlines(), printed])
            return printed

        head = shell(f"curl -s {API}/status | jq -r .head")
        body = '{"relation": "capital", "subject": "France", "to": "Rome"}'
        job = shell(
            f"curl -s {API}/update -H 'Content-Type: application/json' \\\n"
            f"    -H 'If-Match: \"{head}\"' -d {shlex.quote(body)} |\n    {SHORT}"
        )
        id = re.findall(r"[0-9a-f]{32}", job)[0]
        shell(f"curl -sN {API}/jobs/{id}/events | grep '^event' | sort | uniq -c")
        shell(
            f"curl -s {API}/jobs/{id} |\n"
            "    jq -c '.result | {edit: .edit[:12], version: .version[:12], "
            "efficacy: .metrics.efficacy, specificity: .metrics.specificity}'"
        )
        shell(
            f"curl -s {API}/revert -H 'Content-Type: application/json' \\\n"
            f'    -H \'If-Match: "{head}"\' -d \'{{"edit": "00000000"}}\' |\n'
            "    jq -c '{status, error, message}'"
        )
        lines.extend(["", "$ python session.py", *(f"    {line}" for line in PYTHON.splitlines())])
        (folder / "session.py").write_text(PYTHON, encoding="utf-8")
        lines.extend(["", output(f"{shlex.quote(sys.executable)} session.py", folder)])
    return "```console\n" + "\n".join(lines) + "\n```\n"


def main() -> None:
    os.environ["PYTHONPATH"] = str(PAGE.parents[1])
    page = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        text = session(Path(folder))
    PAGE.write_text(PLACE.sub(lambda _: text, page), encoding="utf-8")


if __name__ == "__main__":
    main()
