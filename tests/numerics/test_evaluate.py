"""One evaluation recipe for all sets: seeded, equal in bytes, and without a look at the test split before the end."""

import json
from dataclasses import replace
from statistics import fmean, stdev

import pytest
import torch

from distilled.files import pack
from distilled.images import from_bytes
from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.images import Images
from workers.distill import baselines
from workers.distill.data import RealData
from workers.distill.evaluate import EvaluationConfig, baseline_keys, baseline_keys_of, evaluate
from workers.distill.rng import Rng
from workers.distill.scores import summary
from workers.distill.selection.centroid import class_centres

NETWORK = "convnet2-w8"
QUICK = EvaluationConfig(steps=12, epochs=1, batch=32, learning_rate=0.05, repeats=3)
SPACE = ImageSpace(shape=(1, 8, 8), mean=(0.4,), std=(0.3,), classes=("top", "left", "right"))


def striped(count, *, seed):
    """`count` images a class that differ in which part is bright, under noise."""
    rng = torch.Generator().manual_seed(seed)
    labels_N = torch.arange(3).repeat_interleave(count)
    bytes_NHWC = torch.randint(0, 220, (3 * count, 8, 8, 1), generator=rng, dtype=torch.uint8)
    bytes_NHWC[labels_N == 0, :4] += 30
    bytes_NHWC[labels_N == 1, :, :4] += 30
    bytes_NHWC[labels_N == 2, :, 4:] += 30
    return bytes_NHWC, labels_N


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Nothing here is large enough to share out, and threads that wait for one another slow a busy machine down."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def real():
    (train, train_labels), (val, val_labels), (test, test_labels) = (striped(n, seed=n) for n in (20, 2, 30))
    return RealData(
        name="stripes",
        space=SPACE,
        train_bytes_NHWC=train,
        train_labels_N=train_labels,
        val_bytes_NHWC=val,
        val_labels_N=val_labels,
        test_bytes_NHWC=test,
        test_labels_N=test_labels,
        digest="stripes",
        licence="CC0-1.0",
    )


def artifact(real, *, per_class=1, storage="uint8", labels="hard", space=SPACE, prepare=None):
    """An artifact of class centres, as bytes of its file."""
    pixels_NCHW = torch.cat([class_centres(real, k, per_class, rng=Rng(0)) for k in range(3)])
    config = Images.Config(storage=storage, labels=labels)
    images_NCHW = (pixels_NCHW - space.mean[0]) / space.std[0]
    made = Images(config, space=space, images_NCHW=images_NCHW)
    if prepare:
        prepare(made)
    header = {
        **{"format": 1, "kind": "images", "config": {"storage": storage, "labels": labels}, "space": space.to_json()},
        **{"classes": list(SPACE.classes), "dataset": {"name": "stripes", "digest": "stripes", "licence": ""}},
        **{"ipc": per_class, "budget": {}, "recipe": {}, "seed": 0, "steps": 0, "images_seen": 0},
        **{"code_version": "test", "device_kind": "cpu"},
    }
    return pack(made, header)


@pytest.fixture(scope="module")
def result(real):
    return evaluate(artifact(real), real, network=NETWORK, config=QUICK, seed=0)


@pytest.fixture
def given(result):
    """The baselines of `result`, for tests that look at the distilled set alone."""
    return {name: result[name] for name in ("random", "centroid", "full")}


def test_a_result_is_plain_and_complete(result):
    assert json.loads(json.dumps(result)) == result
    assert result["network"] == NETWORK
    assert result["labels"] == "hard"
    assert result["repeats"] == 3
    assert result["recipe"]["steps"] == 12
    assert set(result["distilled"]) == {"hard", "bytes", "images"}
    assert result["distilled"]["images"] == 3
    assert result["distilled"]["bytes"] == 3 * 65
    for name in ("random", "centroid", "full"):
        assert set(result[name]) == {"mean", "std", "values", "bytes", "images"}
        assert len(result[name]["values"]) == 3
        assert all(0 <= value <= 1 for value in result[name]["values"])
    assert result["full"]["images"] == 60
    assert result["full"]["bytes"] == 60 * 65
    assert 0.4 < result["full"]["mean"] < 1


