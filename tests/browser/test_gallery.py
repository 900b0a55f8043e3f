"""The gallery in a browser: cards, filters, search and pages, by mouse, by keyboard and without JavaScript."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.browsing import (
    PHONE,
    Pictures,
    assert_accessible,
    assert_no_sideways_scrolling,
    on_a_phone,
    paints,
)
from tests.browser.conftest import Front, OpenWindow, Served
from tests.browser.content import images_file, put, thousand

#: From the request for a page to when something of it is seen, by the browser's own clock.
MOST_MILLISECONDS = 1000
#: And on a phone, until the largest thing is seen: good, as the web vitals FCP and LCP have it.
PHONE_MILLISECONDS = (1800, 2500)
#: Other tests have the machine, too, and the bound is meant for one that does nothing else.
LOOKS = 12


def furnish(front: Front) -> dict[str, str]:
    """A few artifacts of each sort."""
    hundred = tuple(f"class {i}" for i in range(100))
    small = images_file(ipc=5, tint=0.6)
    return {
        "large": put(front.services, images_file(ipc=1, classes=hundred), dataset="hundred", method="dm", days=40),
        "dsa": put(front.services, images_file(ipc=10), accuracy=0.952, method="dsa", days=12),
        "dm": put(front.services, images_file(ipc=10, start=20), accuracy=0.941, method="dm", days=9),
        "tinted": put(
            front.services,
            small,
            dataset="tinted",
            method="mtt",
            accuracy=0.81,
            std=0.021,
            days=2,
            baselines={"random": 0.62, "full": 0.93},
        ),
        "own": put(front.services, images_file(ipc=3), accuracy=0.918, method=None, days=0.3, names=("mine",)),
        "frepo": put(
            front.services,
            images_file(start=7),
            accuracy=0.934,
            std=0.008,
            method="bptt",
            names=("digits-best", "tutorial"),
            days=0.01,
        ),
    }


def test_a_card_shows_what_it_is_and_what_it_is_worth(
    page: Page, front: Front, pictures: Pictures, open_window: OpenWindow
) -> None:
    made = furnish(front)
    page.goto("/")
    expect(page.get_by_role("heading", name="6 artifacts")).to_be_visible()
    cards = page.locator(".shot")
    expect(cards).to_have_count(6)
    first = cards.nth(0)
    expect(first).to_contain_text("digits")
    expect(first).to_contain_text("1 per class")
    expect(first.locator(".score")).to_have_text("93.4 ± 0.8 % on convnet2-w32")
    expect(first.locator(".baselines li")).to_have_text(["random 70.5 %", "centroid 90.0 %", "full 97.1 %"])
    expect(first.locator(".chip")).to_have_text(["digits-best", "tutorial"])
    expect(first.locator("time")).to_have_text("14 min ago")
    marks = first.locator(".bar line:not(.whisker)")
    assert [marks.nth(i).get_attribute("x1") for i in range(3)] == ["70.50%", "90.00%", "97.10%"]
    page.wait_for_function("[...document.images].every((one) => one.complete && one.naturalWidth > 1)")
    sizes = cards.locator("img").evaluate_all("(all) => all.map((one) => [one.width, one.height].join())")
    assert len(set(sizes)) == 1
    assert first.locator("img").evaluate("(one) => getComputedStyle(one).imageRendering") == "pixelated"
    pictures.take(page, "gallery")
    dark = open_window(scheme="dark")
    dark.goto("/")
    dark.wait_for_load_state("networkidle")
    pictures.take(dark, "gallery-dark")
    first.locator("h3 a").evaluate("(link) => link.addEventListener('click', (event) => event.preventDefault())")
    assert first.locator("h3 a").get_attribute("href") == f"/artifacts/{made['frepo']}"


def test_nothing_moves_while_images_arrive(page: Page, front: Front) -> None:
    furnish(front)
    page.add_init_script(
        "window.shift = 0; const add = (list) => list.getEntries().forEach((one) => { shift += one.value; });"
        "new PerformanceObserver(add).observe({ type: 'layout-shift', buffered: true });"
    )
    page.goto("/")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.shift") < 0.02


def test_filters_search_and_order_stand_in_the_address(page: Page, front: Front) -> None:
    furnish(front)
    page.goto("/")
    counted = {"digits": "4 artifacts", "tinted": "1 artifacts", "hundred": "1 artifacts"}
    for name, count in counted.items():
        link = page.get_by_role("complementary").get_by_role("link", name=f"{name} {count}", exact=True)
        expect(link).to_be_visible()
    page.get_by_role("link", name="digits 4 artifacts").click()
    expect(page).to_have_url("/?dataset=digits")
    expect(page.locator(".shot")).to_have_count(4)
    expect(page.get_by_role("link", name="digits 4 artifacts")).to_have_attribute("aria-current", "true")
    page.get_by_role("searchbox").fill("MINE")
    page.get_by_role("searchbox").press("Enter")
    expect(page).to_have_url("/?dataset=digits&q=MINE")
    expect(page.locator(".shot")).to_have_count(1)
    page.get_by_role("link", name="without the filter Search: MINE").click()
    page.get_by_role("combobox").select_option("most accurate first")
    expect(page).to_have_url("/?dataset=digits&sort=-accuracy")
    expect(page.locator(".score strong")).to_have_text(["95.2", "94.1", "93.4", "91.8"])
    expect(page.get_by_role("combobox")).to_be_focused()
    page.reload()
    expect(page.get_by_role("combobox")).to_have_value("-accuracy")
    page.goto("/?q=no+such+thing&ipc=10")
    expect(page.get_by_text("No artifact passes all of these filters.")).to_be_visible()
    page.get_by_role("link", name="Clear the filters").last.click()
    expect(page.locator(".shot")).to_have_count(6)


def test_the_first_visitor_is_told_the_first_command(open_window: OpenWindow, front: Front, pictures: Pictures) -> None:
    page = open_window(permissions=["clipboard-read", "clipboard-write"])
    page.goto("/")
    pictures.take(page, "gallery-empty")
    page.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("distilled submit --dataset digits")
    expect(page.get_by_role("status")).to_have_text("Copied.")
    assert_accessible(page)


def test_without_javascript_it_works_the_same(open_window: OpenWindow, front: Front) -> None:
    furnish(front)
    page = open_window(java_script_enabled=False)
    page.goto("/")
    page.get_by_role("searchbox").fill("digits")
    page.get_by_role("combobox").select_option("smallest first")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url("/?q=digits&sort=bytes")
    expect(page.locator(".shot")).to_have_count(4)
    page.get_by_role("link", name="10 2 artifacts").click()
    expect(page.locator(".shot")).to_have_count(2)
    assert page.locator("time").first.inner_text().startswith("20")


def test_it_is_used_by_keyboard_alone(page: Page, front: Front) -> None:
    made = furnish(front)
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    seen: list[str] = []
    while seen[-1:] != ["/readyz"]:
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.id || document.activeElement.getAttribute('href')"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", seen
    for wanted in ("q", "sort", "/?dataset=digits", "/?ipc=10", f"/artifacts/{made['dm']}"):
        assert wanted in seen, (wanted, seen)
    assert seen.index("q") < seen.index("/?dataset=digits") < seen.index(f"/artifacts/{made['dm']}")


def test_on_a_phone_it_fits(open_window: OpenWindow, front: Front, pictures: Pictures) -> None:
    furnish(front)
    page = open_window(width=PHONE, height=844)
    page.goto("/")
    page.wait_for_load_state("networkidle")
    assert_no_sideways_scrolling(page)
    expect(page.get_by_role("heading", name="Data set", exact=True)).to_be_hidden()
    pictures.take(page, "gallery-phone")
    page.get_by_text("Filters").click()
    page.get_by_role("link", name="hundred 1 artifacts").click()
    expect(page.locator(".shot")).to_have_count(1)
    assert_accessible(page)


@pytest.fixture(scope="module")
def full(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A front end with a thousand artifacts."""
    with served.showing(tmp_path_factory.mktemp("thousand")) as front:
        thousand(front.services)
        yield front


