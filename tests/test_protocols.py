"""Updates of a version under the protocols that a call asks for."""

from __future__ import annotations

import json

import pytest
import torch
from test_chat import CHATML, with_template
from tiny_models import tiny
from workspaces import CAPITAL, QUICK, about, new_workspace

from kn_edit.editing.protocol_shares import free_prompts, names_of
from kn_edit.errors import BadSetting, CannotContinue, KnEditError
from kn_edit.evaluation.protocols import MEANINGS, EvaluationProtocol
from kn_edit.facts import Fact, Relation, Template, bundled, load_relation
from kn_edit.facts.questions import questions_of
from kn_edit.models.questions import asked_text
from kn_edit.workspace import case_of, to_json, with_aliases, with_held_out

FRANCE = CAPITAL.fact("France")
HELD_OUT = "the city which is the capital of France is"


def own_case(subject, answer):
    """A fact in a user's own words, which no bundled relation has."""
    prompts = [template.text for template in CAPITAL.templates if not template.held_out]
    case = case_of(prompts=prompts, subject=subject, answer=answer)
    return with_held_out(case, [CAPITAL.templates[-1].text])


def test_teacher_forced_shares_count_tokens_and_not_answers(tmp_path):
    workspace = new_workspace(tmp_path, "llama")
    workspace.update(own_case("Japan", "Tokyo"), "New York", how=QUICK, accept=True)
    answers = workspace.assess(own_case("Japan", "Tokyo"), answer="New York")
    shares = []
    for answer in (answer for answer in answers if not answer.prompt.template.held_out):
        model = workspace.load("head")
        tokenizer = workspace.engine.model.tokenizer
        ids = tokenizer(answer.prompt.before + "New York", return_tensors="pt")["input_ids"]
        says = model(input_ids=ids).logits[0].argmax(-1)
        shares.append(float((says[-3:-1] == ids[0, -2:]).float().mean()))
        assert answer.forced == shares[-1]
    (update,) = workspace.evaluate().updates
    forced = update.protocols[EvaluationProtocol.TEACHER_FORCED].figures
    assert forced["prompts"] == pytest.approx(sum(shares) / len(shares))
    assert len(shares) == 3
    assert any(shares)


def test_a_version_is_asked_freely_beside_the_base(tmp_path):
    workspace = new_workspace(tmp_path, "llama")
    workspace.update(own_case("France", "Paris"), "Rome", how=QUICK, accept=True)
    workspace.update(own_case("Japan", "Tokyo"), "Cairo", how=QUICK, accept=True)
    evaluation = workspace.evaluate(protocols=["free"], tokens=6, samples=2)
    document = json.loads(json.dumps(to_json.evaluation(evaluation)))
    assert list(document["protocols"]) == ["teacher-forced", "free"]
    assert document["protocols"]["free"]["meaning"] == MEANINGS[EvaluationProtocol.FREE]
    france = document["updates"][0]["protocols"]["free"]
    assert (france["new"], france["old"]) == (["Rome"], ["Paris"])
    (reply,) = france["replies"]
    assert (reply["prompt"], reply["chat"]) == (HELD_OUT, False)
    for texts in (reply["base"], reply["version"]):
        assert len(texts) == 3
        for text in texts:
            assert text["new"] == ("Rome" in text["text"].split())
    assert reply["base"] != reply["version"]
    assert france["greedy"] == float("Rome" in reply["version"][0]["text"].split())
    assert document["protocols"]["free"]["greedy"]["count"] == 2
    again = workspace.evaluate(protocols="free", tokens=6, samples=2)
    assert document == json.loads(json.dumps(to_json.evaluation(again)))


def test_every_protocol_says_what_each_update_comes_to(tmp_path):
    workspace = new_workspace(tmp_path, "llama")
    workspace.update(own_case("France", "Paris"), "Rome", how=QUICK, accept=True)
    edit = workspace.update(own_case("Japan", "Tokyo"), "Cairo", how=QUICK, accept=True)
    evaluation = workspace.evaluate(protocols=["all"], tokens=4, samples=0)
    assert list(evaluation.protocols) == list(EvaluationProtocol)
    japan = json.loads(json.dumps(to_json.evaluation(evaluation)))["updates"][1]["protocols"]
    for reply, offer in zip(
        japan["choice"]["replies"], ("Tokyo or Cairo", "Cairo or Tokyo"), strict=True
    ):
        assert offer in reply["prompt"]
    assert japan["choice"]["new"] + japan["choice"]["old"] + japan["choice"]["neither"] == 1
    assert japan["portability"]["replies"] == []
    assert japan["portability"]["all"] is None
    for name, group in japan["locality"]["groups"].items():
        changed = len(group["changed"])
        assert japan["locality"][name] == pytest.approx(1 - changed / group["prompts"])
        assert group["prompts"] > 0
        for change in group["changed"]:
            stated = change["prompt"].startswith("The capital of Japan is Cairo .")
            assert stated == (name == "behind_statement")
    judged = japan["locality"]["groups"]["other_subjects"]["prompts"]
    assert japan["locality"]["groups"]["behind_statement"]["prompts"] == judged
    workspace.revert(edit.edit, allow_overlap=True)
    (update,) = workspace.evaluate(protocols=["locality"]).updates
    assert update.case.fact.subject == "France"


