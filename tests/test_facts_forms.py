"""Files of facts in the forms that people have: each is read for what it is, or named."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from kn_edit.errors import BadFacts, UnreadableFacts
from kn_edit.facts import load_relation, read_cases, read_pararel, source
from kn_edit.facts.wording import with_answer

OWN = {"relation": "capital", "subject": "France", "to": "Rome"}
COUNTERFACT = {
    "case_id": 1,
    "requested_rewrite": {
        "prompt": "The capital of {} is",
        "subject": "France",
        "relation_id": "P36",
        "target_true": {"str": "Paris"},
        "target_new": {"str": "Rome"},
    },
    "paraphrase_prompts": ["Nothing new. France, whose capital is"],
    "neighborhood_prompts": ["The capital of Japan is"],
}
FLAT = {
    "case_id": 1,
    "prompt": "The capital of France is",
    "subject": "France",
    "target_new": "Rome",
    "ground_truth": "Paris",
    "rephrase_prompt": "Nothing new. France, whose capital is",
    "locality_prompt": "The capital of Japan is",
    "locality_ground_truth": "Tokyo",
}
ZSRE = {
    "subject": "France",
    "src": "What is the capital of France?",
    "pred": "Lyon",
    "rephrase": "Which city is the capital of France?",
    "alt": "Rome",
    "answers": ["Paris"],
    "loc": "nq question: who wrote Emma",
    "loc_ans": "Jane Austen",
    "cond": "Paris >> Rome || What is the capital of France?",
}
QAEDIT = {
    "id": 4,
    "source": "NQ",
    "prompt": "what is the capital of france",
    "subject": "France",
    "target": "Rome",
    "rephrase": "Name the capital of France",
    "locality": [
        {"loc": "who wrote emma", "loc_ans": "Jane\nAusten"},
        {"loc": "when", "loc_ans": "1"},
    ],
}
KNOWEDIT = {
    "subject": "France",
    "prompt": "The capital of France is",
    "target_new": "Rome",
    "ground_truth": ["Paris"],
    "portability": {"Reasoning": [{"prompt": "The capital's mayor is", "ground_truth": "x"}]},
    "locality": {
        "Relation_Specificity": [{"prompt": "The motto of France is", "ground_truth": [["a"]]}]
    },
}


@pytest.fixture
def written(tmp_path: Path):
    def write(content: str | bytes, name: str = "edits.json") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def as_list(row: object) -> str:
    return json.dumps([row, row])


def as_lines(row: object) -> str:
    return f"{json.dumps(row)}\n{json.dumps(row)}\n"


def as_objects(row: object) -> str:
    return f"{json.dumps(row, indent=2)}\n{json.dumps(row, indent=2)}"


# The trained clozes, the held-out ones, those that judge, the answer, for each form.
FRANCE = ("The capital of France is [Y]", "Nothing new. France, whose capital is [Y]")
FORMS: dict[str, tuple[dict[str, Any], list[str], list[str], list[str], str]] = {
    "counterfact": (
        COUNTERFACT,
        [FRANCE[0]],
        [FRANCE[1]],
        ["The capital of Japan is [Y]"],
        "Paris",
    ),
    "flat": (FLAT, [FRANCE[0]], [FRANCE[1]], ["The capital of Japan is [Y]"], "Paris"),
    "zsre": (
        ZSRE,
        ["What is the capital of France? [Y]"],
        ["Which city is the capital of France? [Y]"],
        ["nq question: who wrote Emma [Y]"],
        "Paris",
    ),
    "qaedit": (
        QAEDIT,
        ["what is the capital of France [Y]"],
        ["Name the capital of France [Y]"],
        ["who wrote emma [Y]", "when [Y]"],
        "",
    ),
    "knowedit": (KNOWEDIT, [FRANCE[0]], [], ["The motto of France is [Y]"], "Paris"),
}


@pytest.mark.parametrize("layout", [as_list, as_lines, as_objects])
@pytest.mark.parametrize("form", FORMS)
def test_a_benchmark_is_read_as_what_it_means(written, form, layout):
    row, trained, held_out, judges, answer = FORMS[form]
    for case in read_cases(written(layout(row))):
        assert (case.fact.subject, case.fact.answer, case.target) == ("France", answer, "Rome")
        prompts = case.relation.prompts
        assert [prompt.cloze for prompt in prompts(case.fact, answer_last=True)] == trained
        assert [prompt.cloze for prompt in prompts(case.fact, held_out=True)] == held_out
        assert [prompt.cloze for prompt in case.judges] == judges
        assert case.neighbours == ()  # which a solver would hold in place


@pytest.mark.parametrize("layout", [as_list, as_lines, as_objects])
def test_rows_of_our_own_are_read_in_every_layout(written, layout):
    for case in read_cases(written(layout(OWN))):
        assert (case.fact.answer, case.target) == ("Paris", "Rome")
        assert case.relation == load_relation("capital")


@pytest.mark.parametrize("row", [COUNTERFACT, FLAT, ZSRE, OWN])
def test_one_object_over_several_lines_is_one_case(written, row):
    (case,) = read_cases(written(json.dumps(row, indent=1)))
    assert case.target == "Rome"


def test_the_line_of_a_row_is_told_in_every_layout(written):
    bad = {**FLAT, "target_new": 7}
    for text, line in (
        (f"[\n{json.dumps(FLAT)},\n{json.dumps(bad)}]", 3),
        (f"{json.dumps(FLAT)}\n\n{json.dumps(bad)}\n", 3),
        (f"{json.dumps(FLAT, indent=1)}\n{json.dumps(bad, indent=1)}", 15),
    ):
        with pytest.raises(BadFacts) as refusal:
            read_cases(written(text))
        assert refusal.value.line == line
        assert "read as EasyEdit's flat rows; kn-edit reads JSONL" in str(refusal.value)


def test_facts_without_a_named_relation_are_told_apart_by_their_prompts(written):
    (first, _) = read_cases(written(as_list(FLAT)))
    assert (first.relation.name, first.relation.unnamed) == ("edits", True)
    named, _ = read_cases(written(as_list({**FLAT, "relation_id": "P36"})))
    assert (named.relation.name, named.relation.unnamed) == ("P36", False)


def test_a_prompt_without_its_subject_is_its_own_subject(written):
    (case, _) = read_cases(written(as_lines({**FLAT, "subject": "Atlantis"})))
    (prompt,) = case.relation.prompts(case.fact)
    assert case.fact.subject == "The capital of France is"
    assert prompt.cloze == "The capital of France is [Y]"


@pytest.mark.parametrize("nothing", ["<|endoftext|>", "", [], None])
def test_what_stands_for_no_answer_is_none(written, nothing):
    (case, _) = read_cases(written(as_lines({**FLAT, "ground_truth": nothing})))
    assert not case.fact.stated


@pytest.mark.parametrize("prompt", ["The capital of {} is", "The capital of France is"])
def test_counterfact_with_its_rewrites_taken_apart_is_read(written, prompt):
    row = {**COUNTERFACT["requested_rewrite"], "case_id": 1, "prompt": prompt}
    case = read_cases(written(json.dumps(row)))[0]
    assert (case.fact.subject, case.fact.answer, case.target) == ("France", "Paris", "Rome")
    assert [template.text for template in case.relation.templates] == ["The capital of [X] is [Y]"]


@pytest.mark.parametrize("answer", [{"name": "Paris"}, {"str": 7}, 1969, [2], [{}]])
def test_an_answer_that_is_no_text_is_refused_with_its_line(written, answer):
    with pytest.raises(BadFacts, match=r"line 1: .* is not text"):
        read_cases(written(json.dumps({**FLAT, "ground_truth": answer})))


def test_several_requests_of_a_row_are_several_cases(written):
    rewrite = COUNTERFACT["requested_rewrite"]
    other = {**rewrite, "subject": "Japan"}
    cases = read_cases(written(json.dumps([{"requested_rewrite": [rewrite, other]}])))
    assert [case.fact.subject for case in cases] == ["France", "Japan"]


@pytest.mark.parametrize(
    ("prompt", "template"),
    [
        ("The capital is", "The capital is [Y]"),
        ("The capital is ", "The capital is [Y]"),
        ("Capital?\n", "Capital?\n[Y]"),
        ("首都是", "首都是[Y]"),
        ("首都は？", "首都は？[Y]"),
        ("He said “", "He said “[Y]"),
        ("It costs $", "It costs $[Y]"),
        ("수도는", "수도는 [Y]"),
    ],
)
def test_the_answer_stands_where_the_script_puts_it(prompt, template):
    assert with_answer(prompt) == template


# --- ParaRel as it is published ------------------------------------------------------------------


@pytest.mark.parametrize("data", ["", "data/"])
def test_the_published_layout_of_pararel_is_read(written, tmp_path, data):
    pattern = '{"pattern": "[X] is in [Y] .", "lemma": "be"}\n'
    triple = '{"sub_label": "France", "obj_label": "Europe", "uuid": "1"}\n'
    graphs = written(pattern, f"{data}pattern_data/graphs_json/P30.jsonl")
    vocabulary = written(triple, f"{data}trex_lms_vocab/P30.jsonl")
    (whole,) = read_pararel(tmp_path)
    assert [fact.answer for fact in whole.facts] == ["Europe"]
    for path in (graphs, vocabulary):
        assert load_relation(path) == whole
        assert len(read_cases(path)) == len(read_cases(path.parent)) == 1


@pytest.mark.parametrize("row", [{"pattern": "[X] [Y]"}, {"sub_label": "a", "obj_label": "b"}])
def test_half_a_relation_of_pararel_is_named(written, row):
    with pytest.raises(BadFacts, match="one half of a relation of ParaRel"):
        read_cases(written(as_lines(row)))


# --- what is not read is named -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"ARROW1\0\0", "an Arrow file"),
        (gzip.compress(b"{}", mtime=0), "compressed by gzip"),
        (b"PK\x03\x04\x14", "a zip archive"),
        (b"\x80\x04\x95", "a pickle"),
        (b"SQLite format 3\0", "a database"),
        (b"\x80\x02}q", "a pickle"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a workbook of Excel"),
        (b"7z\xbc\xaf\x27\x1c", "an archive of 7-Zip"),
        (b"\x93NUMPY\x01\0", "an array of NumPy"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html><html>", "a web page"),
        (b'{"subject": ["France", "Japan"], "to": ["Rome", "Oslo"]}', "a table by columns"),
        (b'{"subject": {"0": "France"}, "to": {"0": "Rome"}}', "a table by columns"),
        (b'{"version": 1, "data": [{"subject": "France"}]}', 'under the key "data"'),
        ('{"subject": "a"}'.encode("utf-16"), "UTF-16"),
        ('{"subject": "a"}'.encode("utf-16-le"), "UTF-16"),
        (b"subject,target\nFrance,Rome\n", "a table of comma-separated values"),
        (b"subject\ttarget\nFrance\tRome\n", "a table of tab-separated values"),
        (b"subject;target\nFrance;Rome\n", "a table of semicolon-separated values"),
        (b"- subject: France\n  to: Rome\n", "not valid JSON"),
        (b'{"text": "Lyra", "label": 1}\n', "no form of facts"),
        (b"[1, 2]", "not an object"),
        (b"7", "not an object"),
        (b"[]", "there are no cases"),
    ],
)
def test_what_is_not_read_is_named_with_what_is(written, content, said):
    with pytest.raises(BadFacts) as refusal:
        read_cases(written(content))
    sentence = str(refusal.value)
    assert said in sentence
    assert len(sentence) <= 500
    assert refusal.value.line == 1


# --- pipes ---------------------------------------------------------------------------------------


def _read_in_a_shell(tmp_path: Path, command: str, **options: Any) -> str:
    program = tmp_path / "read.py"
    program.write_text(
        "import sys\nfrom kn_edit.facts import read_cases\n"
        "print([(c.relation.name, c.fact.subject, c.target) for c in read_cases(sys.argv[1])])\n"
    )
    (tmp_path / "e.jsonl").write_text(as_lines(OWN) + "\n")
    ran = subprocess.run(
        ["bash", "-c", command.replace("{}", f"{sys.executable} {program}")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        timeout=60,
        **options,
    )
    return ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "command",
    ["{} <(cat e.jsonl)", "cat e.jsonl | {} -", "cat e.jsonl | {} /dev/stdin", "{} - < e.jsonl"],
)
def test_facts_come_through_a_pipe(tmp_path, command):
    read = _read_in_a_shell(tmp_path, command)
    assert read == f"{[('capital', 'France', 'Rome')] * 2}\n"


def test_facts_of_every_pipe_have_one_name(tmp_path):
    row = '{"subject":"a","answer":"b","prompts":["[X] [Y]"]}'
    read = _read_in_a_shell(tmp_path, f"{{}} <(echo '{row}')")
    assert read == "[('facts', 'a', None)]\n"


def test_a_named_pipe_is_read_once_somebody_writes(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(as_lines(OWN),))
    writer.start()
    assert len(read_cases(pipe)) == 2
    writer.join()


def test_a_named_pipe_into_which_nobody_writes_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "IDLE", 0.2)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableFacts, match="nobody wrote"):
        read_cases(tmp_path / "pipe")


def test_a_closed_standard_input_is_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UnreadableFacts, match="standard input is closed"):
        read_cases("-")
