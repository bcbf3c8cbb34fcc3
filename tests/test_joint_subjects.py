"""What a joint update writes where subjects end: the places, the shift, the layers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_models import DEEP, deep_folder, tiny
from workspaces import CAPITAL, SHAPES, about, contents, exported, new_workspace

from kn_edit.editing.drafts import EditContext
from kn_edit.editing.joint_base import JointBase, keys_at, question_at
from kn_edit.editing.joint_depth import (
    SEARCH,
    best_layer,
    candidate_layers,
    late_candidates,
    late_layers,
    leak,
    said_unseen,
    trials,
)
from kn_edit.editing.joint_ends import EndStates
from kn_edit.editing.joint_subjects import (
    ShiftSearch,
    SubjectRow,
    SubjectShift,
    end_place,
    leads_behind,
    prompt_end,
    reading_end,
    subject_end,
    subject_shift,
    subject_shifts,
)
from kn_edit.editing.locating import Locator
from kn_edit.edits.least_step import SLACK, least_step
from kn_edit.edits.members import Place
from kn_edit.edits.settings import JointSettings
from kn_edit.edits.suffix import LowRankShift, Suffix
from kn_edit.errors import NotFinite
from kn_edit.evaluation.gate import Gate
from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models.predict import coefficients, lead, log_p
from kn_edit.models.questions import Chain, Question, ask
from kn_edit.workspace import How, Joint

LAYERS = {"gpt2": {"n_layer": DEEP}}
FREE = Gate(efficacy=0, specificity=0)


def deep(shape: str):
    return tiny(shape, **LAYERS.get(shape, {"num_hidden_layers": DEEP}))


def chains(model, subject: str = "France", to: str = "Rome") -> list[Chain]:
    fact = Fact("capital", subject, "Paris")
    return [ask(model, Prompt(fact, template), to) for template in CAPITAL.templates[:3]]


def rows_of(model) -> list[SubjectRow]:
    """The tokens of a new answer in three wordings, and a prompt about the subject that is kept."""
    rows = [
        SubjectRow(question, subject_end(model, chain, "France"))
        for chain in chains(model)
        for question in chain.questions
    ]
    kept = ask(
        model, Prompt(Fact("other", "France", "euro"), Template("the country [X] and [Y]")), "euro"
    )
    says = int(next(iter(log_p(model, kept.questions))).argmax())
    question = replace(kept.questions[0], token=says)
    return [*rows, SubjectRow(question, subject_end(model, kept, "France"), wanted=False)]


def by_hooks(model, shift: SubjectShift, row: SubjectRow, ask_model):
    """What is asked of the whole network while the layer has a hook that adds the shift."""

    def adding(_module, _inputs, written):
        flat = written.detach().clone().reshape(-1, written.shape[-1])
        flat[row.end] += shift.shift
        return flat.view(written.shape)

    handle = model.downs[shift.layer].register_forward_hook(adding)
    try:
        return next(iter(ask_model(model, [row.question])))
    finally:
        handle.remove()


def output_of(model, shift: SubjectShift, row: SubjectRow, above: int | None = None):
    """What comes out where a subject ends, of the shift's layer or one above it."""
    states = []

    def looking(_module, _inputs, output):
        output = output[0] if isinstance(output, tuple) else output
        states.append(output.reshape(-1, output.shape[-1])[row.end].detach())

    layer = shift.layer if above is None else above
    handle = model.layers[layer].register_forward_hook(looking)
    try:
        by_hooks(model, shift, row, log_p)
    finally:
        handle.remove()
    return states[0]


def lead_of(model, shift: SubjectShift, row: SubjectRow) -> float:
    token = torch.tensor([row.question.token])
    return float(lead(by_hooks(model, shift, row, log_p)[None], token))


def test_candidates_are_spread_and_the_last_layer_reads_what_they_write():
    assert candidate_layers(tiny("llama", num_hidden_layers=1)) == (0,)
    assert candidate_layers(tiny("llama")) == (0,)  # of two layers
    assert candidate_layers(tiny("llama", num_hidden_layers=3)) == (1,)
    assert candidate_layers(deep("llama")) == (1, 2, 3)
    assert candidate_layers(tiny("llama", num_hidden_layers=30)) == (3, 6, 9, 12, 15)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_subject_ends_at_its_last_token_before_the_answer(shape):
    model = tiny(shape)
    france = model.tokenizer.convert_tokens_to_ids("France")
    for chain in chains(model):
        end = subject_end(model, chain, "France")
        assert end is not None
        assert chain.questions[0].ids[end] == france or end == 1  # the first token is left out
    assert subject_end(model, chains(model)[0], "Japan") is None


