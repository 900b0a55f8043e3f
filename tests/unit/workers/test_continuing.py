"""Jobs and evaluations of continued memories: what the worker fetches for the laboratory."""

from types import SimpleNamespace
from typing import Any

import pytest

from registry import artifacts, evaluations, jobs
from tests.unit.laboratory.further import further_data, made, memory_recipe
from tests.unit.laboratory.toys import toy_data
from tests.unit.workers.conftest import Workplace
from tests.unit.workers.test_child import HEADER
from workers import child, evaluating, sources
from workers.distill import loop
from workers.distill.data import RealData
from workers.distill.errors import BaseUnavailable, DatasetUnavailable
from workers.distill.events import Finished

PARTS = [{"name": "toy", "digest": "toy", "licence": "CC0-1.0", "classes": 3}]
CONTINUED: dict[str, Any] = {
    **HEADER,
    "classes": ["left", "right", "middle", "rows 0", "rows 1", "rows 2"],
    "space": {"shape": [1, 8, 8], "mean": [0.3], "std": [0.25]},
    "dataset": {"name": "rows", "digest": "digest of rows", "licence": "x"},
    "base": {"digest": "b" * 64, "datasets": PARTS},
}


def publish(workplace: Workplace, content: bytes, header: dict[str, Any]) -> str:
    """Run a job by hand to its end; returns the artifact's id."""
    job_id = workplace.submit(seed=len(content))
    claim = workplace.claim(job_id)
    digest = workplace.store.put(content)
    publication = jobs.Publication(digest=digest, content_bytes=8, payload_bytes=8, kind="memory", header=header)
    with workplace.database.write() as session:
        artifact = jobs.finish(session, job_id, attempt=claim.attempt, publication=publication)
        assert artifact is not None
        return artifact.id


def delete(workplace: Workplace, artifact_id: str) -> None:
    with workplace.database.write() as session:
        artifacts.delete(session, artifact_id)


def test_a_job_gets_the_file_of_its_base(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def run(*_: Any, base: bytes | None, **__: Any) -> Any:
        given.append(base)
        yield Finished(content=b"the next", header=HEADER)

    monkeypatch.setattr(loop, "run", run)
    monkeypatch.setattr(sources, "resolve", lambda *_, **__: SimpleNamespace(train_counts=(5, 5)))
    base_id = publish(workplace, b"the base", HEADER)
    for base in (base_id, None):
        job_id = workplace.submit(base_artifact=base)
        child.distil(workplace.bench, job_id=job_id)
        assert workplace.job(job_id).state == "succeeded"
    assert given == [b"the base", None]


def test_a_base_that_is_gone_fails_the_job_with_the_fix(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "resolve", lambda *_, **__: SimpleNamespace(train_counts=(5, 5)))
    base_id = publish(workplace, b"the base", HEADER)
    delete(workplace, base_id)
    with pytest.raises(BaseUnavailable):
        sources.base(base_id, bench=workplace.bench)
    job_id = workplace.submit(base_artifact=base_id)
    child.distil(workplace.bench, job_id=job_id)
    error = workplace.job(job_id).error
    assert error["code"] == "base_unavailable"
    assert "restore it" in error["detail"]


def test_a_killed_job_goes_on_from_its_snapshot_to_the_same_bytes(
    make_workplace: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "resolve", lambda *_, **__: further_data())
    workplace = make_workplace(snapshot_seconds=0.0, snapshot_every=1)
    base = made(memory_recipe(), toy_data())
    recipe = memory_recipe(base=publish(workplace, base, HEADER), evaluation={"networks": []})
    whole = made(recipe, further_data(), base=base, snapshot_every=1)
    (job_id, undisturbed) = (workplace.submit(**recipe) for _ in range(2))
    claim = workplace.claim(job_id)  # the first attempt: killed after two of four steps
    keeper = child.SnapshotKeeper(claim, database=workplace.database, store=workplace.store)
    for event in loop.run(recipe, further_data(), base=base, code_version="test", snapshot_every=2):
        if isinstance(event, loop.Snapshot):
            assert keeper.save(event)
            break
    with workplace.database.write() as session:
        jobs.release(session, job_id, attempt=claim.attempt)
    monkeypatch.setattr(child.distilled, "__version__", "test")
    for one in (job_id, undisturbed):
        child.distil(workplace.bench, job_id=one)
    assert workplace.job(job_id).attempt == 2
    assert workplace.job(job_id).artifact_id == workplace.job(undisturbed).artifact_id
    with workplace.database.read() as session:
        artifact = artifacts.get(session, workplace.job(job_id).artifact_id)
    assert workplace.store.get(artifact.digest) == whole


@pytest.mark.parametrize("left", ["both", "gone", "changed"])
def test_an_evaluation_has_the_data_of_the_base_where_they_are_still_there(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    seen: list[RealData] = []

    def resolve(name: str, **_: Any) -> RealData:
        if name == "rows":
            return further_data()
        if left == "gone":
            raise DatasetUnavailable
        return toy_data() if left == "both" else further_data("other")

    def measure(content: bytes, real: RealData, **_: Any) -> Any:
        seen.append(real)
        score = {"mean": 0.9, "std": 0.01, "values": [0.9]}
        told = {"distilled": {"hard": score}, "baseline_keys": {}}
        return SimpleNamespace(baseline_keys={}, turns=lambda known: [], result=lambda *_, **__: told)

    monkeypatch.setattr(sources, "resolve", resolve)
    monkeypatch.setattr(evaluating, "Measurement", measure)
    artifact_id = publish(workplace, b"continued", CONTINUED)
    with workplace.database.read() as session:
        (row,) = evaluations.of_artifact(session, artifact_id)
    child.evaluate(workplace.bench, evaluation_id=row.id)
    with workplace.database.read() as session:
        assert evaluations.get(session, row.id).state == "succeeded"
    (real,) = seen
    assert list(real.space.classes) == CONTINUED["classes"]
    assert real.absent == (() if left == "both" else ("left", "right", "middle"))
