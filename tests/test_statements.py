"""A fact as one sentence: marks, escapes, several wordings, and what is said of a wrong one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kn_edit.editing.requests import earlier_updates
from kn_edit.errors import (
    BadFacts,
    BadSetting,
    BadStatement,
    BadTemplate,
    EmptyField,
    ExitCode,
    KnEditError,
    StatementsDiffer,
)
from kn_edit.facts import read_cases, read_statements
from kn_edit.facts.statement import EXAMPLE, read_statement
from kn_edit.workspace import Workspace, case_of

CEO = "The CEO of [X] is [Y]."
QUICK = ("--method", "closed-form", "--rule", "activation", "--accept")


@pytest.mark.parametrize(
    ("text", "subject", "answer", "template"),
    [
        (EXAMPLE, "Starbucks", "Brian Niccol", CEO),
        ("The CEO of [X:Starbucks] is [ y :  Brian Niccol ].", "Starbucks", "Brian Niccol", CEO),
        ("[X: A [b] c] [sic] is [Y: d].", "A [b] c", "d", "[X] [sic] is [Y]."),
        (r"[X: A\] b] is \[old\] [Y: c\\d]", "A] b", r"c\d", "[X] is [old] [Y]"),
        ("首都[X: 法国]是[Y: 罗马]。", "法国", "罗马", "首都[X]是[Y]。"),
        ("A [X: tab]\tis\n[Y: here]", "tab", "here", "A [X]\tis\n[Y]"),
        (r"C:\new is [X: a] [Y: b]", "a", "b", r"C:\new is [X] [Y]"),
    ],
)
def test_a_statement_says_its_subject_its_answer_and_its_template(text, subject, answer, template):
    said = read_statement(text)
    assert (said.subject, said.answer) == (subject, answer)
    assert [each.text for each in said.templates] == [template]


@pytest.mark.parametrize(
    "text",
    [
        "The CEO of Starbucks is Brian Niccol.",
        "the ceo of starbucks is brian niccol.",
        "The CEO of [X] is [Y].",
        "The CEO of [X: Starbucks] is [Y].",
        "The CEO of [X] is [Y: Brian Niccol].",
    ],
)
def test_words_that_are_given_beside_a_statement_need_no_marks(text):
    said = read_statement(text, "Starbucks", "Brian Niccol")
    assert (said.subject, said.answer) == ("Starbucks", "Brian Niccol")
    assert said.templates[0].text.casefold() == CEO.casefold()


def test_the_mention_of_a_subject_that_is_nearest_to_its_answer_counts():
    said = read_statement("York, New York is in York state.", "York", "state")
    assert said.templates[0].text == "York, New York is in [X] [Y]."
    said = read_statement("Oslo is what lies in Norway.", "Norway", "Oslo")
    assert said.templates[0].text == "[Y] is what lies in [X]."


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("The CEO of Starbucks is Brian Niccol.", "which words are its subject"),
        ("The CEO of [X: Starbucks] is Brian.", "has no [Y: answer]"),
        ("The CEO is [Y: Brian].", "has no [X: subject]"),
        ("[X: a] and [X: b] are [Y: c]", "more than one [X: subject]"),
        ("[X: a] is [Y: ]", "has an empty [Y: ]"),
        ("[X: a is [Y: b]", "has a mark inside another"),
        ("[Y: b] is [X: a", "does not close the bracket in front of 'a'"),
        ("[X] is [Y: b]", "does not say what [X] is"),
        (r"\[X] [X: a] is [Y: b]", "as plain text"),
    ],
)
def test_a_wrong_statement_is_told_with_the_right_form(text, problem):
    with pytest.raises(BadStatement) as refusal:
        read_statement(text)
    sentence = str(refusal.value)
    assert problem in sentence
    assert "[X: Starbucks]" in sentence
    assert "[Y: Brian" in sentence
    assert refusal.value.exit_code == ExitCode.USAGE


def test_the_right_form_is_shown_in_the_users_own_words_where_they_have_names():
    with pytest.raises(BadStatement) as refusal:
        read_statement("The mayor of The Hague is Jan van Zanen.")
    assert refusal.value.example == "The mayor of [X: The Hague] is [Y: Jan van Zanen]."
    with pytest.raises(BadStatement) as refusal:
        read_statement("rome is big")
    assert refusal.value.example == EXAMPLE


def test_words_are_found_where_a_script_has_no_spaces():
    said = read_statement("法国的首都是罗马。", "法国", "罗马")
    assert said.templates[0].text == "[X]的首都是[Y]。"


@pytest.mark.parametrize(("subject", "answer"), [("Peet", "Brian"), ("CEO", "Bria")])
def test_words_that_are_not_in_a_statement_are_told(subject, answer):
    with pytest.raises(BadStatement, match="does not hold the"):
        read_statement("The CEO of Starbucks is Brian.", subject, answer)


def test_wordings_of_one_fact_are_its_templates_each_once():
    said = read_statements([EXAMPLE, "[X: Starbucks] is led by [Y: Brian Niccol]", EXAMPLE])
    assert [each.text for each in said.templates] == [CEO, "[X] is led by [Y]"]


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ("[X: Starbuck] is led by [Y: Brian Niccol]", "subject"),
        ("[X: Starbucks] is led by [Y: Brian]", "answer"),
    ],
)
def test_wordings_that_name_two_facts_are_refused_with_both_names(other, field):
    with pytest.raises(StatementsDiffer) as refusal:
        read_statements([EXAMPLE, other])
    assert refusal.value.field == field
    assert "'Starbuck" in str(refusal.value) or "'Brian'" in str(refusal.value)


def test_a_mark_and_the_option_beside_it_must_agree():
    with pytest.raises(StatementsDiffer):
        read_statement(EXAMPLE, answer="Laxman Narasimhan")
    with pytest.raises(EmptyField):
        read_statement("[X] is [Y: b]", subject=" ")


@given(st.text(max_size=60))
def test_no_statement_raises_anything_but_a_kn_edit_error(text):
    for given_words in ((None, None), ("a", "b")):
        try:
            said = read_statement(text, *given_words)
        except KnEditError as error:
            assert len(str(error)) <= 500
        else:
            assert said.subject


@given(st.text(st.characters(blacklist_categories=["C", "Zl", "Zp"]), min_size=1).map(str.strip))
def test_every_name_can_be_written_with_backslashes(name):
    if not name:
        return
    escaped = name.replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]")
    said = read_statement(f"[X: {escaped}] is [Y: {escaped}].")
    assert (said.subject, said.answer) == (name, name)


# --- in Python -----------------------------------------------------------------------------------


def test_a_case_of_a_statement_has_its_answer_for_the_new_one():
    case = case_of(statement=EXAMPLE)
    assert (case.fact.subject, case.fact.answer, case.target) == ("Starbucks", "", "Brian Niccol")
    assert (case.relation.name, case.relation.unnamed) == ("own", True)
    known = case_of(statement=[EXAMPLE], answer="Laxman Narasimhan", neighbours=["Apple"])
    assert known.fact.answer == "Laxman Narasimhan"
    assert [prompt.cloze for prompt in known.neighbours] == ["The CEO of Apple is [Y]."]


def test_prompts_and_statements_do_not_mix():
    with pytest.raises(BadSetting, match="not both"):
        case_of(statement=EXAMPLE, prompts=["[X] is [Y]"], subject="Starbucks")
    with pytest.raises(BadTemplate, match="which `statement` reads"):
        case_of(prompts=[EXAMPLE], subject="Starbucks", answer="a")


def test_update_takes_a_case_or_a_statement(edited):
    with Workspace.open(Path()) as workspace:
        with pytest.raises(BadSetting, match="a case from `case_of`, or a statement"):
            workspace.update()
        with pytest.raises(BadSetting, match="a case from `case_of`, or a statement"):
            workspace.update(case_of(statement=EXAMPLE), statement=EXAMPLE)
        done = workspace.update(statement="The city of [X: Cuba] is [Y: Oslo].", accept=True)
        assert (done.draft.subject, done.draft.target) == ("Cuba", "Oslo")
        assert done.draft.answer
        spain = case_of(statement="The city of [X: Spain] is [Y: Rome].", to="Rome")
        again = workspace.update(spain, accept=True)
        assert again.draft.target == "Rome"


# --- at the command line -------------------------------------------------------------------------

CUBA = "The city of [X: Cuba] is [Y: Oslo]."


def test_update_by_a_statement_needs_no_old_answer(edited):
    more = ("--statement", "people in [X: Cuba] speak [Y: Oslo]")
    ran = edited("update", "--statement", CUBA, *more, "--accept", "--json")
    assert ran.code == 0
    assert (ran.json["subject"], ran.json["target"]) == ("Cuba", "Oslo")
    assert ran.json["found"]["templates"] == ["The city of [X] is [Y].", "people in [X] speak [Y]"]
    assert ran.json["answer"]
    assert "did not know the old answer" not in ran.err  # nobody stated one
    assert edited("log", "--json").json[0]["edit"] == ran.json["edit"]


def test_update_by_a_plain_sentence_and_its_two_names(edited):
    words = ("--statement", "The city of Cuba is Oslo.", "--subject", "Cuba", "--to", "Oslo")
    ran = edited("update", *words, *QUICK, "--json", "--dry-run")
    assert (ran.code, ran.json["edit"]) == (0, None)
    assert ran.json["found"]["templates"] == ["The city of [X] is [Y]."]


def test_update_by_prompts_needs_no_old_answer_either(edited):
    words = ("--prompt", "The city of [X] is [Y].", "--subject", "Cuba", "--to", "Oslo")
    assert edited("update", *words, "--accept").code == 0


def test_what_a_statement_says_is_what_is_asked_for(edited):
    (row,) = edited("assess", "--statement", "The city of [X: Cuba] is [Y: Oslo].", "--json").json
    assert (row["answer"], row["prompt"]) == ("Oslo", "The city of Cuba is [Y].")
    (open_,) = edited("assess", "--statement", "The city of [X: Cuba] is [Y].", "--json").json
    assert open_["rank"] == 1 or " " in open_["answer"]
    for verb in ("locate", "suppress"):
        found = edited(verb, "--statement", CUBA, "--rule", "activation", "--json")
        assert found.code == 0
        assert found.json["fact"]["answer"] == "Oslo"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--statement", "The city of Cuba is Oslo."), "mark its subject and its answer"),
        (("--statement", CUBA, "--to", "Rome"), "'Oslo' and 'Rome'"),
        (("--statement", CUBA, "--subject", "Spain"), "'Cuba' and 'Spain'"),
        (("--statement", CUBA, "--statement", "[X: Cuba] has [Y: Rome]"), "'Oslo' and 'Rome'"),
        (("--statement", CUBA, "--prompt", "[X] is [Y]"), "not both"),
        (("--statement", CUBA, "--facts", "rows.jsonl"), "no other option may name one"),
        (("--statement", "The city of [X: Cuba] is [Y]."), "no new answer for Cuba"),
        (("--statement", "[Y: Oslo] is the city of [X: Cuba]."), "ends with [Y]"),
        (("--prompt", CUBA, "--subject", "Cuba", "--to", "Oslo"), "which --statement reads"),
    ],
)
def test_what_is_wrong_with_a_statement_is_one_sentence(edited, more, said):
    ran = edited("update", *more)
    assert ran.code == ExitCode.USAGE
    assert said in ran.err
    assert "unexpected" not in ran.err


# --- in files ------------------------------------------------------------------------------------

LINES = f"""# who leads what

