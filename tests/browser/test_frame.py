"""What all pages have in common, in a browser."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import Watch, assert_accessible


def test_colours_are_chosen_and_stay(page: Page) -> None:
    page.goto("/")
    button = page.locator("#theme")
    expect(button).to_have_accessible_name("Colours: as the system has them")
    button.click()
    button.click()
    expect(button).to_have_accessible_name("Colours: dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    expect(button).to_have_accessible_name("Colours: dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    button.click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != dark


HARM = {
    "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))": "policy",
    "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')": "policy",
    "fetch('http://127.0.0.1:9/').catch(() => 0)": "policy",
    "console.error('broken')": "console",
    "setTimeout(() => { throw new Error('broken'); })": "uncaught",
}


def test_whatever_goes_wrong_is_noticed(page: Page, watch: Watch) -> None:
    """The watch of these tests itself, and the policy that it relies on."""
    page.goto("/")
    for harm, told in HARM.items():
        page.evaluate(f"() => {{ {harm}; }}")
        page.wait_for_timeout(20)
        assert {fault.partition(":")[0] for fault in watch.left()} == {told}, harm
        watch.faults.clear()
    assert page.evaluate("window.ran") is None


def test_what_is_hard_to_use_is_noticed(page: Page) -> None:
    page.goto("/")
    assert_accessible(page)
    page.evaluate("document.querySelector('main').append(document.createElement('input'))")
    with pytest.raises(AssertionError, match="label"):
        assert_accessible(page)
