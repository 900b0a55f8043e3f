"""Data sets in a browser: bringing one whatever the line does, what was found in it, its samples, its end."""

from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect
from sklearn.datasets import load_digits

from registry import datasets, jobs, uploads, validations, workers
from registry.models import DatasetState
from tests.browser.browsing import PHONE, Pictures, Watch, assert_accessible, assert_no_sideways_scrolling
from tests.browser.conftest import Front, OpenWindow
from tests.unit.app.test_datasets import npz

MIB = 1024**2


@pytest.fixture
def set_of_images(tmp_path: Path) -> Path:
    path = tmp_path / "My birds (1).npz"
    path.write_bytes(npz(classes=np.array(["finch", "wren"])))
    return path


def choose(page: Page, path: Path, *, name: str | None = None) -> None:
    page.goto("/datasets#bring")
    page.get_by_label("File", exact=True).set_input_files(path)
    if name is not None:
        page.get_by_label("Name", exact=True).fill(name)


def ready(front: Front, name: str, content: bytes) -> None:
    """As a form of the API brings an npz."""
    answer = httpx2.post(f"{front.url}/v1/datasets", data={"name": name}, files={"file": ("a.npz", content)})
    assert answer.status_code == 201, answer.text


def look(front: Front, *, refused: str | None = None) -> None:
    """What a worker does with the next upload."""
    with front.services.writing() as session:
        claim = validations.claim_next(session, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        report: dict[str, Any] = {"format": "npz", "bytes": claim.num_bytes, "unreadable": {"count": 1, "first": []}}
        report["unreadable"]["first"] = [{"name": "train/finch/7.png", "detail": "is cut off"}]
        if refused:
            report["problems"] = [{"pointer": "/train_labels", "detail": refused}]
            validations.refuse(session, claim.validation_id, attempt=claim.attempt, report=report)
            return
        facts = {"shape": [1, 8, 8], "classes": ["finch", "wren"], "train": 18, "val": 2, "test": 6}
        facts |= {"train_counts": [9, 9], "mean": [0.5], "std": [0.2]}
        blob = front.services.store.put(npz(classes=np.array(["finch", "wren"])))
        accepted = validations.Accepted(digest="d" * 64, blob_digest=blob, num_bytes=5000, facts=facts)
        validations.accept(session, claim.validation_id, attempt=claim.attempt, accepted=accepted, report=report)


def test_a_file_is_brought_looked_at_shown_and_deleted(page: Page, front: Front, set_of_images: Path) -> None:
    choose(page, set_of_images)
    expect(page.get_by_label("Name", exact=True)).to_have_value("My-birds-1")
    page.get_by_label("Name", exact=True).fill("birds")
    page.get_by_label("Licence").fill("CC0-1.0")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/datasets/birds")
    expect(page.get_by_role("heading", name="A worker looks at it")).to_be_visible()
    expect(page.locator("#validating-said")).to_contain_text("No live worker")
    expect(page.get_by_role("link", name="Distil this")).to_have_count(0)
    look(front)
    expect(page.get_by_role("heading", name="What was found in it")).to_be_visible()
    expect(page.locator("#report")).to_contain_text("train/finch/7.png is cut off")
    expect(page.get_by_role("img", name="10 images of wren")).to_be_visible()
    expect(page.get_by_role("link", name="Distil this")).to_have_attribute("href", "/jobs/new?dataset=birds")
    assert page.evaluate("fetch(document.querySelector('image').getAttribute('href')).then((a) => a.status)") == 200
    page.get_by_role("button", name="Delete").click()
    assert_accessible(page, schemes=("light",))
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    page.wait_for_url("**/datasets")
    expect(page.get_by_role("link", name="birds", exact=True)).to_have_count(0)


def test_a_refused_one_says_why_and_gives_its_name_back(page: Page, front: Front, set_of_images: Path) -> None:
    choose(page, set_of_images, name="birds")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/datasets/birds")
    look(front, refused="goes from 0 to 9; number the classes")
    expect(page.get_by_role("heading", name="It was refused")).to_be_visible()
    expect(page.locator("#report")).to_contain_text("/train_labels goes from 0 to 9; number the classes")
    choose(page, set_of_images, name="birds")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/datasets/birds")
    expect(page.get_by_role("heading", name="A worker looks at it")).to_be_visible()


def test_faults_stand_beside_their_fields(page: Page, watch: Watch, tmp_path: Path) -> None:
    watch.allow("422|409")  # the browser notes what the service refuses
    words = tmp_path / "words.npz"
    words.write_text("no arrays at all")
    choose(page, words, name="digits")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#name-fault")).to_contain_text("A data set is named digits already")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    page.get_by_label("Name", exact=True).fill("two words")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#name-fault")).to_contain_text("must be 1 to 64 of the characters")
    page.get_by_label("Name", exact=True).fill("CIFAR_10")  # workers would take it for CIFAR10
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#name-fault")).to_contain_text("built-in")
    letter = tmp_path / "letter.txt"
    letter.write_text("words")
    choose(page, letter, name="letter")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#file-fault")).to_contain_text("is no data set that we know")
    assert_accessible(page, schemes=("light",))


def test_an_upload_goes_on_after_the_line_was_lost_and_after_a_reload(
    page: Page, front: Front, watch: Watch, tmp_path: Path
) -> None:
    watch.allow("Failed to load resource|ERR_")
    images = np.random.default_rng(0).integers(0, 256, (150, 256, 256), dtype=np.uint8)  # 10 MB: three pieces
    large = tmp_path / "large.npz"
    large.write_bytes(npz(train_images=images, train_labels=np.arange(150) % 2, test_images=images[:6]))
    offsets: list[int] = []
    cut = {"now": False}

    def pass_on(route: Route) -> None:
        if route.request.method == "PATCH":
            offset = int(route.request.headers["upload-offset"])
            if cut["now"] and offset > 0:
                route.abort("connectionreset")
                return
            offsets.append(offset)
        route.continue_()

    page.route("**/v1/uploads/*", pass_on)
    cut["now"] = True
    choose(page, large, name="large")
    page.get_by_role("button", name="Upload").click()
    expect(page.locator("#sent")).to_contain_text("The line was lost; trying again")
    page.once("dialog", lambda asked: asked.accept())  # leaving while it goes on
    page.reload()
    cut["now"] = False
    choose(page, large, name="large")
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url("**/datasets/large")
    assert offsets == [0, 4 * MIB, 8 * MIB]  # no byte went twice
    with front.services.database.read() as session:
        found = datasets.get(session, "large")
        assert (found.state, found.num_bytes) == (DatasetState.VALIDATING, large.stat().st_size)


def test_an_upload_can_be_called_off(page: Page, front: Front, tmp_path: Path) -> None:
    large = tmp_path / "large.zip"
    large.write_bytes(b"PK\x03\x04" + bytes(9 * MIB))
    page.route("**/v1/uploads/*", lambda route: None if route.request.method == "PATCH" else route.continue_())
    choose(page, large, name="large")
    with page.expect_request(lambda asked: asked.method == "PATCH"):
        page.get_by_role("button", name="Upload").click()
    with page.expect_response(lambda answer: answer.request.method == "DELETE"):
        page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#said")).to_contain_text("cancelled")
    expect(page.get_by_role("button", name="Upload")).to_be_enabled()


def test_a_file_is_dropped(page: Page) -> None:
    page.goto("/datasets#bring")
    data = page.evaluate_handle(
        """() => { const held = new DataTransfer();
        held.items.add(new File(["x"], "wild things.zip")); return held; }"""
    )
    page.dispatch_event("#drop", "dragover", {"dataTransfer": data})
    expect(page.locator("#drop")).to_have_class("drop over")
    page.dispatch_event("#drop", "drop", {"dataTransfer": data})
    expect(page.get_by_label("Name", exact=True)).to_have_value("wild-things")
    assert page.evaluate("document.getElementById('file').files[0].name") == "wild things.zip"


def test_what_is_in_use_is_deleted_only_by_who_insists(page: Page, front: Front, watch: Watch) -> None:
    watch.allow("409")
    ready(front, "mine", npz())
    with front.services.writing() as session:
        jobs.submit(session, recipe={"dataset": "mine"}, digest="e" * 64, request_id="r")
    page.goto("/datasets/mine")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete it").click()
    expect(page.locator("#sure-fault")).to_contain_text("named by 1 living jobs")
    page.get_by_label("Delete it all the same").check()
    page.get_by_role("button", name="Delete it").click()
    page.wait_for_url("**/datasets")


def test_samples_are_chosen_by_split_columns_and_seed(page: Page, front: Front) -> None:
    ready(front, "mine", npz())
    page.goto("/datasets/mine")
    page.get_by_label("Split").select_option("test")
    page.get_by_label("Columns").fill("3")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**/datasets/mine?split=test&columns=3&seed=#samples")
    expect(page.get_by_role("img", name="3 images of 0")).to_be_visible()
    page.get_by_role("button", name="Other images").click()
    page.wait_for_url("**seed=*#samples")
    expect(page.get_by_label("Columns")).to_have_value("3")
    assert page.locator("image").first.get_attribute("href") != ""


def some_digits() -> bytes:
    """Real images of four classes, one of them there twice."""
    read: Any = load_digits()
    keep = np.flatnonzero(read.target < 4)
    pixels, labels = np.rint(read.images[keep] * (255 / 16)).astype(np.uint8), read.target[keep]
    pixels[7] = pixels[0]
    test = {"test_images": pixels[600:], "test_labels": labels[600:]}
    names = np.array(["zero", "one", "two", "three"])
    return npz(train_images=pixels[:600], train_labels=labels[:600], classes=names, **test)


def test_the_list_and_a_report_fit_a_phone(open_window: OpenWindow, front: Front, pictures: Pictures) -> None:
    with front.services.writing() as session:
        workers.beat_worker(session, worker="w", device="cpu", hostname="h", pid=1)
        upload_id = uploads.create(session, length=0, told="", hours=1).id
        datasets.await_validation(session, name="birds", kind="zip", upload_id=upload_id, licence=None, request_id="r")
        claim = validations.claim_next(session, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        validations.beat(session, claim.validation_id, attempt=claim.attempt, lease_seconds=60, progress=0.4)
    ready(front, "four-digits", some_digits())
    phone = open_window(width=PHONE)
    for path in ("/datasets#bring", "/datasets/four-digits"):
        phone.goto(path)
        assert_no_sideways_scrolling(phone)
    desk = open_window(height=900)
    desk.goto("/datasets#bring")
    pictures.take(desk, "datasets", full=True)
    desk.goto("/datasets/four-digits")
    expect(desk.get_by_role("img", name="10 images of three")).to_be_visible()
    desk.wait_for_load_state("networkidle")
    assert_accessible(desk, schemes=("light",))
    pictures.take(desk, "dataset", full=True)