def test_of_a_thousand_artifacts_the_first_are_seen_within_a_second(full: Front, open_window: OpenWindow) -> None:
    asked: list[str] = []
    seen: list[float] = []
    for _ in range(LOOKS):  # until the machine has a moment for it; no window has anything in its cache
        page = open_window()
        page.on("request", lambda request: asked.append(request.url))
        page.goto("/", wait_until="domcontentloaded")
        seen.append(paints(page)[0])
        if seen[-1] < MOST_MILLISECONDS:
            break
        time.sleep(1)
    assert min(seen) < MOST_MILLISECONDS
    expect(page.get_by_role("heading", name="1,000 artifacts")).to_be_visible()
    expect(page.locator(".shot")).to_have_count(48)
    assert sum("preview.png" in url for url in asked) < 48 * len(seen)
    first = page.locator("h3 a").first.get_attribute("href")
    page.get_by_role("link", name="Next 48").click()
    assert page.locator("h3 a").first.get_attribute("href") != first
    page.get_by_role("link", name="From the beginning").click()
    assert page.locator("h3 a").first.get_attribute("href") == first


def test_of_a_thousand_artifacts_a_phone_shows_the_first_soon(full: Front, open_window: OpenWindow) -> None:
    """`python -m benchmarks.pages` takes the time of every page."""
    seen: list[tuple[float, float]] = []
    for _ in range(LOOKS):
        page = open_window(width=PHONE, height=844)
        on_a_phone(page)
        page.goto("/", wait_until="networkidle", timeout=60_000)
        seen.append(paints(page))
        page.close()
        if all(took < most for took, most in zip(seen[-1], PHONE_MILLISECONDS, strict=True)):
            return
        time.sleep(1)
    pytest.fail(f"the first and the largest thing were seen after so many ms: {seen}")
