"""The pages in a real browser: narrow and wide, light and dark, by keyboard, without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from browser import chromium, faults, overflow, page_of, served
from workspaces import about, new_workspace, quick

JOB_SECONDS = 600  # of one on a busy machine
PROMPT = "The capital of France is"
PATHS = (
    "/versions/head",
    "/diff?a=base&b=main",
    "/compare",
    "/locate",
    "/locate?relation=symbol&subject=gold&version=base",
    "/evaluate",
    "/propose",
    "/erase",
    "/branches",
    "/jobs",
    "/edits/00000000",
    "/no/such/page",
)
PROMPTS = "The capital of [X] is [Y] .\nthe capital city of [X] is [Y]"
OPEN_ALL = "all => all.forEach(each => { each.removeAttribute('name'); each.open = true })"
LOOKS = [(390, "dark"), (1280, "light")]  # colours do not depend on the width


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A served workspace with two branches, a merge and a tag."""
    folder = tmp_path_factory.mktemp("browser")
    with new_workspace(folder) as workspace:
        workspace.update(about("France"), "Rome", how=quick((0, 3), (1, 5)), accept=True)
        workspace.switch("side", create=True)
        workspace.update(about("Japan"), "Oslo", how=quick((1, 5), (1, 7)), accept=True)
        workspace.switch("main")
        workspace.update(about("Egypt"), "Havana", how=quick((0, 8)), accept=True)
        workspace.merge("side", allow_overlap=True)
        workspace.tag("first", "base")
    with served(folder / "work", folder / "log.txt") as address:
        yield address


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_every_page_fits_and_has_no_serious_fault(browser, address, width, scheme):
    with page_of(browser, width, scheme) as page:
        page.goto(address)
        edit = page.locator('a[href^="/edits/"]').first.get_attribute("href")
        for path in ("/", edit, *PATHS):
            page.goto(address + path)
            page.locator("details").evaluate_all(OPEN_ALL)
            assert faults(page) == [], path
            assert overflow(page) == 0, path
            assert page.locator("h1").count() == 1, path


def test_two_versions_answer_side_by_side(browser, address):
    with page_of(browser, 1280) as page:
        page.goto(f"{address}/compare?a=base&b=main")
        page.get_by_label("Prompt").fill(PROMPT)
        page.get_by_label("Most tokens of an answer").fill("8")
        page.get_by_role("button", name="Ask both").click()
        outcome = page.get_by_role("status")
        outcome.filter(has_text=re.compile("differ|same")).wait_for()
        texts = [page.locator(f'[data-said="{side}"]').inner_text() for side in "ab"]
        assert all(text.strip() for text in texts)
        marked = page.locator("mark").count()
        assert (marked > 0) == (texts[0] != texts[1])
        assert faults(page) == []


def test_the_page_without_scripts_says_the_same(browser, address):
    texts = []
    for scripts in (True, False):
        with page_of(browser, 390, java_script_enabled=scripts) as page:
            page.goto(f"{address}/compare?a=base&b=main")
            page.get_by_label("Prompt").fill(PROMPT)
            page.get_by_label("Most tokens of an answer").fill("6")
            page.get_by_role("button", name="Ask both").click()
            outcome = page.get_by_role("status").filter(has_text=re.compile("differ|same"))
            outcome.wait_for()
            said = [page.locator(f'[data-said="{side}"]').inner_text() for side in "ab"]
            texts.append((outcome.inner_text(), said, page.locator("mark").all_inner_texts()))
    assert texts[0] == texts[1]


def test_a_version_that_is_not_there_is_told_beside_the_form(browser, address):
    with page_of(browser, 390) as page:
        page.goto(f"{address}/compare?a=nowhere&b=main")
        page.get_by_label("Prompt").fill(PROMPT)
        page.get_by_role("button", name="Ask both").click()
        page.get_by_role("status").filter(has_text="nowhere").wait_for()


def test_the_keyboard_alone_reaches_the_content_and_an_edit(browser, address):
    with page_of(browser, 1280) as page:
        page.goto(address)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('main').contains(document.activeElement)")
        page.locator(".message").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile("/(edits|versions)/"))


def state(page: Any, text: str) -> Any:
    """Where a job's page says that it stands, once that has a text."""
    told = page.get_by_role("status").filter(has_text=re.compile(text))
    told.wait_for(timeout=1000 * JOB_SECONDS)
    return told


def test_the_story_of_a_fact_changed_and_taken_back(browser, address):
    with page_of(browser, 390) as page:
        page.goto(address)
        page.get_by_role("link", name="Propose", exact=True).click()
        page.get_by_text("Prompts of your own").click()
        form = page.locator("details[open] form")
        form.get_by_label("Subject").fill("Norway")
        form.get_by_label("Prompts, one a line").fill(PROMPTS)
        form.get_by_label("New answer").fill("Rome")
        form.get_by_role("button", name="Try it out").click()
        state(page, "The gate would (refuse it|let it pass)")
        assert page.get_by_role("heading", name="What the model says").count() == 1
        assert faults(page) == [] and overflow(page) == 0
        page.get_by_text("Record it all the same").click()
        page.get_by_role("button", name="Record it although the gate refuses it").click()
        state(page, "It is recorded")
        page.get_by_role("link", name="The edit, and how to take it back").click()
        assert "Norway" in page.locator("h1").inner_text()
        page.get_by_text("Take it back…").click()
        page.get_by_role("button", name="Take it back").click()
        state(page, "It is done")
        page.get_by_role("link", name="See the history").click()
        assert "revert" in page.locator(".history li").first.inner_text()


def test_a_fact_is_located_and_a_version_evaluated(browser, address):
    with page_of(browser, 390, "dark") as page:
        page.goto(f"{address}/versions/head")
        page.get_by_role("link", name="Locate a fact in it").click()
        page.get_by_text("Prompts of your own").click()
        form = page.locator("details[open] form")
        form.get_by_label("Subject").fill("Norway")
        form.get_by_label("Prompts, one a line").fill(PROMPTS)
        form.get_by_label("Answer").fill("Oslo")
        form.get_by_role("button", name="Locate").click()
        state(page, "It is done")
        assert page.get_by_role("heading", name="How likely the answer is").count() == 1
        assert faults(page) == [] and overflow(page) == 0
        page.goto(f"{address}/versions/head")
        page.get_by_role("link", name="Evaluate it").click()
        page.get_by_role("button", name="Evaluate").click()
        state(page, "It is done")
        assert page.get_by_role("region", name="What its updates reach").get_by_role("row").count()
        assert page.get_by_role("heading", name="Each update").count() == 1
        assert faults(page) == [] and overflow(page) == 0


def test_a_job_that_goes_on_is_told_without_scripts_too(browser, address):
    with page_of(browser, 1280, java_script_enabled=False) as page:
        page.goto(f"{address}/branches")
        page.get_by_text("Check the ledger…").click()
        page.get_by_role("button", name="Verify").click()
        state(page, "It is done")
        assert "All is well" in page.locator("main").inner_text()


def test_suggestions_follow_the_relation(browser, address):
    with page_of(browser, 1280) as page:
        page.goto(f"{address}/propose")
        assert page.locator('#subjects option[value="France"]').count() == 1
        page.get_by_label("Relation").select_option(label="symbol")
        page.wait_for_selector('#subjects option[value="hydrogen"]', state="attached")
        assert page.locator('#subjects option[value="France"]').count() == 0
