"""Watching a page, its accessibility, and its pictures for the documentation."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, Request

IMAGES = Path(__file__).parents[2] / "docs" / "images"
#: What a picture for the documentation may take.
MAX_IMAGE_BYTES = 200_000
SCHEMES = ("light", "dark")
DESK, PHONE = 1280, 390
#: The impacts of axe's rules that nobody has to put up with.
GRAVE = ("serious", "critical")
#: A violation of the policy reaches the console of every frame as an error; told apart for the message's sake.
POLICY = re.compile(r"Content.Security.Policy", re.IGNORECASE)


@dataclass
class Watch:
    """What went wrong in a context: errors on the console, violations of the policy, requests to another host."""

    host: str
    faults: list[str] = field(default_factory=list)
    allowed: list[re.Pattern[str]] = field(default_factory=list)

    def follow(self, context: BrowserContext) -> None:
        """Listen to all its pages, those that are opened later too."""
        context.on("console", lambda said: self._note("console", said.text) if said.type == "error" else None)
        context.on("weberror", lambda fault: self._note("uncaught", str(fault.error)))
        context.on("request", self._see)

    def allow(self, pattern: str) -> None:
        """Faults that match are what the test is about."""
        self.allowed.append(re.compile(pattern))

    def left(self) -> list[str]:
        """The faults that no test has allowed."""
        return [fault for fault in self.faults if not any(one.search(fault) for one in self.allowed)]

    def _note(self, kind: str, text: str) -> None:
        self.faults.append(f"{'policy' if POLICY.search(text) else kind}: {text}")

    def _see(self, request: Request) -> None:
        target = urlsplit(request.url)
        if target.scheme not in ("data", "blob") and target.netloc != self.host:
            self.faults.append(f"elsewhere: {request.url}")


def assert_accessible(page: Page, *, schemes: tuple[str, ...] = SCHEMES) -> None:
    """axe-core finds nothing serious or critical, in the light and in the dark. The page keeps its state."""
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        found: list[dict[str, Any]] = Axe().run(page).response["violations"]
        grave = [
            f"{scheme}: {one['id']} ({one['impact']}): {one['help']}: "
            + json.dumps([{node["target"][0]: node["failureSummary"]} for node in one["nodes"][:5]], indent=1)
            for one in found
            if one["impact"] in GRAVE
        ]
        assert not grave, "\n".join([page.url, *grave])
    page.emulate_media(color_scheme="light")


def assert_no_sideways_scrolling(page: Page) -> None:
    """The page is as wide as its window; what is wider scrolls within itself."""
    wide, window = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    if wide > window:
        culprits = page.evaluate(
            """() => [...document.querySelectorAll("body *")]
              .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
              .slice(0, 5).map((one) => one.outerHTML.slice(0, 120))"""
        )
        raise AssertionError(f"{page.url} is {wide} px wide in a window of {window} px: {culprits}")


def on_a_phone(page: Page) -> None:
    """From here on the page's processor and line are those of a phone of the middle: a quarter of this machine's
    speed, and slow 4G as Lighthouse means it (150 ms there and back, 1.6 Mbit/s)."""
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    line = {"offline": False, "latency": 150, "downloadThroughput": 200_000, "uploadThroughput": 94_000}
    session.send("Network.emulateNetworkConditions", line)


def paints(page: Page) -> tuple[float, float]:
    """When something of the page was seen first, and when the largest thing in the window was (the web vitals FCP
    and LCP): milliseconds since it was asked for, by the browser's own clock. Ask when nothing is being loaded."""
    first, largest = page.evaluate(
        """() => Promise.all([["paint", "first-contentful-paint"], ["largest-contentful-paint", ""]].map(
          ([type, name]) => new Promise((told) => new PerformanceObserver((list) => {
            const found = list.getEntries().filter((one) => one.name === name || type !== "paint").at(-1);
            if (found) told(found.startTime);
          }).observe({ type, buffered: true }))))"""
    )
    return first, largest


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """Keeps screenshots under docs/images/, where `--pictures` asks for it."""

    wanted: bool

    def take(self, page: Page, name: str, *, full: bool = False) -> None:
        """docs/images/<name>.png, as the page stands. full: all of its length, not what the window shows."""
        if self.wanted:
            content = page.screenshot(full_page=full, animations="disabled")
            assert len(content) <= MAX_IMAGE_BYTES, f"{name}.png takes {len(content)} bytes"
            IMAGES.mkdir(exist_ok=True)
            (IMAGES / f"{name}.png").write_bytes(content)
