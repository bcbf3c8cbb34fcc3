"""What smaller number formats leave of weights, and that these get their bits back."""

from __future__ import annotations

import pytest
import torch
from tiny_models import tiny

from kn_edit.models.families import FAMILIES
from kn_edit.models.number_formats import Rounding
from kn_edit.models.rounding import nf4_levels, rounded, rounded_rows

ROWS = torch.randn(6, 100, generator=torch.Generator().manual_seed(0)) * torch.tensor(
    [[1e-3], [1.0], [50.0], [1e-6], [3.0], [0.1]]
)
# As printed in the paper's appendix (Dettmers et al. 2023), cut to six digits.
PUBLISHED = [-1, -0.696192, -0.525073, -0.394917, -0.284441, -0.184773, -0.091050, 0,
             0.079580, 0.160930, 0.246112, 0.337915, 0.440709, 0.562617, 0.722956, 1]  # fmt: skip


def bits(model):
    return {name: weight.clone() for name, weight in model.net.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("rounding", "group", "most"), [("int8", 100, 127), ("int4", 32, 7)])
def test_equal_steps_are_those_of_each_group(rounding, group, most):
    for row, rounded_row in zip(ROWS, rounded_rows(ROWS, rounding), strict=True):
        for start in range(0, 100, group):
            before, after = row[start : start + group], rounded_row[start : start + group]
            step = before.abs().max() / most
            steps = after / step
            assert torch.allclose(steps, steps.round(), atol=1e-3)
            assert steps.abs().max() <= most + 1e-3
            assert (after - before).abs().max() <= step / 2 * 1.001
            assert after.abs().max() == pytest.approx(float(before.abs().max()), rel=1e-5)


def test_nf4_has_the_published_levels_and_takes_the_nearest():
    levels = nf4_levels()
    assert levels.tolist() == pytest.approx(PUBLISHED, abs=2e-6)
    row = ROWS[1:2, :64]
    scaled = row / row.abs().max()
    nearest = levels[(scaled[..., None] - levels).abs().argmin(-1)]
    assert torch.allclose(rounded_rows(row, "nf4"), nearest * row.abs().max())


def test_bfloat16_is_the_nearest_number():
    assert torch.equal(rounded_rows(ROWS, "bfloat16"), ROWS.bfloat16().float())


@pytest.mark.parametrize("rounding", list(Rounding))
def test_rounding_keeps_zeros_signs_shapes_and_formats(rounding):
    rows = torch.cat([ROWS, torch.full((1, 100), 1e-39), torch.zeros(1, 100)]).bfloat16()
    after = rounded_rows(rows, rounding)
    assert (after.dtype, after.shape) == (rows.dtype, rows.shape)
    assert torch.equal(after[-1], rows[-1])
    assert (after.float() * rows.float() >= 0).all()
    assert rounded_rows(-rows, rounding).dtype == torch.bfloat16
    assert torch.allclose(rounded_rows(after, rounding).float(), after.float(), rtol=0.02)
    if rounding != Rounding.NF4:
        assert torch.equal(rounded_rows(-rows, rounding), -after)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_is_rounded_in_its_linear_layers_and_gets_its_bits_back(family):
    model = tiny(family)
    before = bits(model)
    embedding = model.net.get_input_embeddings().weight
    with rounded(model, "int4"):
        inside = bits(model)
        changed = {name for name in before if not torch.equal(before[name], inside[name])}
        for layer, down in enumerate(model.downs):
            rows = down.weight if model.family.axis == "column" else down.weight.T
            assert model.slot_tensor(layer) in changed
            assert torch.allclose(rounded_rows(rows, "int4"), rows, atol=1e-6)
        assert len(changed) >= 4 * model.n_layers
        assert torch.equal(embedding, before[name_of(model, embedding)])
        assert not any("norm" in name.lower() or "bias" in name for name in changed)
    assert same(before, bits(model))


def name_of(model, weight):
    names = (name for name, value in model.net.named_parameters() if value is weight)
    return next(names)


def test_bfloat16_rounds_every_weight():
    model = tiny("llama")
    before = bits(model)
    with rounded(model, "bfloat16"):
        assert all(
            torch.equal(weight, before[name].bfloat16().float())
            for name, weight in model.net.named_parameters()
        )
        assert not same(before, bits(model))
    assert same(before, bits(model))


def test_an_error_inside_gives_the_bits_back_and_none_rounds_nothing():
    model = tiny("gpt2")
    before = bits(model)
    with pytest.raises(ZeroDivisionError), rounded(model, "nf4"):
        assert not same(before, bits(model))
        raise ZeroDivisionError
    assert same(before, bits(model))
    with rounded(model, None):
        assert same(before, bits(model))
    with pytest.raises(ValueError, match="int3"), rounded(model, "int3"):
        pass
    assert same(before, bits(model))
