"""Conflicts of facts: which two sides of a merge have, and what a choice leaves out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from ledgers import about, delta_of, digests, move, new_ledger, record

from kn_edit.errors import (
    AlreadyThere,
    BadSetting,
    ChoicesClash,
    ExitCode,
    FactsDiffer,
    SlotOverlap,
)
from kn_edit.ledger.conflicts import (
    Claim,
    FactConflict,
    Settled,
    about_fact,
    conflicts,
    overtaken,
)
from kn_edit.ledger.history import composed
from kn_edit.ledger.records import FactChange
from kn_edit.workspace.merging import Join

# --- as a pure function --------------------------------------------------------------------------


def update(edit: str, answer: str, subject: str = "France", *templates: str) -> Claim:
    return Claim(edit, "capital", subject, answer, frozenset(templates))


def erase(edit: str, relation: str = "capital") -> Claim:
    return Claim(edit, relation, None, None)


def found(ours: str, theirs: str, *claims: Claim) -> list[tuple[str, str]]:
    """Pairs of edits that are in conflict; recipes are words of letters, one an edit."""
    by_edit: dict[str, list[Claim]] = {}
    for claim in claims:
        by_edit.setdefault(claim.edit, []).append(claim)
    return [(each.ours.edit, each.theirs.edit) for each in conflicts(ours, theirs, by_edit)]


def test_two_answers_of_one_fact_are_a_conflict_and_two_facts_are_none():
    assert found("a", "b", update("a", "Rome"), update("b", "Oslo")) == [("a", "b")]
    assert found("a", "b", update("a", "Rome"), update("b", "Oslo", "Japan")) == []
    other = Claim("b", "language", "France", "Oslo")
    assert found("a", "b", update("a", "Rome"), other) == []


def test_the_same_answer_is_none():
    assert found("a", "b", update("a", "Rome"), update("b", " Rome")) == []


def test_of_each_side_the_last_word_counts():
    claims = (update("a", "Oslo"), update("c", "Rome"), update("b", "Rome"))
    assert found("ac", "b", *claims) == []
    assert found("ca", "b", *claims) == [("a", "b")]


def test_a_later_edit_that_replaces_an_earlier_one_is_none():
    claims = (update("a", "Rome"), update("b", "Oslo"), update("c", "Cairo"))
    assert found("ab", "a", *claims) == []
    assert found("a", "ab", *claims) == []
    assert found("ab", "abc", *claims) == []
    assert found("ab", "ac", *claims) == [("b", "c")]


def test_where_an_edit_of_both_has_the_last_word_there_is_none():
    claims = (update("x", "Lyon"), update("s", "Rome"), update("y", "Oslo"))
    assert found("xs", "sy", *claims) == []


def test_an_erasure_meets_every_update_of_its_relation():
    claims = (erase("e"), update("u", "Rome"), update("v", "Oslo", "Japan"))
    assert found("e", "uv", *claims) == [("e", "u"), ("e", "v")]
    assert found("uv", "e", *claims) == [("u", "e"), ("v", "e")]
    assert found("e", "uv", erase("e", "language"), *claims[1:]) == []


def test_an_erasure_that_an_own_update_or_erasure_came_after_is_none():
    claims = (erase("e"), update("u", "Rome"), update("w", "Rome"), erase("f"))
    assert found("eu", "w", *claims) == []  # both say Rome
    assert found("e", "uf", *claims) == []  # both erased it
    assert found("ue", "w", *claims) == [("e", "w")]


def test_own_prompts_are_one_fact_where_they_have_a_template_in_common():
    def own(edit: str, answer: str, *templates: str) -> Claim:
        return Claim(edit, "own", "Lyra", answer, frozenset(templates))

    assert found("a", "b", own("a", "Oxford", "x", "y"), own("b", "Bonn", "y")) == [("a", "b")]
    assert found("a", "b", own("a", "Oxford", "x"), own("b", "Bonn", "y")) == []


def test_an_edit_of_many_facts_is_in_a_conflict_for_each():
    claims = (update("a", "Rome"), update("a", "Rome", "Japan"), update("b", "Oslo"))
    assert found("a", "bc", *claims, update("c", "Bonn", "Japan")) == [("a", "b"), ("a", "c")]


FACTS = ("France", "Japan", None)
ANSWERS = ("Rome", "Oslo")
EDITS = "abcdef"
claim_lists = st.fixed_dictionaries(
    {
        edit: st.lists(
            st.tuples(st.sampled_from(FACTS), st.sampled_from(ANSWERS)), min_size=1, max_size=2
        ).map(
            lambda facts, edit=edit: [
                Claim(edit, "capital", subject, answer if subject else None)
                for subject, answer in facts
            ]
        )
        for edit in EDITS
    }
)
recipes = st.permutations(EDITS).flatmap(
    lambda order: st.integers(0, len(EDITS)).map(lambda size: tuple(order[:size]))
)


def last_word(recipe, claims, subject):
    said = [
        claim
        for edit in recipe
        for claim in claims[edit]
        if claim.subject is None or claim.subject == subject
    ]
    return said[-1] if said else None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(recipes, recipes, claim_lists)
def test_conflicts_are_the_same_from_either_side_and_what_the_last_words_say(ours, theirs, claims):
    here = conflicts(ours, theirs, claims)
    assert {each.turned for each in conflicts(theirs, ours, claims)} == {*here}
    expected = set()
    for subject in ("France", "Japan"):
        a, b = last_word(ours, claims, subject), last_word(theirs, claims, subject)
        if a is None or b is None or a.answer == b.answer:
            continue
        if a.edit not in theirs and b.edit not in ours:
            expected.add((subject, a.edit, b.edit))
    assert {(each.fact.subject, each.ours.edit, each.theirs.edit) for each in here} == expected


@settings(max_examples=100, deadline=None, derandomize=True)
@given(recipes, st.integers(0, 6), claim_lists)
def test_a_side_has_none_with_its_own_past(recipe, size, claims):
    assert conflicts(recipe, recipe[:size], claims) == ()
    assert conflicts(recipe[:size], recipe, claims) == ()


def test_an_edit_that_theirs_went_on_from_does_not_get_the_last_word_unasked():
    claims = {"a": [update("a", "Rome")], "b": [update("b", "Oslo")]}
    assert conflicts("a", "ba", claims) == overtaken("ba", "a", claims) == ()
    (late,) = overtaken("a", "ba", claims)  # the union is a, b
    assert (late.ours.edit, late.theirs.edit) == ("a", "b")
    assert overtaken("a", "ab", claims) == ()  # b has it there, too


@settings(max_examples=300, deadline=None, derandomize=True)
@given(recipes, recipes, claim_lists, st.sampled_from(["ours", "theirs"]))
def test_after_a_choice_the_last_word_is_what_was_chosen_and_never_a_third(
    ours, theirs, claims, keep
):
    claims = {edit: said[:1] for edit, said in claims.items()}
    differing = conflicts(ours, theirs, claims)
    late = [
        each
        for each in overtaken(ours, theirs, claims)
        if not any(each.fact.meets(other.fact) for other in differing)
    ]
    own = {
        "ours": [e for e in theirs if e not in ours],
        "theirs": [e for e in ours if e not in theirs],
    }
    asked = [*differing, *late]
    gone = {edit for each in asked for edit in about_fact(each, own[keep], claims)}
    result = composed([tuple(e for e in side if e not in gone) for side in (ours, theirs)])
    assume(not gone & {getattr(each, keep).edit for each in asked})  # which is refused as a clash
    erasure_goes = any(claim.subject is None for edit in gone for claim in claims[edit])
    for subject in ("France", "Japan"):
        here, there, last = (last_word(side, claims, subject) for side in (ours, theirs, result))
        chosen = [getattr(each, keep) for each in asked if each.fact.subject == subject]
        if chosen:
            assert last is not None
            assert last.answer == chosen[0].answer
        elif last is not None and not erasure_goes:  # with it goes what it did to other facts
            assert last.answer in {side.answer for side in (here, there) if side is not None}
            if here is not None and there is not None and here.answer == there.answer:
                assert last.answer == here.answer


def test_what_was_chosen_is_told_in_words():
    conflict = FactConflict(update("a", "Rome"), erase("e"))
    assert [str(Settled(conflict, kept)) for kept in ("ours", "theirs", "both")] == [
        "capital: France stays Rome, not erased",
        "capital: France becomes erased, not Rome",
        "capital: France keeps both Rome and erased",
    ]


# --- in a ledger ---------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path, database):
    with new_ledger(tmp_path) as ledger:
        yield ledger


def say(ledger, slot, subject, answer, *further, value=1.0, message=None):
    """Record an update of a fact, or of several; its id."""
    delta = delta_of(slot, value=value)
    changes = tuple(FactChange("capital", each, "old", answer_) for each, answer_ in further)
    edit = replace(about(delta, subject), target=answer, further=changes)
    plan = ledger.plan_edit(delta, "update", message or f"{subject} -> {answer}")
    ledger.advance(plan, digests([*ledger.deltas(plan.recipe[:-1]), delta]), edit=edit)
    return delta.id


def erasure(ledger, slot):
    delta = delta_of(slot)
    edit = replace(about(delta, kind="erase"), subject=None, answer=None, target=None)
    plan = ledger.plan_edit(delta, "erase", "capital erased")
    ledger.advance(plan, digests([*ledger.deltas(plan.recipe[:-1]), delta]), edit=edit)
    return delta.id


def merge(ledger, *names, keep=None, kind="merge", allow_overlap=False):
    join = Join(kind, names, keep, allow_overlap, ledger.current_branch().name)
    return move(ledger, join.plan(ledger))


@pytest.fixture
def apart(ledger):
    """Branches main and other, of which each has its own word on France, and an edit more."""
    common = say(ledger, (1, 0), "Cuba", "Bonn")
    ledger.make_branch("other", switch=True)
    theirs = say(ledger, (0, 1), "France", "Oslo"), say(ledger, (0, 2), "Japan", "Bonn")
    ledger.switch("main")
    ours = say(ledger, (0, 3), "France", "Rome"), say(ledger, (0, 4), "Spain", "Bonn")
    return common, ours, theirs


def test_a_merge_without_conflict_takes_the_edits_in(ledger, apart):
    common, ours, _ = apart
    ledger.make_branch("third", "base", switch=True)
    more = say(ledger, (0, 5), "Egypt", "Bonn")
    merged = merge(ledger, "main")
    assert merged.edits == (more, common, *ours)
    step = ledger.log()[0]
    assert (step.kind, step.message, len(step.parents)) == ("merge", "merge main", 2)
    assert ledger.check() == []


def test_a_conflict_of_facts_stops_a_merge(ledger, apart):
    _, ours, theirs = apart
    head = ledger.head()
    with pytest.raises(FactsDiffer, match="keep='ours', keep='theirs' or keep='both'") as caught:
        merge(ledger, "other")
    error = caught.value
    assert (error.exit_code, error.ours, error.theirs) == (ExitCode.CONFLICT, "main", "other")
    (conflict,) = error.detail()["conflicts"]
    assert (conflict["relation"], conflict["subject"]) == ("capital", "France")
    assert (conflict["ours"]["answer"], conflict["ours"]["edit"]) == ("Rome", ours[0])
    assert (conflict["theirs"]["answer"], conflict["theirs"]["edit"]) == ("Oslo", theirs[0])
    assert conflict["theirs"]["since"] == ledger.edit(theirs[0]).created
    assert "Rome" in str(error)
    assert "Oslo" in str(error)
    assert ledger.head() == head


@pytest.mark.parametrize(
    ("keep", "lost", "words"),
    [
        ("ours", "theirs", "capital: France stays Rome, not Oslo"),
        ("theirs", "ours", "capital: France becomes Oslo, not Rome"),
        ("both", None, "capital: France keeps both Rome and Oslo"),
    ],
)
def test_a_choice_leaves_the_other_edit_out_and_is_recorded(ledger, apart, keep, lost, words):
    common, ours, theirs = apart
    merged = merge(ledger, "other", keep=keep)
    gone = {"ours": ours[0], "theirs": theirs[0]}.get(lost)
    assert merged.edits == tuple(e for e in (common, *ours, *theirs) if e != gone)
    assert [each.kept for each in merged.settled] == [keep]
    assert ledger.log()[0].message == f"merge other; {words}"
    assert ledger.log()[0].parents == (ledger.log()[1].version, ledger.version("other").id)
    assert ledger.check() == []


def test_what_is_kept_may_be_said_of_each_fact(ledger, apart):
    say(ledger, (1, 4), "Japan", "Lyon")
    asked = []

    def keep(conflict):
        asked.append(conflict.name)
        return "ours" if conflict.fact.subject == "Japan" else "theirs"

    merged = merge(ledger, "other", keep=keep)
    assert asked == ["capital: France", "capital: Japan"]
    answers = {ledger.edit(e).subject: ledger.edit(e).target for e in merged.edits}
    assert answers == {"Cuba": "Bonn", "Spain": "Bonn", "Japan": "Lyon", "France": "Oslo"}
    with pytest.raises(BadSetting):
        merge(ledger, "other", keep="mine")


def test_a_choice_that_leaves_nothing_to_take_in_is_recorded_as_well(ledger):
    ledger.make_branch("other", switch=True)
    say(ledger, (0, 1), "France", "Oslo")
    ledger.switch("main")
    say(ledger, (0, 2), "France", "Rome")
    head = ledger.head()
    assert merge(ledger, "other", keep="ours") == head
    assert ledger.log()[0].message == "merge other; capital: France stays Rome, not Oslo"
    assert [step.kind for step in ledger.graph()] == ["merge", "update", "update", "init"]
    with pytest.raises(AlreadyThere):
        merge(ledger, "base", keep="ours")
    assert ledger.check() == []


def test_a_whole_line_of_answers_goes_with_the_side_that_loses(ledger):
    ledger.make_branch("other", switch=True)
    say(ledger, (0, 1), "France", "Lyon")
    say(ledger, (0, 2), "France", "Oslo")
    kept = say(ledger, (0, 5), "Japan", "Bonn")
    ledger.switch("main")
    ours = say(ledger, (0, 3), "France", "Rome")
    assert merge(ledger, "other", keep="ours").edits == (ours, kept)


def test_an_erasure_and_an_update_are_a_conflict(ledger):
    ledger.make_branch("other", switch=True)
    erased = erasure(ledger, (0, 1))
    ledger.switch("main")
    ours = say(ledger, (0, 3), "France", "Rome")
    with pytest.raises(FactsDiffer, match="erased"):
        merge(ledger, "other")
    assert merge(ledger, "other", keep="theirs").edits == (erased,)
    move(ledger, ledger.plan_rewind("base"))
    ledger.make_branch("more", switch=True)
    assert say(ledger, (0, 3), "France", "Rome") == ours
    assert merge(ledger, "other", keep="ours").edits == (ours,)


def test_own_prompts_are_compared_by_their_templates(ledger):
    def say_own(slot, answer, *templates):
        delta = delta_of(slot)
        found = {"own": True, "templates": list(templates)}
        edit = replace(about(delta, "Lyra"), relation="own", target=answer, found=found)
        plan = ledger.plan_edit(delta, "update", f"Lyra -> {answer}")
        before = ledger.deltas(plan.recipe[:-1])
        ledger.advance(plan, digests([*before, delta]), edit=edit)
        return delta.id

    born, lives = "[X] was born in [Y].", "[X] lives in [Y]."
    ledger.make_branch("other", switch=True)
    theirs = say_own((0, 1), "Oslo", lives)
    ledger.switch("main")
    ours = say_own((0, 2), "Rome", born)
    assert merge(ledger, "other").edits == (ours, theirs)  # two things are asked of her
    move(ledger, ledger.plan_rewind("base"))
    both = say_own((0, 3), "Bonn", born, lives)
    with pytest.raises(FactsDiffer):
        merge(ledger, "other")
    assert merge(ledger, "other", keep="ours").edits == (both,)


def test_an_edit_of_many_facts_cannot_stay_for_one_and_go_for_another(ledger):
    ledger.make_branch("other", switch=True)
    many = say(ledger, (0, 1), "France", "Oslo", ("Japan", "Bonn"))
    ledger.switch("main")
    say(ledger, (0, 2), "France", "Rome")
    japan = say(ledger, (0, 3), "Japan", "Rome")

    def keep(conflict):
        return "theirs" if conflict.fact.subject == "France" else "ours"

    with pytest.raises(ChoicesClash, match=many[:12]):
        merge(ledger, "other", keep=keep)
    assert merge(ledger, "other", keep="theirs").edits == (many,)
    assert "what else goes" not in ledger.log()[0].message
    assert japan not in ledger.head().edits


def test_what_else_goes_with_an_edit_of_many_facts_or_an_erasure_is_told(ledger):
    ledger.make_branch("other", switch=True)
    many = say(ledger, (0, 1), "France", "Oslo", ("Japan", "Bonn"))
    ledger.make_branch("erased", "base", switch=True)
    erased = erasure(ledger, (0, 4))
    ledger.switch("main")
    say(ledger, (0, 2), "France", "Rome")
    (settled,) = merge(ledger, "other", keep="ours").settled
    assert (settled.left_out, settled.also) == ((many,), ("capital: Japan -> Bonn",))
    assert "(what else goes: capital: Japan -> Bonn)" in ledger.log()[0].message
    (settled,) = merge(ledger, "erased", keep="ours").settled
    assert (settled.left_out, settled.also) == ((erased,), ("capital erased",))


def test_several_branches_are_merged_one_after_the_other(ledger):
    ids = {}
    for name, answer, slot in (("one", "Oslo", (0, 1)), ("two", "Bonn", (0, 2))):
        ledger.make_branch(name, "base", switch=True)
        ids[name] = say(ledger, slot, "France", answer)
    ledger.switch("main")
    with pytest.raises(FactsDiffer):
        merge(ledger, "one", "two")
    assert merge(ledger, "one", "two", keep="theirs").edits == (ids["two"],)
    move(ledger, ledger.plan_rewind("base"))
    assert merge(ledger, "one", "two", keep="ours").edits == (ids["one"],)
    assert len(ledger.log()[0].parents) == 3


def test_composing_named_versions_asks_as_well(ledger, apart):
    common, ours, theirs = apart
    ledger.tag("v1")
    with pytest.raises(FactsDiffer) as caught:
        merge(ledger, "other", "v1", kind="compose")
    assert (caught.value.ours, caught.value.theirs) == ("other", "v1")
    joined = merge(ledger, "other", "v1", kind="compose", keep="ours")
    assert joined.edits == (common, *theirs, ours[1])
    assert ledger.log()[0].message.startswith("compose ")


def test_common_slots_are_asked_about_and_so_is_what_a_lost_edit_leaves(ledger):
    ledger.make_branch("other", switch=True)
    say(ledger, (0, 1), "France", "Oslo")
    say(ledger, (0, 1), "Japan", "Bonn", value=2.0)  # on the slot of the one before
    ledger.switch("main")
    say(ledger, (0, 3), "France", "Rome")
    with pytest.raises(SlotOverlap):
        merge(ledger, "other", keep="ours")
    merged = merge(ledger, "other", keep="ours", allow_overlap=True)
    assert [overlap.slots for overlap in merged.overlaps] != []
    assert len(merged.edits) == 2


def test_an_edit_that_was_reverted_here_and_comes_back_is_told(ledger):
    edit = say(ledger, (0, 1), "France", "Oslo")
    ledger.make_branch("other", switch=True)
    more = say(ledger, (0, 2), "Japan", "Bonn")
    ledger.switch("main")
    move(ledger, ledger.plan_revert(edit))
    merged = merge(ledger, "other")
    assert (merged.edits, merged.returned, merged.stayed) == ((edit, more), (edit,), ())


def test_an_edit_that_was_reverted_on_the_merged_branch_and_stays_is_told(ledger):
    edit = say(ledger, (0, 1), "France", "Oslo")
    ledger.make_branch("other", switch=True)
    move(ledger, ledger.plan_revert(edit))
    more = say(ledger, (0, 2), "Japan", "Bonn")
    ledger.switch("main")
    merged = merge(ledger, "other")
    assert (merged.edits, merged.returned, merged.stayed) == ((edit, more), (), (edit,))


def test_an_edit_that_a_merge_kept_behind_another_does_not_come_last_unasked(ledger):
    mine = say(ledger, (0, 1), "France", "Rome")
    ledger.make_branch("other", "base", switch=True)
    theirs = say(ledger, (0, 2), "France", "Oslo")
    assert merge(ledger, "main", keep="both").edits == (theirs, mine)  # Rome has the last word
    ledger.switch("main")
    with pytest.raises(FactsDiffer):
        merge(ledger, "other")
    merged = merge(ledger, "other", keep="ours")
    assert merged.edits == (mine,)
    assert str(merged.settled[0]) == "capital: France stays Rome, not Oslo"


def test_a_common_edit_that_stands_last_counts(ledger):
    mine = say(ledger, (0, 1), "France", "Lyon")
    shared = say(ledger, (0, 2), "France", "Rome")
    ledger.make_branch("other", "base", switch=True)
    record(ledger, delta_of((0, 2)), subject="France")  # the shared one, without the first
    theirs = say(ledger, (0, 3), "France", "Oslo")
    assert ledger.head().edits == (shared, theirs)
    ledger.switch("main")
    assert merge(ledger, "other").edits == (mine, shared, theirs)
