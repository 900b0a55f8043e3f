"""`distilled plot`: what stands in a plot, and that it is the same file tomorrow."""

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import plots
from distilled import plotting
from distilled.errors import NothingToPlot
from tests.unit.cli.runner import document, run
from tests.unit.client.service import SCORES, FakeService, artifact, evaluation, job

TRAINED = {"steps": 100}
ENTRIES = [
    {"number": 1, "kind": "progress", "at": "2026-01-01T00:00:00Z", "data": {"step": 1, "loss": 2.0}},
    {"number": 2, "kind": "metrics", "at": "2026-01-01T00:00:00Z", "data": {"step": 1, "values": {"loss": 2.0}}},
    {
        "number": 3,
        "kind": "metrics",
        "at": "2026-01-01T00:00:30Z",
        "data": {"step": 50, "values": {"loss": 1.0, "penalty": 0.2, "accuracy": 0.5, "images_per_second": 9.0}},
    },
]


def manifest(name: str, *, method: str = "frepo", size: int = 640, **about: Any) -> dict[str, Any]:
    scores = {**SCORES, "distilled": {**SCORES["distilled"], "bytes": size}}
    return artifact(evaluation(result=scores, config=TRAINED, **about), id=name, method=method)


def house(*found: dict[str, Any]) -> FakeService:
    service = FakeService()
    service.on("GET /v1/artifacts", {"items": list(found), "next_cursor": None})
    for one in found:
        service.on(f"GET /v1/artifacts/{one['id']}", one)
    service.on("GET /v1/jobs/job_1", job("running"))
    service.on("GET /v1/jobs/job_1/metrics", {"items": ENTRIES, "next_cursor": None})
    return service


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_a_plot_is_the_same_bytes_whenever_it_is_drawn(tmp_path: Path, ending: str) -> None:
    service = house(manifest("art_1"), manifest("art_2", method="dm", size=6400))
    drawn: list[bytes] = []
    for name in ("a", "b"):
        out = tmp_path / f"{name}.{ending}"
        result = run(service, "plot", "accuracy", "--dataset", "digits", "--out", str(out), "--json")
        assert result.exit_code == 0, result.stderr
        told = {"path": str(out), "network": "convnet3-w64", "artifacts": 2, "left_out": 0}
        assert document(result) == told
        drawn.append(out.read_bytes())
    assert drawn[0] == drawn[1]


def test_methods_baselines_and_full_data_are_named(tmp_path: Path) -> None:
    out = tmp_path / "a.svg"
    run(house(manifest("art_1"), manifest("art_2", method="dm")), "plot", "accuracy", "--dataset", "d", "-o", str(out))
    for text in ("frepo", "dm", "random real images", "k-means centroids", "full data", "convnet3-w64"):
        assert text in out.read_text()


def test_what_was_measured_in_another_way_is_left_out_and_counted() -> None:
    alike = [manifest("art_1"), manifest("art_2", size=6400)]
    others = [manifest("art_3"), manifest("art_4")]
    others[0]["evaluations"][0]["config"] = {"steps": 5}
    others[1]["evaluations"][0]["network"] = "mlp"
    waiting = artifact(evaluation("queued"), id="art_5")
    found = plotting.of_artifacts([*others, *alike, waiting])
    assert (found.network, found.left_out, [one.x for one in found.points]) == ("convnet3-w64", 2, [640, 6400])
    assert {(one.series, one.x, one.mean) for one in found.baselines} == {("random", 640, 0.5), ("centroid", 640, 0.8)}
    assert plotting.of_artifacts([*others, *alike], network="mlp").left_out == 3
    assert [one.mean for one in plotting.of_artifacts(alike, mode="soft").points] == [0.92, 0.92]
    with pytest.raises(NothingToPlot, match="fresh"):
        plotting.of_artifacts(alike, mode="fresh")
    with pytest.raises(NothingToPlot, match="hard, soft"):
        plotting.of_artifacts(alike, mode="all")


def test_a_set_without_a_preset_goes_by_its_parts() -> None:
    recipe = {"parametrization": {"kind": "memory"}, "objective": {"kind": "kernel"}}
    own = artifact(evaluation(), method=None, recipe=recipe)
    assert plotting.of_artifacts([own]).points[0].series == "memory × kernel"


def test_a_jobs_curves_are_drawn_against_steps_or_seconds(tmp_path: Path) -> None:
    for ending, words in (((), "steps"), (("--seconds",), "seconds")):
        out = tmp_path / f"{words}.svg"
        result = run(house(), "plot", "job", "job_1", "--out", str(out), *ending)
        assert result.exit_code == 0, result.stderr
        drawn = out.read_text()
        for text in (words, "loss", "penalty", "accuracy, %", "frepo on digits"):
            assert f">{text}" in drawn, text
        assert "images_per_second" not in drawn
    assert plotting._curves(ENTRIES, seconds=True)["loss"] == ([0.0, 30.0], [2.0, 1.0])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["accuracy", "--dataset", "digits", "--out", "x.svg"], "distilled evaluate"),
        (["job", "job_1", "--out", "x.gif"], ".svg, .pdf, .png"),
    ],
)
def test_what_cannot_be_drawn_says_why(tmp_path: Path, arguments: list[str], told: str) -> None:
    arguments[-1] = str(tmp_path / arguments[-1])
    result = run(house(artifact()), "plot", *arguments)
    assert result.exit_code == 1
    assert told in " ".join(result.stderr.split())


def test_without_matplotlib_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(house(), "plot", "job", "job_1", "--out", str(tmp_path / "x.svg"))
    assert result.exit_code == 1
    assert "pip install 'distilled[plot]'" in " ".join(result.stderr.split())


def test_the_readmes_panels_each_hold_one_recipe_and_its_baselines() -> None:
    found = plots.panels("mnist")
    assert len(found) == 3
    for measured, records in found:
        assert {plots.recipe_of(record) for record in records} == {measured.network}
        assert measured.full is not None
        assert {one.series for one in measured.baselines} == {"random", "centroid"}
        assert len(measured.points) == len(records)
