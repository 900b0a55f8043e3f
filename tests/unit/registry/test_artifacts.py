"""Publication in one piece, the query over artifacts, names and deletion."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from registry import aliases, artifacts, datasets, errors, evaluations, jobs
from registry.artifacts import Sort
from registry.models import Artifact, ArtifactClass, State
from registry.session import Database
from tests.unit.registry.making import RECIPE, claim, digest_of, publication, publish, read, result, submit


def score(database: Database, artifact: Artifact, *, network: str, accuracy: float) -> None:
    """Let the artifact's evaluation on this network succeed."""
    with database.write() as session:
        wanted = next(e for e in evaluations.of_artifact(session, artifact.id) if e.network == network)
        held = evaluations.claim(session, wanted.id, worker="w", device="cpu", lease_seconds=60.0)
        assert held is not None
        assert evaluations.finish(session, wanted.id, attempt=held.attempt, result=result(accuracy)) is not None


def found(database: Database, **filters: Any) -> list[str]:
    with database.read() as session:
        return [artifact.id for artifact in artifacts.find(session, **filters).items]


def walked(database: Database, **query: Any) -> list[str]:
    """All pages of one row each."""
    ids, cursor = [], None
    with database.read() as session:
        while True:
            page = artifacts.find(session, limit=1, cursor=cursor, **query)
            ids += [artifact.id for artifact in page.items]
            cursor = page.next_cursor
            if cursor is None:
                return ids


def test_publication_ends_the_job_and_queues_its_evaluations(database: Database) -> None:
    artifact = publish(database, classes=("cat", "dog"), ipc=2)
    assert artifact.job_id is not None
    job = read(database, artifact.job_id)
    assert (job.state, job.artifact_id, job.progress, job.lease_until) == (State.SUCCEEDED, artifact.id, 1.0, None)
    assert (artifact.kind, artifact.dataset, artifact.method, artifact.ipc) == ("images", "digits", "frepo", 2)
    assert (artifact.content_bytes, artifact.payload_bytes, artifact.device) == (1000, 900, "cpu")
    assert artifact.ratio == pytest.approx(2 * 2 / 200)
    assert (artifact.accuracy, artifact.network, artifact.primary_network) == (None, None, "convnet3")
    with database.read() as session:
        assert artifacts.classes(session, artifact.id) == ["cat", "dog"]
        queued = evaluations.of_artifact(session, artifact.id)
        assert [(e.network, e.state, e.config) for e in queued] == [
            ("convnet3", State.QUEUED, {"repeats": 5}),
            ("mlp", State.QUEUED, {"repeats": 5}),
        ]
        last = jobs.events(session, job.id)[-1]
        assert last.data == {"state": "succeeded", "artifact_id": artifact.id, "attempt": 1}


def test_a_failure_amid_publication_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit(database)
    held = claim(database, job.id)

    def broken(*args: object, **kwargs: object) -> None:
        raise OSError("the machine is on fire")

    monkeypatch.setattr(evaluations, "queue", broken)
    with pytest.raises(OSError, match="fire"), database.write() as session:
        jobs.finish(session, job.id, attempt=held.attempt, publication=publication())
    assert read(database, job.id).state is State.RUNNING
    with database.read() as session:
        assert session.scalars(select(Artifact)).all() == []
        assert session.scalars(select(ArtifactClass)).all() == []
    monkeypatch.undo()
    with database.write() as session:  # and the same worker may try again
        assert jobs.finish(session, job.id, attempt=held.attempt, publication=publication()) is not None


def test_two_jobs_with_the_same_bytes_share_the_artifact(database: Database) -> None:
    first = publish(database)
    second = submit(database, recipe={"evaluation": {"networks": ["mlp", "resnet18"], "repeats": 5}})
    held = claim(database, second.id)
    with database.write() as session:
        shared = jobs.finish(session, second.id, attempt=held.attempt, publication=publication())
    assert shared is not None
    assert (shared.id, shared.job_id) == (first.id, first.job_id)
    assert (read(database, second.id).state, read(database, second.id).artifact_id) == (State.SUCCEEDED, first.id)
    with database.read() as session:
        networks = [e.network for e in evaluations.of_artifact(session, first.id)]
    assert networks == ["convnet3", "mlp", "resnet18"]
    assert found(database, job=second.id) == found(database, job=first.job_id) == [first.id]


