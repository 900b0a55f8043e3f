"""The form of a new job: made of the catalog, checked at each change, and the same call in three languages."""

import contextlib
import json
import re
import shlex
import types
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect
from typer.testing import CliRunner

import distilled
from distilled.cli.main import build
from distilled.client import Client
from tests.browser.browsing import PHONE, Pictures, Watch, assert_accessible, assert_no_sideways_scrolling
from tests.browser.conftest import Front, OpenWindow


def checked(page: Page, outcome: str = "good") -> None:
    """Wait until the service has had its say about the form as it stands."""
    expect(page.locator(f"#form[data-checked={outcome}]")).to_be_attached()


def text(page: Page, kind: str) -> str:
    return page.locator(f"#text-{kind}").text_content() or ""


def words_of(line: str) -> list[str]:
    """As a shell takes it apart, which `shlex` does but for lines that go on."""
    return shlex.split(line.replace("\\\n", ""))


def asked_by_curl(line: str) -> dict[str, Any]:
    words = words_of(line)
    assert words[:2] == ["curl", "-f"]
    return json.loads(words[words.index("-d") + 1])


def asked_by_python(code: str, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    asked: list[dict[str, Any]] = []
    fake = types.SimpleNamespace(submit=lambda **fields: asked.append(fields), wait=lambda job: job)
    patch.setattr(distilled, "Client", lambda url: fake)
    exec(code, {})  # noqa: S102 -- the page's own words are what is tested
    patch.undo()
    return asked[0]


def asked_by_cli(line: str, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    asked: list[dict[str, Any]] = []

    def submit(self: Client, recipe: dict[str, Any], **_: Any) -> None:
        asked.append(recipe)
        raise KeyboardInterrupt

    patch.setattr(Client, "submit", submit)
    with contextlib.suppress(KeyboardInterrupt):
        CliRunner().invoke(build(), words_of(line)[1:], catch_exceptions=True)
    patch.undo()
    return asked[0]


def test_a_job_is_asked_for_and_the_same_in_three_languages(
    page: Page, front: Front, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.goto("/jobs/new?method=bptt")
    expect(page.locator("#cost")).to_contain_text("Choose a data set")
    page.get_by_label("Data set", exact=True).select_option("digits")
    checked(page)
    expect(page.locator("#cost")).to_contain_text("1 image per class in 650 B")
    expect(page.locator("#cost")).to_contain_text("a first guess")

    page.locator("details[data-slot=objective] summary").click()
    page.locator("#f-objective-network").fill("convnet2-w32")
    page.locator("#f-objective-inner_steps").fill("20")
    page.locator("details[data-slot=selection] summary").click()
    page.locator("#f-selection-start").select_option("herding")
    page.locator("details[data-slot=evaluation] summary").click()
    page.locator("#f-evaluation-networks").fill("mlp-w16, convnet2-w32")
    page.locator("details[data-slot=penalties] summary").click()
    page.get_by_role("checkbox", name="architecture invariance").check()
    page.locator("#f-penalties-0-networks").fill("convnet1-w8,convnet2-w32")
    checked(page)
    expect(page.locator("details[data-slot=objective] .changes")).to_have_text("2 changed")
    expect(page.locator("[data-pointer='/objective/network']")).to_have_class("field changed")
    assert_accessible(page)
    page.evaluate("scrollTo(0, 0)")
    assert_no_sideways_scrolling(page)
    pictures.take(page, "new-job")

    recipe = asked_by_curl(text(page, "curl"))
    assert recipe == {
        "method": "bptt",
        "dataset": "digits",
        "ipc": 1,
        "objective": {"network": "convnet2-w32", "inner_steps": 20},
        "selection": {"start": "herding"},
        "evaluation": {"networks": ["mlp-w16", "convnet2-w32"]},
        "penalties": [{"kind": "architecture_invariance", "networks": "convnet1-w8,convnet2-w32"}],
    }
    assert asked_by_python(text(page, "python"), monkeypatch) == recipe
    assert asked_by_cli(text(page, "cli"), monkeypatch) == recipe
    page.reload()  # all of it stands in the address
    checked(page)
    assert asked_by_curl(text(page, "curl")) == recipe

    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/jobs/job_*")
    job = httpx2.get(f"{front.url}/v1{page.url.removeprefix(front.url)}").json()
    assert job["recipe"]["objective"]["network"] == "convnet2-w32"
    page.get_by_role("link", name="Clone with changes").click()
    checked(page)
    again = asked_by_curl(text(page, "curl"))
    assert again["objective"] == recipe["objective"]
    assert again["selection"] == recipe["selection"]
    expect(page.locator("#existing")).to_contain_text("a job of this very recipe")


def test_what_cannot_be_is_said_beside_its_field_at_once(page: Page, open_window: OpenWindow, watch: Watch) -> None:
    watch.allow("422")  # a browser writes each refusal into its console
    page.goto("/jobs/new?method=dm&dataset=digits&ipc=1")
    checked(page)
    page.locator("details[data-slot=objective] summary").click()
    rate = page.locator("#f-objective-learning_rate")
    rate.fill("-1")
    checked(page, "refused")
    expect(rate).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#f-objective-learning_rate-fault")).to_contain_text("0")
    expect(rate).to_have_accessible_description(re.compile("Learning rate of the synthetic parameters .*0"))
    expect(page.get_by_role("button", name="Submit")).to_be_disabled()
    expect(page.locator("#faults")).to_contain_text("objective.learning_rate")
    assert_accessible(page)
    page.get_by_role("button", name="Undo learning rate").click()
    checked(page)
    expect(page.locator("#faults")).to_be_empty()

    # What goes alone but not together: an objective that matches statistics, and a network that keeps none.
    page.goto("/jobs/new?method=sre2l&dataset=digits&ipc=1&set=objective.network%3Dmlp-w16")
    checked(page, "refused")
    expect(page.locator("#faults li").first).to_contain_text("objective.network")
    phone = open_window(width=PHONE)
    phone.goto("/jobs/new?method=dm&dataset=digits")
    checked(phone)
    assert_no_sideways_scrolling(phone)


def test_a_mix_of_ones_own_and_another_method_bring_their_own_options(page: Page, watch: Watch) -> None:
    watch.allow("422")
    page.goto("/jobs/new?method=dm&dataset=digits&set=objective.learning_rate%3D0.5")
    checked(page)
    page.locator("label[for='method-']").click()
    checked(page, "refused")
    expect(page.locator("#faults")).to_contain_text("required where no")
    assert "learning_rate" not in text(page, "curl")
    for slot, kind in (("parametrization", "memory"), ("objective", "kernel")):
        page.locator(f"details[data-slot={slot}] summary").click()
        page.locator(f"#f-{slot}-kind").select_option(kind)
    page.locator("#f-steps").fill("30")
    checked(page)
    asked = asked_by_curl(text(page, "curl"))
    assert asked["objective"] == {"kind": "kernel"}
    assert "method" not in asked
