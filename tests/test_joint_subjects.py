"""What a joint update writes where subjects end: the places, the shift, and its part in an edit."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_models import tiny
from workspaces import CAPITAL, SHAPES, about, contents, exported, new_workspace

from kn_edit.editing.joint_subjects import (
    SubjectRow,
    SubjectShift,
    kept_rows,
    subject_end,
    subject_layers,
    subject_shift,
)
from kn_edit.editing.joint_targets import RowsAtLayer, TargetRow
from kn_edit.edits.settings import JointSettings
from kn_edit.evaluation.gate import Gate
from kn_edit.facts import Fact, Prompt, Template
from kn_edit.models.predict import coefficients, lead, log_p
from kn_edit.models.questions import Chain, ask
from kn_edit.workspace import How, Joint

DEEP = 6  # layers, enough for some to lie low
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
    return rows + kept_rows(model, [(kept.questions[0], subject_end(model, kept, "France"))])


def by_hooks(model, shift: SubjectShift, row: SubjectRow, ask_model):
    """What is asked of the whole network while each layer has a hook that adds its part."""

    def adding(_module, _inputs, written):
        flat = written.detach().clone().reshape(-1, written.shape[-1])
        flat[row.end] += shift.shift / len(shift.layers)
        return flat.view(written.shape)

    handles = [model.downs[layer].register_forward_hook(adding) for layer in shift.layers]
    try:
        return next(iter(ask_model(model, [row.question])))
    finally:
        for handle in handles:
            handle.remove()


def lead_of(model, shift: SubjectShift, row: SubjectRow) -> float:
    token = torch.tensor([row.question.token])
    return float(lead(by_hooks(model, shift, row, log_p)[None], token))


def test_subjects_are_written_in_the_lower_part_of_a_network():
    settings = JointSettings()
    network = deep("llama")
    assert subject_layers(network, settings, 4) == (0, 1, 2)
    assert subject_layers(network, settings, 2) == (0, 1)
    assert subject_layers(network, settings, 0) == ()
    assert subject_layers(network, JointSettings(subject_layers=2), 4) == (0, 2)
    assert subject_layers(network, JointSettings(subject_layers=0), 4) == ()
    assert subject_layers(tiny("llama"), settings, 1) == ()  # two layers: none lies low
    thirty = tiny("llama", num_hidden_layers=30)
    assert subject_layers(thirty, settings, 28) == (2, 4, 6, 8, 10, 12)


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
def test_the_smallest_shift_brings_the_answer_on(shape):
    """Asked of the whole network, with hooks of the test's own."""
    model, layers = deep(shape), (0, 1, 2)
    row = rows_of(model)[0]
    settings = JointSettings(subject_steps=300, subject_bisections=10, margin=0.05)
    shift = subject_shift(model, [row], layers, settings)
    assert lead_of(model, SubjectShift(layers, torch.zeros_like(shift.shift)), row) < 0
    assert lead_of(model, shift, row) == pytest.approx(settings.margin, abs=0.02)
    assert lead_of(model, replace(shift, shift=0.9 * shift.shift), row) < settings.margin


@pytest.mark.parametrize("shape", ["gpt_neox", "gemma2"])
def test_the_shift_is_found_as_far_as_norms_let_it_through(shape):
    """Norms, and what a random network attends to, limit what one place tells another."""
    model, layers = deep(shape), (0, 1, 2)
    row = rows_of(model)[0]
    shift = subject_shift(model, [row], layers, JointSettings(subject_steps=100))
    nothing = SubjectShift(layers, torch.zeros_like(shift.shift))
    assert lead_of(model, shift, row) > lead_of(model, nothing, row) + 0.2


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_kept_leads_on_and_without_it_would_not(shape):
    model, layers = deep(shape), (0, 1, 2)
    *wanted, kept = rows_of(model)
    settings = JointSettings(subject_steps=100, margin=0.1)
    alone, beside = (
        subject_shift(model, rows, layers, settings) for rows in (wanted[:1], [wanted[0], kept])
    )
    assert lead_of(model, beside, kept) > lead_of(model, alone, kept)
    assert lead_of(model, beside, wanted[0]) > lead_of(
        model, replace(beside, shift=0 * beside.shift), wanted[0]
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_keys_behind_a_shift_are_those_of_the_network_that_writes_it(shape):
    model = deep(shape)
    rows = [row for row in rows_of(model) if row.wanted]
    draw = torch.Generator().manual_seed(0)
    shift = SubjectShift((0, 2), torch.randn(model.d_model, generator=draw))
    ends = {row.question.ids: row.end for row in rows}
    targets = [TargetRow(row.question, 0) for row in rows]
    found = RowsAtLayer.of(model, targets, 4, shift.at_ends(model, ends)).keys
    plain = RowsAtLayer.of(model, targets, 4).keys
    for row, key in zip(rows, found, strict=True):
        expected = by_hooks(model, shift, row, coefficients)[4]
        assert torch.allclose(key, expected, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(found, plain, rtol=1e-2)


def test_nothing_is_shifted_where_nothing_is_asked_or_nothing_missing():
    model = deep("llama")
    assert not subject_shift(model, [], (0, 1), JointSettings()).shift.any()
    assert not subject_shift(model, rows_of(model), (), JointSettings()).shift.any()
    rows = rows_of(model)
    sure = kept_rows(model, [(row.question, row.end) for row in rows])
    assert not subject_shift(model, sure, (0, 1), JointSettings()).shift.any()


def test_an_edit_writes_both_where_subjects_end_and_where_answers_are(tmp_path, monkeypatch):
    monkeypatch.setattr("workspaces.tiny_folder", deep_folder)
    with new_workspace(tmp_path) as workspace:
        before = contents(exported(workspace, "base"))
        facts = [(about("France"), "Rome"), (about("Japan"), "Cairo"), (about("Cuba"), "Oslo")]
        how = How(Joint(), gate=FREE)
        done = workspace.update_many(facts, how=how)
        (edit,) = workspace.ledger.edits()
        assert edit.found["subject_layers"] == [0, 1, 2] and edit.found["layer"] == 4
        assert [change.layer for change in edit.layers] == [0, 1, 2, 4]
        assert done.draft.metrics["efficacy"] == 1.0
        workspace.revert(done.edit)
        assert contents(exported(workspace, "head")) == before
        backwards = workspace.update_many(facts[::-1], how=how, dry_run=True)
        assert backwards.draft.delta.id == done.edit


def deep_folder(shape, folder, dtype, seed):
    model = tiny(shape, dtype, seed, num_hidden_layers=DEEP)
    folder.mkdir(parents=True)
    model.net.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder
