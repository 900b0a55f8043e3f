"""`compare`: two artifacts side by side, only like set against like."""

from typing import Any

from tests.conformance.conftest import Made
from tests.conformance.making import CLASSES
from tests.conformance.wire import Wire


def test_two_artifacts_stand_side_by_side(wire: Wire, images: Made, soft: Made) -> None:
    found = wire.get(f"{images.path}/compare/{soft.id}")
    assert (found["a"]["id"], found["b"]["id"], found["same"]) == (images.id, soft.id, False)
    sizes = [made.manifest["budget"]["bytes"] for made in (images, soft)]
    assert [found["bytes"][side] for side in ("a", "b")] == sizes
    assert found["bytes"]["difference"] == sizes[1] - sizes[0]
    assert found["classes"] == {"shared": CLASSES, "only_a": [], "only_b": []}
    differences = {item["pointer"]: (item["a"], item["b"]) for item in found["recipe"]}
    assert differences["/ipc"] == (3, 2)
    assert differences["/parametrization/labels"] == ("hard", "soft")
    assert "/dataset" not in differences
    assert found["comparable"] is True


def test_an_artifact_is_the_same_as_itself(wire: Wire, images: Made, measured: dict[str, Any]) -> None:
    found = wire.get(f"{images.path}/compare/{images.id}")
    assert (found["same"], found["recipe"], found["lineage"]) == (True, [], [])
    (row,) = found["accuracies"]
    assert (row["network"], row["labels"], row["difference"], row["method"]) == ("mlp-w16", "hard", 0, "paired")
    assert row["interval"] == [0, 0]
    assert {item["name"] for item in found["baselines"]} == {"random", "centroid", "full"}


def test_what_only_one_was_measured_on_is_compared_with_nothing(
    wire: Wire, images: Made, generator: Made, measured: dict[str, Any]
) -> None:
    found = wire.get(f"{images.path}/compare/{generator.id}")
    assert found["accuracies"] == []
    assert [row["network"] for row in found["unmatched"]["a"]] == ["mlp-w16"]
    assert found["unmatched"]["b"] == []


def test_what_is_not_there_cannot_be_compared(wire: Wire, images: Made) -> None:
    wire.problem(404, "GET", f"{images.path}/compare/no-such")
    wire.problem(404, "GET", f"/v1/artifacts/no-such/compare/{images.id}")
