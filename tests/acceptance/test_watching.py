"""A person who watches a job sees its worker die, and another attempt bring it to its end."""

import os
import signal

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.acceptance.service import Service
from tests.browser.conftest import CHROMIUM, OPTIONS

#: Long enough to be killed in the middle of.
LONG = {"steps": 1500, "seed": 77, "evaluation": {"networks": []}}


@pytest.mark.timeout(600)
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; Debian's package `chromium` has it")
def test_a_killed_worker_is_seen_and_its_job_ends_well(quick: Service) -> None:
    job_id = quick.submit(**LONG)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        try:
            page = browser.new_page()
            page.set_default_timeout(120_000)
            expect.set_options(timeout=120_000)
            page.goto(f"{quick.url}/jobs/{job_id}")
            quick.until_snapshot(job_id)
            expect(page.locator("#far")).to_contain_text("Step")
            os.kill(quick.child_at_work(job_id), signal.SIGKILL)
            moments = page.locator("[data-part=timeline] li")
            expect(moments.filter(has_text="fell silent")).to_have_count(1)
            expect(moments.filter(has_text="Attempt 2 begins")).to_have_count(1)
            expect(page.locator("#log")).to_contain_text("Goes on at step")
            expect(page.locator(".headline .state")).to_have_text("succeeded")
            expect(page.locator("[data-part=head]")).to_contain_text("attempt 2")
            expect(page.locator("#picture")).to_be_visible()
        finally:
            expect.set_options(timeout=5_000)
            browser.close()
