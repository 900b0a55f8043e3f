"""Runs that continue a memory: chains of them, killed and resumed ones, and those that are refused."""

from dataclasses import replace
from hashlib import sha256

import pytest
import torch
from safetensors.torch import load

from distilled.errors import RecipeError
from distilled.files import open_artifact, read_header
from tests.unit.laboratory.further import MEMORY, events, further_data, made, memory_recipe
from tests.unit.laboratory.toys import toy_data, toy_recipe
from workers.distill import continual, snapshots
from workers.distill.evaluate import EvaluationConfig, baseline_keys_of, evaluate
from workers.distill.events import Snapshot

BASE = made(memory_recipe(), toy_data())
QUICK = EvaluationConfig(steps=2, epochs=1, repeats=2, batch=16, augment="none")


def digest(content):
    return sha256(content).hexdigest()


def test_the_result_holds_the_old_classes_and_the_new_ones():
    _, end = events(memory_recipe(base="art_1"), further_data(), base=BASE)
    header = end.header
    assert header["classes"] == ["left", "right", "middle", "rows 0", "rows 1", "rows 2"]
    assert header["space"] == read_header(BASE)["space"]
    assert header["dataset"] == {"name": "rows", "digest": "digest of rows", "licence": "CC BY 4.0"}
    first = {"name": "toy", "digest": "toy", "licence": "CC0-1.0", "classes": 3}
    assert header["base"] == {"digest": digest(BASE), "datasets": [first]}
    drawn = open_artifact(end.content).parametrization.draw(torch.arange(6), rng=None)
    assert drawn.labels_N.tolist() == list(range(6))
    assert len({tuple(image.flatten().tolist()) for image in drawn.images_NCHW}) == 6


def test_an_artifact_that_continues_nothing_says_nothing_of_a_base():
    header = read_header(BASE)
    assert "base" not in header
    assert header["recipe"]["base_artifact"] is None


def test_the_bytes_follow_from_the_base_and_not_from_its_name():
    one = made(memory_recipe(base="art_1"), further_data(), base=BASE)
    assert one == made(memory_recipe(base="best"), further_data(), base=BASE)
    assert read_header(one)["recipe"]["base_artifact"] == digest(BASE)
    other = made(memory_recipe(base="art_1"), further_data(), base=made(memory_recipe(seed=1), toy_data()))
    assert not torch.equal(load(one)["bases"], load(other)["bases"])


def test_a_chain_remembers_where_each_class_is_from():
    second = made(memory_recipe(base="one"), further_data(), base=BASE)
    _, third = events(memory_recipe(base="two"), further_data("more"), base=second)
    assert third.header["classes"][6:] == ["more 0", "more 1", "more 2"]
    parts = [(part["name"], part["classes"]) for part in third.header["base"]["datasets"]]
    assert parts == [("toy", 3), ("rows", 3)]
    assert third.header["base"]["digest"] == digest(second)
    assert open_artifact(third.content).parametrization.space.num_classes == 9


@pytest.mark.parametrize("method", ["kip", "dm", "bptt", "mtt"])
def test_a_resumed_run_ends_in_the_same_bytes(method):
    asked = toy_recipe(method, steps=4, ipc=1, parametrization=MEMORY, base_artifact="art_1")
    told, end = events(asked, further_data(), base=BASE, snapshot_every=2)
    (kept,) = [event for event in told if isinstance(event, Snapshot)]
    again = made(asked, further_data(), base=BASE, resume=snapshots.load(snapshots.dump(kept)))
    assert digest(again) == digest(end.content)


def test_a_step_moves_old_rows_and_new_ones():
    def rows(steps):
        asked = memory_recipe(base="art_1", steps=steps)
        return open_artifact(made(asked, further_data(), base=BASE)).parametrization.addresses_KRM

    moved_KRM = (rows(4) - rows(1)).abs()
    assert float(moved_KRM[:3].amax(2).min()) > 1e-6
    assert float(moved_KRM[3:].amax(2).min()) > 1e-6


IMAGES = made(toy_recipe("kip", steps=1), toy_data())
SMALL = replace(
    further_data(),
    space=replace(further_data().space, shape=(1, 4, 4)),
    train_bytes_NHWC=further_data().train_bytes_NHWC[:, ::2, ::2],
)
SAME = replace(further_data(), space=replace(further_data().space, classes=("up", "left", "down")))


@pytest.mark.parametrize(
    ("base", "real", "pointer", "words"),
    [
        (None, further_data(), "/base_artifact", "goes with the recipe"),
        (IMAGES, further_data(), "/base_artifact", "of kind `images`"),
        (b"no artifact", further_data(), "/base_artifact", "no artifact file"),
        (BASE, SMALL, "/dataset", "[1, 4, 4]"),
        (BASE, SAME, "/dataset", "('left')"),
        (BASE, toy_data(), "/dataset", "rename"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_field(base, real, pointer, words):
    with pytest.raises(RecipeError) as caught:
        made(memory_recipe(base="art_1"), real, base=base)
    found = {problem.pointer: problem.detail for problem in caught.value.problems}
    assert words in found[pointer]


def test_a_base_that_no_recipe_names_is_refused():
    with pytest.raises(RecipeError, match="goes with the recipe"):
        made(memory_recipe(), further_data(), base=BASE)


def test_it_is_measured_on_old_and_new_classes_beside_all_real_data():
    content = made(memory_recipe(base="art_1", steps=1), further_data(), base=BASE)
    space = open_artifact(content).parametrization.space
    real = continual.joined(space, [3, 3], [toy_data(), further_data()])
    told = evaluate(content, real, network="mlp-w8", config=QUICK, seed=0)
    assert told["full"]["images"] == 3 * 20 + 3 * 12
    assert "absent" not in told
    assert set(told["baseline_keys"]) == {"random", "centroid", "full"}


def test_without_the_old_data_it_is_measured_on_the_new_classes_and_says_so():
    content = made(memory_recipe(base="art_1", steps=1), further_data(), base=BASE)
    space = open_artifact(content).parametrization.space
    real = continual.joined(space, [3, 3], [None, further_data()])
    told = evaluate(content, real, network="mlp-w8", config=QUICK, seed=0)
    assert told["absent"] == ["left", "right", "middle"]
    assert len(told["distilled"]["hard"]["values"]) == 2
    assert not {"random", "centroid", "full"} & set(told)
    assert (told["hlr"], told["ior"], told["baseline_keys"]) == (None, None, {})
    assert baseline_keys_of(content, real, network="mlp-w8", config=QUICK, seed=0) == {}
