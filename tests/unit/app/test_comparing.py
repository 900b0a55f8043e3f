"""Two artifacts side by side, and only like beside like."""

import random
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from app.artifacts.comparing import differences
from app.artifacts.intervals import Method, difference, t_below, t_quantile
from app.services import Services
from registry import artifacts, evaluations
from tests.unit.app.conftest import Published, artifact_file, problem, publish

A, B = [0.80, 0.82, 0.81, 0.79], [0.84, 0.85, 0.86, 0.83]


def file(*, change: dict[str, Any] | None = None, **options: Any) -> tuple[bytes, dict[str, Any]]:
    content, header = artifact_file(**options)
    return content, header | (change or {})


@pytest.fixture
def other(services: Services, published: Published) -> Published:
    content, header = artifact_file(seed=1, held=4)
    objective = {"kind": "distribution", "network": "mlp"}
    recipe = header["recipe"] | {"ipc": 4, "objective": objective, "penalties": [{"kind": "x"}]}
    return publish(services, file=(content, header | {"recipe": recipe}))


def score(values: list[float]) -> dict[str, Any]:
    return {"mean": sum(values) / len(values), "std": 0.01, "values": values}


def measure(
    services: Services,
    artifact_id: str,
    *,
    network: str = "convnet3",
    config: dict[str, Any] | None = None,
    seed: int = 0,
    result: dict[str, Any] | None = None,
    **modes: list[float],
) -> None:
    """Give an artifact an evaluation with these accuracies."""
    with services.database.write() as session:
        artifact = artifacts.get(session, artifact_id)
        (row,) = evaluations.queue(
            session, artifact, networks=[network], config=config or {"repeats": 4}, seed=seed, request_id="r"
        )
        held = evaluations.claim(session, row.id, worker="w", device="cpu", lease_seconds=60)
        assert held is not None
        distilled = {mode: score(values) for mode, values in modes.items()} | {"bytes": 1, "images": 9}
        full = {"random": score([0.6, 0.62]), "full": score([0.97])}
        evaluations.finish(
            session, row.id, attempt=held.attempt, result={"distilled": distilled, **full, **(result or {})}
        )


def compare(client: TestClient, a: str, b: str) -> dict[str, Any]:
    response = client.get(f"/v1/artifacts/{a}/compare/{b}")
    assert response.status_code == 200, response.text
    return response.json()


def test_sizes_classes_recipes_and_lineage(client: TestClient, published: Published, other: Published) -> None:
    client.put("/v1/aliases/best", json={"artifact_id": other.id})
    told = compare(client, published.id, "best")
    assert (told["a"]["id"], told["b"]["id"], told["b"]["aliases"], told["same"]) == (
        published.id,
        other.id,
        ["best"],
        False,
    )
    a, b = told["a"]["budget"]["bytes"], told["b"]["budget"]["bytes"]
    assert told["bytes"] == {"a": a, "b": b, "difference": b - a, "ratio": b / a}
    assert b - a == 3 * (3 * 4 * 4 + 1)
    assert told["classes"] == {"shared": ["cat", "dog", "a,b"], "only_a": [], "only_b": []}
    assert told["recipe"] == [
        {"pointer": "/ipc", "a": 3, "b": 4},
        {"pointer": "/objective/network", "a": "convnet3", "b": "mlp"},
        {"pointer": "/penalties", "a": None, "b": [{"kind": "x"}]},
    ]
    assert [found["pointer"] for found in told["lineage"]] == ["/job_id", "/seed"]
    assert (told["comparable"], told["accuracies"], told["unmatched"]) == (True, [], {"a": [], "b": []})


def test_accuracies_of_one_seed_are_compared_in_pairs(
    client: TestClient, services: Services, published: Published, other: Published
) -> None:
    measure(services, published.id, hard=A, soft=B)
    measure(services, other.id, hard=B)
    (found,) = compare(client, published.id, other.id)["accuracies"]
    assert (found["network"], found["labels"], found["method"], found["config"]) == (
        "convnet3",
        "hard",
        "paired",
        {"repeats": 4},
    )
    assert found["seen"] == {"a": True, "b": False}
    assert (found["a"]["mean"], found["b"]["mean"], found["a"]["repeats"]) == (sum(A) / 4, sum(B) / 4, 4)
    expected = stats.ttest_rel(B, A).confidence_interval(0.95)
    assert found["difference"] == pytest.approx(0.04)
    assert found["interval"] == pytest.approx([expected.low, expected.high])
    back = compare(client, other.id, published.id)["accuracies"][0]
    assert back["interval"] == pytest.approx([-expected.high, -expected.low])


def test_accuracies_of_other_seeds_are_two_samples(
    client: TestClient, services: Services, published: Published, other: Published
) -> None:
    measure(services, published.id, hard=A, seed=0)
    measure(services, other.id, hard=B, seed=1)
    (found,) = compare(client, published.id, other.id)["accuracies"]
    expected = stats.ttest_ind(B, A, equal_var=False).confidence_interval(0.95)
    assert found["method"] == "welch"
    assert found["interval"] == pytest.approx([expected.low, expected.high])


