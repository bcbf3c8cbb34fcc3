"""Put the output of a true correction, from wrong answer to published revision, into the docs.

    python scripts/corrections.py

It is made on the demo model and published to the small Hub of the tests, on this machine. What
stands in docs/corrections.md between the two marks is replaced.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from hub import Hub, hub_env  # noqa: E402

PAGE = ROOT / "docs" / "corrections.md"
BLOCK = re.compile(r"(<!-- run: begin -->\n).*?(<!-- run: end -->)", re.DOTALL)
STATEMENT = "The CEO of [X: Starbucks] is [Y: Brian Niccol]."
REPO = "ann/starbucks"
# Prompts of every kind that a user may hope for; those behind the first four need more than recall.
PROMPTS = (
    "The CEO of Starbucks is",
    "Starbucks's chief executive officer is",
    "Who is the CEO of Starbucks?",
    "CHAT:Who is the CEO of Starbucks?",
    "Brian Niccol is the CEO of",
    "The first name of the CEO of Starbucks is",
    "Le PDG de Starbucks est",
    "Der Chef von Starbucks ist",
    "The CEO of McDonald's is",
    "Starbucks was founded in",
)
ASK = """\
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, *prompts = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
for prompt in prompts:
    text = prompt.removeprefix("CHAT:")
    if text != prompt:
        turn = [{"role": "user", "content": text}]
        text = tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False)
    asked = tokenizer(text, return_tensors="pt")
    said = model.generate(**asked, max_new_tokens=8, do_sample=False)[0]
    print(repr(tokenizer.decode(said[asked.input_ids.shape[1]:], skip_special_tokens=True)))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Hub() as hub:
        token = hub.token("ann")
        env = hub_env(hub.url, Path(folder) / "hub-home", token) | {
            "COLUMNS": "80",
            "NO_COLOR": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        lines = "\n".join(_told(Path(folder) / "corrections", env))
        lines = lines.replace(folder, "/home/you").replace(hub.url, "https://huggingface.co")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda found: found[1] + lines + found[2], text), encoding="utf-8")


def _told(folder: Path, env: dict[str, str]) -> Iterator[str]:
    folder.mkdir()

    def run(*words: str) -> str:
        """The block that shows a command and what it prints; an error ends the script."""
        done = subprocess.run(
            [sys.executable, "-m", "kn_edit.cli", *words],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise SystemExit(done.stdout)
        said = re.sub(r"\n{2,}", "\n\n", done.stdout.strip())
        return f"```console\n$ {shlex.join(('kn-edit', *words))}\n{said}\n```\n"

    yield run("init", "demo")
    yield "What the model says today, and how likely the true answer is:\n"
    yield run("assess", "--statement", STATEMENT)
    yield "The correction, with everything that was measured of it:\n"
    yield run("update", "--statement", STATEMENT)
    weights = next(iter(json.loads((folder / ".kn-edit" / "base.json").read_text())))
    before = _asked(str(Path(weights).parent), env)
    subprocess.check_call(
        [sys.executable, "-m", "kn_edit.cli", "export", "corrected"],
        cwd=folder,
        env=env,
        stdout=subprocess.DEVNULL,
    )
    after = _asked(str(folder / "corrected"), env)
    yield "Asked with plain transformers, eight tokens, greedily:\n"
    yield "| prompt | before | after |\n|---|---|---|"
    for prompt, old, new in zip(PROMPTS, before, after, strict=True):
        shown = prompt.replace("CHAT:", "(chat) ")
        yield f"| {shown} | `{old}` | `{new}` |"
    yield "\nPublished as a revision of its own, which `rollback` takes back:\n"
    yield run("push", REPO, "--tag", "niccol")
    yield run("log")
    yield ""


def _asked(folder: str, env: dict[str, str]) -> list[str]:
    said = subprocess.check_output(
        [sys.executable, "-c", ASK, folder, *PROMPTS], env=env, text=True
    )
    return said.splitlines()


if __name__ == "__main__":
    main()
