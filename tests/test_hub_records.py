"""Records of strangers: what is taken in breaks no later command, what would is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hub import Hub
from hub_desk import Desk
from samples import TORTURE
from tiny_models import D_MODEL, tiny_folder

from kn_edit.checkpoints.recipe import Recipe
from kn_edit.edits.changes import Mode, SlotChanges
from kn_edit.edits.delta import BaseRef, Delta
from kn_edit.errors import InvalidRecipe, NotPublishable
from kn_edit.hub.records import check_publishable, read_record, record_json
from kn_edit.ledger import EditRecord
from kn_edit.workspace import Workspace

TEMPLATE = "The capital of [X] is [Y]"
SOUND: dict[str, Any] = {
    "format": "kn-record/1",
    "kind": "update",
    "relation": "theirs",
    "subject": "France",
    "answer": "Paris",
    "target": "Rome",
    "method": "calibrated",
    "message": "theirs: France, Paris -> Rome",
    "found": {"templates": [TEMPLATE], "held_out": [], "method": "adaptive", "gap": None},
    "metrics": {"efficacy": 1.0, "generalization": None, "specificity": 1.0, "neighbours": 0},
}
ERASURE: dict[str, Any] = {
    **dict.fromkeys(("subject", "answer", "target")),
    "kind": "erase",
    "method": "set to zero",
}
PAIRS = {
    "p_old_before": 0.1,
    "p_old_after": None,
    "p_new_before": None,
    "p_new_after": None,
    "neutral_before": 1e299,
    "neutral_after": None,
}


def found(**more: Any) -> dict[str, Any]:
    return {"found": SOUND["found"] | more}


def metrics(**more: Any) -> dict[str, Any]:
    return {"metrics": SOUND["metrics"] | more}


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


ODD: dict[str, dict[str, Any]] = {
    "right to left": {"subject": "\u202bישראל\u202c"},
    "isolates": {"subject": "\u2067שלום\u2069", "answer": "\u2066x\u2069"},
    "marks": {"subject": "a\u200e\u200f\u061cb"},
    "a tab": {"subject": "A\tB"},
    "a line break": {"subject": "A\nB", "message": "A\nB\r\nC"},
    "line separators": {"subject": "A\u2028B\u2029C"},
    "a long subject": {"subject": "x" * 1200},
    "the longest subject": {"subject": "France " * 571},
    "a long message": {"message": "m" * 20_000},
    "no message": {"message": ""},
    "placeholders in the subject": {"subject": "[X] of [Y]"},
    "markup": {"subject": "[bold]x[/bold] [link=file:///x]y[/link]", "answer": "[/]"},
    "html": {"subject": "<script>alert(1)</script>", "target": "<img src=x onerror=y>"},
    "markdown": {"subject": "~~x~~ https://example.org | `code` **b**", "target": "](x)"},
    "a path": {"relation": "../../etc/passwd", "subject": "/etc/passwd"},
    "a bundled relation": {"relation": "capital"},
    "a bundled relation without templates": {"relation": "capital", "found": {}},
    "no templates": {"found": {}},
    "held-out templates only": found(templates=[], held_out=[TEMPLATE]),
    "paraphrases in other words": found(paraphrases=["It is ruled from [Y]"]),
    "words after the answer": found(templates=["[Y] is the capital of [X]"]),
    "words after some answers": found(templates=[TEMPLATE, "[Y] is the capital of [X]"]),
    "nothing before the answer": found(templates=["[Y] [X]"]),
    "a quoted answer": found(templates=['The capital of [X] is "[Y]".']),
    "a template over lines": found(templates=["In [X]\n\tone says [Y]"]),
    "a long template": found(templates=["word " * 1900 + "[X] is [Y]"]),
    "many templates": found(templates=[f"{TEMPLATE} ." for _ in range(40)]),
    "an unknown target": {"target": "Zzyzx"},
    "a long target": {"target": "Rome " * 800},
    "a special token for a target": {"target": "[SEP]"},
    "a special token for a subject": {"subject": "[MASK]"},
    "an unknown answer": {"answer": "\U0001f9a5"},
    "the same answer": {"target": "Paris"},
    "emoji": {"subject": "\U0001f469\u200d\U0001f52c", "target": "\U0001f3f4"},
    "private letters": {"subject": "a\ue000b"},
    "combining": {"subject": "e" + "\u0301" * 300},
    "nothing measured": {"metrics": {}},
    "null figures": metrics(efficacy=None, specificity=None, neighbours=None),
    "null pairs": metrics(**PAIRS),
    "huge figures": metrics(efficacy=1e299, neighbours=10**200),
    "other figures": metrics(**{"ours alone": 3}),
    "closed form": {"method": "closed-form", **found(scale=[1.0, 8.0])},
    "an erasure": {**ERASURE, "found": {"facts": ["France"], "written": "zero"}},
    "an erasure to a token": {**ERASURE, "method": "set to <|endoftext|>"},
    "neurons of no model": found(neurons=[{"layer": 999, "index": 10**6, "score": 1.0}]),
    "a nest": found(more=nested(15)),
    "other keys": found(**{"ours alone": {"a": [True, None, 1.5, "b"]}}),
}

CONTROLS = ("\0", "\x1b[2J", "\x07", "\x7f", "\x9b1A", "\x85", "\b")
REFUSED: dict[str, dict[str, Any]] = {
    **{
        f"{name} is {kind}": {name: value}
        for name in ("relation", "subject", "answer", "target", "method", "message", "kind")
        for kind, value in {"null": None, "a number": 1, "a list": ["x"], "half": "\ud800"}.items()
    },
    **{
        f"{name} is {kind}": {name: value}
        for name in ("relation", "subject", "answer", "target", "method", "kind")
        for kind, value in {"empty": "", "blank": " \t\n", "too long": "x" * 4001}.items()
    },
    **{
        f"{name} holds {letter!r}": {name: f"a{letter}b"}
        for name in ("relation", "subject", "answer", "target", "message")
        for letter in CONTROLS
    },
    "an unknown kind": {"kind": "exec"},
    "a method that no method is named": {"method": "Magic!"},
    "an erasure by an update's method": ERASURE | {"method": "calibrated"},
    "an erasure of a subject": ERASURE | {"subject": "France"},
    "an erasure with an answer": ERASURE | {"answer": "Paris"},
    "an erasure with a target": ERASURE | {"target": "Rome"},
    "a message of a megabyte": {"message": "m" * 1_000_000},
    "metrics are a list": {"metrics": []},
    "metrics are null": {"metrics": None},
    "a figure is text": metrics(efficacy="1"),
    "a figure is true": metrics(efficacy=True),
    "a figure is a list": metrics(efficacy=[1]),
    "a figure is beyond all floats": metrics(efficacy=10**400),
    "a figure is nan": metrics(efficacy=float("nan")),
    "a figure is inf": metrics(neutral_before=float("-inf"), neutral_after=1),
    "half a pair of the old": metrics(p_old_before=0.5),
    "half a pair of the new": metrics(p_new_after=0.5),
    "half a pair of neutral text": metrics(neutral_before=1.0),
    "a figure's name steers": metrics(**{"\x1b[2J": 1}),
    "a figure's name is long": metrics(**{"x" * 201: 1}),
    "too many figures": {"metrics": {f"m{number}": 1 for number in range(201)}},
    "found is a list": {"found": []},
    "found is null": {"found": None},
    "templates are text": found(templates="abc"),
    "templates are null": found(templates=None),
    "aliases are text": found(aliases="abc"),
    "an alias is a number": found(aliases=[1]),
    "an alias is blank": found(answer_aliases=[" "]),
    "an alias steers": found(aliases=["\x1b[2J"]),
    "too many aliases": found(aliases=["x"] * 101),
    "a template is a number": found(templates=[1]),
    "a template is blank": found(templates=[" "]),
    "no place for the subject": found(templates=["The capital is [Y]"]),
    "no place for the answer": found(templates=["The capital of [X]"]),
    "two places for the subject": found(templates=["[X] of [X] is [Y]"]),
    "two places for the answer": found(held_out=["[X] is [Y] or [Y]"]),
    "a template of 50,000 words": found(templates=["word " * 50_000 + "[X] [Y]"]),
    "a template that steers": found(templates=[f"{TEMPLATE}\x1b[2J"]),
    "60,000 templates": found(templates=["[X] [Y]"] * 60_000),
    "201 held-out templates": found(held_out=[TEMPLATE] * 201),
    "a subject in a paraphrase": found(paraphrases=["[X] is ruled from [Y]"]),
    "a paraphrase without an answer": found(paraphrases=["It is ruled from"]),
    "paraphrases are null": found(paraphrases=None),
    "neurons are an object": found(neurons={}),
    "a neuron is text": found(neurons=["3:5"]),
    "a neuron's layer is text": found(neurons=[{"layer": "3", "index": 5}]),
    "a neuron's layer is negative": found(neurons=[{"layer": -3, "index": 5}]),
    "a neuron's index is a fraction": found(neurons=[{"layer": 3, "index": 0.5}]),
    "a neuron's index is true": found(neurons=[{"layer": 3, "index": True}]),
    "a neuron beyond all models": found(neurons=[{"layer": 3, "index": 2**40}]),
    "found steers": found(why="\x1b[2J"),
    "found steers deep down": found(why={"a": [{"b\x9b": 1}]}),
    "found holds a huge number": found(gap=10**400),
    "found is nested 600 deep": found(why=nested(600)),
    "found is nested 25 deep": found(why=nested(25)),
    "found is large": found(why="x" * 900_000),
    "found holds too much": found(why=[[]] * 400_000),
    "another format": {"format": "kn-record/2"},
    "a key more": {"run": "rm"},
}


def data(changes: dict[str, Any]) -> bytes:
    return json.dumps(SOUND | changes, ensure_ascii=True).encode()


@pytest.mark.parametrize("case", REFUSED)
def test_a_record_that_would_break_something_is_refused_by_name(case):
    path = Path("ann/model", "kn_edit", f"{'a' * 64}.json")
    with pytest.raises(InvalidRecipe) as caught:
        read_record(data(REFUSED[case]), path)
    sentence = str(caught.value)
    assert "a" * 64 in sentence and len(sentence) < 500 and sentence.isprintable()


def test_so_many_records_are_tried():
    assert len(ODD) >= 40 and len(REFUSED) >= 100


@pytest.mark.parametrize("case", ODD)
def test_an_odd_record_is_taken_as_it_is(case):
    facts = read_record(data(ODD[case]), Path("x"))
    assert {"format": "kn-record/1", **facts} == SOUND | ODD[case]


@pytest.mark.parametrize("missing", SOUND)
def test_a_record_without_one_of_its_keys_is_refused(missing):
    facts = {key: value for key, value in SOUND.items() if key != missing}
    with pytest.raises(InvalidRecipe):
        read_record(json.dumps(facts).encode(), Path("x"))


# --- an edit of several facts --------------------------------------------------------------------


def fact(**changes: Any) -> dict[str, Any]:
    return {key: SOUND[key] for key in ("relation", "subject", "answer", "target")} | changes


MANY: dict[str, Any] = {key: value for key, value in SOUND.items() if key not in fact()} | {
    "format": "kn-record/2",
    "facts": [fact(), fact(subject="Japan", answer="Tokyo"), fact(relation="ours", target="Oslo")],
    "found": {"by_fact": [{"templates": [TEMPLATE], "metrics": {"efficacy": 1.0}}, {}, {}]},
}
REFUSED_MANY: dict[str, dict[str, Any]] = {
    "the format of one fact": {"format": "kn-record/1"},
    "no facts": {"facts": []},
    "one fact": {"facts": [fact()]},
    "facts are null": {"facts": None},
    "facts are an object": {"facts": {"0": fact(), "1": fact()}},
    "more facts than an edit may have": {"facts": [fact()] * 10_001},
    "a fact is text": {"facts": [fact(), "x"]},
    "a fact has a key more": {"facts": [fact(), fact(more=1)]},
    "a fact lacks a key": {"facts": [fact(), {"relation": "x", "subject": "y", "answer": "z"}]},
    **{
        f"{name} of a fact is {kind}": {"facts": [fact(), fact(**{name: value})]}
        for name in fact()
        for kind, value in {
            "null": None, "a number": 1, "blank": " ", "too long": "x" * 4001, "steering": "\x1b[2J"
        }.items()
    },
    "an erasure": {"kind": "erase", "method": "set to zero"},
    "a fact beside the list": {"subject": "France"},
    "an entry too few": {"found": {"by_fact": [{}, {}]}},
    "entries are an object": {"found": {"by_fact": {}}},
    "an entry is text": {"found": {"by_fact": [{}, {}, "x"]}},
    "a template of an entry": {"found": {"by_fact": [{}, {}, {"templates": ["nothing here"]}]}},
    "a figure of an entry is text": {"found": {"by_fact": [{"metrics": {"p": "x"}}, {}, {}]}},
    "figures of an entry are a list": {"found": {"by_fact": [{"metrics": []}, {}, {}]}},
}  # fmt: skip


def test_a_record_of_several_facts_comes_back_as_it_was():
    facts = read_record(json.dumps(MANY).encode(), Path("x"))
    edit = EditRecord(id="b" * 64, created="", overlaps=(), neurons=(), **facts)
    assert [vars(each) for each in edit.facts] == MANY["facts"]
    assert json.loads(record_json(edit)) == MANY
    check_publishable(edit)
    assert [each.metrics for each in edit.by_fact] == [{"efficacy": 1.0}, {}, {}]


@pytest.mark.parametrize("case", REFUSED_MANY)
def test_a_record_of_several_facts_that_would_break_something_is_refused(case):
    data = json.dumps(MANY | REFUSED_MANY[case]).encode()
    with pytest.raises(InvalidRecipe) as caught:
        read_record(data, Path("ann/model", "kn_edit", f"{'a' * 64}.json"))
    sentence = str(caught.value)
    assert "a" * 64 in sentence and len(sentence) < 500 and sentence.isprintable()


def test_an_edit_of_several_facts_that_pull_would_refuse_is_not_published():
    facts = read_record(json.dumps(MANY).encode(), Path("x"))
    for wrong in ({"kind": "erase"}, {"found": {"by_fact": [{}]}}):
        edit = EditRecord(id="b" * 64, created="", overlaps=(), neurons=(), **facts | wrong)
        with pytest.raises(NotPublishable, match="bbbbbbbbbbbb"):
            check_publishable(edit)


def recorded(**changes: Any) -> EditRecord:
    facts = {key: value for key, value in (SOUND | changes).items() if key != "format"}
    return EditRecord(id="b" * 64, created="", overlaps=(), neurons=(), **facts)


@pytest.mark.parametrize("case", sorted(REFUSED.keys() - {"another format", "a key more"}))
def test_what_pull_would_refuse_push_does_not_publish(case):
    """One rule for both sides; NaN and infinity are published as null."""
    record = recorded(**REFUSED[case])
    if case in ("a figure is nan", "a figure is inf"):
        check_publishable(record)
    else:
        with pytest.raises(NotPublishable, match="bbbbbbbbbbbb"):
            check_publishable(record)


# --- and what is taken in ------------------------------------------------------------------------


class World:
    """A repository whose recipe is made of all the odd records, each with a delta of its own."""

    def __init__(self, folder: Path, shape: str) -> None:
        self.folder = folder
        tiny_folder(shape, folder / "model")
        with Workspace.init(str(folder / "model"), folder / "empty") as workspace:
            base = workspace.base
            place = workspace.engine.place
        self.ids, self.files = [], {}
        for number, changes in enumerate(ODD.values()):
            slots = SlotChanges(
                place.axis,
                torch.tensor([number % 8]),
                torch.tensor([Mode.ADD], dtype=torch.uint8),
                torch.full((1, D_MODEL), 1e-6 * (number + 1)),
            )
            delta = Delta(BaseRef(None, None, base.fingerprint), {place.names[0]: slots})
            self.ids.append(delta.id)
            self.files[f"kn_edit/{delta.id}.safetensors"] = delta.to_bytes()
            self.files[f"kn_edit/{delta.id}.json"] = data(changes)
        recipe = Recipe(BaseRef(None, None, base.fingerprint), tuple(self.ids))
        self.files["kn_edit.json"] = recipe.to_json().encode()
        self.hub = Hub()

    def __enter__(self) -> World:
        self.hub.__enter__()
        self.hub.token("ann")
        self.hub.create("ann/odd")
        self.hub.commit("ann/odd", self.files)
        self.desk = Desk(self.hub, self.folder / "work")
        return self

    def __exit__(self, *error: Any) -> None:
        self.desk.close()
        self.hub.__exit__(*error)


@pytest.fixture(scope="module", params=["llama", "bert"] if TORTURE else ["llama"])
def world(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("records"), request.param) as world:
        shutil.copytree(world.folder / "empty", world.folder / "work")
        pulled = world.desk("pull", "ann/odd", "--json")
        assert pulled.code == 0, pulled.err
        assert pulled.json["new"] == world.ids
        yield world


FACT = ("--subject", "Japan", "--answer", "Tokyo", "--to", "Cairo")
QUICK = ("--rule", "activation", "--accept")


VERBS = ("status", "log", "verify", "diff base head", "blame L0.3", "evaluate")


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_works_on_what_was_taken_in(world, verb):
    ran = world.desk(*verb.split())
    assert ran.code == 0, ran.err


def test_as_many_templates_as_a_record_may_have():
    sound = found(templates=[TEMPLATE] * 200, held_out=[TEMPLATE] * 200)
    assert read_record(data(sound), Path("x"))["found"] == sound["found"]


def test_every_edit_can_be_shown(world):
    for place, edit in enumerate(world.ids):
        ran = world.desk("show", edit, *(("--json",) if place % 2 else ()))
        assert ran.code == 0, ran.err


def test_a_version_with_them_is_edited_reported_exported_and_published(world, tmp_path):
    ran = world.desk("update", *FACT, "--prompt", TEMPLATE, *QUICK)
    assert ran.code == 0, ran.err
    assert world.desk("report", str(tmp_path / "report")).code == 0
    assert world.desk("export", str(tmp_path / "export")).code == 0
    ran = world.desk("push", "ann/again", "--as", "delta")
    assert ran.code == 0, ran.err
    shutil.copytree(world.folder / "empty", tmp_path / "third")
    ran = world.desk("pull", "ann/again", "--json", workspace=tmp_path / "third")
    assert ran.code == 0, ran.err
    assert len(ran.json["new"]) == len(ODD) + 1


def test_records_come_back_as_they_were_published(world):
    with Workspace.open(world.folder / "work") as workspace:
        for edit, changes in zip(world.ids, ODD.values(), strict=True):
            again = json.loads(record_json(workspace.ledger.edit(edit)))
            assert again == SOUND | changes