def test_only_like_is_compared_with_like(
    client: TestClient, services: Services, published: Published, other: Published
) -> None:
    measure(services, published.id, network="mlp", hard=A)
    measure(services, published.id, network="vgg11", config={"repeats": 4, "steps": 5}, hard=A)
    measure(services, published.id, network="alexnet", soft=A)
    measure(services, published.id, network="resnet18", hard=A, result={"absent": ["cat"]})
    measure(services, other.id, network="vgg11", config={"repeats": 4, "steps": 6}, hard=B)
    measure(services, other.id, network="alexnet", hard=B)
    measure(services, other.id, network="resnet18", hard=B)
    told = compare(client, published.id, other.id)
    assert told["accuracies"] == []  # soft labels are not compared with hard ones either
    lone = {side: [found["network"] for found in told["unmatched"][side]] for side in "ab"}
    assert lone == {"a": ["mlp", "vgg11", "resnet18"], "b": ["vgg11", "resnet18"]}


def test_how_many_images_were_drawn_does_not_hinder(
    client: TestClient, services: Services, published: Published, other: Published
) -> None:
    measure(services, published.id, config={"repeats": 4, "ipc": 0}, hard=A, fresh=A)
    for ipc, values in ((10, A), (0, B)):
        measure(services, other.id, config={"repeats": 4, "ipc": ipc}, hard=values, fresh=values)
    told = compare(client, published.id, other.id)
    assert [(found["labels"], found["b"]["mean"]) for found in told["accuracies"]] == [
        ("hard", sum(B) / 4),
        ("fresh", sum(B) / 4),
    ]
    assert len(told["unmatched"]["b"]) == 1


def test_baselines_stand_beside(client: TestClient, services: Services, published: Published, other: Published) -> None:
    measure(services, published.id, hard=A)
    measure(services, other.id, hard=B, result={"random": None})
    told = compare(client, published.id, other.id)["baselines"]
    assert [(found["name"], found["a"] and found["a"]["repeats"], found["b"]) for found in told] == [
        ("random", 2, None),
        ("full", 1, {"mean": 0.97, "std": None, "repeats": 1}),
    ]


def test_one_value_has_no_interval(
    client: TestClient, services: Services, published: Published, other: Published
) -> None:
    measure(services, published.id, hard=A)
    measure(services, other.id, hard=[0.9])
    (found,) = compare(client, published.id, other.id)["accuracies"]
    assert (found["interval"], found["method"], found["b"]["std"]) == (None, None, None)
    assert found["difference"] == pytest.approx(0.9 - sum(A) / 4)


def test_an_artifact_beside_itself(client: TestClient, services: Services, published: Published) -> None:
    measure(services, published.id, hard=A)
    told = compare(client, published.id, published.id)
    assert (told["same"], told["recipe"], told["lineage"], told["bytes"]["ratio"]) == (True, [], [], 1.0)
    (found,) = told["accuracies"]
    assert (found["difference"], found["interval"], found["method"]) == (0.0, [0.0, 0.0], "paired")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"change": {"dataset": {"name": "mnist", "digest": "f" * 64}}, "seed": 2}, "different data"),
        ({"classes": ("cat", "cow"), "seed": 3}, "different classes"),
    ],
)
def test_what_was_tested_on_other_images_is_not_compared(
    client: TestClient, services: Services, published: Published, options: dict[str, Any], reason: str
) -> None:
    other = publish(services, file=file(**options))
    measure(services, published.id, hard=A)
    measure(services, other.id, hard=B)
    told = compare(client, published.id, other.id)
    assert (told["comparable"], told["accuracies"], told["baselines"]) == (False, [], [])
    assert reason in told["reason"]
    assert [len(told["unmatched"][side]) for side in "ab"] == [1, 1]
    if "classes" in options:
        assert told["classes"] == {"shared": ["cat"], "only_a": ["dog", "a,b"], "only_b": ["cow"]}


def test_what_is_not_there_cannot_be_compared(client: TestClient, published: Published) -> None:
    for a, b in ((published.id, "nothing"), ("nothing", published.id), (published.id, "a b")):
        problem(client.get(f"/v1/artifacts/{a}/compare/{b}"), 404)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON)
def test_differences_point_at_what_differs(a: Any, b: Any) -> None:
    assert list(differences(a, a)) == []
    found = list(differences(a, b))
    assert [(one.pointer, one.b, one.a) for one in found] == [(one.pointer, one.a, one.b) for one in differences(b, a)]
    for one in found:
        for whole, value in ((a, one.a), (b, one.b)):
            assert at(whole, one.pointer) == value


def at(value: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


@given(st.floats(0.05, 500), st.floats(0.55, 0.999))
def test_the_quantile_is_students(freedom: float, p: float) -> None:
    expected = float(stats.t.ppf(p, freedom))
    assert t_quantile(p, freedom) == pytest.approx(expected, rel=1e-6)
    assert t_below(expected, freedom) == pytest.approx(p, abs=1e-9)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    drawn = random.Random(0)
    held = {method: 0 for method in Method}
    for _ in range(400):
        a = [drawn.gauss(0.5, 0.02) for _ in range(5)]
        b = [drawn.gauss(0.6, 0.05) for _ in range(5)]
        for method in Method:
            low, high = difference(a, b, paired=method is Method.PAIRED).interval or (1, 0)
            held[method] += low <= 0.1 <= high
    assert all(0.92 <= count / 400 <= 0.98 for count in held.values()), held
