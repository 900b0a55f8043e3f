"""The page of an artifact, looked at and used as people do."""

import re
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect
from safetensors.numpy import load

from tests.browser.browsing import SCHEMES, Watch, assert_accessible, assert_no_sideways_scrolling
from tests.browser.conftest import Front, OpenWindow
from tests.browser.exhibits import HELD, exhibit, measure

SIDE = 8


def pixels(canvas: Locator) -> Any:
    """What a canvas holds: int [H, W], the red of each pixel."""
    found = canvas.evaluate(
        "(c) => [c.height, c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]"
    )
    return np.array(found[2:]).reshape(found[0], found[1], 4)[..., 0]


def arrays(page: Page, path: str) -> dict[str, Any]:
    answer = page.request.get(path)
    assert answer.ok, answer.text()
    return load(answer.body())


def test_images_are_walked_over_beside_their_neighbours(page: Page, front: Front) -> None:
    made = exhibit(front.services, "images", alias="digits-best")
    page.goto("/artifacts/digits-best")
    cells = page.locator("#grid .cell")
    expect(cells).to_have_count(10 * HELD)
    cells.nth(HELD + 2).hover()
    expect(page.locator("#look-title")).to_have_text("1, image 3")
    told = page.request.get(f"/v1/artifacts/{made.id}/neighbours?ipc={HELD}&classes=1").json()
    nearest = next(item for item in told["items"] if item["place"] == 2)
    expect(page.locator("#look-distance")).to_contain_text(f"{nearest['rms']:.1f} grey levels")
    expect(page.locator("#look-distance")).to_contain_text(f"number {nearest['index'] + 1} of")
    expect(page.locator("#look-real")).to_be_visible()
    held = arrays(page, f"/v1/artifacts/{made.id}/download?ipc={HELD}")
    np.testing.assert_array_equal(pixels(page.locator("#look-image")), held["images"][HELD + 2, ..., 0])
    labels = page.locator("#look-label tr")
    expect(labels).to_have_count(10)
    shares = [float(text) for text in labels.locator("td.number").all_inner_texts()]
    assert shares == pytest.approx(sorted(100 * held["soft_labels"][HELD + 2], reverse=True), abs=0.051)
    # By keyboard: along a row and down a column.
    cells.nth(HELD + 2).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#look-title")).to_have_text("2, image 4")
    expect(page).to_have_url(re.compile("image=2-3"))
    page.keyboard.press("End")
    expect(page).to_have_url(re.compile(f"image=2-{HELD - 1}"))
    page.reload()
    expect(page.locator("#look-title")).to_have_text(f"2, image {HELD}")
    expect(page.locator("#look-distance")).to_contain_text("grey levels")


def test_the_slider_says_how_many_and_stays(page: Page, front: Front) -> None:
    exhibit(front.services, "images", alias="digits-best")
    page.goto("/artifacts/digits-best?classes=3,5")
    cells = page.locator("#grid .cell")
    expect(cells).to_have_count(2 * HELD)
    slider = page.get_by_label("Images per class")
    slider.focus()
    for _ in range(HELD - 2):
        page.keyboard.press("ArrowLeft")
    expect(cells).to_have_count(4)
    expect(page).to_have_url(re.compile(r"[?&]ipc=2\b"))
    page.reload()
    expect(cells).to_have_count(4)
    expect(page.locator("#ipc-said")).to_have_text("2")


@pytest.mark.parametrize("storage", ["uint8", "float16"])
def test_a_memory_is_composed_as_the_service_does(page: Page, front: Front, storage: str) -> None:
    made = exhibit(front.services, "memory", alias="recalled", storage=storage)
    held = arrays(page, f"/v1/artifacts/{made.id}/download")["images"][..., 0].astype(int)
    page.goto("/artifacts/recalled?image=4-2#memory")
    said, canvas = page.locator("#composed-said"), page.locator("#composed")
    expect(said).to_contain_text("4, image 3, as stored")
    shown = pixels(canvas)
    assert np.abs(shown - held[4 * HELD + 2]).max() <= 1
    assert held[4 * HELD + 2].std() > 20, "there is something to be seen"
    page.get_by_label("Class", exact=True).select_option("7")
    expect(said).to_contain_text("7, image 3, as stored")
    assert np.abs(pixels(canvas) - held[7 * HELD + 2]).max() <= 1
    slider = page.locator("#bases input").first
    slider.focus()
    page.keyboard.press("Home")
    expect(said).to_contain_text("changed")
    assert np.abs(pixels(canvas) - held[7 * HELD + 2]).max() > 10
    page.get_by_role("button", name="As it is stored").click()
    assert np.abs(pixels(canvas) - held[7 * HELD + 2]).max() <= 1
    expect(page).to_have_url(re.compile("image=7-2"))


def test_a_generator_draws_again(page: Page, front: Front) -> None:
    made = exhibit(front.services, "generator", alias="made-up")
    page.goto("/artifacts/made-up?seed=7&count=20#draw")
    said, drawn = page.locator("#drawn-said"), page.locator("#drawn canvas")
    expect(said).to_contain_text("20 images in")
    expect(said).to_contain_text("seed 7")
    wanted = arrays(page, f"/v1/artifacts/{made.id}/samples?seed=7&count=20")["images"][..., 0]
    np.testing.assert_array_equal(pixels(drawn.nth(3)), wanted[3])
    page.get_by_role("button", name="Another seed").click()
    expect(said).not_to_contain_text("seed 7.")
    expect(said).to_contain_text("20 images in")
    other = pixels(drawn.nth(3))
    assert np.abs(other - wanted[3].astype(int)).max() > 1
    page.reload()
    expect(said).to_contain_text("20 images in")
    np.testing.assert_array_equal(pixels(drawn.nth(3)), other)
    page.get_by_label("So many").select_option("ratio")
    page.get_by_label("% of the real images").fill("100")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(said).to_contain_text(re.compile("100 images|30 images|at most 1000"))


