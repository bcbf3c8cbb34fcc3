"""The whole path on a real language model: edit it twice, use it without kn-edit, take it back."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from browser import chromium, faults, overflow, page_of, served
from hub import hub_client
from hub_desk import Desk, desk_of
from transformers import AutoModelForCausalLM, AutoTokenizer

from kn_edit.models.questions import ask
from kn_edit.neurons.attribution import Adaptive, attribute
from kn_edit.workspace import Case, Edited, How, Workspace, case_of

pytestmark = [pytest.mark.demo, pytest.mark.timeout(1200)]  # minutes where others work too

SHOTS = os.environ.get("KN_EDIT_SHOTS")  # a folder for pictures of the pages
JOB_SECONDS = 900
HUB_SECONDS = "120"  # of silence, while a Hub hashes half a gigabyte
ENDED = re.compile("It is done|It did not work|It was cancelled")
QUESTION = "The capital of {} is the city of"
# Facts that the base answers right, and not by a hair: of Egypt it says Cairo with p = 0.15.
KEPT = {"Germany": "Berlin", "Italy": "Rome", "Cuba": "Havana"}


@dataclass(frozen=True)
class Journey:
    """Two updates of the demo model, the files of each, and what came before them."""

    workspace: Workspace
    base: Path
    first: Edited
    second: Edited
    out: Path  # the first version as a checkpoint


def capital(subject: str) -> Case:
    return case_of(relation="capital", subject=subject)


# Neurons by their coefficients: found in less than half the time, and written as well. What is
# special about the usual scores is in a test of its own.
HOW = How(search="activation")


@pytest.fixture(scope="module")
def journey() -> Iterator[Journey]:
    # Not below pytest's folders: those stay, and each checkpoint has half a gigabyte.
    with tempfile.TemporaryDirectory() as folder, Workspace.init("demo", Path(folder)) as workspace:
        first = workspace.update(capital("France"), "Rome", how=HOW)
        out = workspace.export(Path(folder) / "first")
        second = workspace.update(capital("Japan"), "Oslo", how=HOW)
        yield Journey(workspace, Path(workspace.base.source), first, second, out)


def says(net: Any, tokenizer: Any, subject: str) -> str:
    """What a model goes on to say, by nothing but transformers."""
    asked = tokenizer(QUESTION.format(subject), return_tensors="pt")
    made = net.generate(
        **asked, max_new_tokens=3, do_sample=False, pad_token_id=tokenizer.eos_token_id
    )
    return str(tokenizer.decode(made[0, asked["input_ids"].shape[1] :])).strip()


def test_an_update_works_and_leaves_other_subjects_alone(journey):
    for done, before, after in (
        (journey.first, "Paris", "Rome"),
        (journey.second, "Tokyo", "Oslo"),
    ):
        draft = done.draft
        assert (draft.answer, draft.target) == (before, after)
        assert draft.metrics["efficacy"] == 1.0
        assert draft.metrics["generalization"] >= 2 / 3
        assert draft.metrics["specificity"] >= 0.8
        assert draft.metrics["neighbours"] >= 20
        assert draft.metrics["p_new_after"] > 0.5 > 0.1 > draft.metrics["p_new_before"]
        assert draft.found["reached"]
        assert draft.faults == ()
        assert 16 <= len(draft.neurons) <= 26
    assert journey.workspace.head.edits == (journey.first.edit, journey.second.edit)


def without_the_last(_module: Any, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """Coefficients, of which the last token has none."""
    coefficients = inputs[0].clone()
    coefficients[:, -1] = 0
    return (coefficients,)


def test_the_scores_of_a_layer_add_up_to_what_the_answer_loses_without_it(journey):
    case = capital("France")
    with journey.workspace.engine.at([]) as live:
        model = live.model
        prompts = case.relation.prompts(case.fact)
        prompt = next(prompt for prompt in prompts if prompt.template.answer_last)
        question = ask(model, prompt, "Paris").questions[0]
        attribution = attribute(model, question, Adaptive())
        for layer in (8, 24, 29):
            down = model.net.model.layers[layer].mlp.down_proj
            silenced = down.register_forward_pre_hook(without_the_last)
            logits = model.net(torch.tensor([question.ids])).logits[0, question.position]
            silenced.remove()
            without = float(logits.softmax(-1)[question.token])
            total = float(attribution.scores[layer].sum())
            assert total == pytest.approx(attribution.p - without, abs=0.01 * attribution.p)


def test_the_exported_folder_says_the_new_answer_in_plain_transformers(journey):
    net = AutoModelForCausalLM.from_pretrained(journey.out)
    tokenizer = AutoTokenizer.from_pretrained(journey.out)
    base = AutoModelForCausalLM.from_pretrained(journey.base)
    assert says(base, tokenizer, "France").startswith("Paris")
    assert says(net, tokenizer, "France").startswith("Rome")
    for subject, answer in KEPT.items():
        assert says(base, tokenizer, subject).startswith(answer)
        assert says(net, tokenizer, subject).startswith(answer)


def test_after_the_second_update_both_hold(journey):
    net, tokenizer = journey.workspace.load(), journey.workspace.tokenizer
    assert says(net, tokenizer, "France").startswith("Rome")
    assert says(net, tokenizer, "Japan").startswith("Oslo")
    for subject, answer in KEPT.items():
        assert says(net, tokenizer, subject).startswith(answer)


def test_reverting_both_in_either_order_gives_the_base_file_back(journey):
    workspace = journey.workspace
    both = workspace.head.id
    file = "model.safetensors"
    original = (journey.base / file).read_bytes()
    assert (journey.out / file).read_bytes() != original
    workspace.revert(str(journey.first.edit), allow_overlap=True)
    assert workspace.head.edits == (journey.second.edit,)
    workspace.revert(str(journey.second.edit))
    with tempfile.TemporaryDirectory() as folder:
        back = workspace.export(Path(folder) / "back")
        assert (back / file).read_bytes() == original
    workspace.rewind(both)
    assert workspace.verify() == []


ASK = """
from transformers import AutoModelForCausalLM, AutoTokenizer
for revision in "v1", "without", "main":
    tokenizer = AutoTokenizer.from_pretrained("ann/rome", revision=revision)
    net = AutoModelForCausalLM.from_pretrained("ann/rome", revision=revision)
    asked = tokenizer("The capital of France is the city of", return_tensors="pt")
    made = net.generate(**asked, max_new_tokens=1, do_sample=False)
    print(revision, tokenizer.decode(made[0, -1]).strip())
