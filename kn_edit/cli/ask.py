"""Commands that ask the model: assess, locate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kn_edit.cli import tables
from kn_edit.cli.naming import Named, fact_options, tell_how_asked, tell_passed_over
from kn_edit.cli.opening import pass_workspace
from kn_edit.cli.options import (
    Asking,
    Rule,
    engine_options,
    model_options,
    output_options,
    protocol_options,
    rule_options,
    seed_option,
    version_option,
)
from kn_edit.cli.output import Output
from kn_edit.workspace import Case, Relation, Workspace, load_relation, to_json

if TYPE_CHECKING:
    from kn_edit.workspace import Located


@click.command()
@fact_options
@version_option
@engine_options
@model_options
@output_options
@pass_workspace
def assess(workspace: Workspace, named: Named, version: str, output: Output) -> None:
    """What the model answers to every prompt of a fact.

    Shows p(answer), the answer's rank (1 is first) and what the model would say instead. With -q,
    only its first word for each prompt.

    \b
    Examples:
      kn-edit assess --relation capital --subject France
      kn-edit assess --prompt "Lyra was born in the city of [Y], [X]." \\
          --subject Lyra --answer Oxford
    """
    cases = named.askable(workspace)
    answers = [
        answer for answers in workspace.assess_many(cases, version=version) for answer in answers
    ]
    output.show(
        [to_json.assessment(answer) for answer in answers],
        [tables.word(answer.top[0][0]) for answer in answers],
        lambda: tables.assessments(answers),
    )
    tell_how_asked(workspace, cases, output)


@click.command()
@fact_options
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", help="Of a relation, so many known facts."
)
@rule_options
@version_option
@engine_options
@model_options
@output_options
@pass_workspace
def locate(
    workspace: Workspace,
    named: Named,
    limit: int | None,
    rule: Rule,
    version: str,
    output: Output,
) -> None:
    """Find the neurons that carry a fact, or a whole relation.

    Scores every neuron by integrated gradients, keeps those that the fact's prompts share, and
    leaves out those that other facts of the relation have too. A relation without a subject gives
    the neurons of each fact that the model knows.

    \b
    Examples:
      kn-edit locate --relation capital --subject France
      kn-edit locate --relation capital --limit 10 --json
      kn-edit locate --relation capital --subject France --rule riemann --steps 20
    """
    search = rule.search()
    if named.whole_relation and not named.is_list:
        relation = _relation(named)
        attributions = workspace.locate_relation(
            relation, most=limit, search=search, version=version, seed=rule.seed
        )
        cases: tuple[Case, ...] = ()
        tell_passed_over(workspace, relation, output)
    else:
        if limit is not None:
            raise click.UsageError("--limit belongs to a whole --relation, without --subject")
        cases = named.askable(workspace)
        attributions = [
            workspace.locate(case, search=search, version=version, seed=rule.seed) for case in cases
        ]
    _show(attributions, named, output)
    tell_how_asked(workspace, cases, output)


@click.command()
@click.argument("version", default="head")
@protocol_options
@seed_option
@engine_options
@model_options
@output_options
@pass_workspace
def evaluate(workspace: Workspace, version: str, asking: Asking, seed: int, output: Output) -> None:
    """Measure VERSION (head) against the base.

    Of its updates: efficacy, generalization, specificity and their harmonic mean, the neighbours
    drawn several times. Of the model: perplexity on neutral text, and the n-gram entropy of
    what it generates. Brackets are 95% bootstrap intervals over updates, of specificity also
    over the prompts that judge, as many of them judge several updates.

    These figures feed the answer in (protocol `teacher-forced`), as papers mostly do. What an edit
    is worth to who talks to the model, other protocols tell. They take seconds for each update:

    \b
      free         asked as a question, in the model's chat format if it has
                   one, else as a text to go on with, greedily and drawn: right
                   when the new answer is said and the old one is not.
                   Repetition shows as a share of the base's n-gram entropy.
      choice       the old and the new answer are offered, in both orders.
      portability  the fact asked the other way round.
      locality     whole answers of other subjects, of the same subject, and of
                   others behind the edit stated as a sentence.
      all          all of these.

    `--rounded` shows what a smaller number format leaves of the edits.

    \b
    Examples:
      kn-edit evaluate
      kn-edit evaluate --protocol free --samples 5
      kn-edit evaluate --rounded int8
      kn-edit evaluate v1 --json
    """
    evaluation = workspace.evaluate(
        version,
        seed=seed,
        protocols=asking.protocol,
        tokens=asking.tokens,
        samples=asking.samples,
        rounded=asking.rounded,
    )
    score = "" if evaluation.score is None else f"{evaluation.score:.3f}"
    output.show(to_json.evaluation(evaluation), [score], lambda: tables.evaluation(evaluation))
    for words in evaluation.passed_over:
        output.notice(f"not asked: edit {words}")


def _relation(named: Named) -> Relation:
    assert named.relation is not None
    return load_relation(named.relation)


def _show(attributions: list[Located], named: Named, output: Output) -> None:
    data = [to_json.located(attribution) for attribution in attributions]
    single = not (named.is_list or named.whole_relation)
    output.show(
        data[0] if single else data,
        dict.fromkeys(
            str(neuron) for attribution in attributions for neuron, _ in attribution.neurons
        ),
        lambda: (
            tables.located(attributions[0]) if single else map(tables.located_row, attributions)
        ),
    )
    if not all(attribution.reached for attribution in attributions):
        output.notice("the tolerance was not reached on every prompt; --json shows the gaps")
