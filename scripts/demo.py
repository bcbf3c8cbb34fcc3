"""One worked edit on a real model, shown command by command: what `make demo` runs.

    python scripts/demo.py FOLDER

FOLDER becomes the workspace, made anew each time; the model and the scores of its prompts stay in
the user's cache, so a second run is short.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

COMMANDS = (
    "kn-edit init demo",
    "kn-edit update --relation capital --subject France --to Rome",
    "kn-edit status",
    "kn-edit log",
    "kn-edit export edited",
    "ASK",
    "kn-edit revert EDIT",
    "kn-edit verify",
)
PROMPT = "The capital of France is the city of"
ASK = f"""\
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("edited")
model = AutoModelForCausalLM.from_pretrained("edited")
asked = tokenizer("{PROMPT}", return_tensors="pt")
answer = model.generate(**asked, max_new_tokens=1, do_sample=False)
print(tokenizer.decode(answer[0]))
"""


def main(folder: Path) -> int:
    if (folder / ".kn-edit").is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    edit = ""
    for command in COMMANDS:
        if command == "ASK":
            print("$ python ask.py  # plain transformers\n" + _indented(ASK), flush=True)
            _run([sys.executable, "-c", ASK], folder)
            continue
        words = shlex.split(command.replace("EDIT", edit))
        print(f"$ {shlex.join(words)}", flush=True)
        _run([sys.executable, "-m", "kn_edit.cli", *words[1:]], folder)
        if words[1] == "update":
            log = [sys.executable, "-m", "kn_edit.cli", "log", "--json"]
            newest = json.loads(subprocess.check_output(log, cwd=folder))[0]
            edit = newest["edits"][-1][:12]
    return 0


def _run(command: list[str], folder: Path) -> None:
    environment = os.environ | {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment)
    if done.returncode:
        raise SystemExit(done.returncode)
    print(flush=True)


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo")))
