"""The page of workers in a browser: fresh while somebody looks, still while nobody does."""

from playwright.sync_api import Page, Route, expect

from distilled import __version__
from registry import jobs, workers
from tests.browser.browsing import PHONE, Pictures, Watch, assert_accessible, assert_no_sideways_scrolling
from tests.browser.conftest import Front, OpenWindow

MEMORY = {"code": "out_of_memory", "title": "Too little memory", "detail": "Lower `objective.real_batch`."}

LOST = {"code": "worker_lost", "title": "The worker was lost", "detail": "Look at the workers' logs, then retry."}


def introduce(front: Front, name: str = "w") -> None:
    with front.services.writing() as session:
        workers.beat_worker(
            session,
            worker=name,
            device="cuda:0 (NVIDIA H200)",
            hostname="box",
            pid=7,
            version=__version__,
            memory_bytes=139 * 10**9,
        )


def claim(front: Front, digest: str = "e" * 64) -> str:
    with front.services.writing() as session:
        recipe = {"dataset": "digits", "method": "dm"}
        job = jobs.submit(session, recipe=recipe, digest=digest, request_id="r")
        jobs.claim(session, job.id, worker="w", device="cuda:0", lease_seconds=60)
        return job.id


def test_the_page_follows_what_happens(page: Page, front: Front) -> None:
    page.clock.install()
    page.goto("/workers")
    expect(page.get_by_role("heading", name="Not ready")).to_be_visible()
    expect(page.locator("#state")).to_contain_text("distilled worker")
    introduce(front)
    front.services.measured.forget()
    page.clock.run_for(4100)
    expect(page.get_by_role("heading", name="Live workers: 1")).to_be_visible()
    expect(page.get_by_role("heading", name="Ready", exact=True)).to_be_visible()
    job_id = claim(front)
    page.clock.run_for(4100)
    link = page.get_by_role("link", name="job dm on digits")
    expect(link).to_have_attribute("href", f"/jobs/{job_id}")
    link.focus()
    introduce(front, "second")
    page.clock.run_for(4100)
    expect(page.get_by_role("heading", name="Live workers: 2")).to_be_visible()
    expect(link).to_be_focused()  # nobody who reads by keyboard loses the place
    with front.services.writing() as session:
        jobs.fail(session, job_id, attempt=1, error=MEMORY)
    front.services.measured.forget()
    page.clock.run_for(4100)
    expect(page.locator("#failures")).to_contain_text("Too little memory")


def test_nothing_is_asked_for_while_it_is_paused_or_hidden(page: Page, front: Front) -> None:
    introduce(front)
    page.clock.install()
    page.goto("/workers")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/workers") else None)
    page.get_by_role("button", name="Pause").click()
    page.clock.run_for(20_000)
    assert asked == []
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.get_by_role("button", name="Go on").click()
    page.clock.run_for(20_000)
    assert asked == []
    with page.expect_request("**/workers"):
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")


def test_a_service_that_is_gone_is_told_and_its_return_too(page: Page, front: Front, watch: Watch) -> None:
    watch.allow("ERR_|Failed to load resource")
    introduce(front)
    page.clock.install()
    page.goto("/workers")
    gone = {"now": True}
    page.route("**/workers", lambda route: _pass(route, gone["now"]))
    page.clock.run_for(4100)
    expect(page.locator("#said")).to_contain_text("does not answer")
    gone["now"] = False
    page.clock.run_for(4100)
    expect(page.locator("#said")).to_contain_text("answers again")


def _pass(route: Route, gone: bool) -> None:
    if gone:
        route.abort("connectionrefused")
    else:
        route.continue_()


def test_it_fits_a_phone_and_everybody(open_window: OpenWindow, front: Front, pictures: Pictures) -> None:
    introduce(front)
    for number, error in enumerate((MEMORY, MEMORY, LOST)):
        job_id = claim(front, digest=str(number) * 64)
        with front.services.writing() as session:
            jobs.fail(session, job_id, attempt=1, error=error)
    claim(front)
    with front.services.writing() as session:
        told = {"device": "cpu", "hostname": "desk-2", "pid": 4711, "queues": ["cpu", "evaluate", "validate"]}
        workers.beat_worker(
            session, worker="desk-2-1a2b3c4d-4711", version=__version__, memory_bytes=25 * 10**9, **told
        )
        for digest in ("a", "b"):
            jobs.submit(session, recipe={"dataset": "digits", "method": "dm"}, digest=digest * 64, request_id="r")
    phone = open_window(width=PHONE)
    phone.goto("/workers")
    assert_no_sideways_scrolling(phone)
    desk = open_window(height=900)
    desk.goto("/workers")
    assert_accessible(desk, schemes=("light",))
    pictures.take(desk, "workers", full=True)