@pytest.mark.parametrize("rounding", ["bfloat16", "int8", "int4", "nf4"])
def test_a_version_is_evaluated_with_rounded_weights_and_gets_its_bits_back(rounding, tmp_path):
    workspace = new_workspace(tmp_path, "llama")
    workspace.update(own_case("France", "Paris"), "Rome", how=QUICK, accept=True)
    net = workspace.engine.model.net
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    plain = workspace.evaluate()
    evaluation = workspace.evaluate(rounded=rounding, protocols=["free"], tokens=3, samples=0)
    document = to_json.evaluation(evaluation)
    assert document["rounding"]["format"] == rounding
    assert document["rounding"]["efficacy_unrounded"] == to_json.estimate(plain.efficacy)
    assert evaluation.perplexity.base != plain.perplexity.base
    assert evaluation.perplexity.version != plain.perplexity.version
    assert all(torch.equal(weight, before[name]) for name, weight in net.state_dict().items())
    assert to_json.evaluation(plain)["rounding"] is None
    efficacy = evaluation.efficacy
    if plain.efficacy.value:
        assert evaluation.efficacy_left == efficacy.value / plain.efficacy.value
    with pytest.raises(BadSetting, match="rounding"):
        workspace.evaluate(rounded="int3")


def test_a_masked_lm_has_locality_and_rounding(tmp_path):
    workspace = new_workspace(tmp_path, "bert")
    workspace.update(own_case("France", "Paris"), "Rome", how=QUICK, accept=True)
    evaluation = workspace.evaluate(protocols=["locality"], rounded="int8")
    assert evaluation.rounding == "int8"
    shares = evaluation.protocols[EvaluationProtocol.LOCALITY]
    assert shares["behind_statement"] is not None


def test_only_what_is_asked_for_is_generated(tmp_path):
    workspace = new_workspace(tmp_path, "llama")
    workspace.update(own_case("France", "Paris"), "Rome", how=QUICK, accept=True)
    assert list(workspace.evaluate().protocols) == [EvaluationProtocol.TEACHER_FORCED]
    with pytest.raises(BadSetting, match="protocol"):
        workspace.evaluate(protocols=["freely"])
    with pytest.raises(BadSetting):
        workspace.evaluate(protocols=["free"], tokens=0)


def test_a_masked_lm_generates_nothing(tmp_path):
    workspace = new_workspace(tmp_path, "bert")
    workspace.update(own_case("France", "Paris"), "Rome", how=QUICK, accept=True)
    with pytest.raises(CannotContinue):
        workspace.evaluate(protocols=["free"])
    assert workspace.evaluate().protocols


def test_the_command_shows_each_protocol(edited):
    options = ("--tokens", "5", "--samples", "1", "--rounded", "int8")
    shown = edited("evaluate", "--protocol", "free", *options)
    assert shown.code == 0
    assert "weights rounded to" in shown.out
    assert "nothing fed in" in shown.out
    assert "entropy share" in shown.out
    assert "says first" in shown.out
    assert "free" not in edited("evaluate").out
    assert edited("evaluate", "--protocol", "freely").code == 2


def test_a_fact_is_asked_in_words_that_no_solver_saw():
    plain, chatting = tiny("gpt2"), with_template(CHATML, "gpt2")
    (prompt,) = free_prompts(plain, CAPITAL, FRANCE, "Rome")
    assert (prompt.text, prompt.chat) == (HELD_OUT, False)
    unnamed = Relation("own", CAPITAL.templates, CAPITAL.facts, unnamed=True)
    (question,) = free_prompts(chatting, unnamed, FRANCE, "Rome")
    assert (question.text, question.chat) == (f"{HELD_OUT} what?", True)
    only_trained = Relation("own", CAPITAL.templates[:2], CAPITAL.facts, unnamed=True)
    texts = [prompt.text for prompt in free_prompts(chatting, only_trained, FRANCE, "Rome")]
    assert texts == [
        "Complete the sentence with a few words only: The capital of France is",
        "Complete the sentence with a few words only: the capital city of France is",
    ]


def test_every_bundled_relation_has_questions_unlike_its_templates():
    for name in bundled():
        relation = load_relation(name)
        fact = relation.facts[0]
        questions = list(questions_of(relation, fact, ()))
        assert len(questions) == 2
        beginnings = {asked_text(prompt) for prompt in relation.prompts(fact)}
        for question in questions:
            assert question.endswith("?")
            assert fact.subject in question
            assert question not in beginnings
            assert "[" not in question
    own = Relation("own", (Template("[X] lies in [Y]"),), unnamed=True)
    assert list(questions_of(own, Fact("own", "Oslo", ""), ())) == []


def test_the_old_answer_counts_where_somebody_knows_it():
    assert names_of(about("France"), "Rome").old == ("Paris",)
    unstated = about("France").as_if_true()
    assert names_of(unstated, "Rome").old == ()


def test_an_answer_is_said_by_any_of_its_names(tmp_path):
    """What is recorded of an update is what decides about it later."""
    case = with_aliases(own_case("France", "Paris"), ["the city"], ["Lutetia"])
    names = names_of(case, "Rome")
    assert (names.new, names.old) == (("Rome", "the city"), ("Paris", "Lutetia"))
    assert names.mentions("It is The City!").right
    assert not names.mentions("It is Rome, once Lutetia.").right
    workspace = new_workspace(tmp_path, "llama")
    workspace.update(case, "Rome", how=QUICK, accept=True)
    (update,) = workspace.evaluate(protocols=["free"], tokens=2, samples=0).updates
    assert (update.case.aliases, update.case.answer_aliases) == (("the city",), ("Lutetia",))
    free = update.protocols[EvaluationProtocol.FREE].plain()
    assert (free["new"], free["old"]) == (["Rome", "the city"], ["Paris", "Lutetia"])


@pytest.mark.parametrize("names", [[""], ["a\0"], [7], 7, [f"name {n}" for n in range(101)]])
def test_what_is_no_name_of_an_answer_is_refused(names):
    with pytest.raises(KnEditError):
        with_aliases(about("France"), names)
    with pytest.raises(KnEditError):
        with_aliases(about("France"), answer_aliases=names)