def test_publishing_deleted_bytes_again_brings_them_back(database: Database) -> None:
    first = publish(database)
    with database.write() as session:
        artifacts.delete(session, first.id)
    assert found(database) == []
    assert publish(database).id == first.id
    assert found(database) == [first.id]


def test_each_filter_finds_its_own(database: Database) -> None:
    cats = publish(database, "a", classes=("cat", "dog"), num_bytes=10, ipc=1)
    ships = publish(
        database,
        "b",
        recipe={"dataset": "cifar10", "method": "dm"},
        dataset="CIFAR10",
        classes=("ship", "7", "cat"),
        num_bytes=20,
        ipc=10,
        kind="memory",
        train_images=300,
    )
    score(database, cats, network="convnet3", accuracy=0.7)
    score(database, ships, network="convnet3", accuracy=0.9)
    score(database, ships, network="mlp", accuracy=0.5)
    with database.write() as session:
        aliases.put(session, "best", artifact=ships.id)
    both, only_cats, only_ships, none = [ships.id, cats.id], [cats.id], [ships.id], []
    expected: list[tuple[dict[str, Any], list[str]]] = [
        ({}, both),
        ({"dataset": "Cifar10"}, only_ships),
        ({"kind": "images"}, only_cats),
        ({"method": "dm"}, only_ships),
        ({"class_": "cat"}, both),
        ({"class_": "dog"}, only_cats),
        ({"class_": "2"}, only_ships),  # by index
        ({"class_": "7"}, only_ships),  # by name
        ({"class_": "99999999999999999999"}, none),
        ({"ipc": 10}, only_ships),
        ({"ipc": 0}, none),
        ({"ratio": 0.1}, only_ships),  # 0.1 × 300 / 3 = 10
        ({"ratio": 0.104}, only_ships),  # rounds to the same 10
        ({"ratio": 0.0001}, only_cats),  # at least one image per class
        ({"network": "convnet3"}, both),
        ({"network": "mlp"}, only_ships),
        ({"network": "resnet18"}, none),
        ({"min_accuracy": 0.8}, only_ships),
        ({"min_accuracy": 0.7}, both),
        ({"network": "mlp", "min_accuracy": 0.6}, none),  # 0.9 was on another network
        ({"network": "mlp", "min_accuracy": 0.5}, only_ships),
        ({"max_bytes": 10}, only_cats),
        ({"max_bytes": 9}, none),
        ({"alias": "best"}, only_ships),
        ({"alias": "worst"}, none),
        ({"job": cats.job_id}, only_cats),
        ({"job": "job_nope"}, none),
        ({"dataset": "digits", "class_": "cat", "max_bytes": 15}, only_cats),
    ]
    assert [found(database, **filters) for filters, _ in expected] == [ids for _, ids in expected]


def test_sorts_and_cursors_walk_every_artifact_once(database: Database) -> None:
    made = [publish(database, str(i), num_bytes=(30, 10, 20, 20, 40)[i]) for i in range(5)]
    for artifact, accuracy in zip(made, (0.5, 0.9, 0.5, 0.1), strict=False):
        score(database, artifact, network="convnet3", accuracy=accuracy)  # the fifth is never evaluated
    by_sort = {
        Sort.CREATED: [0, 1, 2, 3, 4],
        Sort.CREATED_FALLING: [4, 3, 2, 1, 0],
        Sort.BYTES: [1, 2, 3, 0, 4],
        Sort.BYTES_FALLING: [4, 0, 3, 2, 1],
        Sort.ACCURACY: [3, 0, 2, 1, 4],
        Sort.ACCURACY_FALLING: [1, 2, 0, 3, 4],
    }
    assert {sort: walked(database, sort=sort) for sort in Sort} == {
        sort: [made[i].id for i in order] for sort, order in by_sort.items()
    }


def test_sort_by_accuracy_looks_at_the_network_asked_for(database: Database) -> None:
    first, second = publish(database, "a"), publish(database, "b")
    score(database, first, network="convnet3", accuracy=0.9)
    score(database, first, network="mlp", accuracy=0.1)
    score(database, second, network="mlp", accuracy=0.2)
    assert walked(database, sort=Sort.ACCURACY_FALLING) == [first.id, second.id]
    assert walked(database, sort=Sort.ACCURACY_FALLING, network="mlp") == [second.id, first.id]


