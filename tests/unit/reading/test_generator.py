"""Generators in files, what is drawn from them, and the budgets that they keep."""

import pytest
import torch
from safetensors.torch import load, save

from distilled.budget import holding
from distilled.errors import ArtifactError, InvalidInput, RecipeError
from distilled.files import open_artifact, pack
from distilled.images import to_pixels
from distilled.manifest import canonical_json
from distilled.parametrizations.base import ImageSpace
from distilled.parametrizations.generator import Generator, blank
from distilled.parametrizations.layers import UPSAMPLING
from distilled.recipe import check_budget
from tests.unit.reading.generators import SPACE, generator, header

STORAGES = ("uint8", "float16", "float32")
LABELS = torch.tensor([1, 0, 0, 1, 1])


def space_of(*shape, classes=10):
    channels = shape[0]
    names = tuple(map(str, range(classes)))
    return ImageSpace(shape=shape, mean=(0.4,) * channels, std=(0.3,) * channels, classes=names)


def test_the_published_generator_has_as_many_parameters_as_the_published_one():
    net = blank(Generator.Config(), space=space_of(3, 32, 32))
    assert sum(parameter.numel() for parameter in net.parameters()) == 3_559_363
    held = holding({"ipc": 1, "parametrization": options(width=196, latent=100)}, dataset(space_of(3, 32, 32)))
    # 7 normalisations of 196 channels and one of 3136 outputs have a mean and a variance each.
    assert held.bytes == 4 * (3_559_363 + 2 * (3136 + 7 * 196))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", list(UPSAMPLING))
def test_each_side_is_made(side, channels):
    made = generator(space=space_of(channels, side, side), width=2, latent=11)
    batch = made.draw(torch.tensor([3, 9]), rng=None)
    assert batch.images_NCHW.shape == (2, channels, side, side)
    assert batch.targets.tolist() == [3, 9]


@pytest.mark.parametrize(
    ("shape", "classes", "words"),
    [
        ((1, 12, 12), 2, "8, 16, 28, 32, 64 pixels a side"),
        ((3, 32, 16), 2, "square images"),
        ((2, 8, 8), 2, "with 1 or 3 channels, not 2 x 8 x 8"),
        ((1, 8, 8), 7, "give at least 8, one for noise"),
        ((1, 8, 8), 9, "9 of the latent coordinates say the class; give at least 10"),
    ],
)
def test_what_cannot_be_made_is_refused_by_maker_and_reader(shape, classes, words):
    space = space_of(*shape, classes=classes)
    pointer = "/parametrization/latent" if "give" in words else "/parametrization/kind"
    with pytest.raises(ArtifactError, match=words):
        generator(space=space)
    with pytest.raises(RecipeError, match=words) as caught:
        holding({"ipc": 1, "parametrization": options()}, dataset(space))
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_pixels_span_the_range_and_no_more():
    made = generator(width=8).requires_grad_(False)
    with torch.no_grad():
        made.net.get_parameter("last.weight").mul_(1000)
    pixels = to_pixels(made.draw(torch.arange(2).repeat(20), rng=None).images_NCHW, mean=(0.4,), std=(0.3,))
    assert pixels.min() == pytest.approx(0, abs=1e-6)
    assert pixels.max() == pytest.approx(1, abs=1e-6)


def test_an_image_depends_on_its_noise_and_its_class_alone():
    made = generator()
    noise = torch.randn(5, 7, generator=torch.Generator().manual_seed(3))
    queries = torch.nn.functional.one_hot(LABELS, 2)
    together = made.make(queries, noise)
    for i in range(5):
        torch.testing.assert_close(made.make(queries[i : i + 1], noise[i : i + 1])[0], together[i])
    overwritten = noise.clone()
    overwritten[:, :2] = 9
    assert torch.equal(made.make(queries, overwritten), together), "the class stands in their place"
    assert not torch.allclose(made.make(1 - queries, noise), together)


def test_what_is_too_much_for_one_go_is_made_in_parts(monkeypatch):
    made = generator()
    at_once = made.draw(LABELS, rng=None).images_NCHW
    monkeypatch.setattr("distilled.parametrizations.generator.PIXELS_AT_ONCE", 2 * 64)
    parts = []
    made.net.register_forward_hook(lambda _net, given, _out: parts.append(len(given[0])))
    torch.testing.assert_close(made.draw(LABELS, rng=None).images_NCHW, at_once)
    assert parts == [2, 2, 1]


