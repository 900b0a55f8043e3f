"""What holds for every page there is: it can be used by everybody, fits a phone, and goes wrong nowhere."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from app.gallery.frame import PageRoute
from app.main import ROUTERS
from registry import workers
from registry.scopes import Scope
from tests.browser.browsing import (
    DESK,
    PHONE,
    Pictures,
    Watch,
    assert_accessible,
    assert_no_sideways_scrolling,
)
from tests.browser.conftest import Front, Served
from tests.browser.content import images_file, put
from tests.unit.app.conftest import artifact_file, publish
from tests.unit.app.keys.conftest import cut

#: Each page by its route, and what its path is filled with.
PAGES = {
    "/": "/",
    "/artifacts/{name}": "/artifacts/best",
    "/artifacts/{name}/compare": "/artifacts/best/compare",
    "/artifacts/{name}/compare/{other}": "/artifacts/best/compare/second",
    "/jobs": "/jobs",
    "/jobs/new": "/jobs/new",
    "/jobs/{job_id}": "/jobs/{job}",
    "/datasets": "/datasets",
    "/datasets/{name}": "/datasets/digits",
    "/workers": "/workers",
    "/problems/{slug}": "/problems/invalid-recipe",
}
#: Those that show themselves to whom is not in, or in no other way.
OTHERS = {"/login", "/logout", "/openapi.json"}


def test_no_page_is_left_out() -> None:
    routes = {route.path for router in ROUTERS for route in router.routes if isinstance(route, PageRoute)}
    assert routes == set(PAGES) | OTHERS


@pytest.fixture(scope="module")
def furnished(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A front end with something of everything; what fills the paths."""
    with served.showing(tmp_path_factory.mktemp("everything")) as front:
        yield furnish(front)


def furnish(front: Front) -> dict[str, str]:
    """Put something of everything there; what fills the paths."""
    put(front.services, images_file(ipc=2), accuracy=0.91, names=("best",))
    put(front.services, images_file(ipc=2, start=9), accuracy=0.85, names=("second",), method="dm")
    made = publish(front.services, file=artifact_file(held=3))
    with front.services.writing() as session:
        workers.beat_worker(session, worker="w", device="cpu", hostname="here", pid=1)
    return {"job": made.job_id}


@pytest.mark.parametrize("route", PAGES)
def test_everybody_can_use_it(
    served: Served, browser: Browser, watch: Watch, furnished: dict[str, str], route: str
) -> None:
    context = browser.new_context(base_url=served.url, reduced_motion="reduce")
    watch.follow(context)
    page = context.new_page()
    page.set_viewport_size({"width": DESK, "height": 800})
    answer = page.goto(PAGES[route].format_map(furnished))
    assert answer is not None
    assert answer.status == 200
    look(page)
    assert_accessible(page)
    page.set_viewport_size({"width": PHONE, "height": 844})
    assert_no_sideways_scrolling(page)
    assert_accessible(page, schemes=("light",))
    context.close()


def look(page: Page) -> None:
    """What every page has."""
    expect(page.locator("h1")).to_have_count(1)
    expect(page.get_by_role("main")).to_be_visible()
    assert page.title().endswith("· distilled")
    assert page.evaluate("document.querySelectorAll('script:not([src]), style, [style*=expression]').length") == 0


def test_a_person_logs_in_and_out(front: Front, page: Page, watch: Watch, pictures: Pictures) -> None:
    reader, writer = (cut(front.services, name, [Scope(name)]) for name in ("read", "submit"))
    watch.allow("status of 401")  # what the wrong key is answered with
    watch.allow("status of 40[34]")  # and what is tried at the end
    page.goto("/?sort=bytes")
    expect(page.get_by_role("heading", name="This service has a key")).to_be_visible()
    expect(page.get_by_label("Key")).to_be_focused()
    pictures.take(page, "login")
    page.keyboard.type("dst_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("This key opens nothing here")
    look(page)
    assert_accessible(page)
    page.set_viewport_size({"width": PHONE, "height": 844})
    assert_no_sideways_scrolling(page)
    page.get_by_label("Key").fill(reader.secret)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url("/?sort=bytes")
    expect(page.get_by_role("link", name="New job")).to_have_count(0)
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Key").fill(writer.secret)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="New job")).to_be_visible()
    refused = page.evaluate("fetch('/v1/aliases/x', { method: 'DELETE' }).then((answer) => answer.status)")
    taken = page.evaluate(
        "import('/static/api.js').then((api) => api.call('DELETE', '/v1/aliases/x')).catch((problem) => problem.status)"
    )
    assert (refused, taken) == (403, 404)  # the second shows the page's own token
