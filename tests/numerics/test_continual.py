"""What a continued memory begins with and learns from, against the images themselves and float64 references."""

from dataclasses import replace

import pytest
import torch

from distilled.files import open_artifact
from distilled.images import to_pixels
from distilled.recipe import check_budget
from tests.unit.laboratory.further import events, further_data, made, memory_recipe
from tests.unit.laboratory.toys import toy_data
from workers.distill import continual, starts
from workers.distill.catalog import build
from workers.distill.loop import facts
from workers.distill.rng import Rng

CATALOG = build()
BASE = made(memory_recipe(), toy_data())
OLD = open_artifact(BASE).parametrization
FULL = 16  # values of a basis, 8 x 8 pixels at half the size: so many bases hold any image


def begun(per_class, **parametrization):
    recipe = memory_recipe(base="art", parametrization=parametrization)
    continued = continual.begin(BASE, further_data())
    return starts.begin(recipe, continued.real, per_class, rng=Rng(0).child("start"), base=continued)


def pixels_of(memory):
    return to_pixels(memory.whole().images_NCHW.detach(), mean=memory.space.mean, std=memory.space.std)


@pytest.mark.parametrize(
    ("of", "count", "places"),
    [(4, 4, [0, 1, 2, 3]), (5, 2, [0, 2]), (2, 5, [0, 0, 0, 1, 1]), (1, 3, [0, 0, 0]), (7, 1, [0])],
)
def test_places_are_spread_evenly(of, count, places):
    assert continual.evenly(of, count).tolist() == places


