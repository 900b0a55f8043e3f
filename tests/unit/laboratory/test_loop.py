"""The loop tells what it does, and its result follows from recipe, data and seed alone."""

import hashlib

import pytest
import torch

from distilled.errors import RecipeError
from distilled.files import open_artifact
from tests.unit.laboratory.toys import toy_data, toy_recipe
from workers.distill import snapshots
from workers.distill.errors import NotFinite
from workers.distill.events import Finished, Metrics, Progress, Snapshot, Started
from workers.distill.loop import run

METHODS = ["bptt", "dc", "dm", "dsa", "frepo", "kip", "mtt", "sre2l"]


def events(recipe, **options):
    return list(run(recipe, toy_data(), code_version="test", **options))


def digest(recipe, **options):
    finished = events(recipe, **options)[-1]
    assert isinstance(finished, Finished)
    return hashlib.sha256(finished.content).hexdigest()


@pytest.mark.parametrize("method", METHODS)
def test_a_run_tells_its_start_each_step_and_its_end(method):
    told = events(toy_recipe(method))
    assert told[0] == Started(step=0, steps=6, device="cpu", images_per_class=2)
    progress = [event for event in told if isinstance(event, Progress)]
    assert [event.step for event in progress] == [1, 2, 3, 4, 5, 6]
    assert progress[-1].eta_seconds == 0
    assert [event.step for event in told if isinstance(event, Metrics)] == [1, 2, 3, 4, 5, 6]
    artifact = open_artifact(told[-1].content)
    assert artifact.parametrization.whole().images_NCHW.shape == (6, 1, 8, 8)
    assert artifact.header["ipc"] == 2
    assert artifact.header["images_seen"] > 0
    assert artifact.header["budget"]["bytes"] == artifact.parametrization.num_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(method):
    assert digest(toy_recipe(method)) == digest(toy_recipe(method))
    assert digest(toy_recipe(method)) != digest(toy_recipe(method, seed=1))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_a_resumed_run_ends_in_the_same_bytes(method, labels):
    recipe = toy_recipe(method, parametrization={"labels": labels})
    kept = [event for event in events(recipe, snapshot_every=2) if isinstance(event, Snapshot)]
    assert [event.step for event in kept] == [2, 4]
    whole = digest(recipe)
    for snapshot in kept:
        again = snapshots.load(snapshots.dump(snapshot))
        told = events(recipe, resume=again)
        assert told[0].step == snapshot.step
        assert hashlib.sha256(told[-1].content).hexdigest() == whole


def test_a_global_seed_changes_nothing():
    torch.manual_seed(1)
    one = digest(toy_recipe("frepo"))
    torch.manual_seed(2)
    assert digest(toy_recipe("frepo")) == one


# Without augmentation `dsa` is `dc`.
@pytest.mark.parametrize("method", [method for method in METHODS if method != "dsa"])
def test_the_loss_falls(method):
    # All real images in every step and one network that lasts: no noise hides the trend.
    quiet = {
        "bptt": {"real_batch": 60, "network": "convnet1-w8", "inner_steps": 4, "learning_rate": 0.3}
        | {"inner_learning_rate": 0.3, "networks": 1},
        "dc": {"real_batch": 20, "matchings": 1},
        "dm": {"real_batch": 20},
        "frepo": {"real_batch": 60, "pool_size": 1, "pool_steps": 1000},
        "kip": {"real_batch": 60},
        "mtt": {"expert_learning_rate": 0.1, "inner_learning_rate": 0.1},
        "sre2l": {},
    }[method]
    recipe = toy_recipe(method, steps=60, objective={"augment": "none", **quiet}, selection={"start": "random"})
    losses = [event.loss for event in events(recipe) if isinstance(event, Progress)]
    assert sum(losses[-10:]) < 0.9 * sum(losses[:10])


def test_a_loss_that_is_no_number_ends_the_run_with_the_knob_to_lower():
    # Inner training that blows up: huge steps with momentum on a network without normalisation.
    wild = {"inner_learning_rate": 10.0, "inner_steps": 60, "network": "mlp-w16", "inner_momentum": 0.99}
    with pytest.raises(NotFinite, match="lower `objective"):
        events(toy_recipe("bptt", parametrization={"storage": "float32"}, objective=wild, steps=20))


def test_a_budget_beyond_the_data_is_refused():
    with pytest.raises(RecipeError, match="smallest class of toy has 20"):
        events(toy_recipe("dm", ipc=21))


def test_a_damaged_snapshot_is_refused():
    with pytest.raises(snapshots.SnapshotUnreadable):
        snapshots.load(b"\x00" * 40)
