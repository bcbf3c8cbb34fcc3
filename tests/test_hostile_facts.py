"""Hostile files of facts: each is refused in one sentence, soon, and within its memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kn_edit.errors import ExitCode, KnEditError
from kn_edit.facts import load_relation, read_cases, read_sentences

OWN = {"relation": "capital", "subject": "France", "to": "Rome"}
PROMPTS = {"subject": "Lyra", "answer": "Oxford", "to": "London", "prompts": ["[X] is [Y]"]}
REWRITE = {
    "prompt": "The capital of {} is",
    "subject": "France",
    "relation_id": "P36",
    "target_true": {"str": "Paris"},
    "target_new": {"str": "Rome"},
}
CF = {"requested_rewrite": REWRITE, "paraphrase_prompts": [], "neighborhood_prompts": []}
FLAT = {"prompt": "France is", "subject": "France", "target_new": "Rome", "ground_truth": "Paris"}
ZSRE = {"subject": "France", "src": "What of France?", "alt": "Rome", "answers": ["Paris"]}
PACK = {"name": "p", "templates": [{"text": "[X] [Y]"}], "facts": [["a", "b"]]}

# What no field may hold: wrong types, control characters, half characters, too much of it.
BAD_TEXTS: list[Any] = [
    *("", " ", "a\tb", "a\nb", "a\0b", "\x1b[2J", "a\x9bb", "\u2028", "\ud800", "x" * 20_000),
    *(7, 1.5, True, [], {}, [[]]),
]


def changed(row: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    key, *rest = path
    return {**row, key: changed(row[key], tuple(rest), value) if rest else value}


def bad_fields() -> Iterator[tuple[str, bytes]]:
    places: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
        ("own", OWN, ("subject",)),
        ("own", OWN, ("to",)),
        ("prompts", PROMPTS, ("answer",)),
        ("counterfact", CF, ("requested_rewrite", "subject")),
        ("counterfact", CF, ("requested_rewrite", "target_new", "str")),
        ("counterfact", CF, ("requested_rewrite", "relation_id")),
        ("zsre", ZSRE, ("subject",)),
        ("zsre", ZSRE, ("alt",)),
        ("flat", FLAT, ("subject",)),
        ("flat", FLAT, ("target_new",)),
        ("pack", PACK, ("name",)),
    ]
    for form, row, path in places:
        for number, value in enumerate(BAD_TEXTS):
            content = json.dumps(changed(row, path, value)).encode()
            yield f"{form}-{path[-1]}-{number}", content


def bad_shapes() -> Iterator[tuple[str, bytes]]:
    row = json.dumps(OWN).encode()
    many = json.dumps({**PROMPTS, "prompts": ["[X] [Y]"] * 1_001}).encode()
    neighbours = {**PROMPTS, "prompts": ["[X] a [Y]"] * 50, "neighbours": ["Ann"] * 999}
    yield from {
        "nothing": b"",
        "space": b" \n\t\n",
        "mark": b"\xef\xbb\xbf",
        "null": b"null",
        "number": b"7",
        "text": b'"France"',
        "true": b"true",
        "prose": b"France has the capital Rome.\n",
        "empty list": b"[]",
        "list of lists": b"[[], []]",
        "list of nulls": b"[null]",
        "list of text": b'["France"]',
        "empty object": b"{}",
        "unknown keys": b'{"a": 1}',
        "open list": b"[" + row,
        "open object": row[:-1],
        "open text": b'{"subject": "Fra',
        "open key": b'{"subj',
        "open escape": b'{"subject": "a\\',
        "bad escape": b'{"subject": "\\q"}',
        "bad unicode escape": b'{"subject": "\\u12"}',
        "two commas": b"[" + row + b",," + row + b"]",
        "no comma": b"[" + row + row + b"]",
        "last comma": b"[" + row + b",]",
        "more behind the list": b"[" + row + b"] " + row,
        "more behind the object": row + b"]",
        "single quotes": b"{'subject': 'France'}",
        "comment": b"// facts\n" + row,
        "nan": b'{"subject": NaN}',
        "infinity": b'{"subject": -Infinity}',
        "digits": b'{"subject": ' + b"7" * 5_000 + b"}",
        "exponent": b'{"subject": 1e999999999}',
        "key twice": b'{"subject": "a", "subject": "b"}',
        "key twice inside": b'{"requested_rewrite": {"prompt": "a", "prompt": "b"}}',
        "deep list": b"[" * 100_000,
        "deep list that ends": b"[" * 2_000 + b"]" * 2_000,
        "deep object": b'{"a":' * 50_000,
        "deep value": b'{"subject": ' + b"[" * 101 + b"]" * 101 + b"}",
        "deep in a row": b"[" + row + b"," + b"[" * 100_000,
        "control character": b'{"subject": "a\x01"}',
        "raw line break": b'{"subject": "a\nb"}',
        "latin": '{"subject": "Côte"}'.encode("latin-1"),
        "half a letter": b'{"subject": "\xc3"}',
        "utf-16": '{"subject": "a"}'.encode("utf-16"),
        "utf-32": '{"subject": "a"}'.encode("utf-32"),
        "nul": b"\0" * 100,
        "long row": b'{"subject": "' + b"x" * (1 << 20) + b'"}',
        "long member": b'[{"subject": "' + b"x" * (1 << 20) + b'"}]',
        "many templates": many,
        "many neighbours": json.dumps(neighbours).encode(),
        "many paraphrases": json.dumps({**CF, "paraphrase_prompts": ["France"] * 1_001}).encode(),
        "many localities": json.dumps({**FLAT, "locality_prompt": ["a"] * 1_001}).encode(),
        "no subject": b'{"to": "Rome"}',
        "unknown subject": b'{"relation": "capital", "subject": "Atlantis"}',
        "unknown relation": b'{"relation": "../../etc/passwd", "subject": "a"}',
        "mistyped key": b'{"relation": "capital", "subject": "France", "too": "Rome"}',
        "escape in a key": b'{"subject": "a", "\\u001b[2J": 1}',
        "long key": b'{"subject": "a", "' + b"k" * 100_000 + b'": 1}',
        "surrogate key": b'{"subject": "a", "\\ud800": 1}',
        "no placeholder": json.dumps({**PROMPTS, "prompts": ["[X] is"]}).encode(),
        "placeholder twice": json.dumps({**PROMPTS, "prompts": ["[X] [Y] [Y]"]}).encode(),
        "placeholder in a prompt": json.dumps({**FLAT, "prompt": "France [Y] is"}).encode(),
        "prompts in one text": json.dumps({**PROMPTS, "prompts": "[X] [Y]"}).encode(),
        "no braces": json.dumps(changed(CF, ("requested_rewrite", "prompt"), "is")).encode(),
        "two braces": json.dumps(changed(CF, ("requested_rewrite", "prompt"), "{}{}")).encode(),
        "no rewrite": b'{"requested_rewrite": null}',
        "rewrite of text": b'{"requested_rewrite": "x"}',
        "rewrites of text": b'{"requested_rewrite": ["x"]}',
        "locality of numbers": json.dumps({**FLAT, "locality": [1, 2]}).encode(),
        "locality without prompts": json.dumps({**FLAT, "locality": {"a": [{}]}}).encode(),
        "pack without templates": b'{"name": "p", "facts": [["a", "b"]]}',
        "pack without facts": b'{"name": "p", "templates": [{"text": "[X] [Y]"}]}',
        "pack with a fact twice": json.dumps({**PACK, "facts": [["a", "b"], ["a", "c"]]}).encode(),
        "pack with half a fact": json.dumps({**PACK, "facts": [["a"]]}).encode(),
        "pack with no templates": json.dumps({**PACK, "templates": []}).encode(),
        "half of pararel": b'{"pattern": "[X] [Y]"}',
        "answers that differ": b"\n".join(
            json.dumps({**PROMPTS, "answer": answer}).encode() for answer in ("Oxford", "Rome")
        ),
    }.items()


FIELDS = dict(bad_fields())
SHAPES = dict(bad_shapes())


def test_there_are_as_many_vectors_as_were_tried_before() -> None:
    assert len(FIELDS) + len(SHAPES) >= 230


def _refused(path: Path) -> None:
    with pytest.raises(KnEditError) as refusal:
        read_cases(path)
    sentence = str(refusal.value)
    assert 0 < len(sentence) <= 500
    assert sentence.isprintable()
    assert refusal.value.exit_code in (ExitCode.ERROR, ExitCode.USAGE, ExitCode.DISK)
    for read in (load_relation, lambda name: read_sentences(name, load_relation("capital"))):
        with pytest.raises(KnEditError):
            read(path)


@pytest.mark.parametrize("name", SHAPES)
def test_a_hostile_file_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    path.write_bytes(SHAPES[name])
    _refused(path)


@pytest.mark.parametrize("form", sorted({name.rpartition("-")[0] for name in FIELDS}))
def test_a_hostile_field_is_refused_in_one_sentence(form: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    for name, content in FIELDS.items():
        if name.rpartition("-")[0] != form:
            continue
        path.write_bytes(content)
        try:
            read_cases(path)
        except KnEditError as error:
            assert 0 < len(str(error)) <= 500, name
            assert str(error).isprintable(), name
        else:
            # Lists and blanks of benchmarks stand for no value at all; nothing else is let in.
            raise AssertionError(name)


# --- what must cost neither time nor memory ------------------------------------------------------

MB = 1 << 20
READER = """
import sys, time
from pathlib import Path
from kn_edit.facts import read_cases
from kn_edit.errors import KnEditError
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024
before = peak()
try:
    print(len(read_cases(sys.argv[1])), "cases", end=" ")
