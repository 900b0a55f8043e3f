"""Five digits are remembered, then five more without the images of the first: one memory serves all ten."""

import io
import os
import signal
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from tests.acceptance.service import TINY, Service
from tests.undisturbed import undisturbed
from workers.distill.data import from_npz, load

MEMORY = {"kind": "memory", "bases": 8, "downsample": 2}


def upload(quick: Service, folder: Path, name: str, digits: list[int]) -> Path:
    """Some of the built-in digits as a data set of their own; its file."""
    real = load("digits", data_dir=folder, download=False)
    arrays: dict[str, Any] = {"classes": np.array([str(k) for k in digits])}
    for split in ("train", "val", "test"):
        labels_N = getattr(real, f"{split}_labels_N").numpy()
        kept_N = np.isin(labels_N, digits)
        arrays[f"{split}_images"] = getattr(real, f"{split}_bytes_NHWC").numpy()[kept_N]
        arrays[f"{split}_labels"] = labels_N[kept_N] - digits[0]
    path = folder / f"{name}.npz"
    np.savez(path, **arrays)
    with path.open("rb") as file:
        answer = httpx2.post(f"{quick.url}/v1/datasets", data={"name": name}, files={"file": file}, timeout=30)
    assert answer.status_code == 201, answer.text
    return path


def test_a_memory_goes_on_with_further_classes_killed_on_the_way(quick: Service, tmp_path: Path) -> None:
    upload(quick, tmp_path, "low-digits", [0, 1, 2, 3, 4])
    high = upload(quick, tmp_path, "high-digits", [5, 6, 7, 8, 9])
    common = {"ipc": None, "seed": 41, "parametrization": MEMORY, "selection": {"start": "random"}}
    first = quick.submit(**{**common, "dataset": "low-digits", "bytes": 1500, "evaluation": {"networks": []}})
    base_id = quick.until_state(first, "succeeded")["artifact_id"]
    alias = httpx2.put(f"{quick.url}/v1/aliases/so-far", json={"artifact_id": base_id}, timeout=10)
    assert alias.status_code == 201, alias.text

    recipe = {**common, "dataset": "high-digits", "base_artifact": "so-far", "steps": 250}
    job_id = quick.submit(**recipe)
    quick.until_snapshot(job_id)
    os.kill(quick.child_at_work(job_id), signal.SIGKILL)
    job = quick.until_state(job_id, "succeeded")
    assert (job["attempt"], job["recipe"]["base_artifact"]) == (2, base_id)

    quick.until_evaluated(job["artifact_id"])
    artifact = quick.get(f"/v1/artifacts/{job['artifact_id']}")
    assert artifact["classes"] == list("0123456789")
    base = quick.get(f"/v1/artifacts/{base_id}")
    assert artifact["budget"]["bytes"] <= job["recipe"]["bytes"] == base["budget"]["bytes"]
    assert artifact["lineage"]["base"]["digest"] == base["digest"]
    assert [part["name"] for part in artifact["lineage"]["base"]["datasets"]] == ["low-digits"]
    (evaluation,) = artifact["evaluations"]
    assert evaluation["state"] == "succeeded", evaluation["error"]
    assert evaluation["result"]["full"]["images"] == sum(load("digits", data_dir=tmp_path, download=False).train_counts)

    drawn = httpx2.get(f"{quick.url}/v1/artifacts/{artifact['id']}/samples?ipc=3&format=npz", timeout=30)
    assert drawn.status_code == 200, drawn.text
    with np.load(io.BytesIO(drawn.content)) as arrays:
        assert np.bincount(arrays["train_labels"].reshape(-1)).tolist() == [3] * 10

    content = httpx2.get(f"{quick.url}/v1/artifacts/{base_id}/content", timeout=30).content
    whole = {**TINY, **recipe, "bytes": base["budget"]["bytes"]}
    assert artifact["digest"] == undisturbed(whole, from_npz(high, "high-digits"), base=content)
