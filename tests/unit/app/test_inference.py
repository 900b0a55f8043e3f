"""The Open Inference Protocol v2 on the wire: what goes in, what comes out, and how what is wrong is told."""

import contextlib
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load

from app.errors import InvalidRequest
from app.inference import models
from app.inference.questions import question
from app.inference.wire import read_request
from app.main import create_app
from app.middleware.limits import JSON_BYTES
from app.services import Services
from app.settings import AppSettings
from tests.unit.app.conftest import HELD, Published, artifact_file, memory_file, publish
from tests.unit.app.test_generators import file as generator_file

LENGTH = "Inference-Header-Content-Length"


@pytest.fixture
def generator(services: Services) -> Published:
    return publish(services, file=generator_file())


@pytest.fixture
def memory(services: Services) -> Published:
    return publish(services, file=memory_file())


def labels(*values: int) -> dict[str, Any]:
    return {"name": "labels", "shape": [len(values)], "datatype": "INT64", "data": list(values)}


def infer(client: TestClient, name: str, body: Any, *, status: int = 200, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = client.post(f"/v2/models/{name}/infer", content=content, headers=headers)
    assert response.status_code == status, response.text
    return response


def tensors(response: Any) -> dict[str, Any]:
    """The outputs of an answer as arrays, read as the protocol says and by nothing of ours."""
    types = {"UINT8": "u1", "INT64": "<i8", "FP32": "<f4"}
    length = int(response.headers.get(LENGTH, len(response.content)))
    rest, found = response.content[length:], {}
    for output in json.loads(response.content[:length])["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            array = np.array(output["data"], types[output["datatype"]])
        else:
            array, rest = np.frombuffer(rest[:size], types[output["datatype"]]), rest[size:]
        found[output["name"]] = array.reshape(output["shape"])
    assert not rest
    return found


def error(response: Any) -> str:
    """What an error says, in the protocol's one form."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    assert response.headers["x-request-id"]
    assert "Traceback" not in body["error"]
    return body["error"]


def test_the_server_says_what_it_is(client: TestClient) -> None:
    shown = client.get("/v2").json()
    assert (shown["name"], shown["extensions"]) == ("distilled", ["binary_tensor_data", "parameters"])
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}


def test_a_model_says_what_goes_in_and_what_comes_out(
    client: TestClient, published: Published, generator: Published
) -> None:
    fixed, any_number = (client.get(f"/v2/models/{one.id}").json() for one in (published, generator))
    assert fixed == {
        "name": published.id,
        "versions": [published.digest],
        "platform": "distilled",
        "inputs": [
            {"name": "labels", "datatype": "INT64", "shape": [-1]},
            {"name": "seed", "datatype": "INT64", "shape": [1]},
        ],
        "outputs": [
            {"name": "images", "datatype": "UINT8", "shape": [-1, 4, 4, 3]},
            {"name": "labels", "datatype": "INT64", "shape": [-1]},
        ],
    }
    assert {"name": "mix", "datatype": "FP32", "shape": [-1, 3]} in any_number["inputs"]
    assert {"name": "soft_labels", "datatype": "FP32", "shape": [-1, 3]} in any_number["outputs"]
    assert client.get(f"/v2/models/{generator.id}/ready").json() == {"name": generator.id, "ready": True}


def test_a_version_is_the_digest_and_an_alias_is_a_name(client: TestClient, generator: Published) -> None:
    client.put("/v1/aliases/best", json={"artifact_id": generator.id})
    for path in ("", "/ready"):
        assert client.get(f"/v2/models/best/versions/{generator.digest}{path}").json()["name"] == "best"
        refused = client.get(f"/v2/models/best/versions/1{path}")
        assert refused.status_code == 404
        assert generator.digest in error(refused)
    body = json.dumps({"inputs": [labels(0)]}).encode()
    answered = client.post(f"/v2/models/best/versions/{generator.digest}/infer", content=body).json()
    assert (answered["model_name"], answered["model_version"]) == ("best", generator.digest)
    assert client.post("/v2/models/best/versions/2/infer", content=body).status_code == 404


def test_the_index_lists_every_artifact(client: TestClient, published: Published, generator: Published) -> None:
    for request in ({}, {"json": {"ready": True}}):
        shown = client.post("/v2/repository/index", **request).json()
        assert {(one["name"], one["version"], one["state"]) for one in shown} == {
            (published.id, published.digest, "READY"),
            (generator.id, generator.digest, "READY"),
        }


def test_the_same_seed_gives_the_images_of_samples(
    client: TestClient, published: Published, generator: Published, memory: Published
) -> None:
    for one in (published, generator, memory):
        body = {"id": "7", "inputs": [labels(0, 0, 1, 1, 2, 2)], "parameters": {"seed": 5}}
        made = infer(client, one.id, body)
        sampled = load(client.get(f"/v1/artifacts/{one.id}/samples?ipc=2&seed=5").content)
        assert (made.json()["id"], made.json()["parameters"]) == ("7", {"seed": 5})
        np.testing.assert_array_equal(tensors(made)["images"], sampled["images"])
        np.testing.assert_array_equal(tensors(made)["labels"], sampled["labels"])
        assert made.content == infer(client, one.id, body).content


def test_without_a_seed_one_is_drawn_and_told(client: TestClient, generator: Published) -> None:
    first, second = (infer(client, generator.id, {"inputs": [labels(1)]}) for _ in range(2))
    assert first.content != second.content
    seed = {"name": "seed", "shape": [1], "datatype": "INT64", "data": [first.json()["parameters"]["seed"]]}
    assert infer(client, generator.id, {"inputs": [seed, labels(1)]}).content == first.content


def test_mixtures_are_those_of_samples(client: TestClient, generator: Published, memory: Published) -> None:
    mix = {"name": "mix", "shape": [2, 3], "datatype": "FP32", "data": [[0.75, 0, 0.25], [0, 2, 2]]}
    rows = [{"mix": {"0": 3, "2": 1}, "count": 1}, {"mix": {"1": 1, "2": 1}, "count": 1}]
    for one in (generator, memory):
        made = tensors(infer(client, one.id, {"inputs": [mix], "parameters": {"seed": 3}}))
        sampled = load(client.post(f"/v1/artifacts/{one.id}/samples?seed=3", json=rows).content)
        np.testing.assert_array_equal(made["images"], sampled["images"])
        np.testing.assert_array_equal(made["soft_labels"], sampled["soft_labels"])
        assert made["labels"].tolist() == [0, 1], "the likeliest class"


def test_floats_are_normalised_where_asked(client: TestClient, generator: Published) -> None:
    sampled = load(client.get(f"/v1/artifacts/{generator.id}/samples?count=3&seed=1&dtype=float32").content)
    asked = {"inputs": [labels(0, 1, 2)], "parameters": {"seed": 1, "dtype": "float32"}}
    of_output = {"inputs": [labels(0, 1, 2)], "parameters": {"seed": 1}}
    of_output["outputs"] = [{"name": "images", "parameters": {"dtype": "float32", "binary_data": True}}]
    for body in (asked, of_output):
        made = tensors(infer(client, generator.id, body))["images"]
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, sampled["images"])


def test_bytes_go_both_ways(client: TestClient, services: Services) -> None:
    soft = publish(services, file=artifact_file(labels="soft"))
    wanted = np.array([2, 0, 2], "<i8").tobytes()
    seed = np.array([4], "<i8").tobytes()
    document = {
        "inputs": [
            {"name": "labels", "shape": [3], "datatype": "INT64", "parameters": {"binary_data_size": len(wanted)}},
            {"name": "seed", "shape": [1], "datatype": "INT64", "parameters": {"binary_data_size": len(seed)}},
        ],
        "outputs": [
            {"name": "soft_labels", "parameters": {"binary_data": True}},
            {"name": "labels"},
            {"name": "images", "parameters": {"binary_data": True}},
        ],
    }
    head = json.dumps(document).encode()
    made = infer(client, soft.id, head + wanted + seed, **{LENGTH: str(len(head))})
    plain = infer(client, soft.id, {"inputs": [labels(2, 0, 2)], "parameters": {"seed": 4}})
    assert made.headers["content-type"] == "application/octet-stream"
    assert LENGTH.lower() not in plain.headers
    assert list(tensors(made)) == ["soft_labels", "labels", "images"]
    for name, array in tensors(plain).items():
        np.testing.assert_array_equal(tensors(made)[name], array)
    everything = {"inputs": [labels(0)], "parameters": {"binary_data_output": True}}
    assert LENGTH.lower() in infer(client, soft.id, everything).headers


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_request_is_read_and_a_bomb_is_not(
    client: TestClient, published: Published, encoding: str, pack: Any
) -> None:
    body = json.dumps({"inputs": [labels(0)], "parameters": {"seed": 0}}).encode()
    plain = infer(client, published.id, body).content
    assert infer(client, published.id, pack(body), **{"Content-Encoding": encoding}).content == plain
    bomb = infer(client, published.id, pack(b" " * 9_000_000), status=400, **{"Content-Encoding": encoding})
    assert f"more than {JSON_BYTES}" in error(bomb)
    for damaged in (pack(body)[:-5], b"\x00", b""):
        error(infer(client, published.id, damaged, status=400, **{"Content-Encoding": encoding}))
    error(infer(client, published.id, body, status=400, **{"Content-Encoding": "br"}))


LABELS = labels(0)
WRONG: list[tuple[Any, str]] = [
    ({}, "give one of `labels`"),
    ({"inputs": []}, "give one of `labels`"),
    ([], "must be a JSON object"),
    ({"inputs": {}}, "/inputs: must be a list"),
    ({"inputs": [LABELS] * 9}, "/inputs: must be a list of at most 8"),
    ({"inputs": [3]}, "/inputs/0: must be an object"),
    ({"inputs": [{}]}, "/inputs/0/name"),
    ({"inputs": [LABELS], "more": 1}, "'more' is not known"),
    ({"inputs": [LABELS | {"dtype": 1}]}, "'dtype' is not known"),
    ({"inputs": [LABELS, LABELS]}, "/inputs/1/name: is given twice"),
    ({"inputs": [LABELS | {"name": "noise"}]}, "no input 'noise'"),
    ({"inputs": [LABELS | {"datatype": "INT32"}]}, "/inputs/0/datatype: must be one of INT64, FP32"),
    ({"inputs": [LABELS | {"datatype": ["INT64"]}]}, "/inputs/0/datatype"),
    ({"inputs": [LABELS | {"datatype": "FP32"}]}, "/inputs/labels: must be INT64"),
    ({"inputs": [LABELS | {"shape": [2]}]}, "/inputs/0/data: has the shape [1]; `shape` says [2]"),
    ({"inputs": [LABELS | {"shape": [-1]}]}, "/inputs/0/shape"),
    ({"inputs": [LABELS | {"shape": []}]}, "/inputs/0/shape"),
    ({"inputs": [LABELS | {"shape": [True]}]}, "/inputs/0/shape"),
    ({"inputs": [LABELS | {"shape": "1"}]}, "/inputs/0/shape"),
    ({"inputs": [LABELS | {"shape": [1, 1]}]}, "/inputs/labels: must be INT64 of shape [N]"),
    ({"inputs": [{"name": "labels", "shape": [1], "datatype": "INT64"}]}, "/inputs/0/data: is required"),
    ({"inputs": [labels()]}, "/inputs/labels: asks for 0 images"),
    ({"inputs": [labels(3)]}, "/inputs/labels: must be indices of classes, 0..2"),
    ({"inputs": [labels(-1)]}, "/inputs/labels: must be indices"),
    ({"inputs": [LABELS | {"data": [0.5]}]}, "must hold numbers of INT64 alone"),
    ({"inputs": [LABELS | {"data": ["cat"]}]}, "must hold numbers of INT64 alone"),
    ({"inputs": [LABELS | {"data": [None]}]}, "must hold numbers of INT64 alone"),
    ({"inputs": [LABELS | {"data": [True]}]}, "must hold numbers of INT64 alone"),
    ({"inputs": [LABELS | {"data": [2**70]}]}, "must hold numbers of INT64 alone"),
    ({"inputs": [LABELS | {"data": [[0], [0, 1]]}]}, "must be one flat list"),
    ({"inputs": [LABELS | {"parameters": {"shared_memory_region": "a"}}]}, "'shared_memory_region'; remove it"),
    ({"inputs": [LABELS | {"parameters": {"binary_data_size": 8}}]}, "/inputs/0/data: does not go with"),
    ({"inputs": [LABELS | {"parameters": 3}]}, "/inputs/0/parameters: must be an object"),
    ({"inputs": [LABELS], "parameters": []}, "/parameters: must be an object"),
    ({"inputs": [LABELS], "parameters": {"seed": -1}}, "/parameters/seed"),
    ({"inputs": [LABELS], "parameters": {"seed": 2**63}}, "/parameters/seed"),
    ({"inputs": [LABELS], "parameters": {"seed": "1"}}, "/parameters/seed"),
    ({"inputs": [LABELS], "parameters": {"dtype": "FP16"}}, "must be one of uint8, float32"),
    ({"inputs": [LABELS], "parameters": {"dtype": []}}, "must be one of uint8, float32"),
    ({"inputs": [LABELS], "parameters": {"sequence_id": 1}}, "no parameter 'sequence_id'"),
    ({"inputs": [LABELS], "parameters": {"binary_data_output": 1}}, "/parameters/binary_data_output"),
    ({"inputs": [LABELS], "id": 3}, "/id: must be text"),
    ({"inputs": [LABELS], "id": "\ud800"}, "/id: must be text"),
    ({"inputs": [LABELS], "outputs": 3}, "/outputs: must be a list"),
    ({"inputs": [LABELS], "outputs": [{"name": "logits"}]}, "no output 'logits'"),
    ({"inputs": [LABELS], "outputs": [{"name": "soft_labels"}]}, "no output 'soft_labels'"),
    ({"inputs": [LABELS], "outputs": [{"name": "images"}] * 2}, "/outputs/1/name: is wanted twice"),
    ({"inputs": [LABELS], "outputs": [{"name": "labels", "parameters": {"classification": 3}}]}, "'classification'"),
    ({"inputs": [LABELS], "outputs": [{"name": "labels", "parameters": {"dtype": "uint8"}}]}, "'dtype'"),
    ({"inputs": [labels(*[0] * (HELD + 1))]}, f"holds {HELD} images of each class"),
]


def test_what_is_wrong_is_named(client: TestClient, published: Published) -> None:
    for body, said in WRONG:
        assert said in error(infer(client, published.id, body, status=400))


def test_what_is_wrong_with_a_mixture_is_named(client: TestClient, published: Published, memory: Published) -> None:
    def mix(*data: Any, shape: tuple[int, int] = (1, 3)) -> Any:
        tensor = {"name": "mix", "shape": list(shape), "datatype": "FP32", "data": list(data)}
        return {"inputs": [tensor]}

    for body in (mix(-1, 1, 1), mix(0, 0, 0), mix(1e300, 0, 0)):
        assert "must be finite weights" in error(infer(client, memory.id, body, status=400))
    assert "FP32 of shape [N, 3]" in error(infer(client, memory.id, mix(1, 1, shape=(1, 2)), status=400))
    both = {"inputs": [labels(0), *mix(1, 0, 0)["inputs"]]}
    assert "give one of" in error(infer(client, memory.id, both, status=400))
    assert "cannot mix classes" in error(infer(client, published.id, mix(1, 0, 0), status=400))


def test_lengths_that_do_not_fit_are_refused(client: TestClient, published: Published) -> None:
    tensor = {"name": "labels", "shape": [1], "datatype": "INT64", "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [tensor]}).encode()
    right = str(len(head))
    for body, length, said in (
        (head, right, "0 bytes are left"),
        (head + bytes(9), right, "1 bytes are left behind the last tensor"),
        (head + bytes(8), str(len(head) - 1), "must be a JSON document"),
        (head + bytes(8), str(len(head) + 9), "must be the number of bytes"),
        (head + bytes(8), "-1", "must be the number of bytes"),
        (head + bytes(8), "0" * 5000, "must be the number of bytes"),
        (head.replace(b": 8", b": 7") + bytes(7), right, "INT64 of shape [1] has 8 bytes"),
    ):
        assert said in error(infer(client, published.id, body, status=400, **{LENGTH: length}))
    for body in (b"", b"{", b"\xff\xfe\xff", b"[" * 100_000, b'{"inputs": NaN}', b'{"a": ' + b"9" * 5000 + b"}"):
        error(infer(client, published.id, body, status=400))


def test_an_answer_has_a_limit(client: TestClient, generator: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"inputs": [labels(0, 0, 0)]}
    as_bytes = {**body, "parameters": {"binary_data_output": True}}
    without_images = {**body, "outputs": [{"name": "labels"}]}
    monkeypatch.setattr(models, "MAX_JSON_VALUES", 2 * 3 * 8 * 8)
    assert "holds 2 images of this size; ask for binary_data" in error(infer(client, generator.id, body, status=400))
    infer(client, generator.id, as_bytes)
    infer(client, generator.id, without_images)
    monkeypatch.setattr(models, "MAX_VALUES", 2 * 3 * 8 * 8)
    for asked in (as_bytes, without_images):
        assert "one answer holds 2" in error(infer(client, generator.id, asked, status=400))
    assert error(infer(client, generator.id, b" " * (JSON_BYTES + 1), status=413))


def test_every_error_below_v2_has_the_protocols_form(client: TestClient, published: Published) -> None:
    for method, path, status in (
        ("GET", "/v2/models/nothing", 404),
        ("GET", "/v2/models/nothing/ready", 404),
        ("POST", "/v2/models/nothing/infer", 404),
        ("GET", "/v2/nothing", 404),
        ("GET", f"/v2/models/{published.id}/config", 404),
        ("GET", f"/v2/models/{published.id}/infer", 405),
        ("GET", "/v2?verbose=1", 400),
        ("POST", "/v2/repository/index", 400),
    ):
        response = client.request(method, path, **({"json": [1]} if path.endswith("index") else {}))
        assert response.status_code == status, response.text
        assert error(response)
    assert client.get("/v1/nothing").headers["content-type"] == "application/problem+json"


def test_a_missing_file_is_no_model_that_is_ready(client: TestClient, published: Published, services: Services) -> None:
    services.store.delete(published.digest)
    response = client.get(f"/v2/models/{published.id}/ready")
    assert response.status_code == 500
    assert error(response)
    error(infer(client, published.id, {"inputs": [LABELS]}, status=500))


def test_the_key_guards_models_and_not_the_probes(services: Services, tmp_path: Path) -> None:
    made = publish(services)
    guarded = TestClient(create_app(AppSettings(home=tmp_path, api_key="k"), services=services))
    for probe in ("live", "ready"):
        assert guarded.get(f"/v2/health/{probe}").status_code == 200
    refused = guarded.get(f"/v2/models/{made.id}")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in error(refused)
    assert guarded.get(f"/v2/models/{made.id}", headers={"Authorization": "Bearer k"}).status_code == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TENSORS = st.fixed_dictionaries(
    {"name": st.sampled_from(["labels", "mix", "seed"]) | st.text(max_size=3)},
    optional={
        "shape": st.lists(st.integers(-1, 4), max_size=3) | JSON,
        "datatype": st.sampled_from(["INT64", "FP32", "UINT8", "BYTES"]) | JSON,
        "data": st.lists(st.integers(-1, 3) | st.floats(-1, 2), max_size=6) | JSON,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40)}) | JSON,
    },
)
REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(TENSORS, max_size=3) | JSON},
    optional={
        "parameters": st.fixed_dictionaries({"seed": st.integers() | JSON}) | JSON,
        "outputs": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["images", "soft_labels"])})) | JSON,
        "id": JSON,
    },
)


@settings(max_examples=100, deadline=None)
@given(request=REQUESTS | JSON, rest=st.binary(max_size=40), off=st.none() | st.integers(-3, 3))
def test_whatever_is_sent_is_read_or_refused(request: Any, rest: bytes, off: int | None) -> None:
    head = json.dumps(request).encode()
    with contextlib.suppress(InvalidRequest):
        asked = read_request(head + rest, header_length=None if off is None else str(len(head) + off))
        found = question(asked, num_classes=3)
        assert found.count > 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(request=REQUESTS, rest=st.binary(max_size=40))
def test_nothing_that_is_sent_breaks_it(client: TestClient, memory: Published, request: Any, rest: bytes) -> None:
    head = json.dumps(request).encode()
    response = client.post(f"/v2/models/{memory.id}/infer", content=head + rest, headers={LENGTH: str(len(head))})
    assert response.status_code in (200, 400), response.text
    if response.status_code == 400:
        assert error(response)
    else:
        assert tensors(response)["images"].shape[1:] == (4, 4, 3)
