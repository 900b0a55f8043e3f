"""`/v2`: the Open Inference Protocol, an artifact being a model (tritonclient itself is tested elsewhere)."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load

from tests.conformance.conftest import Made
from tests.conformance.making import CLASSES, SIDE
from tests.conformance.wire import Wire

LENGTH = "Inference-Header-Content-Length"


def labels(*values: int) -> dict[str, Any]:
    return {"name": "labels", "shape": [len(values)], "datatype": "INT64", "data": list(values)}


def infer(wire: Wire, made: Made, **request: Any) -> dict[str, Any]:
    """The answer to a question in JSON, its outputs by name."""
    answer = wire.ok("POST", f"/v2/models/{made.id}/infer", json=request).json()
    return {**answer, "outputs": {output["name"]: output for output in answer["outputs"]}}


def test_the_server_tells_what_it_is_and_how_it_is(wire: Wire) -> None:
    told = wire.get("/v2")
    assert told["name"]
    assert "binary_tensor_data" in told["extensions"]
    for path in ("live", "ready"):
        assert wire.get(f"/v2/health/{path}")[path] is True


def test_a_model_tells_what_goes_in_and_what_comes_out(wire: Wire, generator: Made) -> None:
    told = wire.get(f"/v2/models/{generator.id}")
    assert (told["name"], told["versions"]) == (generator.id, [generator.manifest["digest"]])
    inputs = {item["name"]: (item["datatype"], item["shape"]) for item in told["inputs"]}
    assert inputs["labels"] == ("INT64", [-1])
    assert inputs["mix"] == ("FP32", [-1, len(CLASSES)])
    outputs = {item["name"]: (item["datatype"], item["shape"]) for item in told["outputs"]}
    assert outputs["images"] == ("UINT8", [-1, SIDE, SIDE, 1])
    for path in ("", f"/versions/{generator.manifest['digest']}"):
        assert wire.get(f"/v2/models/{generator.id}{path}/ready")["ready"] is True


def test_images_are_drawn_as_samples_draws_them(wire: Wire, generator: Made) -> None:
    answer = infer(wire, generator, id="q1", inputs=[labels(0, 0, 1)], parameters={"seed": 4})
    batch = load(wire.ok("GET", f"{generator.path}/samples?count=3&seed=4").content)
    images = answer["outputs"]["images"]
    assert (answer["id"], answer["model_name"]) == ("q1", generator.id)
    assert answer["model_version"] == generator.manifest["digest"]
    assert (images["datatype"], images["shape"]) == ("UINT8", [3, SIDE, SIDE, 1])
    assert images["data"] == batch["images"].reshape(-1).tolist()
    assert answer["outputs"]["labels"]["data"] == batch["labels"].tolist()


def test_tensors_travel_as_bytes_both_ways(wire: Wire, generator: Made) -> None:
    raw = np.array([1, 0], "<i8").tobytes()
    described = {"name": "labels", "shape": [2], "datatype": "INT64", "parameters": {"binary_data_size": len(raw)}}
    request = {"inputs": [described], "parameters": {"seed": 4, "binary_data_output": True}}
    head = json.dumps(request).encode()
    path = f"/v2/models/{generator.id}/infer"
    answer = wire.ok("POST", path, content=head + raw, headers={LENGTH: str(len(head))})
    length = int(answer.headers[LENGTH])
    told = json.loads(answer.content[:length])
    tensors: dict[str, NDArray[Any]] = {}
    place = length
    for output in told["outputs"]:
        size = output["parameters"]["binary_data_size"]
        dtype = {"UINT8": "u1", "INT64": "<i8", "FP32": "<f4"}[output["datatype"]]
        tensors[output["name"]] = np.frombuffer(answer.content[place : place + size], dtype).reshape(output["shape"])
        place += size
    assert place == len(answer.content)
    in_json = infer(wire, generator, inputs=[labels(1, 0)], parameters={"seed": 4})["outputs"]["images"]["data"]
    assert tensors["images"].reshape(-1).tolist() == in_json
    assert tensors["labels"].tolist() == [1, 0]


def test_mixtures_go_in_and_soft_labels_come_out(wire: Wire, generator: Made) -> None:
    mixture = {"name": "mix", "shape": [1, 2], "datatype": "FP32", "data": [0.25, 0.75]}
    answer = infer(wire, generator, inputs=[mixture], parameters={"seed": 1})
    assert answer["outputs"]["soft_labels"]["data"] == pytest.approx([0.25, 0.75])
    rows = [{"mix": {"0": 1, "1": 3}, "count": 1}]
    batch = load(wire.ok("POST", f"{generator.path}/samples?seed=1", json=rows).content)
    assert answer["outputs"]["images"]["data"] == batch["images"].reshape(-1).tolist()


def test_floats_come_out_where_they_are_wanted(wire: Wire, images: Made) -> None:
    outputs = [{"name": "images", "parameters": {"dtype": "float32"}}]
    answer = infer(wire, images, inputs=[labels(1)], outputs=outputs, parameters={"seed": 1})
    assert list(answer["outputs"]) == ["images"]
    found = answer["outputs"]["images"]
    assert (found["datatype"], found["shape"]) == ("FP32", [1, 1, SIDE, SIDE])


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"inputs": []},
        {"inputs": [labels(2)]},
        {"inputs": [labels(-1)]},
        {"inputs": [{**labels(0, 1), "shape": [3]}]},
        {"inputs": [{**labels(0), "datatype": "FP32"}]},
        {"inputs": [{**labels(0), "name": "lables"}]},
        {"inputs": [labels(0), labels(0)]},
        {"inputs": [labels(0)], "parameters": {"seed": -1}},
        {"inputs": [labels(0)], "parameters": {"temperature": 1}},
        {"inputs": [labels(0)], "outputs": [{"name": "logits"}]},
        {"inputs": [labels(0)], "extra": 1},
    ],
    ids=lambda request: str(request)[:40],
)
def test_a_wrong_question_is_told_as_the_protocol_does(wire: Wire, generator: Made, request_: dict[str, Any]) -> None:
    answer = wire.ok("POST", f"/v2/models/{generator.id}/infer", status=400, json=request_)
    assert set(answer.json()) == {"error"}


def test_what_is_no_request_is_told_too(wire: Wire, generator: Made) -> None:
    path = f"/v2/models/{generator.id}/infer"
    for content, headers in ((b"{", {}), (b"[]", {}), (b"{}", {LENGTH: "99"}), (b"{}", {LENGTH: "-1"})):
        assert set(wire.ok("POST", path, status=400, content=content, headers=headers).json()) == {"error"}


def test_a_model_or_a_version_that_is_not_there_is_a_404(wire: Wire, generator: Made) -> None:
    for path in (f"art_{'0' * 32}", "no-such", f"{generator.id}/versions/{'0' * 64}", f"no-such/versions/{'0' * 64}"):
        for method, end in (("GET", ""), ("GET", "/ready"), ("POST", "/infer")):
            body = {"json": {"inputs": [labels(0)]}} if method == "POST" else {}
            answer = wire.ok(method, f"/v2/models/{path}{end}", status=404, **body)
            assert set(answer.json()) == {"error"}, path
