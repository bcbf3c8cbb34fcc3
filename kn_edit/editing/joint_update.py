"""What a joint update asks the model: keys and targets of its facts, and what it must leave alone.

Nothing here depends on the order of the facts, so that a set of them has one delta.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kn_edit.editing.correction_texts import ordinary_texts
from kn_edit.editing.earlier import held_answers
from kn_edit.editing.locating import prompts_for
from kn_edit.editing.neutral import everywhere, held_in_place
from kn_edit.editing.paraphrasing import less_own_words
from kn_edit.editing.updating import LowRankShifts, UpdateTask
from kn_edit.edits.joint import JointTask, solve_jointly
from kn_edit.edits.settings import JointSettings
from kn_edit.facts import Relation
from kn_edit.models.batching import side_by_side
from kn_edit.models.float64 import in_float64
from kn_edit.models.model import Model
from kn_edit.models.predict import coefficients_in_batches, lead
from kn_edit.models.questions import Question, ask_openly, batched
from kn_edit.models.trace import run_from, trace
from kn_edit.models.usage import coefficients_in, usual_sizes
from kn_edit.neuron import NeuronId
from kn_edit.progress import Progress, silent

RECORDED_SLOTS = 20  # slots that the record names, the best
FEWEST_LAYERS = 4  # of a network, for its last layers to stay as they are
FARTHEST = 4.0  # times the found target, the smallest one of its direction is looked for

Tick = Callable[[int, int], None]


def joint_shifts(tasks: Sequence[UpdateTask], settings: JointSettings) -> LowRankShifts:
    """Shifts of a layer's value slots that say the new answers of all tasks. Raises NotFinite."""
    ordered = sorted(tasks, key=_place)
    model, context = ordered[0].model, ordered[0].context
    layer = written_layer(model, settings)
    rows = _rows(ordered)
    keys = _keys(model, [row.question for row in rows], layer, silent)
    held_questions = _held_questions(ordered, rows, settings)
    held = _keys(model, held_questions, layer, context.progress)

    def tick(step: int, total: int) -> None:
        context.progress("solving", step, total)

    # Grad is off where a caller works in inference mode, and nothing could be solved there.
    with torch.inference_mode(False):
        targets = _targets(model, rows, layer, settings, tick)
    texts = _in_text(model, layer, context.seed)
    task = JointTask(
        keys=keys,
        target_of=torch.tensor([row.target for row in rows]),
        targets=targets,
        held=held,
        moment=texts.T @ texts / max(len(texts), 1),
    )
    solution = solve_jointly(task, settings)
    best = _best(layer, solution.u, solution.v)
    provenance: dict[str, Any] = {
        "method": "joint",
        "layer": layer,
        "targets": len(targets),
        "places": len(rows),
        "held_places": len(held),
        "share": float(solution.shares.mean()),
        "reach": solution.reach,
        "neurons": [
            {"layer": neuron.layer, "index": neuron.index, "score": part} for neuron, part in best
        ],
    }
    return LowRankShifts({layer: (solution.u, solution.v)}, provenance, best)


def written_layer(model: Model, settings: JointSettings) -> int:
    """The layer whose slots are written: near the end, where subjects have come apart."""
    above = settings.below if model.causal and model.n_layers >= FEWEST_LAYERS else 0
    return model.n_layers - 1 - min(above, model.n_layers - 1)


@dataclass(frozen=True)
class _Row:
    """A place where a token of a new answer is asked. target: the number of its target"""

    question: Question
    target: int


def _place(task: UpdateTask) -> tuple[str, ...]:
    """Where a fact stands among others, whoever gave them in which order."""
    prompts = [chain.prompt.cloze for chain in task.new]
    return (task.case.relation.name, task.case.fact.subject, task.to, *prompts)


def _rows(tasks: Sequence[UpdateTask]) -> list[_Row]:
    """Every token of every prompt's new answer; that of all wordings of a fact has one target."""
    rows: dict[_Row, None] = {}
    first = 0
    for task in tasks:
        longest = max(len(chain.questions) for chain in task.new)
        for chain in task.new:
            for token, question in enumerate(chain.questions):
                rows[_Row(question, first + token)] = None
        for question in less_own_words(task.model, task.new, task.context.seed):
            rows[_Row(question, first)] = None
        first += longest
    return list(rows)


def _held_questions(
    tasks: Sequence[UpdateTask], rows: Sequence[_Row], settings: JointSettings
) -> list[Question]:
    """Where nothing is to change: other subjects in several wordings, other relations, text.

    Nothing that judges, and no prompt that is edited.
    """
    model, context = tasks[0].model, tasks[0].context
    judges = {
        ask_openly(model, prompt).ids
        for task in tasks
        for prompt in (*task.neighbours.judges, *task.neighbours.same_subject_judges)
    }
    edited = {row.question.ids for row in rows}
    questions: list[Question] = held_in_place(model, context.seed)
    for task in tasks:
        beside = task.neighbours
        about_subject, earlier = held_answers(model, context.earlier, task.case.fact.subject)
        for group in (beside.named, beside.other_subjects, beside.elsewhere, beside.same_subject):
            questions += group
        questions += (*about_subject, *earlier)
    # Facts in own prompts have one name for their relation, and templates of their own.
    by_relation: dict[tuple[object, ...], list[UpdateTask]] = {}
    for task in tasks:
        relation = task.case.relation
        by_relation.setdefault((relation.name, *relation.templates), []).append(task)
    for of_one_relation in by_relation.values():
        questions += _other_facts(model, of_one_relation, settings)
    by_place = {(question.ids, question.position): question for question in questions}
    return [
        by_place[place]
        for place in sorted(by_place)
        if place[0] not in judges and place[0] not in edited
    ]


