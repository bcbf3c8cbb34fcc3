"""A prompt with words left out: what is left of it in a paraphrase that nobody foresaw."""

from __future__ import annotations

from random import Random

from kn_edit.errors import BadTemplate
from kn_edit.facts.fact import ANSWER, SUBJECT, Template

LEFT = 0.5  # chance of each word to stay
MOVED = 0.5  # chance that the subject stands elsewhere among them
TRIES = 4  # for each that is wanted


def shortened_templates(template: Template, count: int, draw: Random) -> tuple[Template, ...]:
    """At most so many templates with the subject and a part of the words around it, drawn.

    What stands at the end, before the answer, stays: `[X] born [Y]`, `city [X]? [Y]`. Fewer where
    there are few words; none where the template does not end with its answer.
    """
    before, _, after = template.text.partition(ANSWER)
    if not template.answer_last or SUBJECT not in before:
        return ()
    end = "?" if before.rstrip().endswith("?") else ""
    first, _, last = before.rstrip().rstrip("?").partition(SUBJECT)
    found: dict[str, Template] = {}
    for _ in range(count * TRIES):
        if len(found) == count:
            break
        left = [word for word in first.split() if draw.random() < LEFT]
        right = [word for word in last.split() if draw.random() < LEFT]
        words = [*left, SUBJECT, *right]
        if draw.random() < MOVED:
            words.remove(SUBJECT)
            words.insert(draw.randrange(len(words) + 1), SUBJECT)
        text = f"{' '.join(words)}{end} {ANSWER}{after}"
        if text not in (template.text, *found):
            try:
                found[text] = Template(text)
            except BadTemplate:  # a second [X] in the user's words
                continue
    return tuple(found.values())
