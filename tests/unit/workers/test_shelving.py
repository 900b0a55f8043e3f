"""What the laboratory prepares, on its way into the store and to whoever watches the job."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from distilled.cache import Cache
from registry import jobs
from registry.errors import StoreError
from registry.sweeping import Sweeper
from registry.testing import FullDiskStore, memory_store
from tests.unit.laboratory.toys import toy_data, toy_recipe
from tests.unit.workers.conftest import Workplace
from workers import child, sources
from workers.distill import loop
from workers.distill.events import Event, Preparing, Progress, Started
from workers.distill.shelf import Shelf
from workers.shelving import StoreShelf

KEY = "a" * 64
TENSORS = {"x": torch.arange(4.0)}


def test_what_one_worker_keeps_the_next_one_finds() -> None:
    store = memory_store()
    assert StoreShelf(store).load(KEY) is None
    StoreShelf(store).save(KEY, TENSORS)
    found = StoreShelf(store).load(KEY)
    assert found is not None
    assert found["x"].tolist() == [0, 1, 2, 3]
    assert store.list_named("resources") == [f"resources/{KEY}.safetensors"]


def test_a_damaged_resource_is_as_good_as_none() -> None:
    store = memory_store()
    StoreShelf(store).save(KEY, TENSORS)
    content = bytearray(store.get_named(f"resources/{KEY}.safetensors"))
    content[-1] ^= 1
    store.put_named(f"resources/{KEY}.safetensors", bytes(content))
    assert StoreShelf(store).load(KEY) is None


def test_a_full_store_costs_the_job_nothing() -> None:
    full = StoreShelf(FullDiskStore())
    full.save(KEY, TENSORS)
    assert full.load(KEY) is None


def test_copies_save_the_way_and_never_stand_for_what_was_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, cache = memory_store(), Cache(folder=tmp_path)
    own = StoreShelf(store, cache=cache)
    own.save(KEY, TENSORS)
    assert own.load(KEY) is not None
    with monkeypatch.context() as patch:
        patch.setattr(store, "get_named", lambda key: pytest.fail("fetched again"))
        found = own.load(KEY)
        assert found is not None
        assert found["x"].tolist() == [0, 1, 2, 3]
        next(iter(tmp_path.iterdir())).write_bytes(b"damaged")
        with pytest.raises(pytest.fail.Exception, match="fetched again"):
            own.load(KEY)
    StoreShelf(store).save(KEY, {"x": torch.zeros(2)})  # a teacher that has gone on, by another worker
    found = own.load(KEY)
    assert found is not None
    assert found["x"].tolist() == [0, 0]
    store.delete_named(f"resources/{KEY}.safetensors")
    assert own.load(KEY) is None


def test_a_store_that_cannot_be_asked_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    store = memory_store()

    def fail(key: str) -> bytes:
        raise StoreError

    monkeypatch.setattr(store, "get_named", fail)
    with pytest.raises(StoreError):
        StoreShelf(store).load(KEY)


def test_a_sweep_leaves_resources_alone_unless_it_is_told_to_take_them(workplace: Workplace) -> None:
    own = StoreShelf(workplace.store)
    own.save(KEY, TENSORS)
    sweeper = Sweeper(
        read=workplace.database.read,
        write=workplace.database.write,
        store=workplace.store,
        grace_seconds=0,
        dry_run=False,
    )
    sweeper.sweep()
    assert own.load(KEY) is not None
    sweeper.sweep(resources=True)
    assert own.load(KEY) is None


class Laboratory:
    """Stands for `loop.run`: three experts, a look at the shelf, and a hook before each piece of work."""

    def __init__(self) -> None:
        self.at: dict[tuple[int, int], Callable[[], None]] = {}
        self.shelf: Shelf | None = None

    def run(self, recipe: dict[str, Any], real: Any, *, shelf: Shelf, **options: Any) -> Iterator[Event]:
        self.shelf = shelf
        yield Started(step=0, steps=9, device="cpu", images_per_class=1)
        for done in range(3):
            for piece in range(4):
                self.at.get((done, piece), lambda: None)()
                yield Preparing(what="training experts", done=done, total=3)
        yield Preparing(what="training experts", done=3, total=3)
        yield Progress(step=1, steps=9, loss=1.0, images_per_second=1.0, eta_seconds=1.0)
        raise ValueError("the test ends here")


@pytest.fixture
def laboratory(monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    laboratory = Laboratory()
    monkeypatch.setattr(loop, "run", laboratory.run)
    monkeypatch.setattr(sources, "resolve", lambda *_, **__: SimpleNamespace(train_counts=(5, 5)))
    return laboratory


def stage(workplace: Workplace, job_id: str) -> str | None:
    with workplace.database.read() as session:
        return jobs.stage(session, jobs.get(session, job_id))


def test_what_is_prepared_is_told_once_for_each_that_is_ready(workplace: Workplace, laboratory: Laboratory) -> None:
    job_id, seen = workplace.submit(), list[str | None]()
    laboratory.at = {(done, 1): lambda: seen.append(stage(workplace, job_id)) for done in range(3)}
    assert stage(workplace, job_id) is None
    child.distil(workplace.bench, job_id=job_id)
    told = [{"what": "training experts", "done": done, "total": 3} for done in range(4)]
    assert workplace.told(job_id, "preparing") == told
    assert seen == ["training experts 0/3", "training experts 1/3", "training experts 2/3"]
    assert workplace.told(job_id, "progress") != []
    assert stage(workplace, job_id) is None


def test_the_job_works_on_the_shelf_of_the_store(workplace: Workplace, laboratory: Laboratory) -> None:
    child.distil(workplace.bench, job_id=workplace.submit())
    assert laboratory.shelf is not None
    laboratory.shelf.save(KEY, TENSORS)
    assert workplace.store.list_named("resources") == [f"resources/{KEY}.safetensors"]


@pytest.mark.parametrize(("how", "state"), [("cancel", "cancelled"), ("stop", "queued")])
def test_a_job_can_be_left_in_the_middle_of_its_preparation(
    make_workplace: Callable[..., Workplace], laboratory: Laboratory, how: str, state: str
) -> None:
    workplace = make_workplace()
    job_id, worked = workplace.submit(), list[int]()

    def leave() -> None:
        if how == "cancel":
            workplace.cancel(job_id)
        else:
            workplace.bench.stop_signal.ring(stop=True)
        time.sleep(0.2)  # ten looks of the pulse

    laboratory.at = {(1, 1): leave, (1, 3): lambda: worked.append(1), (2, 0): lambda: worked.append(2)}
    child.distil(workplace.bench, job_id=job_id)
    assert workplace.job(job_id).state == state
    assert worked == []


def test_two_jobs_of_the_real_laboratory_share_their_experts(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "resolve", lambda *_, **__: toy_data())
    told: list[set[str]] = []
    for seed in (0, 1):
        job_id = workplace.submit(**toy_recipe("mtt", seed=seed, steps=2))
        child.distil(workplace.bench, job_id=job_id)
        assert workplace.job(job_id).state == "succeeded"
        told.append({data["what"] for data in workplace.told(job_id, "preparing")})
    assert told == [{"training experts"}, {"loading experts"}]
    assert len(workplace.store.list_named("resources")) == 2