def _other_facts(
    model: Model, tasks: Sequence[UpdateTask], settings: JointSettings
) -> Iterator[Question]:
    """Prompts of a relation's other facts, but of those that judge."""
    relation: Relation = tasks[0].case.relation
    without = {task.case.fact.subject for task in tasks}
    without |= {prompt.fact.subject for task in tasks for prompt in task.neighbours.judges}
    other_facts = [fact for fact in relation.facts if fact.subject not in without]
    for fact in other_facts[: settings.held_facts]:
        for prompt in prompts_for(model, relation, fact)[: settings.wordings]:
            yield ask_openly(model, prompt)


def _keys(model: Model, questions: Sequence[Question], layer: int, progress: Progress) -> Tensor:
    """Coefficients of a layer at each answer position, float32, (questions, d_ff)."""
    keys = torch.empty(len(questions), model.d_ff, device=model.device)
    first = 0
    for batch in coefficients_in_batches(model, questions):
        progress("asking others", first, len(questions))
        keys[first : first + len(batch)] = batch[:, layer].float()
        first += len(batch)
    return keys


def _in_text(model: Model, layer: int, seed: int) -> Tensor:
    """Coefficients of a layer in ordinary text, float64, (places, d_ff).

    At every token in a causal LM; in a masked one where a token is masked, as answers are.
    """
    if model.causal:
        keys = coefficients_in(model, ordinary_texts(model, seed), [layer])[layer]
    else:
        keys = _keys(model, everywhere(model, seed), layer, silent)
    return in_float64(keys)


@dataclass(frozen=True, eq=False)
class _Group:
    """Rows that run side by side, from the input of the written layer on."""

    hidden: Tensor
    calls: dict[int, Any]
    places: tuple[Tensor, Tensor]  # (rows of `hidden`, positions)
    tokens: Tensor
    targets: Tensor  # the number of each one's target


def _targets(
    model: Model, rows: Sequence[_Row], layer: int, settings: JointSettings, tick: Tick
) -> Tensor:
    """The smallest shifts of what a layer writes that bring each token to the front, (t, d_model).

    A direction is found by Adam on a squared hinge over all wordings; then the smallest multiple
    of it is taken by which the token leads everywhere by the margin.
    """
    groups = list(_groups(model, rows, layer))
    count = 1 + max(row.target for row in rows)
    usual = float(usual_sizes(model, [row.question.ids for row in rows[:64]], [layer])[0])
    targets = torch.zeros(count, model.d_model, device=model.device, requires_grad=True)
    optimizer = torch.optim.Adam([targets], lr=settings.rate * usual / model.d_model**0.5)
    total = settings.steps + settings.bisections
    for step in range(settings.steps):
        tick(step, total)
        gradient = torch.zeros_like(targets)
        for group in groups:
            missing = (settings.margin - _leads(model, group, targets, layer)).clamp_min(0)
            gradient += torch.autograd.grad(missing.square().sum(), targets)[0]
        targets.grad = gradient
        optimizer.step()
    directions = targets.detach()
    low = directions.new_zeros(count)
    high = directions.new_full((count,), FARTHEST)
    for step in range(settings.bisections):
        tick(settings.steps + step, total)
        middle = (low + high) / 2
        least = directions.new_full((count,), torch.inf)
        with torch.no_grad():
            for group in groups:
                leads = _leads(model, group, directions * middle[:, None], layer)
                least.scatter_reduce_(0, group.targets, leads, "amin")
        enough = least >= settings.margin
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return directions * high[:, None]


def _groups(model: Model, rows: Sequence[_Row], layer: int) -> Iterator[_Group]:
    """The rows at the input of a layer, in batches."""
    questions = [row.question for row in rows]
    for places in side_by_side(model, questions):
        batch = batched(model, [questions[place] for place in places], separate_rows=True)
        with torch.no_grad():
            run = trace(model, batch.ids, mask=batch.mask)
        yield _Group(
            hidden=run.inputs[layer].detach(),
            calls={number: call for number, call in run.calls.items() if number >= layer},
            places=(batch.rows, batch.positions),
            tokens=batch.tokens,
            targets=torch.tensor([rows[place].target for place in places], device=model.device),
        )


def _leads(model: Model, group: _Group, targets: Tensor, layer: int) -> Tensor:
    """By how much each row's token leads where a layer also writes its target, (rows,)."""
    shifts = targets[group.targets]

    def adding(_module: Any, _inputs: Any, written: Tensor) -> Tensor:
        shape = group.hidden.shape
        addition = written.new_zeros(*shape[:2], shifts.shape[1])
        addition = addition.index_put(group.places, shifts.to(written))
        return written + addition.view(written.shape)

    handle = model.downs[layer].register_forward_hook(adding)
    try:
        output = run_from(model, layer, group.hidden, group.calls)
    finally:
        handle.remove()
    log_p = model.logits(output[group.places]).float().log_softmax(-1)
    return lead(log_p, group.tokens)


def _best(layer: int, u: Tensor, v: Tensor) -> tuple[tuple[NeuronId, float], ...]:
    """The neurons whose slots are changed most, sorted, each with its share of all changes."""
    sizes = ((u.T @ (v @ v.T)) * u.T).sum(1).clamp_min(0).sqrt()  # (d_ff,)
    parts = sizes / sizes.sum().clamp_min(torch.finfo(sizes.dtype).tiny)
    top: Iterable[int] = parts.argsort(descending=True, stable=True)[:RECORDED_SLOTS].tolist()
    return tuple(sorted((NeuronId(layer, index), float(parts[index])) for index in top))
