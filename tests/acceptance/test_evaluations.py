"""Networks that are asked for when a job has long ended: measured by a worker, and reported seen and unseen apart."""

from typing import Any

import httpx2

from tests.acceptance.service import Service


def test_a_network_added_later_is_measured_and_reported_as_unseen(quick: Service, artifact_id: str) -> None:
    path = f"/v1/artifacts/{artifact_id}"

    def ask() -> Any:
        return httpx2.post(f"{quick.url}{path}/evaluations", json={"networks": ["convnet1-w8"]}, timeout=10)

    (asked,) = ask().json()["items"]
    assert (asked["network"], asked["state"]) == ("convnet1-w8", "queued")
    rows = quick.until_evaluated(artifact_id)
    assert [(row["network"], row["state"]) for row in rows] == [("mlp-w16", "succeeded"), ("convnet1-w8", "succeeded")]
    assert rows[0]["config"] == rows[1]["config"], "as in the recipe"
    assert ask().status_code == 200, "it is there"

    shown = quick.get(path)
    (means,) = shown["summary"]
    assert shown["seen_networks"] == ["mlp-w16"]
    accuracies = {row["network"]: row["result"]["distilled"]["hard"]["mean"] for row in rows}
    for group, networks in (("seen", ["mlp-w16"]), ("unseen", ["convnet1-w8"]), ("all", ["mlp-w16", "convnet1-w8"])):
        assert means[group]["networks"] == networks
        mean = sum(accuracies[network] for network in networks) / len(networks)
        assert abs(means[group]["distilled"]["hard"]["mean"] - mean) < 1e-9
        assert 0 < means[group]["random"]["mean"] < 1