def test_a_page_is_not_shifted_by_what_is_published_meanwhile(database: Database) -> None:
    made = [publish(database, str(i)).id for i in range(3)]
    with database.read() as session:
        page = artifacts.find(session, limit=2)
    publish(database, "late")
    with database.read() as session:
        rest = artifacts.find(session, limit=2, cursor=page.next_cursor)
    assert [artifact.id for artifact in [*page.items, *rest.items]] == made[::-1]


def test_a_cursor_of_another_sort_is_refused(database: Database) -> None:
    publish(database, "a")
    publish(database, "b")
    with database.read() as session:
        cursor = artifacts.find(session, limit=1, sort=Sort.BYTES).next_cursor
        with pytest.raises(errors.InvalidCursor):
            artifacts.find(session, limit=1, sort=Sort.ACCURACY, cursor=cursor)


@pytest.mark.parametrize("field", ["dataset", "kind", "class_", "alias"])
def test_text_that_no_column_can_hold_is_an_invalid_query(database: Database, field: str) -> None:
    with pytest.raises(errors.InvalidQuery), database.read() as session:
        artifacts.find(session, **{field: "\ud800"})


def test_the_first_networks_accuracy_becomes_the_artifacts(database: Database) -> None:
    artifact = publish(database)
    score(database, artifact, network="mlp", accuracy=0.99)
    with database.read() as session:
        assert artifacts.get(session, artifact.id).accuracy is None
    score(database, artifact, network="convnet3", accuracy=0.8)
    with database.read() as session:
        scored = artifacts.get(session, artifact.id)
    assert (scored.network, scored.accuracy, scored.accuracy_std) == ("convnet3", 0.8, 0.01)


def test_aliases_move_and_stand_for_ids(database: Database) -> None:
    first, second = publish(database, "a"), publish(database, "b")
    with database.write() as session:
        aliases.put(session, "digits-best", artifact=first.id)
        assert artifacts.get(session, "digits-best").id == first.id
        aliases.put(session, "digits-best", artifact=second.id)
        aliases.put(session, "copy", artifact="digits-best")
        assert artifacts.get(session, "digits-best").id == artifacts.get(session, "copy").id == second.id
        assert aliases.of_artifacts(session, [first.id, second.id]) == {second.id: ["copy", "digits-best"]}
        assert [alias.name for alias in aliases.find(session)] == ["copy", "digits-best"]
        aliases.delete(session, "copy")
        for missing in (lambda: aliases.get(session, "copy"), lambda: aliases.delete(session, "copy")):
            with pytest.raises(errors.NotFound):
                missing()


@pytest.mark.parametrize("name", ["", "-x", "a/b", "..", "a b", "x" * 97, "é", "a\n", "art_" + "0" * 32])
def test_a_name_that_could_mislead_is_refused(database: Database, name: str) -> None:
    artifact = publish(database)
    with database.write() as session, pytest.raises(errors.InvalidName):
        aliases.put(session, name, artifact=artifact.id)


def test_an_alias_needs_an_artifact(database: Database) -> None:
    with database.write() as session, pytest.raises(errors.NotFound):
        aliases.put(session, "best", artifact="art_" + "0" * 32)


def test_deletion_is_soft_and_refused_while_an_alias_points_there(database: Database) -> None:
    artifact = publish(database)
    with database.write() as session:
        aliases.put(session, "best", artifact=artifact.id)
        with pytest.raises(errors.InUse, match="best"):
            artifacts.delete(session, artifact.id)
        aliases.delete(session, "best")
        artifacts.delete(session, artifact.id)
        gone: list[Callable[[], object]] = [
            lambda: artifacts.get(session, artifact.id),
            lambda: artifacts.delete(session, artifact.id),
        ]
        for missing in gone:
            with pytest.raises(errors.NotFound):
                missing()
        assert artifacts.restore(session, artifact.id).id == artifact.id
        assert artifacts.get(session, artifact.id).deleted_at is None


def test_deletion_is_refused_while_a_living_job_continues_it(database: Database) -> None:
    artifact, other = publish(database), publish(database, "other")
    job = submit(database, recipe={"base_artifact": artifact.id}, same="b")
    with database.write() as session:
        assert artifacts.get(session, artifact.id, hold=True).id == artifact.id
        assert artifacts.id_of(session, artifact.digest) == artifact.id
        assert artifacts.id_of(session, digest_of("nothing")) is None
        with pytest.raises(errors.InUse, match=job.id):
            artifacts.delete(session, artifact.id)
        artifacts.delete(session, other.id)
        jobs.cancel(session, job.id)
        artifacts.delete(session, artifact.id)
        with pytest.raises(errors.NotFound):
            artifacts.get(session, artifact.id, hold=True)


