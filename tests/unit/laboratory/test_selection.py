"""Where a run starts: the right classes, distinct images, and the property each selection is named after."""

import pytest
import torch

from distilled.images import from_bytes
from tests.unit.laboratory.toys import toy_data
from workers.distill import selection
from workers.distill.rng import Rng
from workers.distill.selection.herding import herd

REAL = toy_data()
PIXELS = from_bytes(REAL.train_bytes_NHWC)


def class_of(pixels_NCHW):
    """The class whose mean is nearest."""
    means = torch.stack([PIXELS[REAL.train_labels_N == k].mean(0) for k in range(3)])
    return torch.cdist(pixels_NCHW.flatten(1), means.flatten(1)).argmin(1)


@pytest.mark.parametrize("name", sorted(selection.STARTS))
@pytest.mark.parametrize("per_class", [1, 3])
def test_images_come_class_after_class_inside_the_pixel_range(name, per_class):
    chosen = selection.start(name)(REAL, per_class, Rng(0))
    assert chosen.shape == (3 * per_class, 1, 8, 8)
    assert class_of(chosen).tolist() == torch.arange(3).repeat_interleave(per_class).tolist()
    assert chosen.min() >= 0
    assert chosen.max() <= 1
    assert torch.equal(chosen, selection.start(name)(REAL, per_class, Rng(0))), "one seed, one selection"


@pytest.mark.parametrize("name", ["random", "herding"])
def test_real_images_are_chosen_once_each(name):
    chosen = selection.start(name)(REAL, 20, Rng(0)).flatten(1)
    everything = PIXELS.flatten(1)
    order = torch.cdist(chosen, everything).argmin(1)
    assert sorted(order.tolist()) == list(range(60))


def test_random_follows_the_seed():
    one, two = (selection.start("random")(REAL, 3, Rng(seed)) for seed in (0, 1))
    assert not torch.equal(one, two)


def test_one_centroid_is_the_class_mean():
    chosen = selection.start("centroid")(REAL, 1, Rng(0))
    for k in range(3):
        torch.testing.assert_close(chosen[k], PIXELS[REAL.train_labels_N == k].mean(0))


def test_herding_is_greedy_against_brute_force():
    points = torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    mean, chosen = points.mean(0), []
    for _ in range(6):
        free = [i for i in range(12) if i not in chosen]
        chosen.append(min(free, key=lambda i: (points[[*chosen, i]].mean(0) - mean).norm().item()))
    assert herd(points, 6).tolist() == chosen


def test_streams_are_named_and_independent():
    rng = Rng(0)
    numbers = {
        rng.child("a").integer(),
        rng.child("b").integer(),
        rng.child("a", 1).integer(),
        Rng(1).child("a").integer(),
    }
    assert len(numbers) == 4
    assert rng.child("a", 1).integer() == rng.child("a").child(1).integer()
