"""Generators under every objective: the loop starts, resumes, settles, stores and evaluates them."""

import hashlib

import pytest
import torch

from distilled.errors import RecipeError
from distilled.files import open_artifact
from distilled.parametrizations.generator import SETTLED, Generator
from tests.unit.laboratory.toys import toy_data, toy_recipe
from workers.distill import snapshots, starts
from workers.distill.batches import Draw
from workers.distill.evaluate import EvaluationConfig, baseline_keys_of, evaluate
from workers.distill.events import Finished, Snapshot, Started
from workers.distill.loop import run
from workers.distill.rng import Rng

METHODS = ["bptt", "dc", "dm", "frepo", "kip", "mtt", "sre2l"]
GENERATOR = {"kind": "generator", "width": 4, "latent": 6}
QUICK = EvaluationConfig(steps=12, epochs=1, repeats=2, batch=8, augment="none", learning_rate=0.1)


def recipe(method="kip", *, parametrization=GENERATOR, **fields):
    start = {"selection": {"start": "random", "batches": "random"}}
    return toy_recipe(method, **{"parametrization": parametrization, "steps": 4, "ipc": 2} | start | fields)


def finished(asked, **options):
    told = list(run(asked, toy_data(), code_version="test", **options))
    assert isinstance(told[-1], Finished)
    return told


@pytest.fixture(scope="module")
def content():
    return finished(recipe())[-1].content


@pytest.fixture(scope="module")
def result(content):
    return evaluate(content, toy_data(), network="mlp-w8", config=QUICK, seed=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_ends_in_the_same_bytes_and_weights_have_moved(method):
    small = {"bptt": {"inner_steps": 2, "inner_batch": 2}, "mtt": {"synthetic_steps": 2, "experts": 1}}
    asked = recipe(method, objective=small.get(method, {}))
    told = finished(asked, snapshot_every=2)
    (kept,) = [event for event in told if isinstance(event, Snapshot)]
    again = finished(asked, resume=snapshots.load(snapshots.dump(kept)))
    assert len({hashlib.sha256(each[-1].content).hexdigest() for each in (told, again)}) == 1
    start = starts.begin(asked, toy_data(), None, rng=Rng(0).child("start"))
    end = open_artifact(told[-1].content).parametrization
    for name in ("first.weight", "up_1.weight", "conv_1_2.weight", "last.weight", "up_1_norm.weight"):
        assert (start.net.get_parameter(name) - end.net.get_parameter(name)).abs().max() > 1e-6


def test_the_run_and_the_header_say_that_any_number_can_be_drawn():
    told = finished(recipe(ipc=7, steps=1))
    header = told[-1].header
    held = open_artifact(told[-1].content).parametrization
    started = next(event for event in told if isinstance(event, Started))
    assert started.images_per_class is None
    assert (header["kind"], header["ipc"], header["budget"]["images"]) == ("generator", 7, None)
    assert header["budget"]["bytes"] == held.num_bytes()
    assert header["budget"]["floats"] == held.num_floats()
    # What a step drew, none of what the statistics were taken over.
    assert 0 < header["images_seen"] < SETTLED


def test_a_step_draws_what_the_objective_asks_for_and_new_noise():
    draw = Draw(starts.begin(recipe(), toy_data(), None, rng=Rng(0)))
    one, other = (draw.support(5, rng=Rng(seed)) for seed in (1, 2))
    assert torch.bincount(one.targets).tolist() == [5, 5, 5]
    assert not torch.allclose(one.images_NCHW, other.images_NCHW)
    assert draw.images_seen == 30


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_what_is_stored_was_settled_with_the_weights_that_are_stored(ema):
    asked = recipe(objective={"ema": ema, "learning_rate": 0.1})
    stored = open_artifact(finished(asked)[-1].content).parametrization
    before = {name: value.clone() for name, value in stored.net.named_buffers()}
    stored.settle(rng=Rng(asked["seed"]).child("settle").generator())
    for name, value in stored.net.named_buffers():
        if value.is_floating_point():
            torch.testing.assert_close(value, before[name])


def test_soft_targets_are_learnt_stored_and_measured_apart():
    asked = recipe(parametrization={**GENERATOR, "labels": "soft"}, objective={"learning_rate": 0.1})
    made = finished(asked)[-1].content
    opened = open_artifact(made).parametrization
    start = starts.begin(asked, toy_data(), None, rng=Rng(0)).logits_KK
    assert (opened.logits_KK - start).abs().max() > 0.01
    opened.logits_KK.data.copy_(torch.tensor([[0.0, 5, 0], [5, 0, 0], [0, 0, 5]]))  # likelier to be another class
    told = evaluate(made, toy_data(), network="mlp-w8", config=QUICK, seed=0)
    assert {"hard", "soft", "fresh", "fresh_soft"} <= set(told["distilled"])
    assert told["distilled"]["bytes"] == opened.num_bytes()
    assert told["distilled"]["soft"]["values"] != told["distilled"]["hard"]["values"]
    batch = opened.draw(torch.tensor([0, 0]), rng=None)
    assert batch.labels_N.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"method": "kip", "selection": {"start": "centroid"}}, "/selection/start"),
        ({"method": "dm", "parametrization": {**GENERATOR, "labels": "soft"}}, "/parametrization/labels"),
        ({"method": "sre2l", "parametrization": {**GENERATOR, "labels": "soft"}}, "/parametrization/labels"),
    ],
)
def test_what_a_generator_cannot_take_up_is_refused(fields, pointer):
    with pytest.raises(RecipeError) as caught:
        recipe(**fields)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_both_modes_stand_side_by_side_with_their_bytes_and_images(content, result):
    distilled = result["distilled"]
    assert set(distilled) == {"hard", "fresh", "bytes", "images", "ipc"}
    assert distilled["bytes"] == open_artifact(content).parametrization.num_bytes()
    assert (distilled["ipc"], distilled["images"]) == (2, 6)
    # 12 steps of 6 images, all that the fixed set has.
    assert (distilled["hard"]["images_seen"], distilled["fresh"]["images_seen"]) == (6, 72)
    assert len(distilled["fresh"]["values"]) == len(distilled["hard"]["values"]) == 2
    assert result["ior"] == distilled["hard"]["mean"] - result["random"]["mean"]
    assert result["random"]["images"] == 60, "as many real images as fit in its bytes, and no more than there are"


