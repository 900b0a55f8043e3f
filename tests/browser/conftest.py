"""Real pages in a real browser: headless Chromium before a front end on a port of this machine.

`front` is the service, fresh for each test, to be filled with what the test needs; `page` is a window at a desk, and
`open_window` opens others. A test fails on any error in the console, violation of the policy or request elsewhere.
"""

import json
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from app.main import create_app
from app.services import CATALOG, Services
from app.settings import AppSettings
from registry.session import Database
from registry.testing import MemoryQueue, memory_store, migrated_template, temporary_database
from tests.browser.browsing import DESK, PHONE, Pictures, Watch
from tests.integration.app.live import running

#: Debian's name for it, and others'.
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
#: No sandbox: tests run as root in containers. /dev/shm is too small there, too.
OPTIONS = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu")
#: For what a page fetches after it has been loaded, in milliseconds.
PATIENCE = 10_000
UNLIMITED = {"reads_per_minute": 0, "writes_per_minute": 0, "wrong_keys_per_minute": 0}

OpenWindow = Callable[..., Page]


@dataclass(frozen=True, kw_only=True)
class Front:
    """A front end and its parts. `services.queue` remembers what it was asked; nobody works."""

    url: str
    services: Services


@dataclass(frozen=True, kw_only=True)
class Served:
    """The application behind its port. Its parts are whatever `showing` has put there last."""

    url: str
    app: FastAPI
    template: Path

    @contextmanager
    def showing(self, folder: Path, **settings: Any) -> Generator[Front]:
        """The front end with fresh parts, until the block ends. folder: for its files and its database."""
        services = make_services(folder, database=temporary_database(folder, template=self.template), **settings)
        before, self.app.state.services = self.app.state.services, services
        try:
            yield Front(url=self.url, services=services)
        finally:
            services.stopping.set()  # streams of events let go
            self.app.state.services = before
            services.database.close()


def make_services(folder: Path, *, database: Database, **settings: Any) -> Services:
    """The parts of a front end without limits; its queue only remembers."""
    asked: dict[str, Any] = {"event_poll_seconds": 0.05, "sweep_seconds": 3600, **UNLIMITED, **settings}
    return Services(
        settings=AppSettings(home=folder / "home", **asked),
        database=database,
        store=memory_store(),
        queue=MemoryQueue(),
        catalog=json.loads(CATALOG.read_text(encoding="utf-8")),
    )


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One application on one port for all tests, because its routes take a while to build."""
    folder = tmp_path_factory.mktemp("browser")
    template = migrated_template(folder)
    idle = make_services(folder, database=Database(f"sqlite:///{template}"))
    app = create_app(idle.settings, services=idle)
    with running(app) as live:
        yield Served(url=live.url, app=app, template=template)
    idle.database.close()


@pytest.fixture
def front(served: Served, tmp_path: Path) -> Iterator[Front]:
    """The front end with parts of this test's own."""
    with served.showing(tmp_path) as fresh:
        yield fresh


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium, as long as tests of this folder run one after another: its event loop would disturb others."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; Debian's package `chromium` has it")
    expect.set_options(timeout=2 * PATIENCE)  # its own five seconds are those of a machine with nothing else to do
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture
def watch(served: Served) -> Iterator[Watch]:
    """What went wrong in the windows of this test. Whatever it has not allowed fails it."""
    watching = Watch(host=served.url.partition("://")[2])
    yield watching
    assert watching.left() == []


@pytest.fixture
def open_window(browser: Browser, served: Served, watch: Watch) -> Iterator[OpenWindow]:
    """Opens windows: each with storage and cookies of its own; `page.context.new_page()` is a tab beside it.

    width: of the window in CSS pixels; a narrow one is a phone's. scheme: the system's colours, light or dark.
    """
    opened: list[BrowserContext] = []

    def open_one(*, width: int = DESK, height: int = 800, scheme: str = "light", **options: Any) -> Page:
        context = browser.new_context(
            base_url=served.url,
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            has_touch=width <= PHONE,
            reduced_motion="reduce",
            locale="en-GB",
            **options,
        )
        opened.append(context)
        context.set_default_timeout(PATIENCE)
        watch.follow(context)
        return context.new_page()

    yield open_one
    for context in opened:
        context.close()


@pytest.fixture
def page(open_window: OpenWindow, front: Front) -> Page:
    """A window at a desk, before the fresh front end."""
    return open_window()


@pytest.fixture
def pictures(request: pytest.FixtureRequest) -> Pictures:
    """Keeps screenshots for the documentation, where `--pictures` asks for it."""
    return Pictures(wanted=request.config.getoption("--pictures"))