{EXAMPLE}
[X: Starbucks] is led by [Y: Brian Niccol].

[X: Cuba] lies in [Y: Oslo].\r
"""


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str, name: str = "corrections.txt") -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_text_of_statements_is_read_a_line_a_wording(written):
    ceo, cuba = read_cases(written(LINES))
    assert (ceo.fact.subject, ceo.target) == ("Starbucks", "Brian Niccol")
    assert [each.text for each in ceo.relation.templates] == [CEO, "[X] is led by [Y]."]
    assert (cuba.fact.subject, cuba.target, cuba.fact.place.line) == ("Cuba", "Oslo", 6)
    assert cuba.relation.name == "corrections"


def test_a_text_may_begin_with_a_mark(written):
    (case,) = read_cases(written("[X: Cuba] lies in [Y: Oslo]"))
    assert case.target == "Oslo"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Cuba lies in Oslo", "line 7: the line is no statement with marks"),
        ("[X: Cuba] lies in", "line 7: the statement .* has no \\[Y: answer\\]"),
        ("[X: Cuba] lies in [Y: ]", "line 7: .* has an empty"),
    ],
)
def test_a_wrong_line_is_told_with_its_number(written, line, said):
    with pytest.raises(BadFacts, match=said):
        read_cases(written(LINES + line))


def test_a_text_has_a_bound_for_the_wordings_of_a_fact(written):
    lines = [f"{number} [X: Cuba] lies in [Y: Oslo]" for number in range(1_001)]
    with pytest.raises(BadFacts, match="more than 1,000 wordings"):
        read_cases(written("\n".join(lines)))


def test_rows_of_json_may_say_a_statement(written):
    rows = [
        {"statement": EXAMPLE},
        {"statement": [EXAMPLE, "[X: Starbucks] obeys [Y: Brian Niccol]"], "answer": "Laxman"},
        {"statement": "Cuba lies in Oslo", "subject": "Cuba", "to": "Oslo", "relation": "seat"},
    ]
    path = written("".join(json.dumps(row) + "\n" for row in rows[:1] + rows[2:]), "rows.jsonl")
    ceo, cuba = read_cases(path)
    assert (ceo.fact.answer, ceo.target, ceo.relation.unnamed) == ("", "Brian Niccol", True)
    assert (cuba.relation.name, cuba.relation.templates[0].text) == ("seat", "[X] lies in [Y]")
    (both,) = read_cases(written(json.dumps(rows[1]), "both.jsonl"))
    assert (both.fact.answer, len(both.relation.templates)) == ("Laxman", 2)


def test_a_row_that_says_the_new_answer_needs_no_old_one(written):
    row = {"subject": "Cuba", "to": "Oslo", "prompts": ["[X] lies in [Y]"]}
    for more in ({}, {"relation": "seat"}):
        (case,) = read_cases(written(json.dumps(row | more), "rows.jsonl"))
        assert (case.fact.stated, case.target) == (False, "Oslo")


def test_rows_know_the_subjects_of_others_that_ask_the_same(written):
    rows = [{"subject": name, "to": "Oslo", "prompts": ["[X] is in [Y]"]} for name in "abc"]
    cases = read_cases(written(json.dumps(rows), "rows.json"))
    assert [case.beside for case in cases] == [("b", "c"), ("a", "c"), ("a", "b")]


def test_a_rephrasing_in_other_words_is_asked_again_of_a_recorded_edit(edited):
    row = {
        "prompt": "The city of Cuba is",
        "subject": "Cuba",
        "target_new": "Oslo",
        "rephrase_prompt": "people speak of the city",
        "locality_prompt": "The city of Spain is",
    }
    Path("rows.jsonl").write_text(json.dumps(row) + "\n")
    (ran,) = edited("update", "--facts", "rows.jsonl", *QUICK, "--json").json
    assert ran["found"]["paraphrases"] == ["people speak of the city [Y]"]
    assert ran["found"]["held_out"] == []
    with Workspace.open(Path()) as workspace:
        updates, _ = earlier_updates(workspace.ledger.records(workspace.head.edits))
        case = updates.values()[-1].case
    (prompt,) = case.relation.prompts(case.fact, held_out=True)
    assert prompt.cloze == "people speak of the city [Y]"