def test_the_same_seed_measures_the_same(content, result):
    torch.manual_seed(5)
    assert evaluate(content, toy_data(), network="mlp-w8", config=QUICK, seed=0, baselines=result) == result


def test_the_fixed_mode_trains_on_what_a_download_holds_and_the_fresh_one_on_new_images(content, monkeypatch):
    drawn = []
    draw = Generator.draw
    monkeypatch.setattr(
        Generator, "draw", lambda self, labels_N, *, rng: drawn.append((labels_N, rng)) or draw(self, labels_N, rng=rng)
    )
    told = []
    config = EvaluationConfig(steps=5, epochs=1, repeats=2, batch=4, ipc=3, augment="none")
    known = {name: {"mean": 0.5, "std": 0.0, "values": [0.5]} for name in ("random", "centroid", "full")}
    result = evaluate(
        content, toy_data(), network="mlp-w8", config=config, seed=0, baselines=known, on_progress=told.append
    )
    (stored, *fresh) = drawn
    assert (stored[0].tolist(), stored[1]) == ([0, 0, 0, 1, 1, 1, 2, 2, 2], None)
    # Batches of 4, 4 and 1 are a pass; each of two networks has a stream of its own.
    assert [len(labels) for labels, _ in fresh] == [4, 4, 4, 4, 1, 1, 4, 4, 4, 4]
    assert len({id(rng) for _, rng in fresh}) == 2
    assert result["distilled"]["fresh"]["images_seen"] == 17
    assert result["distilled"]["hard"]["images_seen"] == result["distilled"]["images"] == 9
    assert len(told) == 10, "as many steps in each mode"
    assert told[-1] == pytest.approx(1)


def test_fresh_images_are_in_the_space_of_the_data(content):
    """Known under another normalisation the data are the same to a network but for rounding, and so are new images."""
    one = evaluate(content, toy_data(), network="mlp-w8", config=QUICK, seed=0)
    real = toy_data()
    space = type(real.space)(shape=real.space.shape, mean=(0.0,), std=(0.125,), classes=real.space.classes)
    moved = type(real)(**{**vars(real), "space": space})
    seen = []
    networks_train = "workers.distill.evaluate.train"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks_train, lambda nets, sets, *rest, **more: seen.append(sets[0].images_at(torch.arange(3))))
        evaluate(content, moved, network="mlp-w8", config=QUICK, seed=0, baselines=one)
    for images_NCHW in seen:  # fixed, then fresh
        assert images_NCHW.min() >= -1e-5
        assert images_NCHW.max() <= 8 + 1e-4


def test_an_artifact_is_measured_at_several_sizes_with_the_same_baselines(content, result):
    more = EvaluationConfig(**{**vars(QUICK), "ipc": 5})
    told = evaluate(content, toy_data(), network="mlp-w8", config=more, seed=0, baselines=result)
    assert (told["distilled"]["ipc"], told["distilled"]["images"], told["recipe"]["ipc"]) == (5, 15, 5)
    assert told["distilled"]["hard"]["values"] != result["distilled"]["hard"]["values"]
    assert told["distilled"]["bytes"] == result["distilled"]["bytes"]
    assert told["baseline_keys"] == result["baseline_keys"]
    keys = baseline_keys_of(content, toy_data(), network="mlp-w8", config=more, seed=0)
    assert keys == result["baseline_keys"]


def test_a_fixed_set_is_measured_whole():
    content = finished(recipe(parametrization={"kind": "images"}, steps=1))[-1].content
    config = EvaluationConfig(**{**vars(QUICK), "ipc": 1})
    with pytest.raises(RecipeError, match="with the 2 images of each class that it holds"):
        evaluate(content, toy_data(), network="mlp-w8", config=config, seed=0)