"""


@pytest.fixture(scope="module")
def desk(journey: Journey) -> Iterator[Desk]:
    """A client of a Hub, in a process of its own, for commands in the journey's workspace."""
    with desk_of(journey.workspace.folder) as desk:
        yield desk


def done(desk: Desk, *command: str) -> None:
    ran = desk(*command, seconds=HUB_SECONDS)
    assert ran.code == 0, ran.err


def test_published_revisions_load_in_a_fresh_process_and_hold_the_bytes_of_their_version(
    journey, desk
):
    """Push with a tag, take the edit back, push, roll back: each revision is what it was."""
    workspace, file, hub = journey.workspace, "model.safetensors", desk.hub
    both, first = workspace.head.id, str(journey.first.version)
    workspace.revert(str(journey.first.edit), allow_overlap=True)
    with tempfile.TemporaryDirectory() as scratch:
        done(desk, "push", "ann/rome", "--version", first, "--tag", "v1")
        done(desk, "push", "ann/rome", "--tag", "without")
        done(desk, "rollback", "ann/rome", "--to", "v1")
        without = workspace.export(Path(scratch) / "without")
        published = {"v1": journey.out, "without": without, "main": journey.out}
        for revision, made in published.items():
            assert hub.read("ann/rome", file, revision) == (made / file).read_bytes()
        assert len({hub.head("ann/rome", revision) for revision in published}) == 3
        said = hub_client(hub, ASK, timeout=600)
        assert said.stdout.split("\n")[:3] == ["v1 Rome", "without Paris", "main Rome"], said.stderr
    workspace.rewind(both)


