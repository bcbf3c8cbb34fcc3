"""The pages in a real browser: narrow and wide, light and dark, by keyboard, without scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from browser import chromium, faults, overflow, page_of, served
from workspaces import about, new_workspace, quick

PROMPT = "The capital of France is"
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
        for path in ("/", edit, "/versions/head", "/diff", "/compare"):
            page.goto(address + path)
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
