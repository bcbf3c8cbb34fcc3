"""The live model at a version as a value, and the port through which prompts are scored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch
from known_model import CAPITAL, saved
from workspaces import QUICK, about, new_workspace

from kn_edit.editing.locating import Locator, Search
from kn_edit.engine.engine import Engine
from kn_edit.engine.scores import CachedScorer, LocalScorer, Scorer, ScoreStore
from kn_edit.engine.version import ModelVersion
from kn_edit.errors import VersionLeft
from kn_edit.facts import Fact, Relation, Template
from kn_edit.models.questions import Chain, ask
from kn_edit.neurons.locate import ROUGH, PromptScores
from kn_edit.progress import silent
from kn_edit.workspace import Workspace


def chains(live: ModelVersion) -> list[Chain]:
    case = about("France")
    return [ask(live.model, prompt) for prompt in case.relation.prompts(case.fact)]


def scores_of(scorer: Scorer, asked: Sequence[Chain], method: str, m: int) -> list[PromptScores]:
    """The scores of prompts in their order."""
    scores = dict(scorer.scores(asked, method, m))
    assert sorted(scores) == list(range(len(asked)))
    return [scores[place] for place in range(len(asked))]


def remote(workspace: Workspace, scorer: CountingScorer) -> Engine:
    """An engine of the same base whose prompts are scored elsewhere."""

    def scoring(version: ModelVersion) -> CountingScorer:
        scorer.versions.append(version.recipe)
        return scorer

    return Engine(workspace.base, workspace.ledger_folder, scoring=scoring)


class CountingScorer:
    """Stands for a scorer on other machines: it has a model of its own, and counts its work."""

    def __init__(self, workspace: Workspace) -> None:
        self._local = LocalScorer(workspace.engine.fresh([]))
        self.asked: list[Chain] = []
        self.versions: list[tuple[str, ...]] = []
        self.methods: list[str] = []

    def scores(
        self, chains: Sequence[Chain], method: str, m: int
    ) -> Iterator[tuple[int, PromptScores]]:
        self.methods.append(method)
        for place, scores in self._local.scores(chains, method, m):
            self.asked.append(chains[place])
            yield place, scores

    def right(self, chains: Sequence[Chain]) -> list[bool]:
        self.asked += chains
        return self._local.right(chains)


def test_a_version_knows_its_recipe_and_ends_with_its_block(tmp_path):
    with new_workspace(tmp_path) as workspace:
        edit = workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        with workspace.engine.at([edit.draft.delta]) as live:
            assert live.recipe == (edit.edit,) == workspace.head.edits
            assert live.fingerprint == workspace.base.fingerprint
            kept = live.model
        for gone in ("model", "scorer"):
            with pytest.raises(VersionLeft, match="inside the block"):
                getattr(live, gone)
        with workspace.engine.at([]) as base:
            assert base.model is kept  # one network, and the value before it cannot reach it
            assert base.recipe == ()


def test_a_block_that_fails_ends_its_version_too(tmp_path):
    with new_workspace(tmp_path) as workspace:
        with pytest.raises(ZeroDivisionError), workspace.engine.at([]) as live:
            _ = 1 / 0
        with pytest.raises(VersionLeft):
            _ = live.model


def test_scores_are_kept_by_version_and_taken_from_there(tmp_path):
    with new_workspace(tmp_path) as workspace:
        edit = workspace.update(about("France"), "Rome", how=QUICK, accept=True)
        found = []
        for deltas in ([], [edit.draft.delta], []):
            with workspace.engine.at(deltas) as live:
                found.append(scores_of(live.scorer, chains(live), "activation", 20))
        assert found[0] == found[2] != found[1]
        with workspace.engine.at([]) as live:  # as if it were computed, so from the cache
            live.model.downs[0].weight.data.zero_()
            assert scores_of(live.scorer, chains(live), "activation", 20) == found[0]
            other = scores_of(live.scorer, chains(live), "riemann", 3)
        assert other != found[0]


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """The user's cache outlives the folders of tests, whose names come again."""
    monkeypatch.setenv("KN_EDIT_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("empty_cache")
def test_only_what_no_store_knows_is_asked_of_the_scorer_behind_it(tmp_path):
    with new_workspace(tmp_path) as workspace, workspace.engine.at([]) as live:
        asked = chains(live)
        behind = CountingScorer(workspace)
        store = ScoreStore("another base", (), {}, live.model)  # of which nothing is known yet
        scorer = CachedScorer(behind, store)
        first = scores_of(scorer, asked[1:2], "riemann", 7)
        assert behind.asked == asked[1:2]
        every = scores_of(scorer, asked, "riemann", 7)
        assert [*behind.asked[1:]] == [asked[0], *asked[2:]]
        assert every[1:2] == first
        # Rounding depends on the prompts that share a pass.
        for scores, alone in zip(
            every, scores_of(LocalScorer(live.model), asked, "riemann", 7), strict=True
        ):
            assert scores.prompt == alone.prompt
            assert dict(scores.neurons) == pytest.approx(dict(alone.neurons), rel=1e-3, abs=1e-9)
        behind.asked.clear()
        right = scorer.right(asked)
        assert behind.asked == asked
        assert right == scorer.right(asked) == LocalScorer(live.model).right(asked)
        assert behind.asked == asked


@pytest.mark.usefixtures("empty_cache")
def test_prompts_that_are_done_are_kept_when_the_others_are_interrupted(tmp_path):
    with new_workspace(tmp_path) as workspace, workspace.engine.at([]) as live:
        asked = chains(live)
        store = ScoreStore("another base", (), {}, live.model)
        running = CachedScorer(LocalScorer(live.model), store).scores(asked, "adaptive", 20)
        place, scores = next(running)
        running.close()  # as Ctrl-C does
        behind = CountingScorer(workspace)
        again = scores_of(CachedScorer(behind, store), asked, "adaptive", 20)
        assert again[place] == scores
        assert asked[place] not in behind.asked
        assert len(behind.asked) == len(asked) - 1


def test_an_engine_takes_another_scorer_and_locates_the_same_neurons(tmp_path):
    with new_workspace(tmp_path) as workspace:
        case = about("France")
        here = workspace.locate(case, search="riemann")
        elsewhere = CountingScorer(workspace)
        with remote(workspace, elsewhere).at([]) as live:
            locator = Locator(live, Search.by("riemann"), silent)
            common = locator.relation_neurons(case.relation, case.fact)
            there = locator.fact(case.relation, case.fact, common)
        # Rounding depends on the prompts that share a pass.
        assert dict(there.neurons) == pytest.approx(dict(here.neurons), rel=1e-3)
        assert (there.dropped, there.share) == (here.dropped, here.share)
        assert elsewhere.asked
        assert elsewhere.versions == [()]


@pytest.mark.parametrize("together", [1, 2, 24])
def test_facts_are_known_that_all_prompts_tell_and_no_more_are_asked(
    together, tmp_path, monkeypatch
):
    monkeypatch.setattr("kn_edit.editing.locating.ASKED", together)
    templates = tuple(map(Template, ("[X] [Y]", "the [X] [Y]", "is [X] [Y]")))
    wrong = {"Japan": "Rome", "Cuba": "Paris"}
    facts = tuple(Fact("capital", name, wrong.get(name, city)) for name, city in CAPITAL.items())
    relation = Relation("capital", templates, facts)
    with Workspace.init(saved(tmp_path / "model"), tmp_path / "work", device="cpu") as workspace:
        scorer = CountingScorer(workspace)
        with remote(workspace, scorer).at([]) as live:
            locator = Locator(live, Search(), silent)
            tried = locator.tried(relation)
            expected = [fact for fact in tried if fact.subject not in wrong]
            assert locator.known_facts(relation, most=2) == expected[:2]
            first = {chain.prompt.fact for chain in scorer.asked}
            assert locator.known_facts(relation) == expected
            assert locator.known_facts(relation, most=3) == expected[:3]
    assert len(first) == min(-(-(tried.index(expected[1]) + 1) // together) * together, len(tried))
    assert len(scorer.asked) == 3 * len(expected) + len(wrong)  # a wrong one is asked once


def test_where_no_fact_is_known_all_count(tmp_path):
    relation = Relation("capital", (Template("[X] [Y]"),), (Fact("capital", "Cuba", "Paris"),))
    with (
        Workspace.init(saved(tmp_path / "model"), tmp_path / "work", device="cpu") as workspace,
        workspace.engine.at([]) as live,
    ):
        assert Locator(live, Search(), silent).known_facts(relation) == [*relation.facts]


def test_the_relation_filter_is_integrated_roughly_and_the_fact_itself_is_not(tmp_path):
    with new_workspace(tmp_path) as workspace:
        case, scorer = about("France"), CountingScorer(workspace)
        with remote(workspace, scorer).at([]) as live:
            locator = Locator(live, Search(), silent)
            locator.relation_neurons(case.relation, case.fact)
            assert set(scorer.methods) == {ROUGH}
            locator.fact(case.relation, case.fact, frozenset())
            rough, exact = (
                scores_of(LocalScorer(live.model), chains(live), method, 0)
                for method in (ROUGH, "adaptive")
            )
    assert scorer.methods[-1] == "adaptive"
    for coarse, fine in zip(rough, exact, strict=True):
        assert coarse.nodes <= fine.nodes
        assert coarse.coarse(0.25) <= fine.coarse(0.2)
        assert fine.coarse(0.25) <= coarse.coarse(0.2)


def test_progress_counts_prompts_as_their_scores_come(tmp_path):
    told: list[tuple[str, int, int]] = []
    with new_workspace(tmp_path) as workspace, workspace.engine.at([]) as live:
        locator = Locator(live, Search.by("activation"), lambda *step: told.append(step))
        locator.fact(about("France").relation, about("France").fact, frozenset())
    located = [step for step in told if step[0] == "locating France"]
    assert [done for _, done, _ in located] == [*range(located[0][2] + 1)]


def test_a_model_of_its_own_lies_where_the_live_one_does(tmp_path):
    new_workspace(tmp_path).close()
    with Workspace.open(tmp_path / "work", dtype="bfloat16") as workspace:
        assert workspace.engine.fresh([]).dtype == workspace.engine.model.dtype == torch.bfloat16
