"""Rows of WikiBigEdit, QAEdit, zsRE and EasyEdit: every field is used for what it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kn_edit.errors import BadFacts, BadTemplate
from kn_edit.facts import Case, Fact, Template, fact_key, read_cases
from kn_edit.facts.benchmarks import OTHER_CASE, SPACES, TAIL, WHOLE
from kn_edit.facts.counterfact import LEFT_OUT

WIKI = {
    "prompt": "In which city did Ann Lee pass away?",
    "target_new": "Brooklyn",
    "subject": "Ann Lee",
    "rephrase_prompt": "Where did Ann Lee pass away?",
    "locality_prompt": "In which place did Anna Leeds pass away?",
    "locality_ground_truth": "Derby",
}
QA = {
    "id": 1,
    "source": "NQ",
    "prompt": "who scored most 70 point games in history?",
    "target": " Chamberlain.",
    "subject": "most 70 point games in history",
    "rephrase": "Which player holds the record for games of 70 points?",
    "locality": [
        {"loc": "who wrote emma", "loc_ans": "Jane Austen"},
        {"loc": "when was the moon landing", "loc_ans": 1969},
    ],
}
ZSRE = {
    "subject": "Dee Creek",
    "src": "Which river system contains Dee Creek?",
    "pred": "Dee",
    "rephrase": "What river system is Dee Creek in?",
    "alt": "Tyne",
    "answers": ["Trent"],
    "loc": "nq question: who wrote emma",
    "loc_ans": "Jane Austen",
    "cond": "Dee >> Tyne || Which river system contains Dee Creek?",
}
RAIN_AND_ICE = ["Rain falls from", "Ice is"]
EASY = {
    "subject": "Ann Lee",
    "prompt": "Ann Lee works as a",
    "target_new": "pilot",
    "ground_truth": "<|endoftext|>",
    "locality": {
        "neighborhood": {"prompt": "Bo Day works as a", "ground_truth": "cook"},
        "distracting": {
            "prompt": ["Rain falls from", "Ice is"],
            "ground_truth": ["clouds", "cold"],
        },
    },
    "portability": {
        "Subject_Aliasing": [{"prompt": "Miss Lee works as a", "ground_truth": ["pilot"]}],
        "one_hop": [{"prompt": "Ann Lee goes to work in a", "ground_truth": ["plane"]}],
    },
}


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def one(row: dict[str, Any], **changes: object) -> Case:
        path = tmp_path / "rows.jsonl"
        path.write_text(json.dumps({**row, **changes}) + "\n")
        (case,) = read_cases(path)
        return case

    return one


def clozes(case: Case, *, held_out: bool = False) -> list[str]:
    return [prompt.cloze for prompt in case.relation.prompts(case.fact, held_out=held_out)]


@pytest.mark.parametrize(
    ("row", "trained", "held_out", "judges"),
    [
        (WIKI, WIKI["prompt"], [WIKI["rephrase_prompt"]], [WIKI["locality_prompt"]]),
        (QA, QA["prompt"], [QA["rephrase"]], ["who wrote emma", "when was the moon landing"]),
        (ZSRE, ZSRE["src"], [ZSRE["rephrase"]], [ZSRE["loc"]]),
        (EASY, EASY["prompt"], ["Miss Lee works as a"], ["Bo Day works as a", *RAIN_AND_ICE]),
    ],
)
def test_prompts_solve_rephrasings_are_held_out_and_locality_judges(
    read, row, trained, held_out, judges
):
    case = read(row)
    assert clozes(case) == [f"{trained} [Y]"]
    assert clozes(case, held_out=True) == [f"{text} [Y]" for text in held_out]
    assert [prompt.cloze for prompt in case.judges] == [f"{text} [Y]" for text in judges]
    assert (case.neighbours, case.published) == ((), True)


def test_a_rephrasing_in_other_words_than_the_subjects_is_asked_of_it_alone(read):
    case = read(QA)
    (template,) = [each for each in case.relation.templates if each.held_out]
    assert template.about == case.fact.subject
    other = Fact(case.relation.name, "another subject", "")
    assert case.relation.prompts(other, held_out=True) == ()
    assert fact_key(case.relation, case.fact).templates == {"who scored [X]? [Y]"}


@pytest.mark.parametrize("same", [WIKI["prompt"], "", None])
def test_a_rephrasing_that_says_nothing_new_is_none(read, same):
    assert clozes(read(WIKI, rephrase_prompt=same), held_out=True) == []


def test_several_rephrasings_are_all_held_out_each_once(read):
    texts = ["Where did Ann Lee die?", "Where did she die?", "Where did Ann Lee die?"]
    case = read(WIKI, rephrase_prompt=texts)
    assert clozes(case, held_out=True) == [f"{text} [Y]" for text in texts[:2]]


def test_a_prompt_of_the_row_itself_does_not_judge(read):
    assert read(WIKI, locality_prompt=WIKI["prompt"]).judges == ()
    assert read(WIKI, locality_prompt=WIKI["rephrase_prompt"]).judges == ()


@pytest.mark.parametrize(
    "locality",
    [
        ["Bo Day works as a"],
        {"prompt": "Bo Day works as a", "ground_truth": "cook"},
        {"prompt": ["Bo Day works as a"], "ground_truth": ["cook"]},
        {"Relation_Specificity": [{"prompt": "Bo Day works as a", "ground_truth": [["x"], ["y"]]}]},
        {"Forgetfulness": [], "other": {"prompt": "Bo Day works as a", "ground_truth": None}},
    ],
)
@pytest.mark.parametrize("key", ["locality", "locality_inputs"])
def test_locality_is_read_however_it_is_nested(read, key, locality):
    case = read({**{k: v for k, v in EASY.items() if k != "locality"}, key: locality})
    assert [prompt.cloze for prompt in case.judges] == ["Bo Day works as a [Y]"]


def test_what_follows_from_a_new_answer_is_no_paraphrase(read):
    case = read(EASY, portability={"alias": {"prompt": "She works as a", "ground_truth": "cook"}})
    assert clozes(case, held_out=True) == []


@pytest.mark.parametrize(
    ("row", "changes"),
    [
        (ZSRE, {"answers": ["tyne "]}),
        (WIKI, {"ground_truth": "Brooklyn"}),
        (EASY, {"ground_truth": ["Pilot"]}),
    ],
)
def test_a_true_answer_that_is_the_new_one_is_not_the_old_one(read, row, changes):
    assert not read(row, **changes).fact.stated


@pytest.mark.parametrize(
    ("changes", "target", "notes"),
    [
        ({}, "Brooklyn", ()),
        ({"target_new": " Brooklyn  "}, "Brooklyn", (SPACES,)),
        ({"target_new": "Brooklyn."}, "Brooklyn.", (TAIL,)),
        ({"target_new": "\tM&C! "}, "M&C!", (SPACES, TAIL)),
        ({"subject": "Bo Day"}, "Brooklyn", (WHOLE,)),
        ({"subject": "ann lee"}, "Brooklyn", (OTHER_CASE,)),
    ],
)
def test_what_is_taken_otherwise_than_it_is_written_is_noted(read, changes, target, notes):
    case = read(WIKI, **changes)
    assert (case.target, case.notes) == (target, notes)


def test_a_prompt_that_does_not_name_its_subject_keeps_its_rephrasing(read):
    case = read(WIKI, subject="Bo Day")
    assert clozes(case) == [f"{WIKI['prompt']} [Y]"]
    assert clozes(case, held_out=True) == [f"{WIKI['rephrase_prompt']} [Y]"]


def test_a_paraphrase_that_counterfact_leaves_out_is_noted(read):
    rewrite = {"prompt": "{} is in", "subject": "Oslo", "target_true": {"str": "Norway"}}
    row = {"requested_rewrite": rewrite | {"target_new": {"str": "Peru"}}}
    assert read(row, paraphrase_prompts=["Oslo lies in"]).notes == ()
    assert read(row, paraphrase_prompts=["Oslo lies in", "It is in"]).notes == (LEFT_OUT,)


def test_a_template_about_one_subject_is_held_out_and_has_no_subject_in_it():
    with pytest.raises(BadTemplate):
        Template("[X] is [Y]", held_out=True, about="Oslo")
    with pytest.raises(BadTemplate):
        Template("It is [Y]", about="Oslo")
    with pytest.raises(BadTemplate):
        Template("It is", held_out=True, about="Oslo")


def test_a_row_without_a_prompt_is_told_with_its_line(read):
    with pytest.raises(BadFacts, match='line 1: "src" is missing'):
        read({key: value for key, value in ZSRE.items() if key != "src"})