except KnEditError as error:
    assert len(str(error)) <= 500
    print(type(error).__name__, end=" ")
print(peak() - before, time.process_time())
"""
HEAVY: dict[str, tuple[bytes, int, bytes]] = {  # what is repeated, how often, what ends it
    "a line of 200 MB": (b"x", 200 * MB, b""),
    "a row of 60 MB": (b'{"subject": "' + b"x" * 1_000, 60_000, b'"}'),
    "a list of lists": (b"[],", 20 * MB, b"[]"),
    "lists one after the other": (b"[]", 30 * MB, b""),
    "brackets that open": (b"[", 60 * MB, b""),
    "objects that open": (b'{"a":', 12 * MB, b""),
    "line breaks": (b"\n", 60 * MB, b"{}"),
    "lines of a space": (b" \n", 30 * MB, b"{}"),
    "lines of a comment": (b"#\n", 30 * MB, b"{}"),
    "a million rows": (b'{"relation":"capital","subject":"France"}\n', 1_000_000, b""),
    "a pack of empty facts": (b"[],", 5_000_000, b"[]]}"),
}


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_file_costs_little(name: str, tmp_path: Path) -> None:
    piece, times, end = HEAVY[name]
    start = {
        "a list of lists": b"[",
        "a pack of empty facts": b'{"name":"p","templates":[{"text":"[X] [Y]"}],"facts":[',
    }
    path = tmp_path / "facts.json"
    with path.open("wb") as file:
        file.write(start.get(name, b""))
        for _ in range(100):
            file.write(piece * (times // 100))
        file.write(end)
    kind, memory, seconds = _read_apart(path)
    path.unlink()
    assert kind in ("BadFacts", "UnreadableFacts")
    assert memory < 300
    assert seconds < 10


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom", "/dev/null", "/proc/kmsg"])
def test_a_device_is_no_file_of_facts(device: str) -> None:
    kind, memory, _ = _read_apart(Path(device))
    assert kind in ("BadFacts", "UnreadableFacts")
    assert memory < 20


def test_a_pipe_that_never_ends_is_given_up_when_it_is_too_large(tmp_path: Path) -> None:
    program = tmp_path / "read.py"
    program.write_text(READER)
    ran = subprocess.run(
        ["bash", "-c", f"{sys.executable} {program} - < <(yes '[]')"],
        capture_output=True,
        text=True,
        env=_environment(),
        timeout=60,
    )
    kind, memory, _ = ran.stdout.split()
    assert kind == "UnreadableFacts"
    assert int(memory) < 300


def _read_apart(path: Path) -> tuple[str, int, float]:
    """How reading ended in a process of its own, its memory in MB, its seconds of CPU."""
    command = [sys.executable, "-c", READER, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, env=_environment(), timeout=60)
    *kind, memory, seconds = ran.stdout.split()
    assert kind, ran.stderr
    return kind[-1], int(memory), float(seconds)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
