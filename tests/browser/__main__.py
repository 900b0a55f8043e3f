"""`python -m tests.browser > benchmarks/results/pages.md`: how soon each page is seen, at a desk and on a phone.

First and largest contentful paint (FCP and LCP of the web vitals, by Chromium's own clock), of a front end on this
machine with a thousand artifacts and something of everything else. A phone is a window of 390 px at a quarter of this
machine's speed, over slow 4G (150 ms there and back, 1.6 Mbit/s); no window has anything in its cache. Status 1: a
median beyond what the web vitals call good.
"""

import argparse
import sys
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import structlog
from playwright.sync_api import Browser, sync_playwright

from app.main import create_app
from benchmarks._machine import machine
from registry.session import Database
from registry.testing import migrated_template
from tests.browser.browsing import DESK, PHONE, on_a_phone, paints
from tests.browser.conftest import CHROMIUM, OPTIONS, Front, Served, make_services
from tests.browser.content import thousand
from tests.browser.test_every_page import PAGES, furnish
from tests.integration.app.live import running

GOOD_FIRST, GOOD_LARGEST = 1800, 2500
PATIENCE = 60_000


def main() -> int:
    """Print the table."""
    asked = argparse.ArgumentParser(prog="python -m tests.browser")
    asked.add_argument("--repeats", type=int, default=7)
    repeats: int = asked.parse_args().repeats
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    slow: list[str] = []
    print(f"# How soon each page is seen\n\n- machine: {machine()}")  # noqa: T201
    print(f"- command: `python -m tests.browser --repeats {repeats}`; medians, and the slowest, in ms\n")  # noqa: T201
    print("| page | desk: first | phone: first | phone: largest |\n|---|---|---|---|")  # noqa: T201
    with tempfile.TemporaryDirectory() as folder, ExitStack() as around:
        front, filling = around.enter_context(_filled(Path(folder)))
        chromium = around.enter_context(sync_playwright()).chromium
        browser = chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        for route, pattern in PAGES.items():
            url = front.url + pattern.format_map(filling)
            desk = [_look(browser, url, phone=False) for _ in range(repeats)]
            phone = [_look(browser, url, phone=True) for _ in range(repeats)]
            columns = [[one[0] for one in desk], [one[0] for one in phone], [one[1] for one in phone]]
            print(f"| `{route}` | " + " | ".join(f"{median(c):.0f} ({max(c):.0f})" for c in columns) + " |")  # noqa: T201
            if median(columns[1]) > GOOD_FIRST or median(columns[2]) > GOOD_LARGEST:
                slow.append(route)
        browser.close()
    good = f"First within {GOOD_FIRST} ms and largest within {GOOD_LARGEST} ms is what the web vitals call good"
    print(f"\n{good}: {'beyond it: ' + ', '.join(slow) if slow else 'every page is'}.")  # noqa: T201
    return int(bool(slow))


def _look(browser: Browser, url: str, *, phone: bool) -> tuple[float, float]:
    context = browser.new_context(viewport={"width": PHONE if phone else DESK, "height": 844}, has_touch=phone)
    try:
        page = context.new_page()
        if phone:
            on_a_phone(page)
        page.goto(url, wait_until="networkidle", timeout=PATIENCE)
        return paints(page)
    finally:
        context.close()


@contextmanager
def _filled(folder: Path) -> Generator[tuple[Front, dict[str, str]]]:
    """A front end with a thousand artifacts and something of everything; what fills the paths."""
    template = migrated_template(folder)
    services = make_services(folder, database=Database(f"sqlite:///{template}"))
    app = create_app(services.settings, services=services)
    place = folder / "filled"
    place.mkdir()
    with running(app) as live, Served(url=live.url, app=app, template=template).showing(place) as front:
        thousand(front.services)
        yield front, furnish(front)


if __name__ == "__main__":
    sys.exit(main())
