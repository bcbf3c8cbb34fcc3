"""Readers of facts: what they give, and that every bad input names its file, line and remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kn_edit.errors import BadFacts, KnEditError, UnknownRelation, UnreadableFacts
from kn_edit.facts import (
    load_relation,
    read_cases,
    read_counterfact,
    read_jsonl,
    read_pararel,
)
from kn_edit.facts.document import offset_of

PARAREL = Path(__file__).parents[2] / "shared" / "data" / "pararel"

PACK = """{
  "name": "colour",
  "source": "made up",
  "licence": "CC0-1.0",
  "templates": [
    {"text": "The colour of [X] is [Y]."},
    {"text": "[X] is coloured [Y].", "held_out": true}
  ],
  "facts": [
    ["grass", "green"],
    ["snow", "white"]
  ]
}
"""
REWRITE = {
    "prompt": "The mother tongue of {} is",
    "relation_id": "P103",
    "target_new": {"str": "English", "id": "Q1860"},
    "target_true": {"str": "French", "id": "Q150"},
    "subject": "Danielle Darrieux",
}


@pytest.fixture
def written(tmp_path: Path):
    def write(content: str | bytes, name: str = "facts.jsonl") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


# --- JSONL ---------------------------------------------------------------------------------------


def test_a_row_of_a_bundled_relation_needs_only_a_subject(written) -> None:
    (case,) = read_jsonl(written('{"relation": "capital", "subject": "France", "to": "Rome"}'))
    assert (case.fact.answer, case.target, case.neighbours) == ("Paris", "Rome", ())
    assert case.relation == load_relation("capital")


def test_a_row_may_bring_its_own_prompts(written) -> None:
    row = {
        "subject": "Lyra",
        "answer": "Oxford",
        "prompts": ["[X] grew up in the city of [Y]."],
        "held_out": ["The home town of [X] is [Y]."],
        "neighbours": ["Alice", "Peter"],
    }
    (case,) = read_jsonl(written(json.dumps(row)))
    assert case.relation.name == "facts"
    assert case.relation.facts == (case.fact,)
    assert [template.held_out for template in case.relation.templates] == [False, True]
    clozes = [prompt.cloze for prompt in case.neighbours]
    assert clozes == [f"{name} grew up in the city of [Y]." for name in ("Alice", "Peter")]
    assert not any(prompt.fact.stated for prompt in case.neighbours)


def test_a_row_may_give_other_names_of_its_answers(written) -> None:
    row = {"relation": "capital", "subject": "France", "to": "Rome"}
    names = {"aliases": [" Roma", "Urbs"], "answer_aliases": ["Lutetia"]}
    (case,) = read_jsonl(written(json.dumps(row | names)))
    assert (case.aliases, case.answer_aliases) == (("Roma", "Urbs"), ("Lutetia",))


def test_own_prompts_take_the_place_of_the_trained_ones_of_a_pack(written) -> None:
    row = {"relation": "capital", "subject": "France", "prompts": ["[X]: [Y]"]}
    (case,) = read_jsonl(written(json.dumps(row)))
    pack = load_relation("capital")
    assert [prompt.cloze for prompt in case.relation.prompts(case.fact)] == ["France: [Y]"]
    held_out = case.relation.prompts(case.fact, held_out=True)
    assert held_out == pack.prompts(case.fact, held_out=True)


def test_neighbours_of_a_pack_come_with_their_answers(written) -> None:
    row = {"relation": "capital", "subject": "France", "neighbours": ["Japan"]}
    (case,) = read_jsonl(written(json.dumps(row)))
    assert {prompt.fact.answer for prompt in case.neighbours} == {"Tokyo"}


def test_a_new_answer_takes_the_place_of_the_packs(written) -> None:
    row = {"relation": "capital", "subject": "France", "answer": "Lyon"}
    (case,) = read_jsonl(written(json.dumps(row)))
    assert case.relation.fact("France") == case.fact
    assert len(case.relation.facts) == len(load_relation("capital").facts)


def test_byte_order_mark_crlf_and_blank_lines_are_tolerated(written) -> None:
    row = b'{"relation": "capital", "subject": "France"}'
    cases = read_jsonl(written(b"\xef\xbb\xbf" + row + b"\r\n\r\n" + row + b"\r\n"))
    assert [case.fact.answer for case in cases] == ["Paris", "Paris"]


GOOD = '{"relation": "capital", "subject": "France"}\n'


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ('{"subject": "France"', "not valid JSON"),
        ("[1]", "not an object"),
        ('"France"', "not an object"),
        ("{}", '"subject" is missing'),
        ('{"relation": "capital", "subject": ""}', '"subject" is empty'),
        ('{"relation": "capital", "subject": 7}', '"subject" is not text'),
        ('{"relation": "capital", "subject": "\\ud800"}', "surrogate"),
        ('{"relation": "capital", "subject": "France", "answer": " "}', '"answer" is empty'),
        ('{"relation": "capital", "subject": "Frence"}', "did you mean France"),
        ('{"relation": "capitol", "subject": "France"}', "no relation or file 'capitol'"),
        ('{"subject": "France", "answer": "Paris"}', "neither"),
        ('{"subject": "a", "answer": "b", "prompts": "[X] [Y]"}', '"prompts" is not a list'),
        ('{"subject": "a", "answer": "b", "prompts": ["[X] is"]}', "has no [Y]"),
        ('{"relation": "capital", "subject": "France", "aliases": "Roma"}', "is not a list"),
        ('{"relation": "capital", "subject": "France", "aliases": [" "]}', "is empty"),
        ('{"subject": "a", "prompts": ["[X] is [Y]"]}', "give its answer too"),
        ('{"subject": "a", "answer": "b", "prompts": ["[X] [Y]"], "to": 3}', '"to" is not text'),
        ('{"relation": "capital", "subject": "Japan", "neighbours": ["Kina"]}', "no subject"),
        ('{"relation": "capital", "subject": "France", "answer": "Lyon"}', "line 1 says"),
        ('{"relation": "capital", "subject": "France", "too": "Rome"}', 'write "to"'),
        ('{"relation": "capital", "subject": "France", "z": 1}', "the keys are subject, answer"),
        ("[" * 100_000, "nested more than 100 deep"),
    ],
)
def test_a_bad_row_names_file_line_and_remedy(written, bad: str, said: str) -> None:
    path = written(f"{GOOD}\n{bad}\n{GOOD}")
    with pytest.raises(BadFacts) as caught:
        read_jsonl(path)
    assert caught.value.line == 3
    assert said in caught.value.problem + caught.value.remedy
    assert caught.value.remedy
    assert str(caught.value).startswith(f"{path}, line 3: ")


def test_a_file_that_is_not_utf8_names_the_line(written) -> None:
    with pytest.raises(BadFacts, match="line 2: the text is not UTF-8"):
        read_jsonl(written(GOOD.encode() + b'{"subject": "C\xf4te"}'))


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_an_empty_file_is_refused(written, content: str) -> None:
    with pytest.raises(BadFacts, match="the file is empty"):
        read_cases(written(content))


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFacts, match="No such file"):
        read_cases(tmp_path / "nowhere.jsonl")


# --- relation packs ------------------------------------------------------------------------------


def test_a_users_pack_is_loaded_by_path(written) -> None:
    relation = load_relation(written(PACK, "colour.json"))
    assert (relation.name, relation.source, relation.license) == ("colour", "made up", "CC0-1.0")
    assert relation.fact("snow").answer == "white"
    assert [template.held_out for template in relation.templates] == [False, True]


@pytest.mark.parametrize("name", ["capitol", "no/such/file.json", "a\0b", "x" * 5000])
def test_an_unknown_relation_lists_the_bundled_ones(name: str) -> None:
    with pytest.raises(UnknownRelation, match="capital"):
        load_relation(name)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ('"name": "colour"', '"name": ""', 2, '"name" is empty'),
        ('"source": "made up"', '"source": 1', 3, '"source" is not text'),
        ("of [X] is [Y].", "of [X] is.", 6, "has no [Y]"),
        ("[X] is coloured [Y].", "The colour of [X] is [Y].", 7, "stands there twice"),
        ("true", '"yes"', 7, "not true or false"),
        ('["grass", "green"]', '["grass"]', 10, "not a pair"),
        ('["grass", "green"]', '["grass", ""]', 10, "is empty"),
        ('["snow", "white"]', '["grass", "brown"]', 11, "already has the answer 'green'"),
        ('["snow", "white"]', '["snow", "white"],', 12, "not valid JSON"),
        ('"facts"', '"fact"', 1, '"facts" is missing'),
    ],
)
def test_a_bad_pack_names_the_line(written, old: str, new: str, line: int, said: str) -> None:
    with pytest.raises(BadFacts) as caught:
        read_cases(written(PACK.replace(old, new), "colour.json"))
    assert caught.value.line == line
    assert said in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=12,
    ),
    st.sampled_from([None, 0, 1, 3]),
)
def test_every_value_of_a_document_is_found_where_it_stands(value: object, indent) -> None:
    text = json.dumps(value, indent=indent)
    paths: list[tuple[tuple[str | int, ...], object]] = [((), value)]
    for keys, inner in paths:
        found, _ = json.JSONDecoder().raw_decode(text, offset_of(text, keys))
        assert found == inner
        children = (
            inner.items()
            if isinstance(inner, dict)
            else enumerate(inner if isinstance(inner, list) else [])
        )
        paths.extend(((*keys, key), child) for key, child in children)


# --- CounterFact ---------------------------------------------------------------------------------


def counterfact(**changes: object) -> str:
    entry = {
        "case_id": 0,
        "requested_rewrite": REWRITE,
        "paraphrase_prompts": [
            "Shayna does this. Danielle Darrieux, a native",
            "Danielle Darrieux? Danielle Darrieux spoke the language",
            "Someone else, a native",
        ],
        "neighborhood_prompts": ["The mother tongue of Léon Blum is"],
        "generation_prompts": ["Danielle Darrieux's mother tongue is"],
    }
    return json.dumps([{**entry, **changes}], indent=1, ensure_ascii=False)


def test_a_counterfact_case_is_read(written) -> None:
    (case,) = read_counterfact(written(counterfact(), "counterfact.json"))
    assert (case.fact.subject, case.fact.answer, case.target) == (
        "Danielle Darrieux",
        "French",
        "English",
    )
    (solved,) = case.relation.prompts(case.fact, answer_last=True)
    assert solved.before == "The mother tongue of Danielle Darrieux is "
    held_out = [prompt.before for prompt in case.relation.prompts(case.fact, held_out=True)]
    assert held_out == [
        "Shayna does this. Danielle Darrieux, a native ",
        "Danielle Darrieux? Danielle Darrieux spoke the language ",
    ]
    (judge,) = case.judges
    assert judge.before == "The mother tongue of Léon Blum is "
    assert judge.fact.answer == "French"
    assert case.neighbours == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"requested_rewrite": None}, '"requested_rewrite" is missing'),
        ({"requested_rewrite": {**REWRITE, "prompt": "The mother tongue is"}}, "{} once"),
        ({"requested_rewrite": {**REWRITE, "prompt": "{} has [Y]"}}, "has [Y] 2 times"),
        ({"requested_rewrite": {**REWRITE, "target_new": "English"}}, "not an object"),
        ({"requested_rewrite": {**REWRITE, "subject": ""}}, '"subject" is empty'),
        ({"paraphrase_prompts": "text"}, "not a list"),
        ({"neighborhood_prompts": [3]}, "not text"),
    ],
)
def test_a_bad_counterfact_case_says_what(written, changes: dict[str, object], said: str) -> None:
    path = written(counterfact(**changes), "counterfact.json")
    with pytest.raises(BadFacts) as caught:
        read_cases(path)
    assert said in str(caught.value)
    assert 1 < caught.value.line <= len(path.read_text(encoding="utf-8").splitlines())


# --- ParaRel -------------------------------------------------------------------------------------

PATTERNS = (
    '{"pattern": "[X],  a type of [Y] .", "lemma": "type"}\n'
    '{"pattern": "[Y] player [X] "}\n{"pattern": "[X], a type of [Y] ."}\n'
)
TRIPLES = (
    '{"sub_label": "Mercury", "obj_label": "planet", "uuid": "1"}\n'
    '{"sub_label": "Mercury", "obj_label": "metal", "uuid": "2"}\n'
    '{"sub_label": "Mercury", "obj_label": "metal", "uuid": "3"}\n'
)


@pytest.fixture
def pararel(written) -> Path:
    written(PATTERNS, "patterns/P279.jsonl")
    written(PATTERNS, "patterns/P1.jsonl")
    return written(TRIPLES, "triples/P279.jsonl").parent.parent


def test_a_pararel_folder_gives_the_relations_that_are_complete(pararel: Path) -> None:
    (relation,) = read_pararel(pararel)
    assert relation.name == "P279"
    texts = [template.text for template in relation.templates]
    assert texts == ["[X], a type of [Y] .", "[Y] player [X]"]
    assert [fact.answer for fact in relation.facts] == ["planet", "metal"]


def test_a_pararel_relation_is_loaded_by_either_file(pararel: Path) -> None:
    patterns = load_relation(pararel / "patterns" / "P279.jsonl")
    assert patterns == load_relation(pararel / "triples" / "P279.jsonl")
    assert len(read_cases(pararel)) == len(read_cases(pararel / "patterns" / "P279.jsonl")) == 2


def test_a_pararel_relation_without_triples_is_one_sentence(pararel: Path) -> None:
    with pytest.raises(UnreadableFacts, match=r"P1\.jsonl"):
        read_pararel(pararel, "P1")
    with pytest.raises(UnreadableFacts, match="it holds no"):
        read_pararel(pararel.parent)


def test_a_bad_pararel_pattern_names_its_line(written, pararel: Path) -> None:
    written(PATTERNS + '{"pattern": "[X] is"}', "patterns/P279.jsonl")
    with pytest.raises(BadFacts, match=r"line 4: .*has no \[Y\]"):
        read_pararel(pararel)


@pytest.mark.skipif(not PARAREL.is_dir(), reason=f"the ParaRel data is not at {PARAREL}")
def test_every_relation_of_pararel_is_read() -> None:
    relations = read_pararel(PARAREL)
    assert len(relations) >= 30
    assert all(relation.templates and relation.facts for relation in relations)
    continent = next(relation for relation in relations if relation.name == "P30")
    assert len(continent.facts) > 900
    assert any(template.answer_last for template in continent.templates)


# --- any input -----------------------------------------------------------------------------------

KEYS = [
    *("subject", "answer", "relation", "to", "prompts", "held_out", "neighbours"),
    *("name", "templates", "facts", "text", "pattern", "str"),
    *("requested_rewrite", "prompt", "relation_id", "target_true", "target_new"),
]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.sampled_from(["France"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=6,
        )
    ),
    max_leaves=15,
)
ANY_FILE = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=80).map(lambda text: text.encode(errors="surrogatepass")),
    JSON_VALUES.map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(ANY_FILE, st.sampled_from(["a.json", "b.jsonl", "patterns/P1.jsonl"]))
def test_no_file_raises_anything_but_a_kn_edit_error(written, content: bytes, name: str) -> None:
    written('{"sub_label": "a", "obj_label": "b"}', "triples/P1.jsonl")
    path = written(content, name)
    for read in (read_cases, read_jsonl, read_counterfact, load_relation):
        try:
            read(path)
        except KnEditError as error:
            assert str(error)