def test_scores_are_differences_of_means(result):
    assert result["hlr"] == result["full"]["mean"] - result["distilled"]["hard"]["mean"]
    assert result["ior"] == result["distilled"]["hard"]["mean"] - result["random"]["mean"]
    values = result["full"]["values"]
    assert result["full"]["mean"] == fmean(values)
    assert result["full"]["std"] == stdev(values)
    assert summary([0.5]) == {"mean": 0.5, "std": 0.0, "values": [0.5]}


def test_the_same_seed_gives_the_same_numbers_and_another_others(real, result):
    torch.manual_seed(11)
    assert evaluate(artifact(real), real, network=NETWORK, config=QUICK, seed=0) == result
    other = evaluate(artifact(real), real, network=NETWORK, config=QUICK, seed=1)
    assert other["full"]["values"] != result["full"]["values"]
    assert set(other["baseline_keys"].values()).isdisjoint(result["baseline_keys"].values())


def test_the_same_images_measure_the_same_wherever_they_come_from(result):
    """The artifact holds the class means: so does the centroid baseline. All else being the same, so is the score."""
    assert result["distilled"]["hard"]["values"] == result["centroid"]["values"]


def test_networks_in_turns_measure_as_networks_side_by_side(real, result, monkeypatch):
    monkeypatch.setattr("workers.distill.evaluate.MAX_PIXELS_AT_ONCE", {"cpu": 1, "cuda": 1})
    alone = evaluate(artifact(real), real, network=NETWORK, config=QUICK, seed=0)
    for name in ("random", "centroid", "full"):
        assert alone[name]["values"] == pytest.approx(result[name]["values"], abs=0.03)


def test_the_test_split_is_seen_by_nothing_but_the_last_look(real, result):
    """Training does not depend on test labels: turned round, every right answer of two classes becomes a wrong one."""
    turned = replace(real, test_labels_N=(real.test_labels_N + 1) % 3)
    wrong = evaluate(artifact(real), turned, network=NETWORK, config=QUICK, seed=0)
    for name in ("random", "centroid", "full"):
        for right, other in zip(result[name]["values"], wrong[name]["values"], strict=True):
            assert right + other <= 1


def test_validation_images_take_no_part(real, result):
    other = replace(real, val_bytes_NHWC=255 - real.val_bytes_NHWC)
    assert evaluate(artifact(real), other, network=NETWORK, config=QUICK, seed=0) == result


def test_baselines_are_taken_over_where_they_are_given(real, result, given):
    told = []
    again = evaluate(
        artifact(real), real, network=NETWORK, config=QUICK, seed=0, baselines=given, on_progress=told.append
    )
    assert again == result
    assert len(told) == 12
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)


def test_full_data_are_not_measured_again_for_another_size(real, result):
    larger = artifact(real, per_class=2)
    options = {"network": NETWORK, "config": QUICK, "seed": 0}
    whole = evaluate(larger, real, **options)
    assert whole["full"] == result["full"]
    assert evaluate(larger, real, **options, baselines={"full": result["full"]}) == whole


def test_progress_can_end_an_evaluation(real):
    class Enough(Exception):
        pass

    def stop(share):
        if share > 0.2:
            raise Enough

    with pytest.raises(Enough):
        evaluate(artifact(real), real, network=NETWORK, config=QUICK, seed=0, on_progress=stop)


def test_soft_labels_are_measured_apart(real, given):
    def flatten_labels(made):
        made.logits_NK.data.mul_(0.01)

    options = {"network": NETWORK, "config": QUICK, "seed": 0, "baselines": given}
    sure = evaluate(artifact(real, labels="soft"), real, **options)
    vague = evaluate(artifact(real, labels="soft", prepare=flatten_labels), real, **options)
    assert set(sure["distilled"]) == {"hard", "soft", "bytes", "images"}
    assert sure["distilled"]["bytes"] == 3 * (64 + 12)
    assert vague["distilled"]["hard"] == sure["distilled"]["hard"]
    assert vague["distilled"]["soft"] != sure["distilled"]["soft"]
    assert vague["ior"] == sure["ior"]


