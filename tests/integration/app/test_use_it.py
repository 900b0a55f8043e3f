"""The lines to paste of an artifact's page, as they stand, against a service on a port of its own."""

import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
import pytest

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from registry import aliases
from registry.testing import MemoryQueue, memory_store, migrated_template, temporary_database
from tests.integration.app.live import running
from tests.unit.app.catalog import CATALOG
from tests.unit.app.conftest import artifact_file, publish

KEY = "sesame"
HELD = 3
#: Runs each text of a list in a namespace of its own, one after the other: the imports are paid once.
RUNNER = (
    "import json, sys\nfor text in json.load(sys.stdin):\n    exec(text, {'__name__': '__main__'})\n    print('--')"
)


@dataclass(frozen=True, kw_only=True)
class Page:
    """The lines of a page by what they are for, and what they need to run."""

    lines: dict[str, str]
    environment: dict[str, str]
    folder: Path


@pytest.fixture
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The page of an artifact with soft labels, of a service with a key: without one, lines are the same but for it."""
    folder = tmp_path_factory.mktemp("use")
    database = temporary_database(folder, template=migrated_template(folder))
    kept = AppSettings(home=folder / "home", api_key=KEY)
    services = Services(settings=kept, database=database, store=memory_store(), queue=MemoryQueue(), catalog=CATALOG)
    published = publish(services, file=artifact_file(held=HELD, labels="soft"))
    with database.write() as session:
        aliases.put(session, "toy-best", artifact=published.id)
    headers = {"Authorization": f"Bearer {KEY}"}
    with running(create_app(services.settings, services=services)) as live:
        text = httpx2.get(f"{live.url}/artifacts/toy-best", headers=headers).text
        found = re.findall(r'<code id="use-([\w-]+)" data-language="(\w+)">(.*?)</code>', text, re.DOTALL)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "DISTILLED_"))}
        environment |= {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "DISTILLED_CACHE": str(folder / "copies"),
            "NO_PROXY": "127.0.0.1",
            "PYTHONWARNINGS": "ignore",
            "DISTILLED_API_KEY": KEY,
        }
        yield Page(lines={slug: html.unescape(code) for slug, _, code in found}, environment=environment, folder=folder)
    database.close()


def ran(shown: Page, command: list[str], given: str = "") -> str:
    done = subprocess.run(
        command,
        cwd=shown.folder,
        env=shown.environment,
        input=given,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_every_way_to_use_it_works_as_it_stands(shown: Page) -> None:
    assert list(shown.lines) == ["hugging-face", "pytorch", "webdataset", "curl", "cli"]
    python = [shown.lines[slug] for slug in ("hugging-face", "pytorch", "webdataset")]
    hub, torch, web, _ = ran(shown, [sys.executable, "-c", RUNNER], json.dumps(python)).split("--\n")
    assert f"num_rows: {3 * HELD}" in hub
    assert torch.splitlines()[0].startswith("torch.Size([256, 3, 4, 4]) torch.Size([256")
    assert len(torch.splitlines()) == 10
    assert web.startswith("(4, 4, 3)")
    for slug in ("curl", "cli"):
        ran(shown, ["bash", "-ec", shown.lines[slug]])
    for file, count in (("samples.npz", 3 * HELD), ("pulled.npz", 3 * HELD), ("batch.npz", 3 * HELD)):
        with np.load(shown.folder / file) as opened:
            assert opened["train_images"].shape == (count, 4, 4, 3), file
    assert (shown.folder / "artifact.safetensors").stat().st_size > 100
