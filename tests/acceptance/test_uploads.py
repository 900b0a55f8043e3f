"""An upload through the whole service: the worker that looks at it is killed, and the data set is the same."""

import os
import signal
from pathlib import Path
from typing import Any

import httpx2

from distilled.client import Client
from tests.acceptance.service import TINY, Service, until
from tests.unit.intake.sets import look, png, zipped


def test_a_killed_worker_is_followed_by_another_that_makes_the_same_of_it(quick: Service, tmp_path: Path) -> None:
    files = {f"train/{i % 5}/{i}.png": png(i, size=(40, 40)) for i in range(3000)}
    content = zipped(files | {"train/0/bad.png": b"text"})
    path = tmp_path / "many.zip"
    path.write_bytes(content)
    with Client(quick.url) as client:
        assert client.upload(path, name="many")["state"] == "validating"

        def at_work() -> str | None:
            held = [one for worker in quick.get("/v1/workers")["items"] for one in worker["in_hand"]]
            return next((one for one in held if one.startswith("val_")), None)

        validation_id = until(at_work, what="a worker looks at it", seconds=60)
        os.kill(quick.child_at_work(validation_id), signal.SIGKILL)
        made: dict[str, Any] = client.wait_for_dataset("many")
    assert made["state"] == "ready", made["report"]
    assert made["report"]["unreadable"]["first"][0]["name"] == "train/0/bad.png"
    facts, _ = look(tmp_path, content)
    assert made["digest"] == facts.digest
    answer = httpx2.post(f"{quick.url}/v1/jobs?dry_run=true", json={**TINY, "dataset": "many"}, timeout=10)
    assert answer.status_code == 200, answer.text
