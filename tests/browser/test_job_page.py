"""The page of a job: told as it happens, whatever becomes of the connection, the tab or the worker."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from registry import jobs
from registry.models import EventKind
from tests.browser.browsing import PHONE, Pictures, Watch, assert_accessible, assert_no_sideways_scrolling
from tests.browser.conftest import Front, OpenWindow
from tests.browser.working import Hand, lose
from workers import failures
from workers.distill.errors import NotFinite

#: A kernel on 8 x 8 pixels: real, and a few milliseconds a step.
KERNEL: dict[str, Any] = {
    "dataset": "digits",
    "method": "kip",
    "ipc": 4,
    "seed": 3,
    "steps": 80,
    "objective": {"real_batch": 32},
    "evaluation": {"networks": ["mlp-w16"], "steps": 5, "epochs": 1, "repeats": 1},
}
STEP = 48
NAN = "the loss became nan at step 6 of 12; lower `objective.learning_rate`"


def submit(front: Front, **recipe: Any) -> str:
    answer = httpx2.post(f"{front.url}/v1/jobs", json={**KERNEL, **recipe}, timeout=10)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


@pytest.fixture
def hand(front: Front, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hand]:
    made = Hand(front, monkeypatch, slow=0.01)
    yield made
    made.close()


def test_a_job_is_watched_from_the_queue_to_its_figures(
    page: Page, front: Front, hand: Hand, pictures: Pictures, open_window: OpenWindow, watch: Watch
) -> None:
    watch.allow("404 (Not Found)")  # a picture that was thinned out before a slow browser asked for it
    job_id = submit(front)
    page.goto(f"/jobs/{job_id}")
    expect(page.locator("h1")).to_have_text("kip on digits")
    expect(page.locator("#queue")).to_contain_text("waits for something that nobody has")
    hand.begin(hold_at=STEP)

    expect(page.locator("#far")).to_contain_text(f"Step {STEP} of 80 (60 %)")
    expect(page.locator(".headline .state")).to_have_text("running")
    expect(page.locator("#left")).to_contain_text("left")
    expect(page.locator("#band-said")).to_contain_text("ends between")
    expect(page.locator("#losses [role=img]")).to_have_attribute(
        "aria-label", re.compile("Loss: loss from .* at step 47$")
    )
    expect(page.locator("#losses canvas")).to_be_visible()
    expect(page.locator("#log li").first).to_contain_text("Starts 80 steps on cpu, 4 images of each class")
    expect(page.locator("#picture")).to_have_attribute("alt", re.compile("after step"))
    assert page.locator("#picture").evaluate("image => image.decode().then(() => image.naturalWidth)") == 4 * 10 + 2
    assert_accessible(page)
    pictures.take(page, "job-running", full=True)
    phone = open_window(width=PHONE)
    phone.goto(f"/jobs/{job_id}")
    expect(phone.locator("#far")).to_contain_text(f"Step {STEP} of 80")
    assert_no_sideways_scrolling(phone)

    hand.go_on()
    expect(page.locator(".headline .state")).to_have_text("succeeded")
    expect(page.locator("#line")).to_be_empty()
    hand.measure()
    expect(page.locator("[data-part=result] .state")).to_have_text("succeeded")
    expect(page.get_by_role("link", name="See the artifact")).to_be_visible()


def test_the_pictures_are_scrubbed_and_the_place_stands_in_the_address(page: Page, front: Front, hand: Hand) -> None:
    job_id = submit(front, evaluation={"networks": []})
    hand.begin()
    hand.wait()
    kept = httpx2.get(f"{front.url}/v1/jobs/{job_id}/pictures").json()["items"]
    assert len(kept) > 3
    page.goto(f"/jobs/{job_id}")
    shown, bar = page.locator("#picture"), page.locator("#moment")
    expect(bar).to_have_attribute("max", str(len(kept) - 1))
    expect(shown).to_have_attribute("data-number", str(kept[-1]["number"]))
    bar.focus()
    page.keyboard.press("Home")
    expect(shown).to_have_attribute("alt", "The synthetic images after step 0, a class a row")
    page.keyboard.press("ArrowRight")
    expect(shown).to_have_attribute("data-number", str(kept[1]["number"]))
    assert page.url.endswith(f"?picture={kept[1]['number']}")
    page.reload()
    expect(shown).to_have_attribute("data-number", str(kept[1]["number"]))
    expect(page.locator("#live")).to_have_attribute("aria-pressed", "false")
    page.locator("#live").click()
    expect(shown).to_have_attribute("data-number", str(kept[-1]["number"]))
    assert page.url.endswith(job_id)


def test_a_lost_connection_is_told_and_nothing_is_missed(page: Page, front: Front, hand: Hand, watch: Watch) -> None:
    watch.allow("ERR_FAILED")
    job_id = submit(front)
    hand.begin(hold_at=10)
    page.goto(f"/jobs/{job_id}")
    expect(page.locator("#line")).to_have_text("live")
    page.route("**/events*", lambda route: route.abort())  # and none is opened again
    front.services.stopping.set()  # the service lets go of its streams, as when it is stopped
    expect(page.locator("#line")).to_contain_text("connection is lost")
    hand.go_on()
    front.services.stopping.clear()
    assert httpx2.get(f"{front.url}/v1/jobs/{job_id}").json()["state"] == "succeeded"
    expect(page.locator(".headline .state")).to_have_text("running")
    page.unroute("**/events*")
    expect(page.locator(".headline .state")).to_have_text("succeeded")
    expect(page.locator("#far")).to_contain_text("Step 80 of 80")
    expect(page.locator("#losses [role=img]")).to_have_attribute("aria-label", re.compile("at step 80$"))
    told = httpx2.get(f"{front.url}/v1/jobs/{job_id}/events").text.count("event: log")
    expect(page.locator("#log li")).to_have_count(told)


def test_a_second_tab_shows_what_the_first_does(page: Page, front: Front, hand: Hand) -> None:
    job_id = submit(front)
    hand.begin(hold_at=10)
    page.goto(f"/jobs/{job_id}")
    other = page.context.new_page()
    other.goto(f"/jobs/{job_id}")
    expect(other.locator("#line")).to_have_text("live")
    page.get_by_role("button", name="Call it off").click()
    for tab in (page, other):
        expect(tab.locator(".headline .state")).to_have_text("being called off")
    hand.go_on()
    for tab in (page, other):
        expect(tab.locator(".headline .state")).to_have_text("cancelled")
        expect(tab.locator("[data-part=timeline] li").last).to_contain_text("Called off")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".headline .state")).to_have_text("queued")
    other.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # somebody looks at it again
    expect(other.locator(".headline .state")).to_have_text("queued")
    hand.begin()
    hand.wait()
    for tab in (page, other):
        expect(tab.locator(".headline .state")).to_have_text("succeeded")
        expect(tab.locator("[data-part=head]")).to_contain_text("attempt 2")


def test_a_failure_says_in_plain_words_what_to_do(page: Page, front: Front, hand: Hand, pictures: Pictures) -> None:
    job_id = submit(front, method="dm", steps=12, objective={"learning_rate": 1000, "network": "convnet1-w8"})
    page.goto(f"/jobs/{job_id}")
    hand.begin(hold_at=9)
    lose(front, job_id)
    expect(page.locator("[data-part=timeline] li").last).to_contain_text("fell silent")
    with front.services.database.write() as session:
        held = jobs.claim(session, job_id, worker="lab-2:cpu", device="cpu", lease_seconds=60)
        assert held is not None
        jobs.fail(session, job_id, attempt=held.attempt, error=failures.describe(NotFinite(NAN)))
    hand.go_on()
    told = page.locator("[role=alert]")
    expect(told).to_contain_text("lower objective.learning_rate")
    expect(page.locator("[data-part=head]")).to_contain_text("attempt 2")
    assert_accessible(page)
    pictures.take(page, "job-failed", full=True)
    page.get_by_role("button", name="Start anew").click()
    expect(page.locator("[data-part=timeline] li").last).to_contain_text("to start anew")
    expect(told).to_have_count(0)


def test_the_log_is_filtered(page: Page, front: Front, hand: Hand) -> None:
    job_id = submit(front)
    hand.begin()
    hand.wait()
    with front.services.database.read() as session:
        lines = [event for event in jobs.events(session, job_id) if event.kind == EventKind.LOG]
    page.goto(f"/jobs/{job_id}")
    expect(page.locator("#log li:visible")).to_have_count(len(lines))
    page.locator("#filter").fill("STARTS 80")
    expect(page.locator("#log li:visible")).to_have_count(1)
    assert "log=STARTS+80" in page.url


def test_the_list_goes_on_by_itself(page: Page, front: Front, hand: Hand, pictures: Pictures) -> None:
    done = submit(front, evaluation={"networks": []})
    hand.begin()
    hand.wait()
    other = submit(front, method="dm", steps=9, objective={}, seed=1)
    httpx2.post(f"{front.url}/v1/jobs/{other}/cancel")
    running = submit(front, seed=4, ipc=10)
    waiting = submit(front, seed=5, ipc=10)
    hand.begin(hold_at=STEP)
    page.goto("/jobs")
    states = [page.locator(f"[data-job={job}] .state") for job in (done, other, running, waiting)]
    for state, word in zip(states, ("succeeded", "cancelled", "running", "queued"), strict=True):
        expect(state).to_have_text(word)
    assert_accessible(page)
    pictures.take(page, "jobs")
    hand.go_on()
    expect(states[2]).to_have_text("succeeded")
    page.get_by_label("State").select_option("cancelled")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(1)