def test_without_randomness_the_ith_of_a_class_is_always_the_same():
    made = generator()
    few, many = (made.draw(torch.arange(2).repeat_interleave(count), rng=None).images_NCHW for count in (2, 5))
    torch.testing.assert_close(few, many[[0, 1, 5, 6]])
    mingled = made.draw(LABELS, rng=None).images_NCHW
    torch.testing.assert_close(mingled, many[[5, 0, 1, 6, 7]])
    assert len({tuple(image.flatten().tolist()) for image in many}) == 10


def test_randomness_comes_from_the_generator_that_is_given():
    made = generator()
    torch.manual_seed(0)
    one, again, other = (made.draw(LABELS, rng=torch.Generator().manual_seed(seed)).images_NCHW for seed in (5, 5, 6))
    assert torch.equal(one, again)
    assert not torch.allclose(one, other)
    assert not torch.allclose(one[0], one[3]), "two of one class"
    torch.manual_seed(0)
    before = torch.rand(1)
    torch.manual_seed(0)
    generator().draw(LABELS, rng=None)
    assert torch.equal(torch.rand(1), before), "the global generator is left alone"


def test_a_mixture_lies_between_its_classes_and_carries_its_weights():
    made = generator()
    weights = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [0.5, 0.5]])
    batch = made.mix(weights, rng=None)
    assert torch.equal(batch.targets, weights)
    whole = made.draw(torch.tensor([0, 1]), rng=None).images_NCHW
    torch.testing.assert_close(batch.images_NCHW[[0, 2]], whole)
    assert not torch.allclose(batch.images_NCHW[1], batch.images_NCHW[3]), "equal mixtures give different images"
    assert not torch.allclose(batch.images_NCHW[1], whole[0])
    with pytest.raises(InvalidInput, match="add up to 1"):
        made.mix(torch.tensor([[0.5, 0.6]]), rng=None)


def test_there_is_no_fixed_set_and_nothing_to_draw_is_no_error():
    made = generator()
    assert made.per_class is None
    assert made.draw(torch.tensor([], dtype=torch.int64), rng=None).images_NCHW.shape == (0, 1, 8, 8)
    with pytest.raises(ArtifactError, match="no fixed set"):
        made.whole()


@pytest.mark.parametrize("labels", ["hard", "soft"])
@pytest.mark.parametrize("storage", STORAGES)
def test_what_is_stored_comes_back(storage, labels):
    made = generator(storage=storage, labels=labels)
    if labels == "soft":
        made.logits_KK.data[0, 1] += 1.5
    content = pack(made, header(made))
    opened = open_artifact(content).parametrization
    assert isinstance(opened, Generator)
    assert not opened.training
    tolerance = {"uint8": 0.1, "float16": 2e-3, "float32": 0}[storage]  # of a range of 3.3
    before, after = (one.draw(LABELS, rng=None) for one in (made, opened))
    assert before.images_NCHW.std() > 0.1
    assert (before.images_NCHW - after.images_NCHW).abs().max() <= tolerance
    torch.testing.assert_close(before.targets, after.targets)
    if labels == "soft":
        assert (after.soft, after.targets[0, 0] < after.targets[1, 1]) == (True, True)
        torch.testing.assert_close(after.targets.sum(1), torch.ones(5))
    again = open_artifact(pack(opened, header(opened))).parametrization
    torch.testing.assert_close(again.draw(LABELS, rng=None).images_NCHW, after.images_NCHW, rtol=1e-5, atol=1e-5)
    assert pack(made, header(made)) == content


def test_bytes_are_within_half_a_step_of_their_own_channel():
    made = generator(storage="uint8")
    with torch.no_grad():
        made.net.get_parameter("conv_1_1.weight")[2].mul_(1e-3)
    opened = open_artifact(pack(made, header(made))).parametrization
    for name, dim in (("first", 0), ("up_1", 1), ("conv_1_1", 0), ("last", 0)):
        weight, stored = (one.net.get_parameter(f"{name}.weight").detach() for one in (made, opened))
        lines = [value.movedim(dim, 0) for value in (weight, stored)]
        if name == "first":
            lines = [value.reshape(5, -1) for value in lines]
        ranges = lines[0].flatten(1).amax(1) - lines[0].flatten(1).amin(1)
        lost = (lines[0] - lines[1]).flatten(1).abs().amax(1)
        assert (lost <= 0.5 * ranges / 255 * 1.001 + 1e-7).all()
        assert (lost > 0).all()


