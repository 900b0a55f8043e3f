"""The whole way of a person who has images and wants few of them: in one browser, before the real service."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from sklearn.datasets import load_digits

from tests.acceptance.forked import Forked
from tests.acceptance.service import Service
from tests.browser.browsing import Watch
from tests.faults.stacks import Machine

#: For what takes a process with torch of its own, in milliseconds.
WORK = 120_000
#: For what the service answers by itself.
PATIENCE = 30_000
#: A memory that recalls a few images after a few steps, by the fields of the form.
TINY = {
    "parametrization.bases": "4",
    "objective.inner_steps": "2",
    "objective.inner_batch": "8",
    "objective.real_batch": "32",
    "objective.network": "mlp-w16",
    "evaluation.networks": "mlp-w16",
    "evaluation.steps": "20",
    "evaluation.epochs": "1",
    "evaluation.repeats": "2",
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """The service with a worker. It is born of forks, as there are many jobs on the way."""
    machine = Machine()
    own = Forked(tmp_path / "home", machine)
    try:
        own.start()
        yield own
    finally:
        own.end()
        machine.close()


@pytest.fixture
def own_page(browser: Browser, service: Service) -> Iterator[Page]:
    """A window before it. It fails on what all windows fail on."""
    context = browser.new_context(
        base_url=service.url, viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
    )
    watching = Watch(host=service.url.partition("://")[2])
    watching.allow("status of 422")  # the form asks what is wrong with a recipe while it is being filled in
    watching.follow(context)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()
    assert watching.left() == []


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Digits of two kinds, as a person would bring them."""
    read: Any = load_digits()
    keep = read.target < 2
    pixels, labels = np.rint(read.images[keep] * (255 / 16)).astype(np.uint8), read.target[keep]
    path = tmp_path / "zeros and ones.npz"
    arrays = {"train_images": pixels[:240], "train_labels": labels[:240], "test_images": pixels[240:]}
    np.savez_compressed(path, **arrays, test_labels=labels[240:], classes=np.array(["zero", "one"]))
    return path


def fill(page: Page, **wanted: str) -> None:
    """Fields of the form for a new job, by their paths, in whichever section they are."""
    for path, value in wanted.items():
        field = page.locator(f"#f-{path.replace('.', '-')}")
        field.evaluate("(one) => { one.closest('details').open = true; }")
        field.fill(value)


def submit(page: Page) -> None:
    """Press the button, and watch the job to its end."""
    page.locator("#form[data-checked=good], #form[data-checked=refused]").wait_for(timeout=WORK)
    assert page.locator("#faults").inner_text() == ""
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile(r"/jobs/job_[0-9a-f]{32}"))
    # The page is not loaded again: what it shows comes to it while it is open.
    expect(page.get_by_role("link", name="See the artifact")).to_be_visible(timeout=WORK)


@pytest.mark.timeout(400)
def test_from_images_to_a_distilled_set_and_beside_another(own_page: Page, images: Path) -> None:
    page = own_page
    page.goto("/datasets")
    page.get_by_text("Bring your own").click()
    page.get_by_label("File", exact=True).set_input_files(images)
    expect(page.get_by_label("Name", exact=True)).to_have_value("zeros-and-ones")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/datasets/zeros-and-ones")
    expect(page.get_by_role("heading", name="What was found in it")).to_be_visible(timeout=WORK)
    expect(page.locator("#report")).to_contain_text("240 train, 120 test")
    expect(page.get_by_role("img", name="10 images of zero")).to_be_visible()

    page.get_by_role("link", name="Distil this").click()
    expect(page.get_by_label("Data set", exact=True)).to_have_value("zeros-and-ones")
    page.locator("label[for=method-remember-the-past]").click()
    fill(page, steps="3", **TINY)
    submit(page)
    first = page.get_by_role("link", name="See the artifact").get_attribute("href")

    page.get_by_role("link", name="Gallery", exact=True).first.click()
    page.get_by_role("link", name=re.compile("zeros-and-ones.*remember-the-past")).click()
    expect(page).to_have_url(re.compile(str(first)))
    expect(page.locator("#grid .cell").first).to_be_visible()
    page.get_by_role("tab", name="Mix classes").click()
    expect(page.locator("#mixed canvas").first).to_be_visible()
    expect(page.locator("#strip")).to_have_attribute("alt", re.compile("zero.*one|one.*zero"))

    page.go_back()
    page.goto("/jobs?dataset=zeros-and-ones")
    page.get_by_role("link", name=re.compile("remember-the-past")).first.click()
    page.get_by_role("link", name="Clone with changes").click()
    expect(page.get_by_label("Data set", exact=True)).to_have_value("zeros-and-ones")
    fill(page, seed="1")
    submit(page)
    page.get_by_role("link", name="See the artifact").click()
    page.get_by_role("link", name="Compare with").click()
    page.locator(f'a[href$="{str(first).rpartition("/")[2]}"]').first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("against")
    expect(page.locator(".sheets img")).to_have_count(4)
    expect(page.get_by_role("row", name=re.compile("seed")).first).to_contain_text("1")