def test_old_images_are_recalled_ones_and_classes_are_alike():
    new = further_data()
    real = continual.begin(BASE, new).real
    assert real.space.classes == ("left", "right", "middle", "rows 0", "rows 1", "rows 2")
    assert (real.space.mean, real.space.std) == (OLD.space.mean, OLD.space.std) != (new.space.mean, new.space.std)
    assert real.train_counts == (12,) * 6
    # Each recalled image of class k is there, to half a level of the pixels that a file can show.
    wanted_NCHW = pixels_of(OLD).clamp(0, 1).view(3, OLD.per_class, 1, 8, 8)
    for k in range(3):
        found_NCHW = real.train_bytes_NHWC[real.train_labels_N == k].permute(0, 3, 1, 2) / 255
        places = [i * OLD.per_class // 12 for i in range(12)]
        torch.testing.assert_close(found_NCHW, wanted_NCHW[k, places], rtol=0, atol=0.5 / 255 + 1e-6)
    assert torch.equal(real.train_bytes_NHWC[real.train_labels_N >= 3], new.train_bytes_NHWC)
    assert torch.equal(real.train_labels_N[real.train_labels_N >= 3], new.train_labels_N + 3)


def test_nothing_real_is_left_of_the_old_classes():
    real = continual.begin(BASE, further_data()).real
    assert set(real.val_labels_N.tolist()) == set(real.test_labels_N.tolist()) == {3, 4, 5}
    assert real.absent == ()
    assert torch.equal(real.test_bytes_NHWC, further_data().test_bytes_NHWC)


def test_what_is_learnt_from_follows_from_both_sides():
    one = continual.begin(BASE, further_data()).real.digest
    assert one == continual.begin(BASE, further_data()).real.digest
    other_base = made(memory_recipe(seed=1), toy_data())
    others = [continual.begin(other_base, further_data()), continual.begin(BASE, further_data("others"))]
    assert len({one, *(other.real.digest for other in others)}) == 3


def test_old_images_are_kept_whole_where_the_bases_hold_them():
    begins = begun(OLD.per_class, bases=FULL)
    assert begins.space.classes[:3] == OLD.space.classes
    old_NCHW = begins.whole().images_NCHW[: 3 * OLD.per_class]
    torch.testing.assert_close(old_NCHW, OLD.whole().images_NCHW, rtol=0, atol=2e-5)


def test_fewer_rows_keep_some_of_the_images_and_more_lie_between_them():
    kept = begun(4, bases=FULL).whole().images_NCHW[:12].view(3, 4, 1, 8, 8)
    whole = OLD.whole().images_NCHW.view(3, OLD.per_class, 1, 8, 8)
    torch.testing.assert_close(kept, whole[:, continual.evenly(OLD.per_class, 4)], rtol=0, atol=2e-5)
    rows = OLD.per_class + 5
    more = begun(rows, bases=FULL).whole().images_NCHW[: 3 * rows].view(3, rows, 1, 8, 8)
    torch.testing.assert_close(more[:, : OLD.per_class], whole, rtol=0, atol=2e-5)
    low, high = whole.amin(1, keepdim=True), whole.amax(1, keepdim=True)
    assert bool(((more >= low - 1e-4) & (more <= high + 1e-4)).all())


@pytest.mark.parametrize("bases", [3, 6, 10])
def test_what_few_bases_lose_is_the_least_that_any_can_lose(bases):
    """Old and new classes with the same weight: the loss is the energy beyond the leading singular values (float64)."""
    new = further_data()
    begins = begun(OLD.per_class, bases=bases)
    small_old = (OLD.addresses_KRM.flatten(0, 1) @ OLD.bases_MChw.flatten(1)).double()
    continued = continual.begin(BASE, new)
    images_NCHW = continued.fresh.train_images_NCHW()
    small_new = torch.nn.functional.avg_pool2d(images_NCHW, 2).flatten(1).double()
    sample = torch.cat([small_old / OLD.per_class**0.5, small_new / 12**0.5])
    values = torch.linalg.svdvals(sample)
    directions = torch.linalg.qr(begins.bases_MChw.detach().flatten(1).double().T).Q
    lost = (sample - sample @ directions @ directions.T).square().sum()
    assert float(lost) == pytest.approx(float(values[bases:].square().sum()), rel=1e-3)
    # And each old row is that projection of its image.
    rows = (begins.addresses_KRM[:3] @ begins.bases_MChw.flatten(1)).detach().flatten(0, 1).double()
    torch.testing.assert_close(rows, small_old @ directions @ directions.T, rtol=0, atol=1e-4)


def test_another_resolution_keeps_the_images_as_down_sampled():
    begins = begun(OLD.per_class, bases=4, downsample=4)
    old_NCHW = torch.nn.functional.avg_pool2d(OLD.whole().images_NCHW, 4)
    small = (begins.addresses_KRM[:3] @ begins.bases_MChw.flatten(1)).detach().flatten(0, 1)
    torch.testing.assert_close(small, old_NCHW.flatten(1), rtol=0, atol=2e-5)  # four values, four bases


@pytest.mark.parametrize("storage", ["uint8", "float32"])
def test_the_budget_is_kept_to_the_byte_with_more_classes(storage):
    recipe = memory_recipe(base="art", ipc=None, bytes=1200, parametrization={"storage": storage})
    told, end = events(recipe, further_data(), base=BASE)
    held = open_artifact(end.content).parametrization
    holding = check_budget(recipe, CATALOG, facts(continual.begin(BASE, further_data()).real))
    size = {"uint8": 1, "float32": 4}[storage]
    rows = (1200 - 4 * 16 * size - (64 if storage == "uint8" else 0)) // (6 * 4 * size)
    assert held.per_class == told[0].images_per_class == holding.per_class == rows
    assert held.num_bytes() == holding.bytes == end.header["budget"]["bytes"] <= 1200
    assert 1200 - held.num_bytes() < 6 * 4 * size  # not another row would fit


def test_data_of_several_sets_are_joined_under_the_artifacts_classes():
    first, second = toy_data(), further_data()
    space = continual.begin(BASE, second).real.space
    real = continual.joined(space, [3, 3], [first, second])
    assert real.train_counts == (20, 20, 20, 12, 12, 12)
    assert torch.equal(real.test_labels_N, torch.cat([first.test_labels_N, second.test_labels_N + 3]))
    assert torch.equal(real.test_bytes_NHWC[30:], second.test_bytes_NHWC)
    assert (real.name, real.absent, real.space) == ("rows", (), space)


def test_a_set_that_is_gone_leaves_its_classes_empty():
    space = continual.begin(BASE, further_data()).real.space
    real = continual.joined(space, [3, 3], [None, further_data()])
    assert real.absent == ("left", "right", "middle")
    assert set(real.test_labels_N.tolist()) == {3, 4, 5}
    assert real.digest != continual.joined(space, [3, 3], [toy_data(), further_data()]).digest


def test_sets_that_are_not_those_of_the_classes_are_not_joined():
    space = continual.begin(BASE, further_data()).real.space
    for sizes, data in (([3, 3], [further_data(), toy_data()]), ([3], [toy_data()])):
        with pytest.raises(ValueError, match="are not those of the artifact"):
            continual.joined(space, sizes, data)
    other = replace(toy_data(), space=replace(OLD.space, classes=("left", "right", "up")))
    with pytest.raises(ValueError, match="are not those of the artifact"):
        continual.joined(space, [3, 3], [other, further_data()])
