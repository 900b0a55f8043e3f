"""What a user does with `tritonclient`, unmodified: printing JSON: `python triton.py HOST:PORT MODEL FIXED DIGEST KEY`.

A process of its own: it brings gevent, whose loop and hooks nothing else of a test run should live with.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException


def labels(*values: int, binary: bool = True) -> InferInput:
    tensor = InferInput("labels", [len(values)], "INT64")
    return tensor.set_data_from_numpy(np.array(values, np.int64), binary_data=binary)


def arrays(result: Any) -> dict[str, Any]:
    """Each output with its type, shape and bytes."""
    names = [output["name"] for output in result.get_response()["outputs"]]
    found = {name: result.as_numpy(name) for name in names}
    return {name: [str(one.dtype), list(one.shape), one.tobytes().hex()] for name, one in found.items()}


def failure(act: Callable[[], Any]) -> list[str | None]:
    """Status and message of the client's own error."""
    try:
        act()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return ["none", "none"]


def use(client: InferenceServerClient, model: str, fixed: str, digest: str, weak: str, key: str) -> dict[str, Any]:
    """weak: a key that opens nothing."""
    headers, powerless = ({"Authorization": f"Bearer {one}"} for one in (key, weak))

    def infer(name: str, inputs: list[InferInput], **options: Any) -> Any:
        # A dict of its own for each request: the client leaves the length of one request's JSON in it.
        return client.infer(name, inputs, headers=dict(headers), **options)

    mix = InferInput("mix", [2, 3], "FP32").set_data_from_numpy(np.array([[0.75, 0, 0.25], [0, 1, 0]], np.float32))
    seed = InferInput("seed", [1], "INT64").set_data_from_numpy(np.array([5], np.int64))
    in_json = [InferRequestedOutput("images", binary_data=False), InferRequestedOutput("labels", binary_data=False)]
    as_floats = {"seed": 5, "dtype": "float32"}
    drawn = infer(model, [labels(2)], request_id="mine")
    again = infer(model, [labels(2)], parameters=drawn.get_response()["parameters"])
    asked = client.async_infer(model, [labels(0, 1), seed], headers=dict(headers))
    return {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "server": client.get_server_metadata(headers=headers),
        "models": [client.is_model_ready(name, headers=headers) for name in (model, fixed, "nothing")],
        "version": [client.is_model_ready(model, version, headers=headers) for version in (digest, "1")],
        "metadata": client.get_model_metadata(model, headers=headers),
        "index": client.get_model_repository_index(headers=headers),
        "binary": arrays(infer(model, [labels(0, 1), seed])),
        "json": arrays(infer(model, [labels(0, 1, binary=False)], outputs=in_json, parameters={"seed": 5})),
        "gzip": arrays(infer(model, [labels(0, 1), seed], request_compression_algorithm="gzip")),
        "deflate": arrays(infer(model, [labels(0, 1), seed], request_compression_algorithm="deflate")),
        "of_version": arrays(infer(model, [labels(0, 1), seed], model_version=digest)),
        "asynchronous": arrays(asked.get_result()),
        "floats": arrays(infer(model, [labels(0, 1)], parameters=as_floats)),
        "mixed": arrays(infer(model, [mix], parameters={"seed": 5})),
        "fixed": arrays(infer(fixed, [labels(0, 0, 1), seed])),
        "drawn": [arrays(drawn), arrays(again), drawn.get_response()["id"]],
        "failures": {
            "no key": failure(lambda: client.infer(model, [labels(0)])),
            "no scope": failure(lambda: client.infer(model, [labels(0)], headers=powerless)),
            "no model": failure(lambda: infer("nothing", [labels(0)])),
            "no class": failure(lambda: infer(model, [labels(9)])),
            "too many": failure(lambda: infer(fixed, [labels(*[0] * 50)])),
            "cannot mix": failure(lambda: infer(fixed, [mix])),
            "no output": failure(lambda: infer(model, [labels(0)], outputs=[InferRequestedOutput("logits")])),
            "no config": failure(lambda: client.get_model_config(model, headers=headers)),
            "too large": failure(lambda: infer(model, [labels(*[0] * 200_000)])),
        },
    }


def documented(address: str, model: str, key: str) -> dict[str, Any]:
    """The shapes that the code on the page `docs/open-inference.md` ends with, run as it stands there."""
    page = Path(__file__).parents[3].joinpath("docs", "open-inference.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]
    os.environ["DISTILLED_API_KEY"] = key
    names: dict[str, Any] = {}
    exec(code.replace("127.0.0.1:8000", address).replace("cifar10-best", model), names)  # noqa: S102 -- our own page
    names["client"].close()
    return {name: list(names[name].shape) for name in ("images", "soft_labels")}


if __name__ == "__main__":
    address, *names = sys.argv[1:]
    with InferenceServerClient(address) as client:
        told = use(client, *names)
    json.dump({**told, "documented": documented(address, names[0], names[-1])}, sys.stdout)