@pytest.mark.parametrize("kind", ["memory", "generator"])
def test_classes_are_mixed(page: Page, front: Front, kind: str) -> None:
    made = exhibit(front.services, kind, alias="mixed")
    page.goto("/artifacts/mixed?mix=3:60,8:40&seed=5#mix")
    count = HELD if kind == "memory" else 8
    canvases = page.locator("#mixed canvas")
    expect(canvases).to_have_count(count)
    path = f"/v1/artifacts/{made.id}/samples?seed=5"
    wanted = page.request.post(path, data=[{"mix": {"3": 60, "8": 40}, "count": count}])
    np.testing.assert_array_equal(pixels(canvases.nth(1)), load(wanted.body())["images"][1, ..., 0])
    expect(page.locator("#strip")).to_have_attribute("alt", re.compile("from 3 to 8"))
    page.get_by_label("Add a class").select_option("5")
    expect(page.locator("#mixed-said")).to_contain_text("3 60, 8 40, 5 50")
    expect(page).to_have_url(re.compile("mix=3%3A60%2C8%3A40%2C5%3A50"))


def test_what_may_be_done_is_done(page: Page, front: Front) -> None:
    made = exhibit(front.services, "images", alias="digits-best")
    page.goto("/artifacts/digits-best")
    page.get_by_label("New alias").fill("second")
    page.get_by_role("button", name="Set").click()
    expect(page.locator(".chips")).to_contain_text("second")
    expect(page.locator("#grid .cell").first).to_be_visible()  # so scripts have begun
    page.get_by_role("button", name="Take the alias second away").click()
    expect(page.locator(".chips")).not_to_contain_text("second")
    expect(page.locator("#grid .cell").first).to_be_visible()
    page.get_by_role("tab", name="Results").click()
    page.get_by_label("Networks, with commas").fill("mlp-w16, resnet10")
    page.get_by_role("button", name="Measure").click()
    expect(page.locator("#results")).to_contain_text("resnet10 unseen")
    expect(page.locator("#grid .cell")).to_have_count(10 * HELD)
    assert len(front.services.queue.evaluations) == 2
    page.get_by_role("button", name="Take the alias digits-best away").click()
    expect(page).to_have_url(re.compile(made.id))
    expect(page.locator("#grid .cell")).to_have_count(10 * HELD)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="sure").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("This artifact was deleted")
    assert_accessible(page, schemes=("light",))
    page.get_by_role("button", name="Restore it").click()
    expect(page.locator("#grid .cell")).to_have_count(10 * HELD)


def test_what_was_wrong_is_said_where_it_was_asked(page: Page, front: Front, watch: Watch) -> None:
    watch.allow("status of 422")
    exhibit(front.services, "images", alias="digits-best")
    page.goto("/artifacts/digits-best#results")
    page.get_by_label("Networks, with commas").fill("nonet")
    with page.expect_response("**/evaluations") as answered:
        page.get_by_role("button", name="Measure").click()
    assert answered.value.status == 422
    expect(page.locator("#evaluate .fault")).to_contain_text("/networks")


def test_two_are_compared(page: Page, front: Front) -> None:
    first = exhibit(front.services, "images", alias="digits-best")
    second = exhibit(front.services, "memory", alias="recalled")
    measure(front.services, first, "mlp-w16", 0.9)
    measure(front.services, second, "mlp-w16", 0.93)
    page.goto("/artifacts/digits-best")
    page.get_by_role("link", name="Compare with").click()
    page.get_by_label("An alias or an id").fill("recalled")
    page.get_by_role("button", name="Compare").click()
    expect(page).to_have_url(re.compile("/artifacts/digits-best/compare/recalled"))
    expect(page.locator("main")).to_contain_text("+3.0")
    expect(page.locator(".sheets img")).to_have_count(20)
    expect(page.locator("tr.differs").first).to_contain_text("bytes")
    assert_accessible(page)
    page.set_viewport_size({"width": 390, "height": 800})
    assert_no_sideways_scrolling(page)


OWN = {"memory": ["Memory"], "generator": ["Draw again", "Mix classes"]}


@pytest.mark.parametrize("kind", ["images", *OWN])
def test_everybody_can_use_every_part(page: Page, front: Front, kind: str) -> None:
    made = exhibit(front.services, kind, alias="shown")
    measure(front.services, made, "mlp-w16", 0.9)
    page.goto("/artifacts/shown")
    expect(page.locator("#grid .cell").first).to_be_visible()
    parts = [part for part in page.get_by_role("tab").all() if kind not in OWN or part.inner_text() in OWN[kind]]
    for i, part in enumerate(parts):
        part.click()
        page.wait_for_load_state("networkidle")
        assert_accessible(page, schemes=(SCHEMES[i % 2],))
        page.set_viewport_size({"width": 390, "height": 800})
        assert_no_sideways_scrolling(page)
        page.set_viewport_size({"width": 1280, "height": 800})


def test_without_scripts_all_is_said(open_window: OpenWindow, front: Front) -> None:
    made = exhibit(front.services, "images", alias="shown")
    page = open_window(java_script_enabled=False)
    page.goto("/artifacts/shown")
    expect(page.locator(".class-row img").first).to_be_visible()
    for part in ("#lineage", "#files", "#use", "#card"):
        expect(page.locator(part)).to_be_visible()
    expect(page.locator("#files")).to_contain_text(made.digest)