def options(**given):
    return {"kind": "generator", "width": 5, "latent": 7, "storage": "float32", "labels": "hard"} | given


def dataset(space):
    counts = [9] * space.num_classes
    return {"name": "d", "classes": list(space.classes), "train_counts": counts, "shape": list(space.shape)}


@pytest.mark.parametrize("labels", ["hard", "soft"])
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("side", [8, 28])
@pytest.mark.parametrize("budget", [{"ipc": 3}, {"ratio": 0.5}, {"bytes": 10**6}])
def test_the_budget_foretells_the_bytes_of_the_file(budget, side, storage, labels):
    space = space_of(3, side, side, classes=3)
    held = holding({**budget, "parametrization": options(storage=storage, labels=labels)}, dataset(space))
    made = generator(space=space, storage=storage, labels=labels)
    assert (held.bytes, held.per_class) == (made.num_bytes(), None)
    image = 3 * 3 * side**2
    assert held.ipc == {"ipc": 3, "ratio": 4, "bytes": max(1, made.num_floats() // image)}[next(iter(budget))]


def test_a_budget_in_bytes_below_its_size_names_what_makes_it_smaller():
    size = generator().num_bytes()
    asked = {"parametrization": options()}
    assert holding({**asked, "bytes": size}, dataset(SPACE)).bytes == size
    with pytest.raises(RecipeError) as caught:
        holding({**asked, "bytes": size - 1}, dataset(SPACE))
    (problem,) = caught.value.problems
    assert problem.pointer == "/bytes"
    for word in (str(size), "`parametrization.width`", "`parametrization.latent`", "`parametrization.storage`"):
        assert word in problem.detail


def test_an_evaluation_draws_no_more_than_it_can_hold():
    asked = {"parametrization": options(latent=100), "evaluation": {"networks": []}, "objective": {}, "penalties": []}
    cifar = dataset(space_of(3, 32, 32))
    most = 2**31 // (3 * 32 * 32 * 10)
    assert check_budget({**asked, "ipc": most}, {}, cifar).ipc == most
    for recipe, pointer in (
        ({**asked, "ipc": most + 1}, "/ipc"),
        ({**asked, "ipc": 1, "evaluation": {"networks": [], "ipc": most + 1}}, "/evaluation/ipc"),
        (
            {**asked, "ipc": 1, "evaluation": {"networks": [], "ipc": 1}, "parametrization": IMAGES},
            "/evaluation/ipc",
        ),
    ):
        with pytest.raises(RecipeError) as caught:
            check_budget(recipe, {}, cifar)
        assert [problem.pointer for problem in caught.value.problems] == [pointer]


IMAGES = {"kind": "images", "storage": "uint8", "labels": "hard"}


@pytest.mark.parametrize(
    "edit",
    [
        lambda tensors: tensors.pop("last.bias"),
        lambda tensors: tensors.pop("up_1.weight_step"),
        lambda tensors: tensors.pop("conv_1_1_norm.running_var"),
        lambda tensors: tensors.pop("soft_labels"),
        lambda tensors: tensors.update(more=tensors["last.bias"].clone()),
        lambda tensors: tensors.update({"first.weight": tensors["first.weight"][:, :3]}),
        lambda tensors: tensors.update({"conv_1_2.weight": tensors["conv_1_2.weight"][:3]}),
        lambda tensors: tensors.update({"conv_1_2.weight_offset": tensors["conv_1_2.weight_offset"][:3]}),
        lambda tensors: tensors.update(soft_labels=tensors["soft_labels"][0]),
    ],
)
def test_tensors_that_do_not_fit_are_refused_in_words(edit):
    made = generator(storage="uint8", labels="soft")
    tensors = load(pack(made, header(made)))
    edit(tensors)
    damaged = save(
        {name: value.contiguous() for name, value in tensors.items()},
        metadata={"manifest": canonical_json(header(made))},
    )
    with pytest.raises(ArtifactError, match="fit"):
        open_artifact(damaged)
