"""What to try where the gate refused an edit, in the order of promise, with commands to paste."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from kn_edit.cli.again import Options, again, quoted
from kn_edit.errors import Advice, GateFailed, KnEditError, RowsFailed

if TYPE_CHECKING:
    from kn_edit.workspace import Assessment, Draft, Edited

NAMED = "the neurons that the search puts first, and no others"
LEAST_SLOTS = 40  # that an advice to take more names
MOST_SLOTS = 1000
MOST_NAMED = 60  # neurons that a command lists
MOST_PROMPTS = 4  # of a relation, that a command lists
INDENT = "    "
FORMULA = ("method", "scale")  # parameters of the closed form
FACT = ("relation", "prompts", "subject", "answer", "to", "statement", "statements")


def advice_on(*edits: Edited) -> tuple[Advice, ...]:
    """What to try where edits of the present command are refused, the most promising first.

    Empty where none of them failed the gate.
    """
    context = click.get_current_context()
    drafts = [
        edit.draft
        for edit in edits
        if edit.edit is None and (edit.draft.faults or edit.draft.unsound)
    ]
    if not drafts:
        return ()
    if drafts[0].kind == "erase":
        return tuple(_of_erasure(context))
    if any(draft.unsound for draft in drafts):
        return tuple(_of_formula(context, drafts))
    if drafts[0].further:
        return tuple(_of_many(context, drafts[0]))
    missed = any(answer.miss for draft in drafts for answer in draft.after)
    steps = _of_missed(context, drafts) if missed else _of_harm(context, drafts)
    return (*_of_formula(context, drafts), *steps, _accepted(context))


@contextmanager
def advised() -> Iterator[None]:
    """Add to what the gate refuses inside what to try, with commands like the present one."""
    try:
        yield
    except (GateFailed, RowsFailed) as error:
        results: Any = error.result if isinstance(error, GateFailed) else error.results
        error.tries = advice_on(*(results if isinstance(results, list) else [results]))
        raise


def tell_advice(advice: Iterable[Advice], heading: str = KnEditError.tries_are) -> None:
    """Print what to try on stderr, each command below its words."""
    with suppress(OSError, ValueError):  # nobody listens; the exit code says what happened
        for number, entry in enumerate(advice):
            if not number:
                click.echo(f"{heading}:", err=True)
            click.echo(f"  {number + 1}. {entry.what}", err=True)
            for line in entry.command.splitlines():
                click.echo(f"{INDENT}{line}", err=True)


def advice_json(advice: Iterable[Advice]) -> list[dict[str, object]]:
    return [entry.plain() for entry in advice]


def _of_many(context: click.Context, draft: Draft) -> Iterator[Advice]:
    """Of one edit of several facts."""
    yield _wording(context, [draft])
    each = again(context, leave_out=["as_one_edit", "method"])
    yield Advice("an edit of each fact, by the usual method", each)
    yield _accepted(context)


def _of_missed(context: click.Context, drafts: Sequence[Draft]) -> Iterator[Advice]:
    """Where the new answer does not come."""
    yield _wording(context, drafts)
    if len(drafts) == 1:
        yield Advice(NAMED, _with_neurons(context, drafts[0]))
    yield from _more_slots(context, drafts)
    yield from _holding(context, drafts)


def _more_slots(context: click.Context, drafts: Sequence[Draft]) -> Iterator[Advice]:
    """A correction writes all slots of its layers, unless the user says how many."""
    if drafts[0].method == "correction":
        if context.params.get("slots"):
            command = again(context, leave_out=("neurons", "slots", *FORMULA))
            yield Advice("more slots: all of the layers that are written", command)
        return
    slots = max(2 * _written(drafts), LEAST_SLOTS)
    if slots <= MOST_SLOTS:
        yield Advice("more slots", _with_slots(context, slots))


def _of_harm(context: click.Context, drafts: Sequence[Draft]) -> Iterator[Advice]:
    """Where the new answer comes, and other answers change with it."""
    yield from _holding(context, drafts)
    slots = _written(drafts) // 2
    if slots:
        yield Advice("fewer slots", _with_slots(context, slots))
    if len(drafts) == 1:
        yield Advice(NAMED, _with_neurons(context, drafts[0]))


def _holding(context: click.Context, drafts: Sequence[Draft]) -> Iterator[Advice]:
    """Where an edit changed too many answers of other subjects."""
    if len(drafts) > 1 or context.params.get("facts") or not drafts[0].harmful:
        return
    names = dict.fromkeys(change.prompt.fact.subject for change in drafts[0].changed)
    named = context.params.get("neighbours") or ()
    subjects = [*named, *[name for name in names if name not in named][:MOST_PROMPTS]]
    command = again(context, options={"--neighbour": subjects})
    yield Advice("holding the other subjects whose answers changed", command)


def _of_formula(context: click.Context, drafts: Sequence[Draft]) -> Iterator[Advice]:
    if any(draft.method == "closed-form" for draft in drafts):
        command = again(context, leave_out=FORMULA)
        yield Advice("solving for the change, in place of the paper's formula", command)


def _of_erasure(context: click.Context) -> Iterator[Advice]:
    parameters = context.params
    for name, option in (("least", "--at-least"), ("top", "--top-k")):
        count = parameters.get(name)
        if count:
            number = count + 1 if name == "least" else count // 2
            if number:
                yield Advice("fewer neurons", again(context, options={option: [str(number)]}))
            break
    else:
        times = 1 + (parameters.get("times", 2.0) - 1) / 2
        yield Advice("forgetting less", again(context, options={"--times": [f"{times:g}"]}))
    yield _accepted(context)


def _accepted(context: click.Context) -> Advice:
    command = again(context, leave_out=["dry_run"], options={"--accept": [""]})
    return Advice("recording it all the same, with what is wrong", command)


def _wording(context: click.Context, drafts: Sequence[Draft]) -> Advice:
    """Put the prompts that failed in other words; the user knows better ones."""
    (draft, *further) = drafts
    words = "another wording of what fails"
    if further or context.params.get("facts") or draft.subject is None or draft.target is None:
        return Advice(words)
    relation = context.params.get("relation")
    options: Options = {
        **({"--relation": [relation]} if relation and relation.isidentifier() else {}),
        "--prompt": _worded(draft),
        "--subject": [draft.subject],
        **({"--answer": [draft.answer]} if draft.answer else {}),
        "--to": [draft.target],
    }
    command = again(context, leave_out=FACT, options=options)
    return Advice(f"{words}, such as this one or your own", command)


def _worded(draft: Draft) -> list[str]:
    """Templates for the prompts of an edit: in place of each that failed a paraphrase to which the
    new answer came all the same, or the same as a question."""
    right = _texts(answer for answer in draft.after if not answer.miss)
    wrong = _texts(answer for answer in draft.after if answer.miss)
    spare = [
        text
        for text in _texts(answer for answer in draft.paraphrases if answer.right)
        if _plain(text)
    ]
    replacements = [spare.pop(0) if spare else _as_question(text) for text in wrong[:MOST_PROMPTS]]
    return list(dict.fromkeys([*right[:MOST_PROMPTS], *replacements]))


def _texts(answers: Iterable[Assessment]) -> list[str]:
    return [answer.prompt.template.text for answer in answers]


def _plain(template: str) -> bool:
    """Whether a template is a line that a person might write, and not one of a chat format."""
    return template.isprintable() and "<|" not in template


def _as_question(template: str) -> str:
    """A template as a question and its answer, the subject once; a question as a statement."""
    stem = template.partition("[Y]")[0].strip()
    if stem.startswith("Question:"):
        return f"It is well known: {stem.removeprefix('Question:').strip()} [Y]."
    return f"Question: {stem.rstrip(' ,;:?')}? Answer: [Y]"


def _with_neurons(context: click.Context, draft: Draft) -> str:
    located = [f"L{neuron['layer']}.{neuron['index']}" for neuron in draft.found.get("neurons", ())]
    written = {str(neuron) for neuron in draft.delta.neurons()}
    out = ("slots", *FORMULA)
    if located and {*located} != written and len(located) <= MOST_NAMED:
        return again(context, leave_out=out, options={"--neurons": [" ".join(located)]})
    templates = [answer.prompt.template.text for answer in draft.after][:MOST_PROMPTS]
    words = ["kn-edit", "locate", *(word for text in templates for word in ("--prompt", text))]
    words += ["--subject", draft.subject or "", "--answer", draft.answer or "", "-q"]
    listing = " ".join(map(quoted, words))
    return again(context, leave_out=out, raw={"--neurons": f'"$({listing})"'})


def _with_slots(context: click.Context, slots: int) -> str:
    return again(context, leave_out=("neurons", *FORMULA), options={"--slots": [str(slots)]})


def _written(drafts: Sequence[Draft]) -> int:
    return max(len(draft.neurons) for draft in drafts)
