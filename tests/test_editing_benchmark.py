"""The benchmark of mass editing: formulas of other editors, targets, and runs that go on."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from samples import sampled
from tiny_models import CAUSAL, tiny
from workspaces import new_workspace

from benchmarks.editing import __main__ as sweep
from benchmarks.editing.editors import (
    AlphaEdit,
    FineTuned,
    InContext,
    JointEdit,
    Memit,
    Rome,
    Running,
    Shared,
    UltraEdit,
    Unedited,
    editors,
)
from benchmarks.editing.facts import EditFact, drawn
from benchmarks.editing.measuring import ELSEWHERE, OWN, Asked, continued, measured, scored, spoken
from benchmarks.editing.orders import ORDERS
from benchmarks.editing.places import at_ends, behind, contexts
from benchmarks.editing.report import plots, report
from benchmarks.editing.runs import Results, Run
from benchmarks.editing.solutions import (
    alphaedit_shift,
    memit_shift,
    null_space,
    ridge_shift,
    rome_shift,
)
from benchmarks.editing.targets import TargetSettings, targets_of
from kn_edit.models.greedy import likeliest_paths
from kn_edit.models.questions import ask_openly
from kn_edit.models.trace import trace
from kn_edit.workspace import Workspace

D_FF, D_MODEL, FACTS = 24, 7, 5
ROWS = (
    ("France", "Oslo", "Paris", "Japan", "Tokyo"),
    ("Egypt", "Madrid", "Cairo", "Italy", "Rome"),
    ("Cuba", "New York", "Havana", "Japan", "Tokyo"),
    ("Norway", "Rome", "Oslo", "Spain", "Madrid"),
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64)


def moment(seed: int = 1) -> torch.Tensor:
    text = normal(200, D_FF, seed=seed) * torch.linspace(0.01, 2, D_FF)
    return text.T @ text / len(text)


KEYS, MISSING = normal(FACTS, D_FF, seed=2), normal(FACTS, D_MODEL, seed=3)
EARLIER = normal(9, D_FF, seed=4)


def written(folder: Path) -> Path:
    """A file of rows in words of the tiny models."""
    rows = (
        {
            "prompt": f"The capital of {subject} is",
            "subject": subject,
            "target_new": to,
            "ground_truth": old,
            "rephrase_prompt": f"the city of {subject} is",
            "locality_prompt": f"The capital of {other} is",
            "locality_ground_truth": answer,
        }
        for subject, to, old, other, answer in ROWS
    )
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "counterfact.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def workspace(request, tmp_path_factory) -> Iterator[Workspace]:
    with new_workspace(tmp_path_factory.mktemp("editing"), request.param) as workspace:
        yield workspace


@pytest.fixture(scope="module")
def facts(workspace, tmp_path_factory) -> list[EditFact]:
    folder = written(tmp_path_factory.mktemp("rows"))
    return drawn(workspace.engine.model, "counterfact", folder, len(ROWS), 0)


# --- formulas ------------------------------------------------------------------------------------


def test_romes_change_gives_its_key_what_it_misses_and_is_the_smallest_such_one():
    key, missing, c = KEYS[0], MISSING[0], moment()
    shift = rome_shift(key, missing, c)
    assert torch.allclose(key @ shift, missing)
    assert int(torch.linalg.matrix_rank(shift)) == 1
    other = shift + torch.outer(normal(D_FF, seed=5), normal(D_MODEL, seed=6))
    other += torch.outer(key / (key @ key), missing - key @ other)  # it fits the key as well
    sizes = [float((each.T @ c @ each).trace()) for each in (shift, other)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("history", [None, EARLIER.T @ EARLIER])
def test_memits_change_solves_its_normal_equations(history):
    shift = memit_shift(KEYS.float(), MISSING.float(), moment(), 3.0, history)
    k, r = KEYS.float().double(), MISSING.float().double()
    left = (3.0 * moment() + (0 if history is None else history) + k.T @ k) @ shift
    assert torch.allclose(left, k.T @ r, atol=1e-9)


def test_memits_change_is_the_least_squares_solution_of_keys_and_text():
    root = np.linalg.cholesky(3.0 * moment().numpy()).T
    stacked = np.concatenate([KEYS.numpy(), root])
    right = np.concatenate([MISSING.numpy(), np.zeros((D_FF, D_MODEL))])
    reference = np.linalg.lstsq(stacked, right, rcond=None)[0]
    assert np.allclose(memit_shift(KEYS, MISSING, moment(), 3.0).numpy(), reference)


def test_alphaedits_change_stays_in_the_null_space_and_solves_its_equations_there():
    c = moment()
    p = null_space(c, 0.5)
    assert torch.allclose(p @ p, p) and round(float(p.trace())) == D_FF // 2
    history = EARLIER.T @ EARLIER
    shift = alphaedit_shift(KEYS, MISSING, p, history)
    assert torch.allclose(p @ shift, shift)
    strongest = torch.linalg.eigh(c).eigenvectors[:, -D_FF // 2 :]
    assert float((strongest.T @ shift).abs().max()) < 1e-9 < float(shift.abs().max())
    # Within the null space it is ridge regression: P (H + K^T K) D + D = P K^T R.
    left = p @ (history + KEYS.T @ KEYS) @ shift + shift
    assert torch.allclose(left, p @ KEYS.T @ MISSING)


def test_ridge_regression_is_the_least_squares_solution():
    stacked = np.concatenate([KEYS.numpy(), np.eye(D_FF)])
    right = np.concatenate([MISSING.numpy(), np.zeros((D_FF, D_MODEL))])
    reference = np.linalg.lstsq(stacked, right, rcond=None)[0]
    assert np.allclose(ridge_shift(KEYS, MISSING).numpy(), reference)


def test_what_is_normalised_batch_by_batch_is_normalised_by_all_rows():
    rows, running = normal(30, D_FF, seed=7), Running()
    running.normalised(rows[:11])
    last = running.normalised(rows[11:])
    reference = (rows[11:] - rows.mean(0)) / rows.std(0)
    assert torch.allclose(last, reference, atol=1e-6)


# --- targets and editors -------------------------------------------------------------------------


def test_targets_in_a_layers_output_say_the_new_answers(workspace, facts):
    """Beside a whole run of the model in which a hook adds them."""
    model = workspace.engine.model
    targets = targets_of(model, facts, 0, TargetSettings(steps=60))
    for number, fact in enumerate(facts):
        gains = []
        for place in contexts(model, fact):
            before, after = (
                _log_p(model, place, shift) for shift in (None, targets.shifts[number])
            )
            gains.append(after - before)
        assert fmean(gains) > 0.5
    sizes = targets.shifts.norm(dim=1) / targets.states.norm(dim=1)
    assert float(sizes.max()) <= TargetSettings().clamp + 1e-5


@pytest.mark.parametrize("shape", sampled(CAUSAL, 3))
def test_targets_are_found_in_every_family(shape, tmp_path):
    """Texts in two groups, whose beginnings are kept, beside whole runs with a hook."""
    model = tiny(shape)
    facts = drawn(model, "counterfact", written(tmp_path), 2, 0)
    targets = targets_of(model, facts, 0, TargetSettings(steps=25))
    for number, fact in enumerate(facts):
        own = contexts(model, fact)[0]
        shift = targets.shifts[number]
        assert _log_p(model, own, shift) > _log_p(model, own, None) + 0.2


def test_targets_of_a_fact_do_not_depend_on_what_else_is_solved(workspace, facts):
    model = workspace.engine.model
    together = targets_of(model, facts, 0, TargetSettings(steps=3))
    for number, fact in enumerate(facts):
        alone = targets_of(model, [fact], 0, TargetSettings(steps=3))
        assert torch.allclose(alone.states[0], together.states[number], atol=1e-4)
        assert torch.allclose(alone.shifts[0], together.shifts[number], atol=1e-3)


def test_states_are_those_of_a_whole_run(workspace, facts):
    model = workspace.engine.model
    places = contexts(model, facts[0])
    keys, states = at_ends(model, places, [0])
    for place, key, state in zip(places, keys[0], states, strict=True):
        run = trace(model, torch.tensor([place.ids]))
        assert torch.allclose(run.coefficients[0][0, place.end], key, atol=1e-5)
        assert torch.allclose(run.inputs[1][0, place.end], state, atol=1e-5)


@pytest.mark.parametrize("kind", [FineTuned, Rome, Memit, AlphaEdit, UltraEdit])
def test_every_editor_of_weights_makes_new_answers_likelier_and_leaves_the_model(
    kind, workspace, facts
):
    model = workspace.engine.model
    before = [model.slots(layer).clone() for layer in range(model.n_layers)]
    plain = _likely(model, facts)
    editor = kind(workspace.engine, Shared(model))
    editor.edit(facts[:2])
    editor.edit(facts[2:])
    with editor.applied() as edited:
        assert fmean(_likely(edited, facts)) > fmean(plain) + 0.1
    assert all(torch.equal(model.slots(layer), old) for layer, old in enumerate(before))
    assert _likely(model, facts) == plain


def test_the_joint_update_says_new_answers_of_facts_of_a_file(workspace, facts):
    editor = JointEdit(workspace.engine)
    plain = _likely(workspace.engine.model, facts)
    editor.edit(facts)
    with editor.applied() as edited:
        assert fmean(_likely(edited, facts)) > fmean(plain)


def test_statements_stand_in_front_with_the_facts_own_one_last(workspace, facts):
    editor = InContext(workspace.engine)
    editor.edit(facts)
    front = editor.front(facts[1])
    own = facts[1]
    assert front.endswith(f"The capital of {own.case.fact.subject} is {own.to}.")
    assert front.count(".") == len(facts)
    editor.others = 0
    assert editor.front(facts[1]).count(".") == 1


# --- measuring and runs --------------------------------------------------------------------------


def test_an_unedited_model_keeps_every_answer_to_other_subjects(workspace, facts):
    editor = Unedited(workspace.engine)
    with editor.applied() as model:
        asked = Asked.of(model, facts, editor.front)
        rows = measured(model, asked, spoken(model, asked, [ELSEWHERE])[ELSEWHERE])
    assert [row["specificity"] for row in rows] == [1.0] * len(facts)
    assert all(0 <= row[name] <= 1 for row in rows for name in ("efficacy", "forced", "likelier"))


def test_texts_side_by_side_go_on_as_each_does_alone(workspace, facts):
    model = workspace.engine.model
    asked = [ask_openly(model, p) for fact in facts for p in (*fact.prompts(model), *fact.locality)]
    asked += [ask_openly(model, behind(fact.prompts(model)[0], "Japan and")) for fact in facts]
    lengths = [1 + number % 5 for number in range(len(asked))]
    together = continued(model, [question.ids for question in asked], lengths)
    assert together == likeliest_paths(model, asked, lengths)


def command(folder: Path, model: Path, counts: str) -> list[str]:
    data, results = str(folder), str(folder / "results.jsonl")
    words = ["editing", "--data", data, "--datasets", "counterfact", "--counts", counts]
    return [*words, "--methods", "unedited,memit", "--model", str(model), "--results", results]


def test_a_sweep_goes_on_where_it_was_stopped(tmp_path, workspace, monkeypatch, capsys):
    model = Path(workspace.engine.shards.folder)
    results = written(tmp_path) / "results.jsonl"
    monkeypatch.setattr(sys, "argv", command(tmp_path, model, "2"))
    sweep.main()
    first = results.read_text(encoding="utf-8")
    assert [json.loads(line)["method"] for line in first.splitlines()] == ["unedited", "memit"]
    results.write_text(first[:-40], encoding="utf-8")  # cut off in its last line
    monkeypatch.setattr(sys, "argv", command(tmp_path, model, "2,3"))
    sweep.main()
    rows = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    assert [(row["method"], row["count"]) for row in rows] == [
        ("unedited", 2),
        ("memit", 2),
        ("unedited", 3),
        ("memit", 3),
    ]
    assert rows[0] == json.loads(first.splitlines()[0])
    sweep.main()
    assert len(results.read_text(encoding="utf-8").splitlines()) == 4
    assert "memit" in capsys.readouterr().out


def test_an_interrupted_run_leaves_the_lines_before_it(tmp_path):
    results = Results(tmp_path / "results.jsonl")
    run = Run("demo", "zsre", "memit", 10, 0)
    results.add(run, {"seconds": 1.0})
    with results.path.open("a", encoding="utf-8") as file:
        file.write('{"model": "demo", "data')
    assert results.has(run) and len(results.rows()) == 1
    results.add(Run("demo", "zsre", "rome", 10, 0), {})
    assert [row["method"] for row in results.rows()] == ["memit", "rome"]


def test_every_way_to_edit_is_named_and_starts_anew(workspace):
    kinds = editors(workspace.engine, Shared(workspace.engine.model))
    assert next(iter(kinds)) == "unedited" and len(kinds) == 8
    assert kinds["memit"]() is not kinds["memit"]()


def test_orders_keep_all_facts_and_put_alike_ones_where_they_say(workspace, facts):
    model = workspace.engine.model
    for name, order in ORDERS.items():
        assert {id(fact) for fact in order(model, facts)} == {id(fact) for fact in facts}, name
    assert ORDERS["drawn"](model, facts) == facts
    first = ORDERS["exposed-first"](model, [facts[0], facts[1], facts[1], facts[1]])
    assert first[-1] == facts[0]


def result(method: str, efficacy: list[float], **other: object) -> dict[str, object]:
    by_fact = {"efficacy": efficacy, "paraphrase": [1.0, 0.5], "specificity": [1.0, 1.0]}
    run = {"dataset": "zsre", "count": 2, "order": "drawn", "seed": 0, "method": method, "facts": 2}
    figures = {"by_fact": by_fact | {"entropy": [2.0, 4.0]}, "neutral": 1.5, "seconds": 3.0}
    return run | figures | other


def test_the_report_shows_every_method_with_its_score_and_intervals():
    first = {"first_at_once": {"efficacy": [1.0]}}
    text = report([result("unedited", [0.0, 0.0]), result("memit", [0.0, 1.0], **first)])
    (row,) = [line for line in text.splitlines() if line.startswith("| memit | 0.6")]
    assert "| 0.692 | 0.500 [0.00, 1.00] | 0.750 [0.50, 1.00] | 1.000" in row
    assert row.endswith("| 1.00 | 1.500 | 3 |")
    assert "| memit | 1 | 1.000 [1.00, 1.00] | 0.000 [0.00, 0.00] |" in text  # forgotten since
    drawn = plots([result("memit", [0.0, 1.0]), result("memit", [1.0, 1.0], count=10)])
    assert set(drawn) == {"zsre-10", "zsre-efficacy"}
    assert all("<svg" in each for each in drawn.values())


def test_the_report_of_one_edit_of_a_model_that_ended_its_text_at_once():
    one: dict[str, object] = {"by_fact": {"efficacy": [1.0], "entropy": [0.0]}}
    alone = one | {"count": 1, "facts": 1}
    text = report([result("unedited", [], **alone), result("memit", [], **alone)])
    assert "### zsre, 1 edit\n\nseed 0; 1 fact.\n" in text
    assert "| memit | 1.000 | 1.000 [1.00, 1.00] | - | - | - | - | - | 1.500 | 3 |" in text


def test_the_report_of_another_order_says_which_and_compares_with_the_unedited_model():
    rows = [
        result("memit", [0.0, 1.0], order="grouped"),
        result("unedited", [0.0, 0.0]),
        result("unedited", [0.0, 0.0], count=9, by_fact={"entropy": [30.0]}),
    ]
    drawn, grouped, _ = report(rows).split("### zsre, ")[1:]
    assert drawn.startswith("2 edits\n") and "memit" not in drawn
    assert grouped.startswith("2 edits, grouped\n") and "| unedited" not in grouped
    assert "| 1.00 | 1.500 | 3 |" in grouped  # of the entropy that is the same in any order


def _log_p(model, place, shift) -> float:
    """Log-probability of a place's answer, by a whole run, a shift added to layer 0's output."""

    def adding(_module, _inputs, output):
        hidden = output[0] if isinstance(output, tuple) else output
        hidden = hidden.clone()
        hidden[:, place.end] += shift
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    handle = None if shift is None else model.layers[0].register_forward_hook(adding)
    with torch.no_grad():
        output = trace(model, torch.tensor([place.ids])).output
    if handle:
        handle.remove()
    logs = model.logits(output[0]).log_softmax(-1)
    return fmean(float(logs[q.position, q.token]) for q in place.chain.questions)


def _likely(model, facts) -> list[float]:
    pairs = scored(model, Asked.of(model, facts, lambda _: ""))[OWN]
    return [new.log_p for group in pairs for new, _ in group]