def register(database: Database, name: str = "Faces") -> None:
    with database.write() as session:
        facts = {"shape": [1, 8, 8], "classes": ["a", "b"], "train_counts": [5, 5]}
        digests = {"digest": digest_of("arrays"), "blob_digest": digest_of("file")}
        datasets.register(session, name=name, num_bytes=5, facts=facts, **digests)


def test_datasets_are_found_in_any_case_and_registered_once(database: Database) -> None:
    register(database)
    with database.read() as session:
        assert (datasets.get(session, "fACES").name, datasets.get(session, "faces").facts["shape"]) == (
            "Faces",
            [1, 8, 8],
        )
        assert [dataset.name for dataset in datasets.find(session)] == ["Faces"]
    with pytest.raises(errors.NameTaken, match="FACES"):
        register(database, "FACES")
    with pytest.raises(errors.InvalidName):
        register(database, "../faces")


def test_a_dataset_in_use_is_deleted_by_force_only(database: Database) -> None:
    register(database)
    job = submit(database, recipe={"dataset": "faces"})
    with database.write() as session:
        with pytest.raises(errors.InUse, match="1 living jobs and 0 artifacts"):
            datasets.delete(session, "faces")
        jobs.cancel(session, job.id)
    artifact = publish(database, dataset="faces")
    with database.write() as session:
        with pytest.raises(errors.InUse, match="0 living jobs and 1 artifacts"):
            datasets.delete(session, "Faces")
        datasets.delete(session, "Faces", force=True)
        with pytest.raises(errors.NotFound):
            datasets.get(session, "faces")
    register(database)
    with database.write() as session:
        artifacts.delete(session, artifact.id)
        datasets.delete(session, "faces")  # a deleted artifact does not count


def test_recipes_without_evaluation_queue_none(database: Database) -> None:
    artifact = publish(database, recipe={**RECIPE, "evaluation": None})
    with database.read() as session:
        assert list(evaluations.of_artifact(session, artifact.id)) == []


def test_words_are_found_wherever_an_artifact_tells_of_them(database: Database) -> None:
    pets = publish(database, content="a", dataset="Pets", classes=("Tabby cat", "100% dog"), ipc=1)
    digits = publish(database, content="b", dataset="digits", ipc=10, kind="memory")
    with database.write() as session:
        aliases.put(session, "Best-Of_Digits", artifact=digits.id)

    assert found(database, words="PET") == [pets.id]
    assert found(database, words="tabby") == found(database, words="cat  tAB") == [pets.id]
    assert found(database, words="memory best-of digits") == [digits.id]
    assert set(found(database, words="frepo")) == {pets.id, digits.id}
    assert found(database, words=pets.id) == [pets.id]
    assert found(database, words="cat memory") == []
    assert found(database, words="100%") == [pets.id]  # neither % nor _ stands for anything but itself
    assert found(database, words="best_of") == []
    assert len(found(database, words="  ")) == 2
    assert found(database, words="cat", ipc=10) == []


def test_each_facet_is_counted_under_the_filters_on_the_others(database: Database) -> None:
    publish(database, content="a", dataset="digits", ipc=1)
    publish(database, content="b", dataset="digits", ipc=10)
    publish(database, content="c", dataset="digits", ipc=10, kind="memory")
    publish(database, content="d", dataset="pets", ipc=10)
    gone = publish(database, content="e", dataset="pets", ipc=50)
    with database.write() as session:
        artifacts.delete(session, gone.id)
    with database.read() as session:
        every = artifacts.facets(session)
        assert every.total == 4
        assert every.counts == {
            "dataset": [("digits", 3), ("pets", 1)],
            "method": [("frepo", 4)],
            "kind": [("images", 3), ("memory", 1)],
            "ipc": [(10, 3), (1, 1)],
        }
        some = artifacts.facets(session, dataset="DIGITS", ipc=10)
        assert some.total == 2
        assert some.counts["dataset"] == [("digits", 2), ("pets", 1)]
        assert some.counts["ipc"] == [(10, 2), (1, 1)]
        assert some.counts["kind"] == [("images", 1), ("memory", 1)]
        searched = artifacts.facets(session, words="pets", kind="memory")
        assert (searched.total, searched.counts["kind"], searched.counts["dataset"]) == (0, [("images", 1)], [])
        assert artifacts.facets(session, deleted=True).counts["ipc"] == [(50, 1)]