def test_an_artifact_standardised_otherwise_measures_the_same(real, result, given):
    other = ImageSpace(shape=(1, 8, 8), mean=(0.1,), std=(0.9,), classes=SPACE.classes)
    content = artifact(real, space=other)
    moved = evaluate(content, real, network=NETWORK, config=QUICK, seed=0, baselines=given)
    assert moved["distilled"]["hard"]["mean"] == pytest.approx(result["distilled"]["hard"]["mean"], abs=0.05)


@pytest.mark.parametrize(
    ("per_class", "storage", "expected"), [(1, "uint8", 1), (5, "uint8", 5), (1, "float32", 3), (10, "float32", 20)]
)
def test_baselines_take_as_many_bytes(real, per_class, storage, expected):
    content = artifact(real, per_class=per_class, storage=storage)
    config = EvaluationConfig(steps=1, epochs=1, repeats=1, augment="none")
    told = evaluate(content, real, network="mlp-w4", config=config, seed=0)
    for name in ("random", "centroid"):
        assert told[name]["images"] == 3 * expected
        assert told[name]["bytes"] <= max(told["distilled"]["bytes"], 3 * 65)
    counts = (expected,) * 3
    assert baselines.images_per_class(real, told["distilled"]["bytes"] / 3) == counts
    keys = baseline_keys_of(content, real, network="mlp-w4", config=config, seed=0)
    assert keys == told["baseline_keys"]


def test_random_images_are_drawn_from_train_without_repeats(real):
    one, labels_N = baselines.random_images(real, (5, 6, 7), rng=Rng(0))
    other, _ = baselines.random_images(real, (5, 6, 7), rng=Rng(1))
    assert torch.bincount(labels_N).tolist() == [5, 6, 7]
    assert not torch.equal(one, other)
    train = {bytes(row) for row in real.train_bytes_NHWC.flatten(1).numpy()}
    drawn = {bytes(row) for row in one.flatten(1).numpy()}
    assert len(drawn) == 18
    assert drawn <= train


def test_a_centroid_of_one_is_the_class_mean(real):
    found, labels_N = baselines.centroids(real, (1, 1, 1), rng=Rng(0))
    mean_NCHW = from_bytes(real.train_bytes_NHWC[real.train_labels_N == 1]).mean(0)
    torch.testing.assert_close(from_bytes(found)[1], mean_NCHW, atol=0.5 / 255, rtol=0)
    assert labels_N.tolist() == [0, 1, 2]


def test_the_baseline_key_follows_all_that_baselines_depend_on(real):
    base = {"network": NETWORK, "config": QUICK, "seed": 0, "bytes_per_class": 65.0}
    keys = baseline_keys(real, **base)
    assert baseline_keys(real, **base | {"bytes_per_class": 100.0}) == keys
    larger = baseline_keys(real, **base | {"bytes_per_class": 130.0})
    assert larger["full"] == keys["full"]
    others = [
        baseline_keys(real, **base | {"network": "mlp"}),
        baseline_keys(real, **base | {"seed": 1}),
        baseline_keys(replace(real, digest="other"), **base),
    ]
    assert len({key for each in (keys, *others) for key in each.values()}) == 12
    assert len({larger["random"], larger["centroid"], *keys.values()}) == 5


@pytest.mark.parametrize(
    "knob",
    [
        {"steps": 9},
        {"epochs": 6},
        {"batch": 7},
        {"learning_rate": 0.02},
        {"momentum": 0.5},
        {"weight_decay": 0.5},
        {"augment": "none"},
        {"repeats": 2},
    ],
    ids=lambda knob: next(iter(knob)),
)
def test_every_knob_changes_something(real, knob):
    hard = replace(QUICK, steps=6)
    base = evaluate(artifact(real), real, network="mlp-w16", config=hard, seed=0)
    turned = evaluate(artifact(real), real, network="mlp-w16", config=replace(hard, **knob), seed=0)
    assert turned["full"]["values"] != base["full"]["values"]
    assert set(turned["baseline_keys"].values()).isdisjoint(base["baseline_keys"].values())


def test_one_rule_for_the_length_of_training():
    config = EvaluationConfig()
    assert config.num_steps(10) == 1000
    assert config.num_steps(12_801) == 20 * 51
    assert config.num_steps(54_000) == 20 * 211
