"""Runs the suite as anyone would, against services that a test of the checkout has started."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The only reasons for which a test may be left out: a service has a key or it has none.
OF_A_KEY = {"needs a service that has a key"}
OF_NO_KEY = {"needs a service without a key"}
#: What the whole of it may take, and one job, where other tests have the cores too.
SECONDS, JOB_SECONDS = 540, 300


def check_conformance(*urls: str, key: str | None = None) -> None:
    """Fail unless the service at these addresses keeps every promise, and each was looked at."""
    options = [word for url in urls for word in ("--url", url)] + (["--key", key] if key else [])
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DISTILLED_"))}
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance", "-q", "--tb=short", "--job-seconds", str(JOB_SECONDS), *options],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    print(done.stdout[-1500:])  # noqa: T201 -- shown by pytest where the test fails, or with -s
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-5000:]
    left_out = set(re.findall(r"^SKIPPED \[\d+\] \S+: (.*)$", done.stdout, re.MULTILINE))
    assert left_out == (OF_NO_KEY if key else OF_A_KEY)
