"""Memories in files, and the budgets that they keep."""

import copy

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors.torch import load, save

from distilled.budget import holding
from distilled.errors import ArtifactError, InvalidInput, NotHeld, RecipeError
from distilled.files import open_artifact, pack
from distilled.manifest import canonical_json
from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.memory import Memory
from tests.unit.reading.test_files import HEADER

SPACE = ImageSpace(shape=(1, 4, 4), mean=(0.4,), std=(0.3,), classes=("cat", "dog"))
STORAGES = ("uint8", "float16", "float32")


def memory(*, storage="float32", bases=3, rows=4, space=SPACE, downsample=2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    channels, height, width = space.shape
    shape = (bases, channels, height // downsample, width // downsample)
    return Memory(
        Memory.Config(bases=bases, downsample=downsample, storage=storage),
        space=space,
        bases_MChw=torch.randn(*shape, generator=rng),
        addresses_KRM=torch.randn(space.num_classes, rows, bases, generator=rng),
    )


def header(made):
    config = {name: getattr(made.config, name) for name in ("bases", "downsample", "storage", "start")}
    return HEADER | {"kind": "memory", "config": config, "classes": list(made.space.classes)}


@pytest.mark.parametrize("storage", STORAGES)
def test_what_is_stored_comes_back(storage):
    made = memory(storage=storage)
    opened = open_artifact(pack(made, header(made))).parametrization
    assert isinstance(opened, Memory)
    for before, after in ((made.bases_MChw, opened.bases_MChw), (made.addresses_KRM, opened.addresses_KRM)):
        # Half a step of the widest range; float16 has 11 bits.
        tolerance = {"uint8": 0.5 * 8 / 255, "float16": 4 * 2**-12, "float32": 0}[storage]
        assert (before - after).abs().max() <= tolerance
    assert opened.whole().targets.tolist() == [0] * 4 + [1] * 4
    again = open_artifact(pack(opened, header(opened))).parametrization
    torch.testing.assert_close(again.whole().images_NCHW, opened.whole().images_NCHW, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("storage", "size"), [("uint8", 3 * 4 + 2 * 4 * 3 + 16 * 3), ("float16", 72), ("float32", 144)]
)
def test_every_stored_byte_counts(storage, size):
    made = memory(storage=storage)
    assert made.num_bytes() == size
    assert made.num_floats() == 3 * 4 + 2 * 4 * 3 + (4 * 3 if storage == "uint8" else 0)


def test_drawing_gives_every_image_of_a_class_before_any_twice():
    made = memory()
    drawn = made.draw(torch.tensor([1, 0, 1, 1, 1, 1]), rng=torch.Generator().manual_seed(1))
    dogs = made.whole().images_NCHW[4:]
    nearest = torch.cdist(drawn.images_NCHW.flatten(1), dogs.flatten(1))
    found = [int(nearest[i].argmin()) for i in (0, 2, 3, 4)]
    assert sorted(found) == [0, 1, 2, 3]
    assert nearest[[0, 2, 3, 4, 5]].amin(1).max() < 1e-4
    assert nearest[1].min() > 1e-2, "a cat is no dog"
    assert drawn.targets.tolist() == [1, 0, 1, 1, 1, 1]


def test_more_than_is_held_is_refused_in_stored_order():
    with pytest.raises(NotHeld, match="5 images of class 'cat' were asked for; it holds 4"):
        memory().draw(torch.zeros(5, dtype=torch.int64), rng=None)
    with pytest.raises(NotHeld, match="5 images of a mixture"):
        memory().mix(torch.full((5, 2), 0.5), rng=None)


def test_equal_mixtures_give_different_images_and_carry_their_weights():
    weights = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]])
    batch = memory().mix(weights, rng=torch.Generator().manual_seed(0))
    assert torch.equal(batch.targets, weights)
    assert batch.soft
    assert len({tuple(image.flatten().tolist()) for image in batch.images_NCHW}) == 5


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([[0.5, 0.6]], "add up to 1"),
        ([[-0.5, 1.5]], "at least 0"),
        ([[float("nan"), 1.0]], "at least 0"),
        ([[1.0]], "rows of 2 weights"),
        ([1.0, 0.0], "rows of 2 weights"),
    ],
)
def test_weights_that_are_no_mixture_are_refused(weights, words):
    with pytest.raises(InvalidInput, match=words):
        memory().mix(torch.tensor(weights), rng=None)


@pytest.mark.parametrize(
    "edit",
    [
        lambda tensors: tensors.pop("addresses"),
        lambda tensors: tensors.pop("bases_step"),
        lambda tensors: tensors.update(bases=tensors["bases"][:2]),
        lambda tensors: tensors.update(bases=tensors["bases"][..., :1]),
        lambda tensors: tensors.update(addresses=tensors["addresses"][:1]),
        lambda tensors: tensors.update(addresses=tensors["addresses"][:, :0]),
        lambda tensors: tensors.update(addresses=tensors["addresses"][0]),
        lambda tensors: tensors.update(addresses_offset=tensors["addresses_offset"][:2]),
    ],
)
def test_tensors_that_do_not_fit_are_refused_in_words(edit):
    made = memory(storage="uint8")
    tensors = load(pack(made, header(made)))
    edit(tensors)
    damaged = save(
        {name: value.contiguous() for name, value in tensors.items()},
        metadata={"manifest": canonical_json(header(made))},
    )
    with pytest.raises(ArtifactError, match="fit"):
        open_artifact(damaged)