@pytest.mark.parametrize("shape", SHAPES)
def test_a_prompt_that_does_not_name_its_subject_is_read_up_to_its_answer(shape):
    model = tiny(shape)
    prompt = Prompt(Fact("own", "France", "Rome"), Template("the capital of [X] is [Y]"))
    chain = ask(model, prompt)
    position = chain.questions[0].position
    end = subject_end(model, chain, "France")
    assert reading_end(model, chain, "Japan") == position
    assert reading_end(model, chain, "France") == end == prompt_end(model, prompt).position


@pytest.mark.parametrize("shape", SHAPES)
def test_the_least_shift_brings_the_answer_on(shape):
    """Asked of the whole network, with hooks of the test's own."""
    model, row = deep(shape), rows_of(deep(shape))[0]
    search = ShiftSearch(margin=0.3, steps=100, step=0.1)
    shift = subject_shift(model, [row], 1, search)
    assert lead_of(model, SubjectShift(1, torch.zeros_like(shift.shift)), row) < 0
    assert lead_of(model, shift, row) == pytest.approx(search.margin, abs=0.1)
    assert lead_of(model, replace(shift, shift=0.9 * shift.shift), row) < search.margin


@pytest.mark.parametrize("shape", ["gpt_neox", "gemma2"])
def test_the_shift_is_found_as_far_as_norms_let_it_through(shape):
    """Norms, and what a random network attends to, limit what one place tells another."""
    model = deep(shape)
    row = rows_of(model)[0]
    shift = subject_shift(model, [row], 1, ShiftSearch(margin=2.0, steps=100, step=0.2))
    nothing = SubjectShift(1, torch.zeros_like(shift.shift))
    assert lead_of(model, shift, row) > lead_of(model, nothing, row) + 0.2


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_kept_leads_on_and_without_it_would_not(shape):
    model = deep(shape)
    *wanted, kept = rows_of(model)
    search = ShiftSearch(margin=0.1, steps=100, step=0.2)
    alone, beside = (
        subject_shift(model, rows, 1, search) for rows in (wanted[:1], [wanted[0], kept])
    )
    assert lead_of(model, beside, kept) > lead_of(model, alone, kept)
    assert lead_of(model, beside, wanted[0]) > lead_of(
        model, replace(beside, shift=0 * beside.shift), wanted[0]
    )


@pytest.mark.parametrize("shape", [*SHAPES, "gemma2", "gpt_neox"])
def test_rows_that_run_from_their_subjects_on_stand_as_in_the_whole_network(shape):
    """Rows that share their beginnings, and one that names its subject twice."""
    model = deep(shape)
    twice = ask(
        model,
        Prompt(Fact("capital", "France", "Paris"), Template("France : the capital of [X] is [Y]")),
        "Rome",
    )
    rows = [row for row in rows_of(model) if row.wanted]
    rows += [SubjectRow(q, subject_end(model, twice, "France")) for q in twice.questions]
    draw = torch.Generator().manual_seed(0)
    shift = SubjectShift(2, torch.randn(model.d_model, generator=draw))
    expected = [lead_of(model, shift, row) for row in rows]
    assert leads_behind(model, [rows], 2, shift.shift[None]).tolist() == pytest.approx(
        expected, abs=1e-4
    )


@pytest.mark.parametrize("shape", [*SHAPES, "gemma2", "gpt_neox"])
def test_ends_run_as_in_the_whole_network(shape):
    """Their coefficients and what comes out at the top, where a layer writes at them alone."""
    model = deep(shape)
    rows = [row for row in rows_of(model) if row.wanted]
    places = [end_place(model, row.question.ids, row.end) for row in rows]
    ends = EndStates.of(model, places, (1, 2, 3))
    draw = torch.Generator().manual_seed(0)
    shift = SubjectShift(3, torch.randn(model.d_model, generator=draw))
    top = ends.at_top(shift.shift.expand(len(rows), -1))
    for row, place, key, state in zip(rows, places, ends.keys(), top, strict=True):
        asked = replace(row, question=Question(place.ids, place.position, 0))
        assert torch.allclose(
            key, by_hooks(model, shift, asked, coefficients)[1], rtol=1e-3, atol=1e-5
        )
        assert torch.allclose(state, output_of(model, shift, asked), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("shape", "adds"), [("llama", True), ("gpt_neox", True), ("gemma2", False)]
)
def test_what_a_layer_is_to_write_is_looked_for_where_a_norm_stands_behind_it(shape, adds, dtype):
    """And not where a sum takes it in, however little it is and however coarse the numbers are."""
    model = deep(shape)
    model.net.to(dtype)
    rows = [row for row in rows_of(model) if row.wanted]
    ends = EndStates.of(model, [end_place(model, row.question.ids, row.end) for row in rows], (2,))
    draw = torch.Generator().manual_seed(0)
    wanted = torch.randn(len(rows), model.d_model, generator=draw)
    wanted *= 0.03 * ends.at_top().norm() / wanted.norm()
    writes = ends.writes(wanted)
    assert torch.equal(writes, wanted) == adds
    if dtype == torch.float32:  # what bfloat16 shows of so little is mostly its rounding
        came = ends.at_top(writes) - ends.at_top()
        assert float((came - wanted).norm()) <= 0.5 * float(wanted.norm())
    assert torch.equal(ends.writes(0 * wanted), 0 * wanted)


