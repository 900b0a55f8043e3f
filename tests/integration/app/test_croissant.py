"""`mlcroissant`, unmodified, against the front end on a socket: it finds nothing to complain of, and loads records."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from tests.integration.app.live import running
from tests.unit.app.conftest import (  # noqa: F401 - fixtures
    CLASSES,
    HELD,
    Published,
    artifact_file,
    logs,
    memory_file,
    publish,
    services,
    settings,
    template,
)
from tests.unit.app.test_generators import IPC
from tests.unit.app.test_generators import file as generator_file

KEY = "a-key"


def pictures(records: list[dict[str, Any]]) -> Any:
    """The images of the records, [N, H, W, C]."""
    found = [row["images/image"] for row in records]
    return np.stack([np.frombuffer(bytes.fromhex(pixels), "u1").reshape(h, w, 3) for w, h, _, pixels in found])


def test_the_descriptions_of_all_kinds_are_valid_and_their_records_load(
    services: Services,  # noqa: F811 - a fixture by its name
    tmp_path: Path,
) -> None:
    soft = publish(services, file=artifact_file(labels="soft"))
    made = [soft, publish(services, file=memory_file()), publish(services, file=generator_file())]
    home = tmp_path / "home"
    home.mkdir()
    # The description is fetched with what `requests` finds in ~/.netrc, the files with what the environment says.
    (home / ".netrc").write_text(f"machine 127.0.0.1 login key password {KEY}\n")
    (home / ".netrc").chmod(0o600)
    private = {"CROISSANT_BASIC_AUTH_USERNAME": "key", "CROISSANT_BASIC_AUTH_PASSWORD": KEY}
    app = create_app(AppSettings(home=tmp_path, api_key=KEY), services=services)
    with running(app) as live:
        urls = [f"{live.url}/v1/artifacts/{one.id}/croissant" for one in made]
        done = subprocess.run(
            [sys.executable, str(Path(__file__).with_name("croissants.py")), *urls],
            env={**os.environ, **private, "HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["said"] == []

    for one, of, number in zip(made, told["of"], (HELD, 5, IPC), strict=True):
        assert (of["errors"], of["warnings"]) == ([], [])
        assert of["files"]["artifact.safetensors"][1] == one.digest
        assert of["license"] == ["https://spdx.org/licenses/CC-BY-4.0.html"]
        assert of["again"] == "http://mlcommons.org/croissant/1.1"
        assert f"sha256 {one.digest}" in of["cite"]
        whole = load(_download(services, one))
        records = of["records"]["images"]
        np.testing.assert_array_equal(pictures(records), whole["images"])
        assert [row["images/label"] for row in records] == [0] * number + [1] * number + [2] * number
        assert of["records"]["classes"] == [
            {"classes/index": index, "classes/name": name} for index, name in enumerate(CLASSES)
        ]
        assert ("images/soft_label" in records[0]) == (one is soft)
        if one is soft:
            np.testing.assert_allclose([row["images/soft_label"] for row in records], whole["soft_labels"])


def _download(services: Services, one: Published) -> bytes:  # noqa: F811 - not a fixture here
    """The finished set, as `GET …/download` gives it."""
    from app.samples.exports import export  # noqa: PLC0415
    from registry import artifacts  # noqa: PLC0415

    with services.database.read() as session:
        content = export(services, artifacts.get(session, one.id), format="safetensors")
    return b"".join(content.read(0, content.size))