CIFAR = {"name": "cifar10", "classes": list("0123456789"), "train_counts": [4500] * 10, "shape": [3, 32, 32]}
PARAMETRIZATION = {"kind": "memory", "bases": 16, "downsample": 2, "storage": "float32", "start": "xavier"}


def recipe(budget, **options):
    return {**budget, "parametrization": PARAMETRIZATION | options}


@pytest.mark.parametrize(
    ("budget", "options", "rows", "ipc", "size"),
    [
        ({"ipc": 1}, {}, 115, 1, 4 * 30688),  # the published setting: (30720 - 12288) / 160
        ({"ipc": 1}, {"storage": "float16"}, 115, 1, 2 * 30688),
        ({"ipc": 1}, {"storage": "uint8"}, 114, 1, 12288 + 114 * 160 + 16 * 16),  # 64 numbers for steps and offsets
        ({"ratio": 1 / 4500}, {}, 115, 1, 4 * 30688),
        ({"ipc": 10}, {}, 1843, 10, 4 * (12288 + 1843 * 160)),
        ({"bytes": 4 * 30688}, {}, 115, 1, 4 * 30688),
        ({"bytes": 4 * 30688 - 1}, {}, 114, 1, 4 * 30528),
        ({"bytes": 12288 + 160 + 256}, {"storage": "uint8"}, 1, 1, 12704),
        ({"ipc": 1}, {"bases": 3072, "downsample": 1, "storage": "float32"}, None, None, None),
    ],
)
def test_budgets_come_to_rows(budget, options, rows, ipc, size):
    if rows is None:
        with pytest.raises(RecipeError, match="give at least 309, or lower"):
            holding(recipe(budget, **options), CIFAR)
        return
    came_to = holding(recipe(budget, **options), CIFAR)
    assert (came_to.per_class, came_to.ipc, came_to.bytes) == (rows, ipc, size)


def test_more_images_than_the_data_has_can_be_recalled():
    few = CIFAR | {"train_counts": [3] * 10}
    assert holding(recipe({"ipc": 4}), few).per_class == (4 * 30720 - 12288) // 160


@pytest.mark.parametrize(
    ("budget", "options", "pointer", "words"),
    [
        ({"ipc": 1}, {"bases": 64}, "/ipc", "give at least 2, or lower `parametrization.bases` or raise"),
        ({"bytes": 49000}, {}, "/bytes", "takes 49792 bytes; give at least that, or lower"),
        ({"ratio": 1e-6}, {"bases": 64}, "/ratio", "give at least 0.000445, or lower"),
        ({"ipc": 1}, {"downsample": 3}, "/parametrization/downsample", "32 x 32 pixels cannot be 3 times smaller"),
        ({"ipc": 1}, {"bases": 49, "downsample": 8}, "/parametrization/bases", "give at most 48"),
        ({"ipc": 100_000}, {}, "/ipc", "more than 69905 of this size cannot be held"),
    ],
)
def test_a_budget_that_cannot_be_met_says_what_can(budget, options, pointer, words):
    with pytest.raises(RecipeError) as caught:
        holding(recipe(budget, **options), CIFAR)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]
    assert words in caught.value.problems[0].detail


def test_the_least_budget_that_is_named_is_the_least_that_works():
    for field, least, less in (("ipc", 2, 1), ("bytes", 199168, 199167), ("ratio", 0.000445, 0.0003)):
        assert holding(recipe({field: least}, bases=64), CIFAR).per_class >= 1
        with pytest.raises(RecipeError, match=f"{least}"):
            holding(recipe({field: less}, bases=64), CIFAR)


@given(
    classes=st.integers(2, 7),
    channels=st.integers(1, 3),
    side=st.integers(1, 4),
    downsample=st.integers(1, 3),
    bases=st.integers(1, 9),
    storage=st.sampled_from(STORAGES),
    budget=st.one_of(
        st.integers(1, 9).map(lambda n: {"ipc": n}),
        st.integers(1, 4000).map(lambda n: {"bytes": n}),
        st.floats(0.01, 1).map(lambda n: {"ratio": n}),
    ),
)
def test_a_budget_is_kept_exactly_and_used_to_the_last_row(classes, channels, side, downsample, bases, storage, budget):
    height, width = side * downsample, 2 * downsample
    shape = (channels, height, width)
    dataset = {"name": "d", "classes": list(range(classes)), "train_counts": [9] * classes, "shape": list(shape)}
    asked = recipe(budget, bases=bases, downsample=downsample, storage=storage)
    kept = copy.deepcopy(asked)
    try:
        came_to = holding(asked, dataset)
    except RecipeError:
        assume(False)
        return
    space = ImageSpace(
        shape=shape, mean=(0.5,) * channels, std=(1.0,) * channels, classes=tuple(map(str, range(classes)))
    )

    def made(rows):
        return memory(storage=storage, bases=bases, rows=rows, space=space, downsample=downsample)

    this, more = made(came_to.per_class), made(came_to.per_class + 1)
    assert asked == kept
    assert came_to.bytes == this.num_bytes()
    if "bytes" in budget:
        assert this.num_bytes() <= budget["bytes"] < more.num_bytes()
    else:
        floats = came_to.ipc * channels * height * width * classes
        assert this.num_floats() <= floats < more.num_floats()