@pytest.mark.parametrize("shape", [*SHAPES, "gpt_neox"])
def test_places_of_texts_that_ran_before_are_those_of_texts_that_run_again(shape):
    model = deep(shape)
    rows = [row for row in rows_of(model) if row.wanted]
    places = [Place(row.question.ids, row.question.position) for row in rows]
    texts = [place.ids for place in places]
    ran = Suffix(model, 2, texts)
    kept = Suffix.from_inputs(model, 2, {ids: ran.input_of(ids) for ids in texts})
    again, before = (
        EndStates.of(model, places, (2, 3)),
        EndStates.of(model, places, (2, 3), kept),
    )
    assert torch.allclose(before.keys(), again.keys(), rtol=1e-4, atol=1e-5)
    assert torch.allclose(before.at_top(), again.at_top(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [*SHAPES, "gpt_neox"])
def test_behind_a_layer_stands_what_it_writes(shape):
    model = deep(shape)
    row = rows_of(model)[0]
    ends = EndStates.of(model, [end_place(model, row.question.ids, row.end)], (1, 2))
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(1, model.d_model, generator=draw)
    key = ends.keys()
    written = key @ key.T @ values  # by u = c and v, at a place with coefficients c
    behind = ends.behind(LowRankShift(key, values))
    if model.causal:  # in a masked LM other tokens hear the shift too
        by_hand = SubjectShift(1, written[0])
        expected = output_of(model, by_hand, row, above=2)
        assert torch.allclose(behind.at_top()[0], expected, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(behind.at_top(), ends.at_top(), rtol=1e-2)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shift_is_found_beside_those_of_other_subjects_as_alone(shape):
    model = deep(shape)
    *wanted, kept = rows_of(model)
    search = ShiftSearch(margin=0.3, steps=6, step=0.1)
    rows = [[wanted[-1]], [], [wanted[0], kept], [wanted[0]]]
    together = subject_shifts(model, rows, 1, search)
    for own, shift in zip(rows, together, strict=True):
        alone = subject_shift(model, own, 1, search).shift
        assert bool(shift.any()) == bool(own)
        assert torch.allclose(shift, alone, rtol=1e-3, atol=1e-4 * float(alone.norm() + 1))
    behind = leads_behind(model, rows, 1, together)
    alone = torch.cat(
        [
            leads_behind(model, [own], 1, shift[None])
            for own, shift in zip(rows, together, strict=True)
        ]
    )
    assert torch.allclose(behind, alone, atol=1e-4)


def test_nothing_is_shifted_where_nothing_is_asked_or_nothing_missing():
    model = deep("llama")
    assert not subject_shift(model, [], 1, SEARCH).shift.any()
    sure = [replace(row, wanted=False) for row in rows_of(model)]
    assert not subject_shift(model, sure, 1, SEARCH).shift.any()


def test_a_model_that_gives_no_numbers_is_refused_and_not_left_as_it_is():
    model = deep("llama")
    model.downs[4].weight.data[0, 0] = float("nan")
    with pytest.raises(NotFinite, match="layer 4"):
        subject_shift(model, rows_of(deep("llama")), 1, SEARCH)


@pytest.mark.parametrize("figures", [1, 3, 12])
def test_the_least_step_is_where_no_other_is_shorter_and_falls_less_short(figures):
    draw = torch.Generator().manual_seed(figures)
    gradients = torch.randn(figures, 8, generator=draw, dtype=torch.float64)
    missing = torch.randn(figures, generator=draw, dtype=torch.float64)
    weight = 1 / (SLACK * gradients.square().sum(1).mean())

    def cost(step):
        return (
            step.square().sum() + weight * (missing - gradients @ step).clamp_min(0).square().sum()
        )

    found = least_step(gradients, missing)
    searched = found.clone().requires_grad_()
    (slope,) = torch.autograd.grad(cost(searched), searched)
    assert float(slope.norm()) < 1e-5 * float(2 * weight * missing.norm() * gradients.norm())
    for _ in range(50):
        aside = found + 0.1 * torch.randn(8, generator=draw, dtype=torch.float64)
        assert cost(aside) > cost(found)


def test_no_step_is_taken_where_nothing_is_missing_or_nothing_helps():
    gradients = torch.ones(2, 4)
    assert not least_step(gradients, torch.tensor([-1.0, 0.0])).any()
    assert not least_step(torch.zeros(2, 4), torch.tensor([1.0, 1.0])).any()


def test_the_layer_is_the_best_and_the_usual_one_where_nothing_tells():
    assert best_layer((3, 6, 9, 12), (0.5, 0.6, 0.4, 0.6), 30) == 6
    assert best_layer((3, 6, 9, 12), (0.0, 0.0, 0.0, 0.0), 30) == 9


def test_late_layers_are_those_around_the_least_leak_that_have_little_more():
    layers = (20, 21, 22, 23, 24, 25)
    assert late_layers(layers, (0.8, 0.3, 0.7, 0.3, 0.2, 0.25), 26) == (23, 24, 25)
    assert late_layers(layers, (0.8, 0.3, 0.2, 0.25, 0.9, 0.2), 26) == (21, 22, 23)
    assert late_layers(layers, (0.0,) * 6, 26) == (20, 21, 22, 23, 24, 25)  # nothing tells
    assert late_layers(layers, (0.0,) * 6, 30) == (23, 24, 25)


def test_late_layers_lie_between_those_where_subjects_end_and_the_last_one():
    assert late_candidates(tiny("llama", num_hidden_layers=30), above=9) == tuple(range(19, 29))
    assert late_candidates(tiny("llama", num_hidden_layers=5), above=2) == (3,)
    assert late_candidates(tiny("llama", num_hidden_layers=4), above=2) == ()


def test_a_base_that_knows_no_fact_tells_nothing_of_its_layers(tmp_path, monkeypatch):
    monkeypatch.setattr("workspaces.tiny_folder", deep_folder)
    with new_workspace(tmp_path) as workspace, workspace.engine.at([]) as live:
        base = JointBase.of(EditContext(workspace.engine), live, JointSettings())
        assert trials(live.model, base.locator, 0) == ()
        assert base.top_layer == 2 and base.layers == (0, 1, 2)


def test_a_leak_is_what_another_subject_of_the_relation_hears(tmp_path, monkeypatch):
    monkeypatch.setattr("workspaces.tiny_folder", deep_folder)
    monkeypatch.setattr(Locator, "knows", lambda *_: True)
    with new_workspace(tmp_path) as workspace, workspace.engine.at([]) as live:
        context = EditContext(workspace.engine, seed=2)  # scores are kept by base and seed
        base = JointBase.of(context, live, JointSettings())
        found = trials(live.model, base.locator, 2)
        layer, scores = base.top_layer, base._layer_scores((1, 2, 3))
        share = said_unseen(live.model, found, layer)
        leaks = base._answer_leaks((2, 3))
        late = base.answer_layers
        assert all(place.position == len(place.ids) - 1 for t in found for place in t.answers)
        keys = [
            keys_at(live.model, [question_at(place) for place in trial.answers], (2, 3))[1].mean(0)
            for trial in found
        ]
        moment = base._moments((3,))[3]
    assert len(found) > 1
    assert float(leaks[1]) == pytest.approx(leak(found, keys, moment)) and 0 < float(leaks[1]) < 1
    assert late and late[-1] < DEEP and late[0] > layer
    one, two, alone = torch.eye(3)
    first = next(trial for trial in found)
    pair = [first, replace(first)]
    assert leak(pair, [one, two], torch.eye(3)) == 0
    assert leak(pair, [one, one], torch.eye(3)) == 1
    assert leak(pair, [one, one + alone], torch.eye(3)) == pytest.approx((1 / 2 + 1) / 2)
    assert leak(pair, [one, one + alone], torch.diag(torch.tensor([1.0, 1.0, 0.1]))) < 0.6
    assert (
        layer == best_layer((1, 2, 3), scores.tolist(), DEEP)
        and 0 < float(scores.max()) <= share <= 1
    )


def test_an_edit_writes_some_layers_and_goes_back_bit_for_bit(tmp_path, monkeypatch):
    monkeypatch.setattr("workspaces.tiny_folder", deep_folder)
    with new_workspace(tmp_path) as workspace:
        before = contents(exported(workspace, "base"))
        facts = [(about("France"), "Rome"), (about("Japan"), "Cairo"), (about("Cuba"), "Oslo")]
        strong = JointSettings(
            w_held=0.0, w_answer_held=0.0, w_text=1e-5, steps=80, step=1.0, margin=3.0
        )
        how = How(Joint(strong), gate=FREE)
        done = workspace.update_many(facts, how=how)
        (edit,) = workspace.ledger.edits()
        assert edit.found["layers"] == [change.layer for change in edit.layers]
        assert len(edit.layers) > 1 and edit.found["share"] > 0.9
        workspace.revert(done.edit)
        assert contents(exported(workspace, "head")) == before
        backwards = workspace.update_many(facts[::-1], how=how, dry_run=True)
        assert backwards.draft.delta.id == done.edit
