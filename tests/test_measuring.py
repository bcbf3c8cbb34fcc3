"""What an update is measured by: whole answers, and never by nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from test_greedy import chain_of
from tiny_models import CAUSAL, tiny
from workspaces import QUICK, new_workspace

from kn_edit.editing import measuring
from kn_edit.editing.measuring import ReadingsShare, judged_by
from kn_edit.evaluation.gate import Gate
from kn_edit.evaluation.metrics import (
    AskedProbes,
    Probes,
    compare,
    read,
    whole_answer,
    whole_answers,
)
from kn_edit.facts import Fact, Prompt, Template, read_cases
from kn_edit.models.greedy import answers, answers_along
from kn_edit.models.questions import ask, ask_openly
from kn_edit.neurons.assess import assess
from kn_edit.workspace import case_of

PARIS = Prompt(Fact("capital", "France", "Paris"), Template("the capital of [X] is [Y]"))
OTHERS = [
    replace(PARIS, fact=Fact("capital", subject, "")) for subject in ("Japan", "Cuba", "Spain")
]
COUNTS = ("prompts", "paraphrases", "neighbours", "same_subject_prompts")
SHARES = ("efficacy", "generalization", "specificity", "same_subject")


def generated(model, ids, count):
    """What `generate` of transformers says, greedily."""
    asked = torch.tensor([ids])
    made = model.net.generate(
        asked,
        attention_mask=torch.ones_like(asked),
        max_new_tokens=count,
        do_sample=False,
        pad_token_id=0,
    )
    return made[0, len(ids) :].tolist()


@pytest.mark.parametrize("shape", CAUSAL)
def test_an_answer_is_right_when_generating_greedily_gives_all_of_it(shape):
    model = tiny(shape)
    start = ask_openly(model, PARIS)
    said = generated(model, start.ids, 4)
    (right,) = assess(model, [chain_of(PARIS, start, said)])
    assert right.right
    for place in range(len(said)):
        other = [*said]
        other[place] = (said[place] + 1) % model.n_tokens
        (wrong,) = assess(model, [chain_of(PARIS, start, other)])
        assert not wrong.right
        assert wrong.miss.place == place + 1


def test_of_equally_likely_tokens_only_the_one_that_is_said_is_right():
    model = tiny("llama")
    start = ask_openly(model, PARIS)
    (first,) = generated(model, start.ids, 1)
    model.net.lm_head.weight.data[first + 1] = model.net.lm_head.weight.data[first]
    said, other = (
        assess(model, [chain_of(PARIS, start, [token])])[0] for token in (first, first + 1)
    )
    assert generated(model, start.ids, 1) == [first]
    assert said.right
    assert not other.right
    assert other.p == pytest.approx(said.p)


@pytest.mark.parametrize("shape", CAUSAL)
def test_an_answer_is_kept_when_generating_gives_the_same_tokens_after_as_before(shape):
    """Changes of every size: some change no token, some the last ones only, some all."""
    questions = [ask_openly(tiny(shape), prompt) for prompt in OTHERS]
    before = answers(tiny(shape), questions, [5] * len(questions))
    free = [generated(tiny(shape), question.ids, 5) for question in questions]
    assert [list(answer.says) for answer in before] == free
    first_token_alone = 0
    for size in (0.0, 0.03, 0.1, 0.3, 1.0):
        edited = tiny(shape)
        source = torch.Generator().manual_seed(1)
        for weight in (edited.slots(0), edited.slots(1)):
            weight += size * torch.randn(weight.shape, generator=source)
        after = answers_along(edited, questions, [b.path for b in before])
        kept = [old.kept_by(new) for old, new in zip(before, after, strict=True)]
        after = [generated(edited, question.ids, 5) for question in questions]
        assert kept == [one == other for one, other in zip(free, after, strict=True)]
        pairs = zip(free, after, kept, strict=True)
        first_token_alone += sum(one[0] == other[0] and not same for one, other, same in pairs)
        if size == 0.0:
            assert all(kept)
    if shape == "llama":
        assert first_token_alone  # what comparing first tokens does not see


def test_as_much_of_another_answer_counts_as_the_new_answer_is_long_within_bounds():
    model = tiny("llama")
    lengths = {
        answer: whole_answer([ask(model, PARIS, answer)])
        for answer in ("Rome", "New York and Rome", "the " * 20)
    }
    assert [*lengths.values()] == [3, 4, 8]


def test_an_answer_that_is_stated_and_right_is_whole_where_it_ends():
    """What follows is another matter: a stop, or the next sentence."""
    model = tiny("llama")
    open_prompt = OTHERS[0]
    start = ask_openly(model, open_prompt)
    said = generated(model, start.ids, 3)
    words = model.tokenizer.decode(said[:2])
    stated = replace(open_prompt, fact=Fact("capital", "Japan", words))
    assert [q.token for q in ask(model, stated).questions] == said[:2]
    wrong = replace(open_prompt, fact=Fact("capital", "Japan", "Rome of Rome"))
    whole = whole_answers(model, [open_prompt, stated, wrong], [3, 3, 3])
    assert [list(answer.says) for answer in whole] == [said, said[:2], said]


def test_answers_that_are_stated_and_right_take_one_run_of_all_of_them():
    model = tiny("llama")
    stated = []
    for subject in ("Japan", "Italy", "Egypt"):
        prompt = replace(OTHERS[0], fact=Fact("capital", subject, ""))
        said = generated(model, ask_openly(model, prompt).ids, 3)
        words = model.tokenizer.decode(said[:1])
        stated.append(replace(prompt, fact=replace(prompt.fact, answer=words)))
    runs = []
    model.layers[0].register_forward_hook(lambda *_: runs.append(1))
    assert len(whole_answers(model, stated, [3] * len(stated))) == len(stated)
    assert len(runs) == 1


def test_prompts_about_the_same_subject_have_a_measure_of_their_own():
    sound, broken = tiny("llama"), tiny("llama", seed=1)
    probes = Probes((PARIS,), (), (OTHERS[0],), tuple(OTHERS[1:]))
    (before,) = read(sound, [AskedProbes(probes, "Rome")])
    again = [AskedProbes(probes, "Rome", like=before)]
    same = compare(before, *read(sound, again))
    other = compare(before, *read(broken, again))
    assert (same.same_subject, other.same_subject) == (1.0, 0.0)
    plain = same.plain()
    counts = [plain[name] for name in ("same_subject_prompts", "prompts", "paraphrases")]
    assert counts == [2, 1, 0]
    assert before.prompt_count == 4


@pytest.mark.parametrize("shape", ["llama", "gpt2", "bert"])
@pytest.mark.parametrize("subject", ["France", "Wakanda"])
def test_an_update_with_one_own_prompt_is_measured_in_every_column(shape, subject, tmp_path):
    workspace = new_workspace(tmp_path, shape)
    case = case_of(prompts=["the capital of [X] is [Y]"], subject=subject, answer="Paris")
    done = workspace.update(case, "Rome", how=QUICK, accept=True)
    assert all(done.draft.metrics[name] > 0 for name in COUNTS)
    assert all(0 <= done.draft.metrics[name] <= 1 for name in SHARES)
    assert done.draft.metrics["paraphrases"] == len(done.draft.paraphrases)
    judged_by = done.draft.found["judged_by"]
    assert [len(judged_by[name]) for name in ("paraphrases", "neighbours", "same_subject")] == [
        done.draft.metrics[name] for name in COUNTS[1:]
    ]
    (update,) = workspace.evaluate().updates
    assert update.generalization is not None
    assert update.specificity is not None


def test_paraphrases_that_the_user_gives_are_not_joined_by_others(tmp_path):
    workspace = new_workspace(tmp_path, "llama")
    case = case_of(prompts=["the capital of [X] is [Y]"], subject="France", answer="Paris")
    held_out = Template("[X] , the capital is [Y]", held_out=True)
    templates = (*case.relation.templates, held_out)
    given = replace(case, relation=replace(case.relation, templates=templates))
    done = workspace.update(given, "Rome", how=QUICK, dry_run=True)
    assert [answer.prompt.template for answer in done.draft.paraphrases] == [held_out]


def test_much_that_changes_about_the_same_subject_is_told_and_does_not_refuse(tmp_path):
    workspace = new_workspace(tmp_path, "llama")
    case = case_of(prompts=["the capital of [X] is [Y]"], subject="France", answer="Paris")
    strong = replace(QUICK, closed_form=True, scale=(1.0, 1e4), gate=Gate(0.0, 0.0))
    done = workspace.update(case, "Rome", how=strong)
    share = done.draft.metrics["same_subject"]
    assert share < 0.8
    assert f"other prompts about France keep {share:.0%} of their answers" in done.draft.notices
    assert done.edit is not None


def test_rows_of_edited_subjects_do_not_judge_each_other_again(tmp_path, monkeypatch):
    """Each is a neighbour of the other in the file; edited on purpose, it says nothing of harm."""
    workspace = new_workspace(tmp_path, "llama")
    rows = [
        {"subject": "France", "answer": "Paris", "prompts": ["the capital of [X] is [Y]"]},
        {"subject": "Japan", "answer": "Tokyo", "prompts": ["the capital of [X] is [Y]"]},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    cases = read_cases(file)
    assert [case.beside for case in cases] == [("Japan",), ("France",)]
    judged_by = [
        workspace.update(case, "Rome", how=QUICK, accept=True).draft.found["judged_by"]
        for case in cases
    ]
    neighbours = {cloze for one in judged_by for cloze in one["neighbours"]}
    edited = {"the capital of France is [Y]", "the capital of Japan is [Y]"}
    assert neighbours & edited
    asked = []

    def note(model, prompts, counts):
        asked.extend(prompt.cloze for prompt in prompts)
        return whole_answers(model, prompts, counts)

    monkeypatch.setattr("kn_edit.editing.asking_again.whole_answers", note)
    workspace.evaluate()
    assert asked
    assert not edited & {*asked}


def test_what_no_field_may_hold_is_not_recorded_of_what_judged():
    odd = replace(PARIS, fact=Fact("capital", "Ja\x1bpan", ""))
    recorded = judged_by(Probes((PARIS,), (odd,), (odd, *OTHERS), ()))["judged_by"]
    assert recorded == {
        "paraphrases": [],
        "neighbours": [prompt.cloze for prompt in OTHERS],
        "same_subject": [],
    }


def test_several_updates_come_to_the_same_by_one_worker_as_by_two(tmp_path, monkeypatch):
    """To the last bit: what runs together must not depend on who computes."""
    monkeypatch.setattr(measuring, "EXAMS", 2)
    edits = [
        AskedProbes(
            Probes((replace(PARIS, fact=Fact("capital", subject, "Oslo")),), (PARIS,), ()), to
        )
        for subject, to in (("France", "Rome"), ("Japan", "Cairo"), ("the United States", "Rome"))
    ]
    steps = []
    with new_workspace(tmp_path, "llama") as workspace:
        engine = workspace.engine
        monkeypatch.setattr(engine, "progress", lambda *step: steps.append(step))
        alone = ReadingsShare(tuple(edits), after=False).computed(engine, [])
        assert [step for step in steps if step[0] == "measuring"] == [
            ("measuring", 0, 3),
            ("measuring", 2, 3),
        ]
        first, second = (
            ReadingsShare(part, after=False) for part in (tuple(edits[:2]), (edits[2],))
        )
        assert alone == [*first.computed(engine, []), *second.computed(engine, [])]