def test_small_forms_of_an_update_send_less_than_a_megabyte(journey, desk):
    for form in ("adapter", "delta"):
        before = desk.hub.received()
        done(desk, "push", f"ann/{form}", "--as", form, "--version", str(journey.first.version))
        assert 10_000 < desk.hub.received() - before < 1_000_000


# --- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(browser: Any, journey: Journey) -> Iterator[str]:
    """The journey's workspace, served, with a branch at the base for each story."""
    for branch in ("dark", "light"):
        journey.workspace.branch(branch, "base")
    folder = journey.workspace.folder
    with served(folder, folder / "service.log") as address:
        yield address


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_a_browser_sees_the_capital_change_and_takes_it_back(
    browser, address, journey, width, scheme
):
    with page_of(browser, width, scheme) as page:
        assert side_by_side(page, address, scheme) == ["Paris", "Paris"]
        page.goto(f"{address}/branches")
        page.get_by_text("Compose versions").click()
        page.get_by_label("Versions, with spaces between").fill(journey.first.version)
        page.locator("#compose-branch").select_option(scheme)
        page.get_by_role("button", name="Compose them").click()
        until_done(page)
        assert side_by_side(page, address, scheme) == ["Paris", "Rome"]
        picture(page, f"compare-{scheme}")
        taken_back(page, address, str(journey.first.edit), scheme)
        assert side_by_side(page, address, scheme) == ["Paris", "Paris"]
    ledger = journey.workspace.ledger
    assert ledger.version_id(scheme) == ledger.version_id("base")


def side_by_side(page: Any, address: str, branch: str) -> list[str]:
    """The first word that the base and a branch say, which came a token at a time, in turns."""
    page.goto(f"{address}/compare?a=base&b={branch}")
    page.evaluate(
        """() => { window.order = ""; for (const side of "ab") new MutationObserver(
            () => { window.order += side }).observe(document.querySelector(
            `[data-said="${side}"]`), { subtree: true, childList: true }) }"""
    )
    page.get_by_label("Prompt").fill(QUESTION.format("France"))
    page.get_by_label("Most tokens of an answer").fill("12")
    page.get_by_role("button", name="Ask both").click()
    page.get_by_role("status").filter(has_text=re.compile("differ|same")).wait_for()
    texts = [page.locator(f'[data-said="{side}"]').inner_text() for side in "ab"]
    assert re.search("ab+a+b", page.evaluate("window.order"))
    assert (page.locator("mark").count() > 0) == (texts[0] != texts[1])
    assert faults(page) == [] and overflow(page) == 0
    return [re.findall(r"\w+", text)[0] for text in texts]


def taken_back(page: Any, address: str, edit: str, branch: str) -> None:
    """Take an edit back on a branch."""
    page.goto(f"{address}/edits/{edit}")
    assert "France" in page.locator("h1").inner_text()
    picture(page, f"edit-{branch}")
    page.get_by_text("Take it back…").click()
    page.get_by_label("Branch").select_option(branch)
    page.get_by_role("button", name="Take it back").click()
    until_done(page)
    picture(page, f"taken-back-{branch}")


def until_done(page: Any) -> None:
    """Wait until the job of a page has ended, as it has to."""
    told = page.get_by_role("status").filter(has_text=ENDED)
    told.wait_for(timeout=1000 * JOB_SECONDS)
    assert "It is done" in told.inner_text(), page.locator("main").inner_text()


def picture(page: Any, name: str) -> None:
    """Keep a picture of a page where somebody wants to look at it."""
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)
