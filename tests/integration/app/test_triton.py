"""`tritonclient`, unmodified, against the front end on a socket: metadata, JSON and binary tensors, and its errors."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from fastapi.testclient import TestClient
from safetensors.numpy import load

from app.main import create_app
from app.middleware.limits import JSON_BYTES
from app.services import Services
from app.settings import AppSettings
from registry import keys
from tests.integration.app.live import running
from tests.unit.app.conftest import HELD, logs, publish, services, settings, template  # noqa: F401 - fixtures
from tests.unit.app.test_generators import file as generator_file

KEY = "a-key"


def array(told: Any) -> Any:
    dtype, shape, content = told
    return np.frombuffer(bytes.fromhex(content), dtype).reshape(shape)


def test_every_flow_of_tritonclient(services: Services, tmp_path: Path) -> None:  # noqa: F811 - a fixture by its name
    made, fixed = publish(services, file=generator_file(labels="soft")), publish(services)
    with services.writing() as session:
        powerless = keys.make(session, name="powerless", scopes=())
    app = create_app(AppSettings(home=tmp_path, api_key=KEY), services=services)
    with running(app) as live:
        command = [sys.executable, "-m", "tests.integration.app.triton", f"127.0.0.1:{live.port}", made.id, fixed.id]
        done = subprocess.run(
            [*command, made.digest, powerless.secret, KEY], capture_output=True, text=True, timeout=120, check=False
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    assert (told["live"], told["ready"]) == (True, True)
    assert told["server"]["extensions"] == ["binary_tensor_data", "parameters"]
    assert (told["models"], told["version"]) == ([True, True, False], [True, False])
    assert told["metadata"]["versions"] == [made.digest]
    assert [one["name"] for one in told["metadata"]["inputs"]] == ["labels", "mix", "seed"]
    assert {one["name"] for one in told["index"]} == {made.id, fixed.id}

    client = TestClient(app, base_url="http://localhost", headers={"Authorization": f"Bearer {KEY}"})

    def samples(one: Any, query: str, **options: Any) -> dict[str, Any]:
        verb = "POST" if options else "GET"
        return load(client.request(verb, f"/v1/artifacts/{one.id}/samples?{query}", **options).content)

    sampled = samples(made, "count=2&classes=0,1&seed=5")
    for way in ("binary", "json", "gzip", "deflate", "of_version", "asynchronous"):
        np.testing.assert_array_equal(array(told[way]["images"]), sampled["images"], err_msg=way)
        assert array(told[way]["labels"]).tolist() == [0, 1]
        assert told[way]["images"][0] == "uint8"
    np.testing.assert_array_equal(array(told["binary"]["soft_labels"]), sampled["soft_labels"])
    floats = samples(made, "count=2&classes=0,1&seed=5&dtype=float32")
    np.testing.assert_array_equal(array(told["floats"]["images"]), floats["images"])
    rows = [{"mix": {"0": 0.75, "2": 0.25}, "count": 1}, {"mix": {"1": 1}, "count": 1}]
    mixed = samples(made, "seed=5", json=rows)
    np.testing.assert_array_equal(array(told["mixed"]["images"]), mixed["images"])
    np.testing.assert_array_equal(array(told["mixed"]["soft_labels"]), mixed["soft_labels"])
    of_fixed = samples(fixed, "count=3&classes=0,1&seed=5")
    np.testing.assert_array_equal(array(told["fixed"]["images"]), of_fixed["images"])
    assert told["drawn"][0] == told["drawn"][1]
    assert told["drawn"][2] == "mine"
    assert told["documented"] == {"images": [1, 3, 8, 8], "soft_labels": [1, 3]}

    failures = told["failures"]
    assert {name: status for name, (status, _) in failures.items()} == {
        "no key": "401",
        "no scope": "403",
        "no model": "404",
        "no class": "400",
        "too many": "400",
        "cannot mix": "400",
        "no output": "400",
        "no config": "404",
        "too large": "413",
    }
    assert "needs a key with the scope `read`" in failures["no scope"][1]
    assert "indices of classes, 0..2" in failures["no class"][1]
    assert f"holds {HELD} images of each class" in failures["too many"][1]
    assert "no output 'logits'" in failures["no output"][1]
    assert f"at most {JSON_BYTES} bytes" in failures["too large"][1]
