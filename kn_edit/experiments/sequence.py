"""A sequential run: updates made one on top of the other and all kept. Does the model collapse?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from statistics import fmean

from kn_edit.edits.delta import Delta
from kn_edit.evaluation.fluency import perplexity
from kn_edit.evaluation.plots import series
from kn_edit.evaluation.section import Claim, Plot, Section, Table
from kn_edit.experiments.lab import Lab
from kn_edit.experiments.rows import Row
from kn_edit.experiments.updating import new_answer
from kn_edit.models.questions import ask
from kn_edit.neurons.assess import accuracy, assess
from kn_edit.workspace.drafts import Bench
from kn_edit.workspace.locating import prompts_for
from kn_edit.workspace.neutral import unseen_texts
from kn_edit.workspace.progress import silent
from kn_edit.workspace.updating import draft_update

LOOKS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # after so many edits everything is measured
ENOUGH, COLLAPSE = 0.90, 1.2  # mean efficacy, and neutral perplexity in units of the base's


def measure(lab: Lab, edits: int) -> list[Row]:
    """One row for the base, then one an edit.

    After those of LOOKS, and the last: every edit so far, and neutral text.
    """
    cases = _in_turns(lab)[:edits]
    rows = lab.rows("sequence", edits=edits, solver=lab.solver)
    names = [f"{number} {name}" for number, name in enumerate(["the base", *cases])]
    return rows.all(names, lambda name: _row(lab, cases, int(name.split()[0])), lab.progress)


def _in_turns(lab: Lab) -> list[str]:
    """The sample's facts, relations in turns."""
    by_relation = [
        [name for name, case in lab.cases.items() if case.relation.name == relation]
        for relation in lab.relations
    ]
    turns = zip_longest(*by_relation)
    return [name for turn in turns for name in turn if name is not None]


def _row(lab: Lab, names: Sequence[str], number: int) -> Row:
    if number == 0:
        return {"perplexity": _perplexity(lab, [])}
    before = [_kept(lab, at) for at in range(1, number)]
    case = lab.cases[names[number - 1]]
    to = new_answer(lab, case)
    recipe = tuple(delta.id for delta in before)
    earlier = tuple(lab.cases[name] for name in names[: number - 1])
    bench = Bench(lab.workspace.engine, recipe, before, lab.how, silent, earlier=earlier)
    draft = draft_update(bench, case, to)
    file = _file(lab, number)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(draft.delta.to_bytes())
    row: Row = {"to": to, "metrics": draft.metrics, "neurons": len(draft.neurons)}
    if number in LOOKS or number == len(names):
        row["look"] = _look(lab, names[:number], [*before, draft.delta])
    return row


def _file(lab: Lab, number: int) -> Path:
    return lab.out / "rows" / "sequence" / f"{number:04}.safetensors"


def _kept(lab: Lab, number: int) -> Delta:
    return Delta.from_bytes(_file(lab, number).read_bytes())


def _look(lab: Lab, names: Sequence[str], deltas: Sequence[Delta]) -> Row:
    with lab.workspace.engine.at(deltas) as model:
        efficacy: list[float] = []
        generalization: list[float] = []
        for name in names:
            case = lab.cases[name]
            for shares, held_out in ((efficacy, False), (generalization, True)):
                prompts = prompts_for(model, case.relation, case.fact, held_out=held_out)
                chains = [ask(model, prompt, new_answer(lab, case)) for prompt in prompts]
                shares.append(accuracy(assess(model, chains)) or 0.0)
    return {
        "efficacy": fmean(efficacy),
        "generalization": fmean(generalization),
        "perplexity": _perplexity(lab, deltas),
    }


def _perplexity(lab: Lab, deltas: Sequence[Delta]) -> float:
    """On neutral text that no solver holds in place."""
    with lab.workspace.engine.at(deltas) as model:
        return perplexity(model, unseen_texts())


def section(rows: Sequence[Row]) -> Section:
    base = rows[0]["perplexity"]
    looks = {
        number: row["look"] | {"ratio": row["look"]["perplexity"] / base}
        for number, row in enumerate(rows)
        if "look" in row
    }
    lines = [
        (
            str(number),
            f"{look['efficacy']:.3f}",
            f"{look['generalization']:.3f}",
            f"{look['ratio']:.3f}",
        )
        for number, look in looks.items()
    ]
    count = len(rows) - 1
    last = looks[count]
    claims = (
        Claim(
            f"After {count} updates kept together, mean efficacy is {last['efficacy']:.3f}.",
            last["efficacy"] >= ENOUGH,
        ),
        Claim(
            f"Neutral perplexity is {last['ratio']:.3f} times the base's.",
            last["ratio"] < COLLAPSE,
        ),
    )
    columns = ("updates", "efficacy of all so far", "generalization", "neutral perplexity / base")
    text = "Updates made one on top of the other, relations in turns, none taken back."
    drawn = series(
        {
            words: {number: look[key] for number, look in looks.items()}
            for words, key in zip(columns[1:], ("efficacy", "generalization", "ratio"), strict=True)
        },
        "updates kept together",
        "share; times the base's",
    )
    plot = Plot("sequence", "Updates made one on top of the other", drawn)
    table = Table("Sequence", columns, tuple(lines))
    return Section("Many updates together", text, (table,), claims, (plot,))
